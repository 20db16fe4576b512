use super::*;
use crate::devices::suite::{Bench, RAM_BASE, Random};
use crate::devices::virtio::driver::{Buffer, Driver, QUEUE_SIZE};

const NEXT: u16 = descriptor_flag::NEXT;
const INDIRECT: u16 = descriptor_flag::INDIRECT;

/// A queue whose rings lie in the first page of RAM.
fn queue() -> Queue {
    Queue {
        size: QUEUE_SIZE,
        is_ready: true,
        takes_indirect: true,
        descriptor_table: RAM_BASE,
        available_ring: RAM_BASE + 0x400,
        used_ring: RAM_BASE + 0x600,
        ..Queue::default()
    }
}

fn buffer(offset: u64, length: u32, is_writable: bool) -> Buffer {
    Buffer {
        address: RAM_BASE + offset,
        length,
        is_writable,
    }
}

/// A descriptor: which table, which place, the buffer, flags, next.
type Entry = (u64, u16, Buffer, u16, u16);

fn chain_of(entries: &[Entry]) -> Result<Chain, QueueFault> {
    let mut bench = Bench::new();
    for (table, index, buffer, flags, next) in entries {
        Driver::describe(&mut bench, *table, *index, *buffer, *flags, *next);
    }
    queue().chain(&bench.memory, 0)
}

fn check(entries: &[Entry], expect: Result<(u64, u64), QueueFault>) {
    let chain = chain_of(entries);
    assert_eq!(
        chain.map(|chain| (chain.readable_bytes(), chain.writable_bytes())),
        expect
    );
}

#[test]
fn chains_are_followed_and_hostile_ones_refused() {
    let ring = RAM_BASE;
    let table = RAM_BASE + 0x2000;
    let readable = buffer(0x4000, 16, false);
    let writable = buffer(0x5000, 100, true);
    let tabled = |entries: u32| buffer(0x2000, 16 * entries, false);
    check(&[(ring, 0, readable, 0, 0)], Ok((16, 0)));
    check(
        &[(ring, 0, readable, NEXT, 7), (ring, 7, writable, 0, 0)],
        Ok((16, 100)),
    );
    // A loop.
    check(
        &[(ring, 0, readable, NEXT, 1), (ring, 1, readable, NEXT, 0)],
        Err(QueueFault::ChainTooLong(QUEUE_SIZE_MAX)),
    );
    check(
        &[(ring, 0, readable, NEXT, QUEUE_SIZE)],
        Err(QueueFault::BeyondTable(QUEUE_SIZE)),
    );
    check(
        &[(ring, 0, writable, NEXT, 1), (ring, 1, readable, 0, 0)],
        Err(QueueFault::ReadableAfterWritable),
    );
    // Empty buffers are nothing.
    check(&[(ring, 0, buffer(0, 0, false), 0, 0)], Ok((0, 0)));
    // Indirect tables: good, after a direct descriptor, nested, going on, of bad lengths, looping.
    check(
        &[
            (ring, 0, tabled(2), INDIRECT, 0),
            (table, 0, readable, NEXT, 1),
            (table, 1, writable, 0, 0),
        ],
        Ok((16, 100)),
    );
    check(
        &[
            (ring, 0, readable, NEXT, 1),
            (ring, 1, tabled(1), INDIRECT, 0),
            (table, 0, writable, 0, 0),
        ],
        Ok((16, 100)),
    );
    check(
        &[
            (ring, 0, tabled(1), INDIRECT, 0),
            (table, 0, tabled(1), INDIRECT, 0),
        ],
        Err(QueueFault::BadIndirect),
    );
    check(
        &[(ring, 0, tabled(1), INDIRECT | NEXT, 0)],
        Err(QueueFault::BadIndirect),
    );
    for length in [0, 8, 17] {
        check(
            &[(ring, 0, buffer(0x2000, length, false), INDIRECT, 0)],
            Err(QueueFault::BadIndirect),
        );
    }
    check(
        &[(ring, 0, tabled(u32::from(QUEUE_SIZE_MAX) + 1), INDIRECT, 0)],
        Err(QueueFault::ChainTooLong(QUEUE_SIZE_MAX)),
    );
    check(
        &[
            (ring, 0, tabled(1), INDIRECT, 0),
            (table, 0, readable, NEXT, 0),
        ],
        Err(QueueFault::ChainTooLong(QUEUE_SIZE_MAX)),
    );
}

#[test]
fn the_longest_chain_is_a_full_indirect_table() {
    let table = RAM_BASE + 0x2000;
    let count = QUEUE_SIZE_MAX;
    let tabled = buffer(0x2000, 16 * u32::from(count), false);
    let full = |first: Entry| {
        let mut entries = vec![first];
        entries.extend((0..count).map(|index| {
            let flags = if index + 1 < count { NEXT } else { 0 };
            (table, index, buffer(0x4000, 2, true), flags, index + 1)
        }));
        entries
    };
    let expect = (0, 2 * u64::from(count));
    check(&full((RAM_BASE, 0, tabled, INDIRECT, 0)), Ok(expect));
    let mut longer = full((RAM_BASE, 1, tabled, INDIRECT, 0));
    longer.push((RAM_BASE, 0, buffer(0x4000, 2, false), NEXT, 1));
    check(&longer, Err(QueueFault::ChainTooLong(count)));
}

#[test]
fn buffers_and_tables_outside_ram_are_refused() {
    let outside = |address, length| Buffer {
        address,
        length,
        is_writable: true,
    };
    for (address, length) in [
        (0, 16),
        (RAM_BASE - 16, 32),
        (RAM_BASE + (1 << 20) - 8, 16),
        (RAM_BASE + 1, 1 << 20),
        (RAM_BASE, u32::MAX),
        (u64::MAX, 16),
    ] {
        let direct = chain_of(&[(RAM_BASE, 0, outside(address, length), 0, 0)]);
        assert!(matches!(direct, Err(QueueFault::OutsideRam(_))));
    }
    for address in [0, RAM_BASE - 16, RAM_BASE + (1 << 20) - 8, u64::MAX] {
        let indirect = chain_of(&[(RAM_BASE, 0, outside(address, 16), INDIRECT, 0)]);
        assert!(matches!(indirect, Err(QueueFault::OutsideRam(_))));
    }
    let mut lost = queue();
    lost.descriptor_table = u64::MAX - 3;
    lost.available_ring = u64::MAX;
    lost.used_ring = u64::MAX - 1;
    let mut bench = Bench::new();
    assert!(lost.available(&bench.memory).is_err());
    assert!(lost.peek(&bench.memory, 0).is_err());
    assert!(lost.chain(&bench.memory, 1).is_err());
    assert!(lost.complete(&mut bench.memory, 0, 0).is_err());
    assert!(!lost.take_interrupt());
}

#[test]
fn indirect_tables_need_to_be_negotiated() {
    let mut bench = Bench::new();
    let table = buffer(0x2000, 16, false);
    Driver::describe(&mut bench, RAM_BASE, 0, table, INDIRECT, 0);
    let mut queue = queue();
    assert!(queue.chain(&bench.memory, 0).is_ok());
    queue.takes_indirect = false;
    assert_eq!(queue.chain(&bench.memory, 0), Err(QueueFault::BadIndirect));
}

#[test]
fn ring_indices_wrap_and_impossible_ones_are_refused() {
    let mut bench = Bench::new();
    let index = GuestPhysAddr(RAM_BASE + 0x402);
    let mut queue = queue();
    queue.next_available = 0xfffe;
    bench.memory.write_u16(index, 3).unwrap();
    assert_eq!(queue.available(&bench.memory), Ok(5));
    bench.memory.write_u16(index, 0xfffd).unwrap();
    assert_eq!(
        queue.available(&bench.memory),
        Err(QueueFault::TooManyAvailable(0xffff))
    );
    bench.memory.write_u16(index, 14).unwrap();
    assert_eq!(queue.available(&bench.memory), Ok(QUEUE_SIZE));
    bench.memory.write_u16(index, 15).unwrap();
    assert_eq!(
        queue.available(&bench.memory),
        Err(QueueFault::TooManyAvailable(QUEUE_SIZE + 1))
    );
    queue.is_ready = false;
    assert_eq!(queue.available(&bench.memory), Ok(0));
}

#[test]
fn cursors_cross_buffers_and_stop_at_the_end() {
    let mut bench = Bench::new();
    for (index, (offset, length)) in [(0x4000, 3), (0x5000, 1), (0x6000, 4)]
        .into_iter()
        .enumerate()
    {
        let index = index as u16;
        let flags = if index < 2 { NEXT } else { 0 };
        let buffer = buffer(offset, length, true);
        Driver::describe(&mut bench, RAM_BASE, index, buffer, flags, index + 1);
    }
    let chain = queue().chain(&bench.memory, 0).unwrap();
    let mut writer = chain.writer();
    assert_eq!(writer.write(&mut bench.memory, b"ab"), Ok(2));
    assert_eq!(writer.write(&mut bench.memory, b"cde"), Ok(3));
    assert_eq!(writer.write(&mut bench.memory, b"fghijk"), Ok(3));
    assert_eq!(writer.write(&mut bench.memory, b"l"), Ok(0));
    assert_eq!(bench.bytes(RAM_BASE + 0x4000, 4), b"abc\0");
    assert_eq!(bench.bytes(RAM_BASE + 0x5000, 2), b"d\0");
    assert_eq!(bench.bytes(RAM_BASE + 0x6000, 5), b"efgh\0");
    let mut reader = chain.writer();
    reader.skip(2);
    let mut bytes = [0; 4];
    assert_eq!(reader.read(&bench.memory, &mut bytes), Ok(4));
    assert_eq!(&bytes, b"cdef");
    reader.skip(100);
    assert_eq!(reader.read(&bench.memory, &mut bytes), Ok(0));
}

/// Any memory at all: a chain is found or refused, and it never has more than its limit.
#[test]
fn random_tables_never_panic() {
    let mut bench = Bench::new();
    let mut random = Random(5);
    for _ in 0..3000 {
        for index in 0..QUEUE_SIZE {
            let place = buffer(
                random.below(0x3000),
                random.below(0x400) as u32,
                random.below(2) == 0,
            );
            let flags = random.below(8) as u16;
            let next = random.below(u64::from(QUEUE_SIZE) + 1) as u16;
            Driver::describe(&mut bench, RAM_BASE, index, place, flags, next);
        }
        let mut queue = queue();
        queue.next_available = random.next() as u16;
        if let Ok(chain) = queue.peek(&bench.memory, 0) {
            let segments = chain.readable.len() + chain.writable.len();
            assert!(segments <= usize::from(QUEUE_SIZE_MAX));
        }
    }
}
