//! Replays traces as wasm, driven from node by `replay.mjs`, so that tests can compare its state hashes with those of
//! the native replay.
//!
//! The driver asks for a buffer with `buffer`, fills it, and calls `add_image` for each image, then `replay` for the
//! trace. What `replay` says, `icount=N hash=H` or an error in one sentence, stands in the buffer at `message` of
//! `message_len` bytes.
// Exported names are how a plain wasm module is called, and `no_mangle` counts as unsafe.
#![allow(unsafe_code)]

use reprise_core::image::ImageHash;
use reprise_core::machine::{MACHINE_VERSION, Machine};
use reprise_core::types::Icount;
use reprise_recorder::images::{ImageSet, MemoryStore};
use reprise_recorder::replay::ReplaySession;
use reprise_recorder::trace::{Entries, config_from_header, images_from_header};
use reprise_traces::{BlobHash, TraceReader};
use std::cell::RefCell;
use std::io::Cursor;

#[derive(Default)]
struct Module {
    buffer: Vec<u8>,
    images: MemoryStore,
    message: String,
}

thread_local! {
    static MODULE: RefCell<Module> = RefCell::default();
}

/// Replays a trace whose images are in it or in the store, to its end; says `icount=N hash=H`.
///
/// # Errors
/// One sentence that says what is wrong: with the trace, with the images, or with the replay.
pub fn replay_trace(trace: Vec<u8>, images: &mut MemoryStore) -> Result<String, String> {
    let mut reader = TraceReader::open(Cursor::new(trace)).map_err(|error| error.to_string())?;
    reader
        .header()
        .require_machine_version(MACHINE_VERSION)
        .map_err(|error| error.to_string())?;
    let config = config_from_header(reader.header()).map_err(|error| error.to_string())?;
    let wanted = images_from_header(reader.header());
    for image in &wanted {
        let hash = BlobHash(image.hash.0);
        if reader.index().blobs.contains_key(&hash) {
            images.insert(reader.blob(&hash).map_err(|error| error.to_string())?);
        }
    }
    let images = ImageSet::find(&wanted, images).map_err(|error| error.to_string())?;
    let machine =
        Machine::new(config, images.machine_images(), None).map_err(|error| error.to_string())?;
    let mut session = ReplaySession::new(machine, Entries::new(reader));
    loop {
        let status = session
            .advance(Icount(u64::MAX))
            .map_err(|error| error.to_string())?;
        if status.finished || status.at_limit {
            let hash = session.state_hash();
            return Ok(format!("icount={} hash={hash}", status.icount));
        }
    }
}

/// Makes room for `len` bytes from the driver and returns where.
#[unsafe(no_mangle)]
pub extern "C" fn buffer(len: usize) -> *mut u8 {
    MODULE.with_borrow_mut(|module| {
        module.buffer = vec![0; len];
        module.buffer.as_mut_ptr()
    })
}

/// Takes the buffer's content as an image.
#[unsafe(no_mangle)]
pub extern "C" fn add_image() {
    MODULE.with_borrow_mut(|module| {
        let bytes = std::mem::take(&mut module.buffer);
        let _: ImageHash = module.images.insert(bytes);
    });
}

/// Takes the buffer's content as a trace and replays it. Returns 0 when every hash agreed, else 1.
#[unsafe(no_mangle)]
pub extern "C" fn replay() -> i32 {
    MODULE.with_borrow_mut(|module| {
        let trace = std::mem::take(&mut module.buffer);
        let outcome = replay_trace(trace, &mut module.images);
        let status = i32::from(outcome.is_err());
        module.message = outcome.unwrap_or_else(|error| error);
        status
    })
}

/// Where the message of the last replay stands.
#[unsafe(no_mangle)]
pub extern "C" fn message() -> *const u8 {
    MODULE.with_borrow(|module| module.message.as_ptr())
}

/// Length of that message in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn message_len() -> usize {
    MODULE.with_borrow(|module| module.message.len())
}
