//! stub
use crate::device::*;
use crate::event::Start;
use crate::image::*;
use crate::machine::*;
use crate::memory::GuestMemory;
use crate::state::*;
use crate::types::TerminalSize;
/// stub
pub struct VirtioSlot;
#[allow(missing_docs)]
impl VirtioSlot {
    pub fn populate(n: usize, _d: Vec<Box<dyn ImageSource>>, _c: &MachineConfig) -> Result<Vec<Self>, MachineError> { Ok((0..n).map(|_| Self).collect()) }
    pub fn deliver_start(&mut self, _: &mut DeviceContext<'_>, _: &Start) -> bool { false }
    pub fn set_terminal(&mut self, _: &mut DeviceContext<'_>, _: TerminalSize) {}
    pub fn push_input(&mut self, _: &mut DeviceContext<'_>, _: &[u8]) {}
    pub fn input_room(&self, _: &GuestMemory) -> usize { 0 }
    pub fn overlay_hash(&self) -> u64 { 0 }
    pub fn save_overlay(&self, _: &mut StateWriter) {}
    pub fn restore_overlay(&mut self, _: &mut StateReader<'_>) -> Result<(), StateError> { Ok(()) }
}
impl Device for VirtioSlot {
    fn read(&mut self, _: &mut DeviceContext<'_>, offset: u64, _: AccessSize) -> Result<u64, ImageStall> { Ok(match offset { 0 => 0x74726976, 4 => 2, _ => 0 }) }
    fn write(&mut self, _: &mut DeviceContext<'_>, _: u64, _: AccessSize, _: u64) -> Result<(), ImageStall> { Ok(()) }
    fn interrupt_level(&self) -> bool { false }
    fn save(&self, _: &mut StateWriter) {}
    fn restore(&mut self, _: &mut StateReader<'_>) -> Result<(), StateError> { Ok(()) }
}
