//! The frame of a function of which nothing is written down, by its first instructions: linkers leave descriptions out,
//! and C libraries keep no frame pointers.

use super::backtrace::FrameRegisters;
use super::evaluate::Machine;
use super::frames::{RA, SP};

/// Bytes from a function's beginning on in which it saves registers.
const PROLOGUE_BYTES_MAX: u64 = 256;

/// What the beginning of a function does to the stack.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Prologue {
    /// Bytes that it takes of the stack.
    byte_len: u64,
    /// Registers, and below the frame's address by how much each is saved.
    saved: Vec<(u16, u64)>,
}

/// The registers of the caller of a function that begins at an address; `is_first`: nothing was called by it.
pub(super) fn caller(
    begin: u64,
    registers: &FrameRegisters,
    is_first: bool,
    machine: &dyn Machine,
) -> Option<FrameRegisters> {
    let byte_len = registers.pc.checked_sub(begin)?.min(PROLOGUE_BYTES_MAX);
    let mut code = vec![0; byte_len as usize];
    machine.read(begin, &mut code).then_some(())?;
    let prologue = read(&code);
    let frame = registers.get(SP)?.checked_add(prologue.byte_len)?;
    let mut caller = registers.clone();
    caller.forget_temporaries();
    caller.set(SP, Some(frame));
    for (register, below) in &prologue.saved {
        caller.set(*register, machine.word(frame.wrapping_sub(*below)));
    }
    let has_saved = prologue.saved.iter().any(|(register, _)| *register == RA);
    caller.pc = caller.get(RA).filter(|_| has_saved || is_first)?;
    caller.set(RA, None);
    Some(caller)
}

/// Follows the stack pointer and what is stored by it (RISC-V Unprivileged 2.4, 2.6 and 26.3).
fn read(code: &[u8]) -> Prologue {
    let mut prologue = Prologue::default();
    let mut at = 0;
    while let Some(half) = code.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        let half = u32::from(u16::from_le_bytes(*half));
        let is_long = half & 3 == 3;
        let word = code.get(at..).and_then(|rest| rest.first_chunk::<4>());
        let word = word.map_or(0, |word| u32::from_le_bytes(*word));
        let (mut taken, mut stored) = (0, None);
        if is_long {
            if word & 0x000f_ffff == 0x0001_0113 {
                taken = word as i32 >> 20;
            } else if word & 0x000f_f07f == 0x0001_3023 {
                let offset = (word as i32 >> 25 << 5) | (word >> 7 & 31) as i32;
                stored = Some((word >> 20 & 31, offset));
            }
        } else if half & 0xef83 == 0x6101 {
            let offset = (half >> 3 & 0x200) | (half >> 2 & 0x10) | (half << 1 & 0x40);
            let offset = offset | (half << 4 & 0x180) | (half << 3 & 0x20);
            taken = (offset << 22) as i32 >> 22;
        } else if half & 0xef83 == 0x0101 {
            let offset = (half >> 7 & 0x20) | (half >> 2 & 0x1f);
            taken = (offset << 26) as i32 >> 26;
        } else if half & 0xe003 == 0xe002 {
            let offset = (half >> 7 & 0x38) | (half >> 1 & 0x1c0);
            stored = Some((half >> 2 & 31, offset as i32));
        }
        // What gives some of the stack back belongs to another way out.
        prologue.byte_len += u64::from((-taken).max(0) as u32);
        if let Some((register, offset)) = stored {
            let below = prologue
                .byte_len
                .checked_sub(u64::from(offset.max(0) as u32));
            let register = register as u16;
            // Only what functions have to keep is worth it: `ra`, `s0` to `s11`.
            let is_kept = matches!(register, 1 | 8 | 9 | 18..28);
            let is_known = prologue.saved.iter().any(|(known, _)| *known == register);
            if let Some(below) = below.filter(|_| is_kept && !is_known) {
                prologue.saved.push((register, below));
            }
        }
        at += if is_long { 4 } else { 2 };
    }
    // What was saved before more of the stack was taken lies where it lay: distances are from the top.
    prologue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_saves_is_read_out_of_its_first_instructions() {
        // c.addi16sp sp, -64; c.sdsp ra, 56(sp); c.sdsp s0, 48(sp)
        let short = [0x7139u16, 0xfc06, 0xf822].map(u16::to_le_bytes);
        // addi sp, sp, -64; sd ra, 56(sp); sd s0, 48(sp)
        let long = [0xfc01_0113u32, 0x0211_3c23, 0x0281_3823].map(u32::to_le_bytes);
        let expected = Prologue {
            byte_len: 64,
            saved: vec![(1, 8), (8, 16)],
        };
        assert_eq!(read(short.as_flattened()), expected);
        assert_eq!(read(long.as_flattened()), expected);
        // c.addi sp, -16
        assert_eq!(read(&0x1141u16.to_le_bytes()).byte_len, 16);
    }
}
