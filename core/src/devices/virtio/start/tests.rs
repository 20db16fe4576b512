use super::super::mmio::register;
use super::super::request::request_type;
use super::*;
use crate::device::{AccessSize, Device};
use crate::devices::suite::{Bench, Case};
use crate::devices::virtio::driver::{Buffer, Driver, get};
use crate::event::StartFile;
use crate::output::OutputKind;

const START_SECTOR: u64 = START_OFFSET / SECTOR_BYTES;

fn start() -> Start {
    Start {
        command: vec![b"/bin/true".to_vec()],
        ..Start::default()
    }
}

/// A start disk and its driver.
struct Rig {
    disk: VirtioMmio<StartDisk>,
    bench: Bench,
    driver: Driver,
}

impl Rig {
    fn new() -> Self {
        let (mut disk, mut bench) = (VirtioMmio::new(StartDisk::new()), Bench::new());
        let driver = Driver::start(&mut disk, &mut bench, 0);
        Self {
            disk,
            bench,
            driver,
        }
    }

    fn request(&mut self, kind: u32, sector: u64, data: Buffer) -> Option<(u16, u32)> {
        let mut header = u64::from(kind).to_le_bytes().to_vec();
        header.extend_from_slice(&sector.to_le_bytes());
        let header = self.driver.read_only(&mut self.bench, &header);
        let status = self.driver.write_only(1);
        self.driver.offer(&mut self.bench, &[header, data, status]);
        self.driver.ring(&mut self.disk, &mut self.bench);
        self.driver.used(&self.bench)
    }

    fn read(&mut self, sector: u64, length: u32) -> (Buffer, Option<(u16, u32)>) {
        let data = self.driver.write_only(length);
        (data, self.request(request_type::IN, sector, data))
    }

    fn deliver(&mut self, start: &Start) -> Result<(), StartRefused> {
        self.disk.deliver_start(&mut self.bench.cx(), start)
    }

    fn bytes(&self, buffer: Buffer) -> Vec<u8> {
        self.bench.bytes(buffer.address, buffer.length as usize)
    }

    fn exit_statuses(&mut self) -> Vec<i32> {
        let outputs = self.bench.outputs.take().into_iter();
        outputs
            .map(|output| match output.kind {
                OutputKind::ExitStatus(status) => status,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn padded(start: &Start, length: usize) -> Vec<u8> {
    let mut bytes = encode(start);
    bytes.resize(length, 0);
    bytes
}

#[test]
fn a_partition_scan_need_not_wait() {
    let mut rig = Rig::new();
    let capacity = get(&mut rig.disk, &mut rig.bench, register::CONFIG + 4);
    assert_eq!(
        u64::from(capacity) << 32,
        START_CAPACITY_SECTORS & !0xffff_ffff
    );
    let last = START_CAPACITY_SECTORS - 8;
    for (sector, length) in [(0, 4096), (1, 512), (START_SECTOR - 8, 4096), (last, 4096)] {
        let (data, used) = rig.read(sector, length);
        assert!(used.is_some_and(|(_, written)| written == length + 1));
        assert!(rig.bytes(data).iter().all(|byte| *byte == 0));
    }
}

#[test]
fn reads_of_the_start_wait_for_it() {
    let mut rig = Rig::new();
    let (first, used) = rig.read(START_SECTOR, 1024);
    assert_eq!(used, None);
    let (across, used) = rig.read(START_SECTOR - 1, 1024);
    assert_eq!(used, None);
    // Others pass them by.
    let (_, used) = rig.read(0, 512);
    assert_eq!(used, Some((6, 513)));
    rig.bench
        .write(&mut rig.disk, register::INTERRUPT_ACK, AccessSize::Word, 1);
    rig.deliver(&start()).unwrap();
    assert!(rig.disk.interrupt_level());
    assert_eq!(rig.driver.used(&rig.bench), Some((0, 1025)));
    assert_eq!(rig.driver.used(&rig.bench), Some((3, 1025)));
    assert_eq!(rig.driver.used(&rig.bench), None);
    assert_eq!(rig.bytes(first), padded(&start(), 1024));
    assert_eq!(rig.bytes(across)[..512], [0; 512]);
    assert_eq!(rig.bytes(across)[512..], padded(&start(), 512));
    // From now on reads are answered at once.
    let (again, used) = rig.read(START_SECTOR, 512);
    assert!(used.is_some());
    assert_eq!(rig.bytes(again), padded(&start(), 512));
}

#[test]
fn a_start_may_come_before_the_driver() {
    let mut rig = Rig::new();
    rig.bench
        .write(&mut rig.disk, register::STATUS, AccessSize::Word, 0);
    rig.deliver(&start()).unwrap();
    rig.driver = Driver::start(&mut rig.disk, &mut rig.bench, 0);
    let (data, used) = rig.read(START_SECTOR, 512);
    assert!(used.is_some());
    assert_eq!(rig.bytes(data), padded(&start(), 512));
}

#[test]
fn starts_that_do_not_fit_are_refused() {
    let mut rig = Rig::new();
    rig.deliver(&start()).unwrap();
    assert_eq!(rig.deliver(&start()), Err(StartRefused::AlreadyStarted));
    let long = Start {
        files: vec![StartFile {
            path: b"/big".to_vec(),
            mode: 0o644,
            bytes: vec![0; START_BYTES_MAX as usize],
        }],
        ..Start::default()
    };
    let mut rig = Rig::new();
    let refused = rig.deliver(&long);
    assert!(matches!(refused, Err(StartRefused::TooLong { .. })));
    assert!(!rig.disk.device().is_started());
}

#[test]
fn a_reset_forgets_who_waited_but_not_the_start() {
    let mut rig = Rig::new();
    rig.read(START_SECTOR, 512);
    rig.driver = Driver::start(&mut rig.disk, &mut rig.bench, 0);
    rig.deliver(&start()).unwrap();
    assert_eq!(rig.driver.used(&rig.bench), None);
    rig.driver = Driver::start(&mut rig.disk, &mut rig.bench, 0);
    assert!(rig.read(START_SECTOR, 512).1.is_some());
}

#[test]
fn a_stopped_queue_forgets_who_waited() {
    let mut rig = Rig::new();
    rig.read(START_SECTOR, 512);
    let ready = |rig: &mut Rig, value| {
        let (disk, bench) = (&mut rig.disk, &mut rig.bench);
        bench.write(disk, register::QUEUE_READY, AccessSize::Word, value);
    };
    ready(&mut rig, 0);
    ready(&mut rig, 1);
    rig.deliver(&start()).unwrap();
    assert_eq!(rig.driver.used(&rig.bench), None);
}

#[test]
fn the_contents_hash_names_the_start() {
    let hash = |start: Option<Start>| {
        let mut rig = Rig::new();
        if let Some(start) = start {
            rig.deliver(&start).unwrap();
        }
        let disk = rig.disk.device();
        let mut saved = StateWriter::new();
        disk.save_contents(&mut saved);
        let mut restored = StartDisk::new();
        restored
            .restore_contents(&mut StateReader::new(saved.as_bytes()))
            .unwrap();
        assert_eq!(restored.contents_hash(), disk.contents_hash());
        disk.contents_hash()
    };
    assert_eq!(hash(None), 0);
    let hashes = [hash(Some(start())), hash(Some(Start::default())), 0];
    assert!(hashes[0] != hashes[1] && !hashes[..2].contains(&0));
}

#[test]
fn the_exit_status_comes_out() {
    let mut rig = Rig::new();
    let report = |rig: &mut Rig, sector, magic: &[u8; 8], status: i32| {
        let mut sector_bytes = magic.to_vec();
        sector_bytes.extend_from_slice(&status.to_le_bytes());
        sector_bytes.resize(512, 0);
        let data = rig.driver.read_only(&mut rig.bench, &sector_bytes);
        assert!(rig.request(request_type::OUT, sector, data).is_some());
        rig.exit_statuses()
    };
    assert_eq!(report(&mut rig, 0, &EXIT_MAGIC, -3), [-3]);
    assert_eq!(rig.bench.outputs.last_exit_status(), Some(-3));
    assert_eq!(report(&mut rig, 0, b"RPEXIT02", 1), []);
    assert_eq!(report(&mut rig, 1, &EXIT_MAGIC, 1), []);
    // What was written is nowhere to be read.
    let (data, _) = rig.read(0, 512);
    assert_eq!(rig.bytes(data), [0; 512]);
}

#[test]
fn the_disk_is_found_by_its_serial_number() {
    let mut rig = Rig::new();
    let data = rig.driver.write_only(20);
    assert!(rig.request(request_type::GET_ID, 0, data).is_some());
    assert_eq!(rig.bytes(data), b"reprise-start\0\0\0\0\0\0\0");
}

/// One head offered again and again must not grow the list of those that wait.
#[test]
fn the_waiting_list_is_bounded() {
    let mut rig = Rig::new();
    rig.read(START_SECTOR, 512);
    for _ in 0..QUEUE_SIZE_MAX {
        rig.driver.make_available(&mut rig.bench, 0);
        rig.driver.ring(&mut rig.disk, &mut rig.bench);
    }
    let status = get(&mut rig.disk, &mut rig.bench, register::STATUS);
    assert_eq!(status, 0x4f);
    let waiting = rig.disk.device().waiting.len();
    assert_eq!(waiting, usize::from(QUEUE_SIZE_MAX));
}

#[test]
fn passes_the_suite() {
    fn check(script: fn(&mut Rig)) -> impl Fn(&mut VirtioMmio<StartDisk>, &mut Bench) {
        move |disk, bench| {
            let mut rig = Rig::new();
            script(&mut rig);
            std::mem::swap(disk, &mut rig.disk);
            std::mem::swap(bench, &mut rig.bench);
        }
    }
    let poke = |disk: &mut VirtioMmio<StartDisk>, bench: &mut Bench, random: u64| {
        if random.is_multiple_of(64) {
            let first = !disk.device().is_started();
            assert_eq!(disk.deliver_start(&mut bench.cx(), &start()).is_ok(), first);
        } else {
            bench.write(disk, register::QUEUE_NOTIFY, AccessSize::Word, 0);
        }
    };
    let case = |script| Case {
        make: || VirtioMmio::new(StartDisk::new()),
        script,
        poke,
        offsets: 0x110,
    };
    case(|disk, bench| {
        check(|rig| {
            rig.read(START_SECTOR, 512);
            rig.read(START_SECTOR + 1, 1024);
        })(disk, bench);
    })
    .check_disk();
    case(|disk, bench| {
        check(|rig| {
            rig.deliver(&start()).unwrap();
            rig.read(START_SECTOR, 512);
        })(disk, bench);
    })
    .check_disk();
}
