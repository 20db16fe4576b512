use super::super::mmio::VirtioMmio;
use super::super::mmio::register;
use super::super::request::{REQUEST_BYTES_MAX, request_type};
use super::*;
use crate::device::{AccessSize, Device};
use crate::devices::suite::{Bench, Case, RAM_BASE, Random};
use crate::devices::virtio::driver::{Buffer, Driver, get};
use crate::image::MemoryImage;
use crate::types::GuestPhysAddr;
use std::sync::{Arc, Mutex};

const IMAGE_BYTES: usize = 40 * 1024 + 100;

fn image_bytes() -> Vec<u8> {
    let mut random = Random(3);
    (0..IMAGE_BYTES).map(|_| random.next() as u8).collect()
}

fn disk() -> VirtioMmio<Block> {
    let image = MemoryImage(image_bytes().into());
    VirtioMmio::new(Block::new(0, "serial-of-the-disk", Box::new(image)))
}

/// A disk, its driver, and what the disk should hold.
struct Rig {
    disk: VirtioMmio<Block>,
    bench: Bench,
    driver: Driver,
}

impl Rig {
    fn new() -> Self {
        Self::over(disk())
    }

    fn over(mut disk: VirtioMmio<Block>) -> Self {
        let mut bench = Bench::new();
        let driver = Driver::start(&mut disk, &mut bench, 0);
        Self {
            disk,
            bench,
            driver,
        }
    }

    /// The buffers of a request, the last being that of its status.
    fn buffers(&mut self, kind: u32, sector: u64, data: &[Buffer]) -> Vec<Buffer> {
        let (driver, bench) = (&mut self.driver, &mut self.bench);
        let mut header = kind.to_le_bytes().to_vec();
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&sector.to_le_bytes());
        let mut buffers = vec![driver.read_only(bench, &header)];
        buffers.extend_from_slice(data);
        let status = driver.write_only(1);
        let address = GuestPhysAddr(status.address);
        bench.memory.write(address, &[0xff]).unwrap();
        buffers.push(status);
        buffers
    }

    /// Makes a request available; returns the buffer of its status.
    fn offer(&mut self, kind: u32, sector: u64, data: &[Buffer]) -> Buffer {
        let buffers = self.buffers(kind, sector, data);
        self.driver.offer(&mut self.bench, &buffers);
        buffers[buffers.len() - 1]
    }

    /// One request at sector 0, through an indirect table: status and bytes written.
    fn request_indirect(&mut self, kind: u32, data: &[Buffer]) -> (u8, u32) {
        let buffers = self.buffers(kind, 0, data);
        self.driver.offer_indirect(&mut self.bench, &buffers);
        self.driver.ring(&mut self.disk, &mut self.bench);
        let (_, written) = self.driver.used(&self.bench).unwrap();
        (self.status(buffers[buffers.len() - 1]), written)
    }

    fn status(&self, status: Buffer) -> u8 {
        self.bench.bytes(status.address, 1)[0]
    }

    /// One request from beginning to end: status and bytes written.
    fn request(&mut self, kind: u32, sector: u64, data: &[Buffer]) -> (u8, u32) {
        let status = self.offer(kind, sector, data);
        self.driver.ring(&mut self.disk, &mut self.bench);
        let (_, written) = self.driver.used(&self.bench).unwrap();
        (self.status(status), written)
    }

    fn read(&mut self, sector: u64, length: u32) -> Vec<u8> {
        let data = self.driver.write_only(length);
        assert_eq!(
            self.request(request_type::IN, sector, &[data]),
            (0, length + 1)
        );
        self.bench.bytes(data.address, length as usize)
    }

    fn write(&mut self, sector: u64, bytes: &[u8]) {
        let data = self.driver.read_only(&mut self.bench, bytes);
        assert_eq!(self.request(request_type::OUT, sector, &[data]), (0, 1));
    }
}

#[test]
fn the_config_says_what_the_disk_is() {
    let mut rig = Rig::new();
    let config = |rig: &mut Rig, at| get(&mut rig.disk, &mut rig.bench, register::CONFIG + at);
    assert_eq!(config(&mut rig, 0), 81);
    assert_eq!(config(&mut rig, 8), 65536);
    assert_eq!(config(&mut rig, 12), 126);
    assert_eq!(config(&mut rig, 20), 512);
}

#[test]
fn reads_give_the_image_and_zeros_behind_its_end() {
    let mut rig = Rig::new();
    let mut image = image_bytes();
    image.resize(81 * 512, 0);
    assert_eq!(rig.read(0, 512), image[..512]);
    assert_eq!(rig.read(7, 9 * 512), image[7 * 512..16 * 512]);
    assert_eq!(rig.read(80, 512), image[80 * 512..]);
    assert_eq!(rig.read(0, 81 * 512), image);
    assert_eq!(rig.read(81, 0), []);
}

#[test]
fn writes_stay_and_leave_the_image_alone() {
    let mut rig = Rig::new();
    let mut expect = image_bytes();
    expect.resize(81 * 512, 0);
    let before = rig.disk.device().overlay_hash();
    let mut random = Random(8);
    for _ in 0..60 {
        let sector = random.below(81);
        let length = 512 * (1 + random.below(20).min(80 - sector)) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        rig.write(sector, &bytes);
        expect[sector as usize * 512..][..length].copy_from_slice(&bytes);
        let sector = random.below(81);
        let length = 512 * (1 + random.below(20).min(80 - sector)) as usize;
        let got = rig.read(sector, length as u32);
        assert_eq!(got, expect[sector as usize * 512..][..length]);
        // The bench's RAM is small: start its buffers over.
        rig = Rig::over(rig.disk);
    }
    assert_eq!(rig.read(0, 81 * 512), expect);
    assert_ne!(rig.disk.device().overlay_hash(), before);
    assert_eq!(rig.read(0, 512).len(), 512);
}

#[test]
fn the_hash_follows_from_what_is_written_and_not_from_how() {
    let (mut whole, mut parts) = (Rig::new(), Rig::new());
    let bytes: Vec<u8> = (0..8192_u32).map(|byte| byte as u8).collect();
    whole.write(8, &bytes);
    for sector in [15, 3, 0, 8, 14, 1, 2, 5, 4, 7, 6, 9, 13, 10, 11, 12] {
        parts.write(8 + sector, &[0xee; 512]);
        parts.write(8 + sector, &bytes[sector as usize * 512..][..512]);
        parts = Rig::over(parts.disk);
    }
    assert_eq!(
        whole.disk.device().overlay_hash(),
        parts.disk.device().overlay_hash()
    );
    let expect = (1..3).map(|block: u64| {
        let bytes = &bytes[(block as usize - 1) * 4096..][..4096];
        xxhash_rust::xxh3::xxh3_128_with_seed(bytes, block) as u64
    });
    assert_eq!(
        whole.disk.device().overlay_hash(),
        expect.fold(0, u64::wrapping_add)
    );
}

#[test]
fn requests_that_cannot_be_served_say_so() {
    let mut rig = Rig::new();
    let data = rig.driver.write_only(512);
    let odd = rig.driver.write_only(100);
    let source = rig.driver.read_only(&mut rig.bench, &[1; 512]);
    let io_error = (1, 1);
    assert_eq!(rig.request(request_type::IN, 81, &[data]), io_error);
    assert_eq!(rig.request(request_type::IN, u64::MAX, &[data]), io_error);
    assert_eq!(rig.request(request_type::IN, 1 << 55, &[data]), io_error);
    assert_eq!(rig.request(request_type::IN, 0, &[odd]), io_error);
    assert_eq!(rig.request(request_type::OUT, 81, &[source]), io_error);
    assert_eq!(
        rig.request(request_type::OUT, u64::MAX - 1, &[source]),
        io_error
    );
    assert_eq!(rig.request(2, 0, &[data]), (2, 1));
    assert_eq!(rig.request(13, 0, &[source]), (2, 1));
    assert_eq!(rig.request(request_type::FLUSH, 0, &[]), (0, 1));
    assert_eq!(rig.disk.device().contents.written_block_count(), 0);
    // No header.
    let status = rig.driver.write_only(1);
    let head = rig.driver.offer(&mut rig.bench, &[status]);
    rig.driver.ring(&mut rig.disk, &mut rig.bench);
    assert_eq!(rig.driver.used(&rig.bench), Some((head, 1)));
    assert_eq!(rig.status(status), 1);
    // No room for a status.
    rig.driver.offer(&mut rig.bench, &[source]);
    rig.driver.ring(&mut rig.disk, &mut rig.bench);
    assert_eq!(get(&mut rig.disk, &mut rig.bench, register::STATUS), 0x4f);
}

/// An image of zeros that takes no memory.
struct ZeroImage(u64);

impl ImageSource for ZeroImage {
    fn byte_len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        buffer.fill(0);
        Ok(())
    }
}

#[test]
fn a_request_beyond_the_cap_is_refused() {
    let image = Box::new(ZeroImage(1 << 40));
    let mut rig = Rig::over(VirtioMmio::new(Block::new(0, "", image)));
    // The same half MiB again and again: the longest request that is served, then a sector more.
    let half = Buffer {
        address: RAM_BASE + (1 << 19),
        length: 1 << 19,
        is_writable: true,
    };
    let sector = Buffer {
        length: 512,
        ..half
    };
    let count = (REQUEST_BYTES_MAX >> 19) as usize;
    let rest = Buffer {
        length: (REQUEST_BYTES_MAX & ((1 << 19) - 1)) as u32,
        ..half
    };
    let mut data = vec![half; count];
    data.push(rest);
    let (status, written) = rig.request_indirect(request_type::IN, &data);
    assert_eq!((status, u64::from(written)), (0, REQUEST_BYTES_MAX + 1));
    data.push(sector);
    assert_eq!(rig.request_indirect(request_type::IN, &data), (1, 1));
}

#[test]
fn the_serial_number_is_20_bytes() {
    let mut rig = Rig::new();
    let data = rig.driver.write_only(20);
    assert_eq!(rig.request(request_type::GET_ID, 0, &[data]), (0, 21));
    assert_eq!(rig.bench.bytes(data.address, 20), b"serial-of-the-disk\0\0");
    let short = rig.driver.write_only(6);
    assert_eq!(rig.request(request_type::GET_ID, 0, &[short]), (0, 7));
    assert_eq!(rig.bench.bytes(short.address, 7), b"serial\0");
}

/// A driver may cut header and data where it likes, and many requests may wait at one doorbell.
#[test]
fn buffers_may_be_cut_anywhere() {
    let mut rig = Rig::new();
    let first = rig.driver.write_only(100);
    let second = rig.driver.write_only(412 + 512);
    let one = rig.offer(request_type::IN, 3, &[first, second]);
    let source = rig.driver.read_only(&mut rig.bench, &[7; 700]);
    let rest = rig.driver.read_only(&mut rig.bench, &[8; 324]);
    let two = rig.offer(request_type::OUT, 3, &[source, rest]);
    let again = rig.driver.write_only(1024);
    let three = rig.offer(request_type::IN, 3, &[again]);
    rig.driver.ring(&mut rig.disk, &mut rig.bench);
    for status in [one, two, three] {
        assert_eq!(rig.status(status), 0);
        assert!(rig.driver.used(&rig.bench).is_some());
    }
    let image = image_bytes();
    let mut got = rig.bench.bytes(first.address, 100);
    got.extend(rig.bench.bytes(second.address, 924));
    assert_eq!(got, image[3 * 512..5 * 512]);
    let got = rig.bench.bytes(again.address, 1024);
    assert_eq!(got, [vec![7; 700], vec![8; 324]].concat());
}

/// An image of which blocks arrive one by one.
struct LateImage {
    bytes: Vec<u8>,
    present: Arc<Mutex<Vec<bool>>>,
}

impl ImageSource for LateImage {
    fn byte_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MissingRange> {
        let present = self.present.lock().unwrap();
        let end = (offset + buffer.len() as u64).min(self.byte_len());
        let mut blocks = offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
        if let Some(block) = blocks.find(|block| !present[*block as usize]) {
            return Err(MissingRange {
                offset: block * BLOCK_BYTES,
                length: BLOCK_BYTES,
            });
        }
        MemoryImage(self.bytes.as_slice().into()).read_at(offset, buffer)
    }
}

/// However the bytes arrive, a stalled doorbell has done nothing and the last one does all.
#[test]
fn a_stall_is_found_before_any_effect() {
    let present = Arc::new(Mutex::new(vec![false; 11]));
    let late = LateImage {
        bytes: image_bytes(),
        present: Arc::clone(&present),
    };
    let late = VirtioMmio::new(Block::new(3, "serial-of-the-disk", Box::new(late)));
    let (mut rig, mut prompt) = (Rig::over(late), Rig::new());
    let offer = |rig: &mut Rig| {
        // A write of one sector needs the rest of its block; a whole block needs nothing.
        let source = rig.driver.read_only(&mut rig.bench, &[5; 4096]);
        let part = Buffer {
            length: 512,
            ..source
        };
        let data = rig.driver.write_only(4096 * 3);
        rig.offer(request_type::OUT, 16, &[source]);
        rig.offer(request_type::OUT, 25, &[part]);
        rig.offer(request_type::OUT, 64, &[part]);
        rig.offer(request_type::IN, 28, &[data]);
    };
    offer(&mut rig);
    offer(&mut prompt);
    let mut wanted = Vec::new();
    loop {
        let before = rig.bench.memory.hash();
        let Err(stall) = rig.driver.try_ring(&mut rig.disk, &mut rig.bench) else {
            break;
        };
        assert_eq!(rig.bench.memory.hash(), before);
        assert_eq!(rig.disk.device().contents.written_block_count(), 0);
        assert!(!rig.disk.interrupt_level());
        assert_eq!((stall.disk, stall.length), (3, BLOCK_BYTES));
        wanted.push(stall.offset / BLOCK_BYTES);
        present.lock().unwrap()[(stall.offset / BLOCK_BYTES) as usize] = true;
    }
    assert_eq!(wanted, [3, 8, 4, 5, 6]);
    prompt.driver.ring(&mut prompt.disk, &mut prompt.bench);
    assert_eq!(rig.bench.memory.hash(), prompt.bench.memory.hash());
    assert_eq!(
        rig.disk.device().overlay_hash(),
        prompt.disk.device().overlay_hash()
    );
    assert!(rig.disk.interrupt_level());
}

/// A request whose data lands on the rings changes nothing of what the same doorbell does.
#[test]
fn a_request_may_overwrite_the_rings() {
    let mut rig = Rig::new();
    let rings = Buffer {
        address: rig.driver.rings,
        length: 512,
        is_writable: true,
    };
    let data = rig.driver.write_only(512);
    let one = rig.offer(request_type::IN, 0, &[rings]);
    let two = rig.offer(request_type::IN, 1, &[data]);
    rig.driver.ring(&mut rig.disk, &mut rig.bench);
    assert_eq!((rig.status(one), rig.status(two)), (0, 0));
    assert_eq!(rig.bench.bytes(data.address, 512), image_bytes()[512..1024]);
}

#[test]
fn saved_contents_are_checked() {
    let mut rig = Rig::new();
    rig.write(0, &[1; 4096]);
    rig.write(40, &[2; 512]);
    let mut saved = StateWriter::new();
    rig.disk.device().save_contents(&mut saved);
    let saved = saved.into_bytes();
    let restore = |bytes: &[u8]| {
        let mut disk = disk();
        let result = disk
            .device_mut()
            .restore_contents(&mut StateReader::new(bytes));
        result.map(|()| disk.device().overlay_hash())
    };
    assert_eq!(restore(&saved), Ok(rig.disk.device().overlay_hash()));
    let second = 4 + 8 + 8 + 8 + 8 + 4096;
    for (at, value) in [
        (second, 0),
        (second, 11),
        (second + 8, 1),
        (12, 3),
        (12, 255),
    ] {
        let mut damaged = saved.clone();
        damaged[at] = value;
        assert!(restore(&damaged).is_err(), "byte {at} as {value}");
    }
}

#[test]
fn pieces_end_at_the_units() {
    let check = |offset, length, expect: &[(u64, u64)]| {
        let found: Vec<_> = pieces(DiskRange { offset, length }, 4096)
            .map(|piece| (piece.offset, piece.length))
            .collect();
        assert_eq!(found, expect);
    };
    check(0, 0, &[]);
    check(512, 512, &[(512, 512)]);
    check(512, 8192, &[(512, 3584), (4096, 4096), (8192, 512)]);
    check(4096, 4096, &[(4096, 4096)]);
}

#[test]
fn passes_the_suite() {
    Case {
        make: disk,
        script: |disk, bench| {
            let taken = std::mem::replace(disk, self::disk());
            let mut rig = Rig::over(taken);
            rig.write(1, &[9; 512]);
            rig.write(16, &[8; 4096]);
            rig.read(0, 1024);
            std::mem::swap(disk, &mut rig.disk);
            std::mem::swap(bench, &mut rig.bench);
        },
        poke: |disk, bench, _| {
            bench.write(disk, register::QUEUE_NOTIFY, AccessSize::Word, 0);
        },
        offsets: 0x100,
    }
    .check_disk();
}
