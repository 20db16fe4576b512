//! Machines for a recording, within what a page can have.

use super::{Refusal, because};
use reprise_core::machine::{Machine, MachineConfig, MachineError};
use reprise_recorder::images::ImageSet;
use reprise_recorder::timeline::MachineSource;

/// RAM above this cannot be replayed in a browser.
const RAM_BYTES_MAX: u64 = 1 << 30;

/// What the machines of a recording are made from.
pub(crate) struct Blueprint {
    config: MachineConfig,
    images: ImageSet,
}

impl Blueprint {
    /// For a machine of this configuration with these images.
    ///
    /// # Errors
    /// When the memory for it cannot be had here.
    pub(crate) fn new(config: MachineConfig, images: ImageSet) -> Result<Self, Refusal> {
        let mebibytes = config.ram_bytes >> 20;
        if config.ram_bytes > RAM_BYTES_MAX {
            return Err(because(format!(
                "this machine has {mebibytes} MiB of RAM, and a page can replay at most {}: use the command line",
                RAM_BYTES_MAX >> 20
            )));
        }
        // Asked for and given back: an allocation that fails later would end the engine.
        let mut probe = Vec::<u8>::new();
        let room = usize::try_from(config.ram_bytes).unwrap_or(usize::MAX);
        if probe.try_reserve_exact(room).is_err() {
            return Err(because(format!(
                "this browser does not give the page the memory for a machine with {mebibytes} MiB of RAM: close other \
                 tabs and try again"
            )));
        }
        drop(probe);
        Ok(Self { config, images })
    }
}

impl MachineSource for Blueprint {
    fn machine(&self) -> Result<Machine, MachineError> {
        Machine::new(self.config.clone(), self.images.machine_images(), None)
    }
}
