//! Physical memory protection, RISC-V Privileged 3.7: 16 entries, granularity of 4 bytes.

use super::trap::{Access, Privilege};
use crate::state::{StateError, StateReader, StateWriter};

/// Entries implemented; the registers of those above read as zero.
pub(crate) const PMP_ENTRIES: usize = 16;

const READ: u8 = 1;
const WRITE: u8 = 2;
const EXECUTE: u8 = 4;
const MODE_SHIFT: u8 = 3;
const LOCK: u8 = 0x80;
const CONFIG_BITS: u8 = READ | WRITE | EXECUTE | 3 << MODE_SHIFT | LOCK;
const ADDRESS_BITS: u64 = (1 << 54) - 1;

/// The PMP registers of one hart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pmp {
    config: [u8; PMP_ENTRIES],
    address: [u64; PMP_ENTRIES],
}

impl Pmp {
    /// What firmware leaves behind: one entry that allows everything.
    pub(crate) fn open() -> Self {
        let mut pmp = Self::default();
        pmp.config[0] = READ | WRITE | EXECUTE | 3 << MODE_SHIFT;
        pmp.address[0] = ADDRESS_BITS;
        pmp
    }

    /// Reads `pmpcfg<register>`, register even.
    pub(crate) fn read_config(&self, register: usize) -> u64 {
        (0..8).rev().fold(0, |value, byte| {
            value << 8 | u64::from(self.config.get(register * 4 + byte).copied().unwrap_or(0))
        })
    }

    /// Writes `pmpcfg<register>`, register even. Locked entries keep their value.
    pub(crate) fn write_config(&mut self, register: usize, value: u64) {
        for byte in 0..8 {
            let Some(config) = self.config.get_mut(register * 4 + byte) else {
                return;
            };
            if *config & LOCK != 0 {
                continue;
            }
            let mut new = (value >> (byte * 8)) as u8 & CONFIG_BITS;
            // R=0 with W=1 is reserved; the field is WARL.
            if new & (READ | WRITE) == WRITE {
                new &= !WRITE;
            }
            *config = new;
        }
    }

    pub(crate) fn read_address(&self, entry: usize) -> u64 {
        self.address.get(entry).copied().unwrap_or(0)
    }

    pub(crate) fn write_address(&mut self, entry: usize, value: u64) {
        if entry >= PMP_ENTRIES || self.config[entry] & LOCK != 0 {
            return;
        }
        // A locked TOR entry locks the address below it too.
        if let Some(next) = self.config.get(entry + 1)
            && next & LOCK != 0
            && next >> MODE_SHIFT & 3 == 1
        {
            return;
        }
        self.address[entry] = value & ADDRESS_BITS;
    }

    /// First byte and last byte of an entry's range, or nothing when it is off or empty.
    fn range(&self, entry: usize) -> Option<(u64, u64)> {
        let address = self.address[entry];
        match self.config[entry] >> MODE_SHIFT & 3 {
            0 => None,
            1 => {
                let bottom = if entry == 0 {
                    0
                } else {
                    self.address[entry - 1]
                };
                (bottom < address).then(|| (bottom << 2, (address << 2) - 1))
            }
            2 => Some((address << 2, (address << 2) + 3)),
            _ => {
                let ones = address.trailing_ones().min(54);
                let first = address & !((1u64 << ones) - 1);
                let length = 8u64.checked_shl(ones).unwrap_or(u64::MAX);
                Some((first << 2, (first << 2).saturating_add(length - 1)))
            }
        }
    }

    fn allows(config: u8, access: Access, privilege: Privilege) -> bool {
        if privilege == Privilege::Machine && config & LOCK == 0 {
            return true;
        }
        config
            & match access {
                Access::Load => READ,
                Access::Store => WRITE,
                Access::Fetch => EXECUTE,
            }
            != 0
    }

    /// Whether an access of `length` bytes is allowed.
    pub(crate) fn check(
        &self,
        address: u64,
        length: u64,
        access: Access,
        privilege: Privilege,
    ) -> bool {
        let last = address.saturating_add(length - 1);
        for entry in 0..PMP_ENTRIES {
            let Some((from, to)) = self.range(entry) else {
                continue;
            };
            if to < address || from > last {
                continue;
            }
            // The lowest entry that matches any byte decides, and must match all of them.
            return from <= address
                && last <= to
                && Self::allows(self.config[entry], access, privilege);
        }
        privilege == Privilege::Machine
    }

    /// Whether every access within the page gets the same verdict as one of the whole page.
    pub(crate) fn is_uniform(&self, page: u64) -> bool {
        let last = page + 0xfff;
        for entry in 0..PMP_ENTRIES {
            let Some((from, to)) = self.range(entry) else {
                continue;
            };
            if to < page || from > last {
                continue;
            }
            return from <= page && last <= to;
        }
        true
    }

    pub(crate) fn save(&self, to: &mut StateWriter) {
        self.config.iter().for_each(|config| to.u8(*config));
        self.address.iter().for_each(|address| to.u64(*address));
    }

    pub(crate) fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        for config in &mut self.config {
            *config = from.u8()? & CONFIG_BITS;
        }
        for address in &mut self.address {
            *address = from.u64()? & ADDRESS_BITS;
        }
        Ok(())
    }
}
