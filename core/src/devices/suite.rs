//! What every device must pass, and the bench that device tests run on.

use super::virtio::DiskContents;
use super::virtio::mmio::{VirtioDevice, VirtioMmio};
use crate::arena::Arena;
use crate::device::{AccessSize, Device, DeviceContext};
use crate::image::ImageStall;
use crate::memory::GuestMemory;
use crate::output::Outputs;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::{GuestPhysAddr, GuestTime, Icount};

/// First address of the bench's RAM.
pub(crate) const RAM_BASE: u64 = 0x8000_0000;
const RAM_BYTES: usize = 1 << 20;

/// Everything around a device under test.
pub(crate) struct Bench {
    pub(crate) memory: GuestMemory,
    pub(crate) outputs: Outputs,
    pub(crate) icount: Icount,
    pub(crate) time: GuestTime,
    pub(crate) clock_base_unix_nanoseconds: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (_, ram) = Arena::allocate(1, RAM_BYTES).split(1, RAM_BYTES);
        Self {
            memory: GuestMemory::new(ram, GuestPhysAddr(RAM_BASE), 1),
            outputs: Outputs::default(),
            icount: Icount(0),
            time: GuestTime(0),
            clock_base_unix_nanoseconds: 0,
        }
    }

    /// Another bench in the same state.
    fn fork(&self) -> Self {
        let mut fork = Self::new();
        fork.memory
            .write(GuestPhysAddr(RAM_BASE), &self.bytes(RAM_BASE, RAM_BYTES))
            .unwrap();
        let mut state = StateWriter::new();
        self.outputs.save(&mut state);
        fork.outputs
            .restore(&mut StateReader::new(state.as_bytes()))
            .unwrap();
        fork.icount = self.icount;
        fork.time = self.time;
        fork.clock_base_unix_nanoseconds = self.clock_base_unix_nanoseconds;
        fork
    }

    /// Hash of all that a device can have changed here.
    fn hash(&mut self) -> u128 {
        let mut state = StateWriter::new();
        self.outputs.save(&mut state);
        self.memory
            .hash()
            .wrapping_add(xxhash_rust::xxh3::xxh3_128(state.as_bytes()))
    }

    pub(crate) fn cx(&mut self) -> DeviceContext<'_> {
        DeviceContext {
            memory: &mut self.memory,
            outputs: &mut self.outputs,
            icount: self.icount,
            time: self.time,
            clock_base_unix_nanoseconds: self.clock_base_unix_nanoseconds,
        }
    }

    pub(crate) fn read(&mut self, device: &mut impl Device, offset: u64, size: AccessSize) -> u64 {
        device.read(&mut self.cx(), offset, size).unwrap()
    }

    pub(crate) fn write(
        &mut self,
        device: &mut impl Device,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) {
        self.try_write(device, offset, size, value).unwrap();
    }

    pub(crate) fn try_write(
        &mut self,
        device: &mut impl Device,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) -> Result<(), ImageStall> {
        device.write(&mut self.cx(), offset, size, value)
    }

    pub(crate) fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        self.memory
            .slice(GuestPhysAddr(address), length as u64)
            .unwrap()
            .to_vec()
    }
}

/// A reproducible stream of numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A number of the kinds that registers and rings hold.
    fn value(&mut self) -> u64 {
        match self.below(5) {
            0 => self.below(4),
            1 => self.below(0x200),
            2 => 1 << self.below(64),
            3 => RAM_BASE + self.below(0x2_0000),
            _ => self.next(),
        }
    }

    fn size(&mut self) -> AccessSize {
        match self.below(6) {
            0 => AccessSize::Byte,
            1 => AccessSize::Half,
            2 => AccessSize::Double,
            _ => AccessSize::Word,
        }
    }
}

/// What the suite must know of a device.
pub(crate) struct Case<D> {
    /// Makes the device, the same each time.
    pub(crate) make: fn() -> D,
    /// Brings it into a state worth saving.
    pub(crate) script: fn(&mut D, &mut Bench),
    /// Does to it what the bus does not: input, time. The number says which.
    pub(crate) poke: fn(&mut D, &mut Bench, u64),
    /// Registers lie below this offset.
    pub(crate) offsets: u64,
}

/// How a device's whole state becomes bytes and comes back.
struct Codec<D> {
    save: fn(&D, &mut StateWriter),
    restore: fn(&mut D, &mut StateReader<'_>) -> Result<(), StateError>,
}

impl<D: Device> Case<D> {
    /// Runs the suite.
    pub(crate) fn check(&self) {
        self.check_with(&Codec {
            save: D::save,
            restore: D::restore,
        });
    }

    fn check_with(&self, codec: &Codec<D>) {
        for seed in 0..8 {
            self.check_round_trip(codec, seed);
        }
        self.check_damage(codec);
        for seed in 100..116 {
            let (mut device, mut bench) = ((self.make)(), Bench::new());
            if seed % 2 == 0 {
                (self.script)(&mut device, &mut bench);
            }
            self.churn(&mut device, &mut bench, seed, 2000);
        }
    }

    /// Random accesses; returns what was read and the interrupt's levels.
    fn churn(&self, device: &mut D, bench: &mut Bench, seed: u64, count: u32) -> Vec<u64> {
        let mut random = Random(seed);
        let mut seen = Vec::new();
        for _ in 0..count {
            bench.icount.0 += 1;
            bench.time.0 += random.below(1000);
            let alignment = !(random.below(4).min(3) & 3);
            let offset = random.below(self.offsets + 16) & alignment;
            let value = random.value();
            let size = random.size();
            match random.below(8) {
                0..3 => seen.push(bench.read(device, offset, size)),
                3..5 => bench.write(device, offset, size, value),
                5 => {
                    // Rings and requests lie in the first pages of RAM.
                    let address = GuestPhysAddr(RAM_BASE + (random.below(0x4000) & !1));
                    let bytes = random.value().to_le_bytes();
                    let length = 2 << random.below(3);
                    bench.memory.write(address, &bytes[..length]).unwrap();
                }
                _ => (self.poke)(device, bench, random.next()),
            }
            seen.push(u64::from(device.interrupt_level()));
        }
        seen
    }

    fn check_round_trip(&self, codec: &Codec<D>, seed: u64) {
        let (mut device, mut bench) = ((self.make)(), Bench::new());
        (self.script)(&mut device, &mut bench);
        // The first seeds save right after the script, the others from wherever chance leads.
        self.churn(&mut device, &mut bench, seed, seed as u32 * 20);
        let saved = save(codec, &device);

        let mut restored = (self.make)();
        let mut reader = StateReader::new(&saved);
        (codec.restore)(&mut restored, &mut reader).unwrap();
        assert!(reader.is_at_end(), "restore leaves bytes unread");
        assert_eq!(save(codec, &restored), saved, "saved again, it differs");
        assert_eq!(restored.interrupt_level(), device.interrupt_level());

        // A device that was in use takes over the state as a fresh one does.
        let mut used = (self.make)();
        self.churn(&mut used, &mut Bench::new(), seed + 50, 200);
        (codec.restore)(&mut used, &mut StateReader::new(&saved)).unwrap();
        assert_eq!(save(codec, &used), saved, "what was there before shows");

        let mut fork = bench.fork();
        let straight = self.churn(&mut device, &mut bench, seed + 1000, 500);
        let resumed = self.churn(&mut restored, &mut fork, seed + 1000, 500);
        assert_eq!(straight, resumed);
        assert_eq!(save(codec, &device), save(codec, &restored));
        assert_eq!(bench.hash(), fork.hash());
    }

    /// Damaged state is refused or gives a usable device.
    fn check_damage(&self, codec: &Codec<D>) {
        let (mut device, mut bench) = ((self.make)(), Bench::new());
        (self.script)(&mut device, &mut bench);
        let saved = save(codec, &device);
        let step = (saved.len() / 200).max(1);
        for length in (0..saved.len()).step_by(step) {
            let mut victim = (self.make)();
            let result = (codec.restore)(&mut victim, &mut StateReader::new(&saved[..length]));
            assert!(result.is_err(), "cut to {length} bytes, it is accepted");
            self.check_usable(codec, victim, &bench, length as u64);
        }
        let mut random = Random(77);
        for _ in 0..300 {
            let mut damaged = saved.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(damaged.len() as u64) as usize;
                damaged[at] = random.value() as u8;
            }
            let mut victim = (self.make)();
            if (codec.restore)(&mut victim, &mut StateReader::new(&damaged)).is_ok() {
                let again = save(codec, &victim);
                let mut twin = (self.make)();
                (codec.restore)(&mut twin, &mut StateReader::new(&again)).unwrap();
                assert_eq!(save(codec, &twin), again);
            }
            self.check_usable(codec, victim, &bench, random.next());
        }
    }

    fn check_usable(&self, codec: &Codec<D>, mut device: D, bench: &Bench, seed: u64) {
        let mut bench = bench.fork();
        self.churn(&mut device, &mut bench, seed, 20);
        save(codec, &device);
    }
}

impl<T: VirtioDevice + DiskContents> Case<VirtioMmio<T>> {
    /// Runs the suite on a disk, its contents included.
    pub(crate) fn check_disk(&self) {
        self.check_with(&Codec {
            save: |disk, to| {
                disk.save(to);
                disk.device().save_contents(to);
            },
            restore: |disk, from| {
                disk.restore(from)?;
                disk.device_mut().restore_contents(from)
            },
        });
    }
}

fn save<D>(codec: &Codec<D>, device: &D) -> Vec<u8> {
    let mut writer = StateWriter::new();
    (codec.save)(device, &mut writer);
    writer.into_bytes()
}
