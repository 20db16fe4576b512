//! Loaded modules.

use super::view::LinuxView;
use reprise_core::types::GuestVirtAddr;
use std::collections::BTreeSet;

const MODULES_MAX: usize = 4096;
const NAME_BYTES_MAX: u64 = 64;

/// A loaded kernel module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Where its code begins.
    pub base: GuestVirtAddr,
    /// Size of the piece that begins there, in bytes.
    pub byte_len: u64,
}

impl LinuxView<'_> {
    /// The loaded modules, the youngest first; none of a kernel without CONFIG_MODULES, as the default guest's.
    #[must_use]
    pub fn modules(&self) -> Vec<Module> {
        let mut modules = Vec::new();
        // A list that breaks off has been read as far as it goes.
        let _ = self.collect_modules(&mut modules);
        modules
    }

    fn collect_modules(&self, to: &mut Vec<Module>) -> Option<()> {
        let layout = self.types()?.module.as_ref()?;
        let head = self.kernel.address_of("modules")?.0;
        let mut seen = BTreeSet::new();
        let mut at = self.memory.u64(head)?;
        while at != head && seen.insert(at) && seen.len() <= MODULES_MAX {
            let module = at.wrapping_sub(layout.list.offset);
            let mut name = vec![0; layout.name.byte_len.min(NAME_BYTES_MAX) as usize];
            (self.memory).read(module.wrapping_add(layout.name.offset), &mut name)?;
            name.truncate(
                name.iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(name.len()),
            );
            let (base, byte_len) = match (layout.core_base, layout.core_size) {
                (Some(base), Some(size)) => (self.field(module, base)?, self.field(module, size)?),
                _ => {
                    // `MOD_TEXT` is the first kind of memory, include/linux/module.h.
                    let memory = self.types()?.module_memory.as_ref()?;
                    let text = module.wrapping_add(layout.memory?.offset);
                    (
                        self.field(text, memory.base)?,
                        self.field(text, memory.size)?,
                    )
                }
            };
            to.push(Module {
                name: String::from_utf8_lossy(&name).into_owned(),
                base: GuestVirtAddr(base),
                byte_len,
            });
            at = self.memory.u64(at)?;
        }
        Some(())
    }
}
