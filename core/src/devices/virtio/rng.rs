//! The virtio entropy device (VirtIO 1.2 5.4): a stream that follows from the machine's seed.

use super::mmio::{CONFIG_BYTES, Stop, VirtioDevice};
use super::queue::Queue;
use crate::device::DeviceContext;
use crate::state::{StateError, StateReader, StateWriter};

/// The most bytes that one request gets. Linux asks for at most 64 at a time.
pub const REQUEST_BYTES_MAX: u64 = 4096;

/// Keeps this stream apart from whatever else follows from the same seed.
const STREAM_NAME: &[u8] = b"reprise virtio-rng 1";

/// Where a stream could end; no guest gets there.
const POSITION_LIMIT: u64 = 1 << 62;

/// The entropy device: BLAKE3's extendable output, keyed with the seed.
#[derive(Debug)]
pub struct Rng {
    stream: blake3::OutputReader,
}

impl Rng {
    /// The stream of this seed, from its start.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(seed);
        hasher.update(STREAM_NAME);
        Self {
            stream: hasher.finalize_xof(),
        }
    }
}

impl VirtioDevice for Rng {
    const SECTION: [u8; 4] = *b"VRNG";
    const DEVICE_ID: u32 = 4;
    const FEATURES: u64 = 0;
    const QUEUE_COUNT: usize = 1;

    fn config(&self, _space: &mut [u8; CONFIG_BYTES]) {}

    fn notify(
        &mut self,
        cx: &mut DeviceContext<'_>,
        queues: &mut [Queue],
        queue: usize,
    ) -> Result<(), Stop> {
        let queue = &mut queues[queue];
        let mut bytes = [0; REQUEST_BYTES_MAX as usize];
        for _ in 0..queue.available(cx.memory)? {
            let chain = queue.peek(cx.memory, 0)?;
            queue.take();
            let wanted = chain.writable_bytes().min(REQUEST_BYTES_MAX) as usize;
            self.stream.fill(&mut bytes[..wanted]);
            chain.writer().write(cx.memory, &bytes[..wanted])?;
            queue.complete(cx.memory, chain.head, wanted as u32)?;
        }
        Ok(())
    }

    fn save(&self, to: &mut StateWriter) {
        to.u64(self.stream.position());
    }

    fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let position = from.u64()?;
        if position > POSITION_LIMIT {
            return Err(StateError::BadValue {
                field: "the entropy device's position",
            });
        }
        self.stream.set_position(position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver::Driver;
    use super::super::mmio::VirtioMmio;
    use super::*;
    use crate::devices::suite::{Bench, Case};

    fn take(
        rng: &mut VirtioMmio<Rng>,
        bench: &mut Bench,
        driver: &mut Driver,
        count: u32,
    ) -> Vec<u8> {
        let buffer = driver.write_only(count);
        let head = driver.offer(bench, &[buffer]);
        driver.ring(rng, bench);
        assert_eq!(driver.used(bench), Some((head, count.min(4096))));
        bench.bytes(buffer.address, count as usize)
    }

    #[test]
    fn the_stream_follows_from_the_seed_and_nothing_else() {
        let stream = |seed: u8, parts: &[u32]| {
            let (mut rng, mut bench) = (VirtioMmio::new(Rng::new(&[seed; 32])), Bench::new());
            let mut driver = Driver::start(&mut rng, &mut bench, 0);
            let parts = parts.iter();
            parts
                .flat_map(|count| take(&mut rng, &mut bench, &mut driver, *count))
                .collect::<Vec<u8>>()
        };
        assert_eq!(stream(1, &[64, 64]), stream(1, &[3, 125]));
        assert_ne!(stream(1, &[64]), stream(2, &[64]));
        assert_eq!(stream(1, &[32])[..4], blake3_prefix());
    }

    /// The stream as another path to the same function gives it.
    fn blake3_prefix() -> [u8; 4] {
        let hash = blake3::keyed_hash(&[1; 32], STREAM_NAME);
        [0, 1, 2, 3].map(|at: usize| hash.as_bytes()[at])
    }

    #[test]
    fn a_request_gets_no_more_than_the_cap_and_a_reset_does_not_rewind() {
        let (mut rng, mut bench) = (VirtioMmio::new(Rng::new(&[9; 32])), Bench::new());
        let mut driver = Driver::start(&mut rng, &mut bench, 0);
        let first = take(&mut rng, &mut bench, &mut driver, 5000);
        assert_eq!(first[4096..], [0; 904]);
        let mut driver = Driver::start(&mut rng, &mut bench, 0);
        assert_ne!(take(&mut rng, &mut bench, &mut driver, 64), first[..64]);
    }

    #[test]
    fn passes_the_suite() {
        Case {
            make: || VirtioMmio::new(Rng::new(&[7; 32])),
            script: |rng, bench| {
                let mut driver = Driver::start(rng, bench, 0);
                take(rng, bench, &mut driver, 100);
            },
            poke: |_, _, _| {},
            offsets: 0x100,
        }
        .check();
    }
}
