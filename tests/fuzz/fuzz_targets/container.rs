//! Container images: no archive and no layer makes the unpacker panic, hang or hold more than its limits say, and what it accepts
//! becomes the same root image in whatever slices it came.
//!
//! The first byte says how long the slices are; the rest is an archive.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_host::{ImageError, Limits, MemorySpool, Place, RootImage, Unpacked, Unpacker};

/// So tight that a small input reaches every limit.
fn limits() -> Limits {
    Limits {
        document_bytes_max: 16 << 10,
        documents_max: 8,
        layers_max: 8,
        archive_members_max: 64,
        entries_max: 500,
        metadata_bytes_max: 64 << 10,
        content_bytes_max: 1 << 20,
        path_bytes_max: 1000,
        depth_max: 32,
        ratio_max: 100,
        ratio_free_bytes: 1 << 20,
    }
}

/// Ranges that are wanted of one archive: members, documents and layers, each of which is read a few times at most.
const WANTS_MAX: usize = 1000;
/// Bytes of a root image: contents, names and attributes, and a block for each entry.
const ROOT_IMAGE_BYTES_MAX: u64 = 16 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((first, archive)) = input.split_first() else {
        return;
    };
    let slice_bytes = [1000, 1, 512, 77][usize::from(first % 4)];
    let once = unpack(archive, slice_bytes).and_then(root_image);
    let again = unpack(archive, 4096).and_then(root_image);
    assert_eq!(once.ok(), again.ok());
});

fn unpack(archive: &[u8], slice_bytes: usize) -> Result<Unpacked<MemorySpool>, ImageError> {
    let mut unpacker =
        Unpacker::archive(archive.len() as u64, None, limits(), MemorySpool::default());
    for _ in 0..WANTS_MAX {
        let Some(want) = unpacker.want() else {
            return unpacker.finish();
        };
        let Place::Range { offset, bytes } = &want.place else {
            panic!("an archive wants {:?}", want.place);
        };
        let wanted = &archive[*offset as usize..][..*bytes as usize];
        for mut slice in wanted.chunks(slice_bytes) {
            let mut idle = 0;
            while !slice.is_empty() {
                let taken = unpacker.feed(slice)?;
                slice = &slice[taken..];
                idle = if taken == 0 { idle + 1 } else { 0 };
                assert!(idle < 10_000, "it takes nothing");
            }
        }
        unpacker.end()?;
    }
    panic!("it wants without end");
}

fn root_image(mut unpacked: Unpacked<MemorySpool>) -> Result<Vec<u8>, ImageError> {
    let image = RootImage::new(&unpacked.tree)?;
    assert!(image.size_bytes() <= ROOT_IMAGE_BYTES_MAX);
    let mut bytes = Vec::new();
    image.write_to(&mut unpacked.spool, &mut bytes)?;
    Ok(bytes)
}
