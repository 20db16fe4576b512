//! What the machine tells its host. Output never influences the guest.

use crate::event::ConsolePort;
use crate::state::{StateError, StateReader, StateWriter};
use crate::types::Icount;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// One output, stamped with the position of the step that made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Position before the step that made the output.
    pub icount: Icount,
    /// What came out.
    pub kind: OutputKind,
}

/// The kinds of output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutputKind {
    /// Bytes that a console device sent.
    Console {
        /// The device.
        port: ConsolePort,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// An Ethernet frame that the guest sent, without its checksum.
    Frame(Vec<u8>),
    /// The exit status of the start's command, as the guest's init reported it.
    ExitStatus(i32),
}

/// What outputs may take up before the host must take them, in bytes. One step can go beyond it: a
/// doorbell that sends a whole queue of buffers.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// What an output takes up beside its bytes, about: itself and an allocation.
const OUTPUT_OVERHEAD_BYTES: usize = size_of::<Output>() + 32;

/// Collects outputs until the host takes them, and keeps the running hash of all of them.
#[derive(Default, Debug)]
pub struct Outputs {
    pending: Vec<Output>,
    pending_bytes: usize,
    hash: u128,
    byte_count: u64,
    exit_status: Option<i32>,
}

impl Outputs {
    /// Adds console bytes. Bytes sent at one position to one port join into one output.
    pub fn console(&mut self, icount: Icount, port: ConsolePort, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.absorb(port as u8, bytes);
        self.byte_count += bytes.len() as u64;
        self.pending_bytes += bytes.len();
        if let Some(Output {
            icount: last,
            kind:
                OutputKind::Console {
                    port: last_port,
                    bytes: last_bytes,
                },
        }) = self.pending.last_mut()
            && *last == icount
            && *last_port == port
        {
            last_bytes.extend_from_slice(bytes);
            return;
        }
        self.pending_bytes += OUTPUT_OVERHEAD_BYTES;
        self.pending.push(Output {
            icount,
            kind: OutputKind::Console {
                port,
                bytes: bytes.to_vec(),
            },
        });
    }

    /// Adds a frame that the network card sent.
    pub fn frame(&mut self, icount: Icount, frame: Vec<u8>) {
        self.absorb(0xfe, &frame);
        self.pending_bytes += OUTPUT_OVERHEAD_BYTES + frame.len();
        self.pending.push(Output {
            icount,
            kind: OutputKind::Frame(frame),
        });
    }

    /// Adds the exit status of the start's command.
    pub fn exit_status(&mut self, icount: Icount, status: i32) {
        self.absorb(0xff, &status.to_le_bytes());
        self.exit_status = Some(status);
        self.pending_bytes += OUTPUT_OVERHEAD_BYTES;
        self.pending.push(Output {
            icount,
            kind: OutputKind::ExitStatus(status),
        });
    }

    /// The last exit status reported.
    #[must_use]
    pub fn last_exit_status(&self) -> Option<i32> {
        self.exit_status
    }

    /// Takes what has come out since the last call.
    pub fn take(&mut self) -> Vec<Output> {
        self.pending_bytes = 0;
        std::mem::take(&mut self.pending)
    }

    /// Whether so much has come out that the host must take it before more is made.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending_bytes >= PENDING_BYTES_MAX
    }

    fn absorb(&mut self, kind: u8, bytes: &[u8]) {
        // Each piece is seeded with the hash of all before it, so order and boundaries count.
        let seed =
            (self.hash as u64) ^ ((self.hash >> 64) as u64).rotate_left(32) ^ u64::from(kind);
        self.hash = xxh3_128_with_seed(bytes, seed);
    }

    /// Saves the running hash; pending output belongs to the host and is not state.
    pub fn save(&self, to: &mut StateWriter) {
        to.section(*b"OUTP", |to| {
            to.u64(self.hash as u64);
            to.u64((self.hash >> 64) as u64);
            to.u64(self.byte_count);
            to.option(self.exit_status, |to, status| to.u32(status as u32));
        });
    }

    /// Restores the running hash and forgets pending output.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are not what [`Outputs::save`] wrote.
    pub fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"OUTP")?;
        let low = u128::from(from.u64()?);
        self.hash = low | u128::from(from.u64()?) << 64;
        self.byte_count = from.u64()?;
        self.exit_status = from.option(|from| Ok(from.u32()? as i32))?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }
}
