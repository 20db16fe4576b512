use super::*;
use crate::devices::suite::{Bench, Case, Random};
use crate::devices::virtio::console::Console;
use crate::devices::virtio::driver::{Driver, get, negotiate, set};
use crate::devices::virtio::rng::Rng;
use crate::types::{GuestPhysAddr, TerminalSize};

fn rng() -> VirtioMmio<Rng> {
    VirtioMmio::new(Rng::new(&[1; 32]))
}

fn console() -> VirtioMmio<Console> {
    VirtioMmio::new(Console::new(TerminalSize::default()))
}

#[test]
fn the_registers_name_the_device() {
    let (mut rng, mut bench) = (rng(), Bench::new());
    assert_eq!(get(&mut rng, &mut bench, register::MAGIC), MAGIC);
    assert_eq!(get(&mut rng, &mut bench, register::VERSION), 2);
    assert_eq!(get(&mut rng, &mut bench, register::DEVICE_ID), 4);
    assert_eq!(get(&mut rng, &mut bench, register::VENDOR_ID), VENDOR);
    assert_eq!(get(&mut rng, &mut bench, 0x0b0), u32::MAX);
    assert_eq!(get(&mut rng, &mut bench, 0x0bc), u32::MAX);
    // Registers are 32 bits wide and nothing else.
    assert_eq!(bench.read(&mut rng, register::MAGIC, AccessSize::Byte), 0);
    assert_eq!(bench.read(&mut rng, register::MAGIC, AccessSize::Double), 0);
    assert_eq!(get(&mut rng, &mut bench, 0xffc), 0);
}

#[test]
fn features_are_offered_in_halves_and_unoffered_ones_refused() {
    let (mut rng, mut bench) = (rng(), Bench::new());
    set(&mut rng, &mut bench, register::STATUS, 3);
    for (half, offered) in [(0, 1 << 28), (1, 1), (2, 0), (0xffff_ffff, 0)] {
        set(&mut rng, &mut bench, register::DEVICE_FEATURES_SELECT, half);
        let features = get(&mut rng, &mut bench, register::DEVICE_FEATURES);
        assert_eq!(features, offered);
    }
    set(&mut rng, &mut bench, register::DRIVER_FEATURES_SELECT, 1);
    set(&mut rng, &mut bench, register::DRIVER_FEATURES, 3);
    set(&mut rng, &mut bench, register::STATUS, 0xb);
    assert_eq!(get(&mut rng, &mut bench, register::STATUS), 3);
    set(&mut rng, &mut bench, register::DRIVER_FEATURES, 1);
    set(&mut rng, &mut bench, register::STATUS, 0xb);
    assert_eq!(get(&mut rng, &mut bench, register::STATUS), 0xb);
    // What is agreed on stays so until a reset.
    set(&mut rng, &mut bench, register::DRIVER_FEATURES, 0);
    assert_eq!(rng.driver_features, FEATURE_VERSION_1);
    set(&mut rng, &mut bench, register::STATUS, 0);
    assert_eq!(get(&mut rng, &mut bench, register::STATUS), 0);
    assert_eq!(rng.driver_features, 0);
}

/// xv6 writes only the low half of the features and checks that they are taken.
#[test]
fn a_driver_without_version_1_is_served() {
    let (mut rng, mut bench) = (rng(), Bench::new());
    negotiate(&mut rng, &mut bench, 0);
    let mut driver = Driver::set_up(&mut rng, &mut bench, 0);
    set(&mut rng, &mut bench, register::STATUS, 0xf);
    let buffer = driver.write_only(8);
    driver.offer(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(driver.used(&bench), Some((0, 8)));
}

#[test]
fn a_doorbell_before_driver_ok_does_nothing() {
    let (mut rng, mut bench) = (rng(), Bench::new());
    negotiate(&mut rng, &mut bench, u64::MAX);
    let mut driver = Driver::set_up(&mut rng, &mut bench, 0);
    let buffer = driver.write_only(8);
    driver.offer(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(driver.used(&bench), None);
    set(&mut rng, &mut bench, register::STATUS, 0xf);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(driver.used(&bench), Some((0, 8)));
}

#[test]
fn interrupts_stand_until_acknowledged_and_can_be_refused() {
    let (mut rng, mut bench) = (rng(), Bench::new());
    let mut driver = Driver::start(&mut rng, &mut bench, 0);
    let buffer = driver.write_only(8);
    driver.offer_indirect(&mut bench, &[buffer]);
    assert!(!rng.interrupt_level());
    driver.ring(&mut rng, &mut bench);
    assert!(rng.interrupt_level());
    assert_eq!(get(&mut rng, &mut bench, register::INTERRUPT_STATUS), 1);
    set(&mut rng, &mut bench, register::INTERRUPT_ACK, 2);
    assert!(rng.interrupt_level());
    set(&mut rng, &mut bench, register::INTERRUPT_ACK, 1);
    assert!(!rng.interrupt_level());
    driver.refuse_interrupts(&mut bench);
    driver.offer(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(driver.used(&bench), Some((0, 8)));
    assert_eq!(driver.used(&bench), Some((1, 8)));
    assert!(!rng.interrupt_level());
}

#[test]
fn what_was_negotiated_survives_a_restore() {
    let (mut saved, mut bench) = (rng(), Bench::new());
    let mut driver = Driver::start(&mut saved, &mut bench, 0);
    let mut state = StateWriter::new();
    saved.save(&mut state);
    let mut rng = rng();
    rng.restore(&mut StateReader::new(state.as_bytes()))
        .unwrap();
    let buffer = driver.write_only(8);
    driver.offer_indirect(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(driver.used(&bench), Some((0, 8)));
}

#[test]
fn a_broken_ring_needs_a_reset() {
    let (mut rng, mut bench) = (rng(), Bench::new());
    let mut driver = Driver::start(&mut rng, &mut bench, 0);
    driver.make_available(&mut bench, 99);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(get(&mut rng, &mut bench, register::STATUS), 0x4f);
    assert_eq!(get(&mut rng, &mut bench, register::INTERRUPT_STATUS), 2);
    // It does nothing more, and no status but 0 mends it.
    let buffer = driver.write_only(8);
    driver.offer(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    set(&mut rng, &mut bench, register::STATUS, 0xf);
    assert_eq!(get(&mut rng, &mut bench, register::STATUS), 0x4f);
    assert_eq!(driver.used(&bench), None);
    let mut driver = Driver::start(&mut rng, &mut bench, 0);
    assert!(!rng.interrupt_level());
    driver.offer(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(driver.used(&bench), Some((0, 8)));
}

#[test]
fn queue_registers_answer_for_the_selected_queue_only() {
    let (mut console, mut bench) = (console(), Bench::new());
    negotiate(&mut console, &mut bench, u64::MAX);
    Driver::set_up(&mut console, &mut bench, 1);
    for (queue, size_max, ready) in [
        (0, 128, 0),
        (1, 128, 1),
        (2, 0, 0),
        (u64::from(u32::MAX), 0, 0),
    ] {
        set(&mut console, &mut bench, register::QUEUE_SELECT, queue);
        assert_eq!(
            get(&mut console, &mut bench, register::QUEUE_SIZE_MAX),
            size_max
        );
        assert_eq!(get(&mut console, &mut bench, register::QUEUE_READY), ready);
    }
    // Sizes that cannot be are not taken, and a ready queue stays where it is.
    set(&mut console, &mut bench, register::QUEUE_SELECT, 0);
    for size in [0, 3, 256, 0x1_0000] {
        set(&mut console, &mut bench, register::QUEUE_SIZE, size);
        assert_eq!(console.queues[0].size, 128);
    }
    set(&mut console, &mut bench, register::QUEUE_SELECT, 1);
    let rings = console.queues[1].descriptor_table;
    set(&mut console, &mut bench, register::QUEUE_SIZE, 8);
    set(
        &mut console,
        &mut bench,
        register::QUEUE_DESCRIPTORS_HIGH,
        1,
    );
    assert_eq!(console.queues[1].descriptor_table, rings);
    assert_eq!(console.queues[1].size, 16);
}

#[test]
fn a_queue_that_was_stopped_begins_anew() {
    let (mut rng, mut bench) = (rng(), Bench::new());
    let mut driver = Driver::start(&mut rng, &mut bench, 0);
    let buffer = driver.write_only(8);
    driver.offer(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    set(&mut rng, &mut bench, register::QUEUE_READY, 0);
    driver.ring(&mut rng, &mut bench);
    let mut driver = Driver::set_up(&mut rng, &mut bench, 0);
    driver.offer(&mut bench, &[buffer]);
    driver.ring(&mut rng, &mut bench);
    assert_eq!(driver.used(&bench), Some((0, 8)));
    assert_eq!(driver.used(&bench), None);
}

#[test]
fn the_config_space_is_read_at_any_width() {
    let (mut console, mut bench) = (console(), Bench::new());
    let check = |console: &mut VirtioMmio<Console>, bench: &mut Bench, at, size, expect| {
        assert_eq!(bench.read(console, register::CONFIG + at, size), expect);
    };
    check(&mut console, &mut bench, 0, AccessSize::Half, 80);
    check(&mut console, &mut bench, 2, AccessSize::Half, 24);
    check(&mut console, &mut bench, 2, AccessSize::Byte, 24);
    check(&mut console, &mut bench, 0, AccessSize::Word, 24 << 16 | 80);
    check(
        &mut console,
        &mut bench,
        0,
        AccessSize::Double,
        24 << 16 | 80,
    );
    check(&mut console, &mut bench, 63, AccessSize::Double, 0);
    check(&mut console, &mut bench, 0xeff, AccessSize::Word, 0);
}

#[test]
fn an_empty_slot_has_no_device() {
    let (mut slot, mut bench) = (EmptySlot, Bench::new());
    let id = |slot: &mut EmptySlot, bench: &mut Bench, at| bench.read(slot, at, AccessSize::Word);
    assert_eq!(id(&mut slot, &mut bench, register::MAGIC), u64::from(MAGIC));
    assert_eq!(id(&mut slot, &mut bench, register::VERSION), 2);
    assert_eq!(id(&mut slot, &mut bench, register::DEVICE_ID), 0);
    assert_eq!(id(&mut slot, &mut bench, register::QUEUE_SIZE_MAX), 0);
    Case {
        make: || EmptySlot,
        script: |_, _| {},
        poke: |_, _, _| {},
        offsets: 0x100,
    }
    .check();
}

/// Rings at random places full of random entries: the device answers or asks for a reset.
#[test]
fn random_rings_never_panic() {
    let mut random = Random(11);
    for _ in 0..200 {
        let (mut rng, mut bench) = (rng(), Bench::new());
        let driver = Driver::start(&mut rng, &mut bench, 0);
        for _ in 0..400 {
            let at = GuestPhysAddr(driver.rings + (random.below(0x700) & !1));
            let value = (random.next() >> random.below(64)) as u16;
            bench.memory.write_u16(at, value).unwrap();
            driver.ring(&mut rng, &mut bench);
        }
    }
}
