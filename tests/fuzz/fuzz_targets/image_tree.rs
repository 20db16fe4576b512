//! Trees of images: no bytes make one panic, and what a tree admits is what the image has there.
//!
//! An input says which image, which part of it, and what is put in place of its bytes or those of its tree.

#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_core::image::ImageHash;
use reprise_recorder::images::tree::{BLOCK_BYTES, ImageTree, tree_byte_len};
use std::sync::LazyLock;

struct Sample {
    image: Vec<u8>,
    hash: ImageHash,
    tree: ImageTree,
}

/// Images of several blocks, with a last block that is whole, one byte, and something between.
static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let lengths = [BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 4 * BLOCK_BYTES + 1000];
    let sample = |byte_len: u64| {
        let image: Vec<u8> = (0..byte_len as u32)
            .map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8)
            .collect();
        Sample {
            hash: ImageHash::of(&image),
            tree: ImageTree::read(&image[..])
                .expect("memory reads")
                .expect("it has several blocks"),
            image,
        }
    };
    lengths.into_iter().map(sample).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some((&[which, offset_blocks, length_blocks], rest)) = input.split_first_chunk() else {
        return;
    };
    let sample = &SAMPLES[usize::from(which) % SAMPLES.len()];
    let image_byte_len = sample.image.len() as u64;
    // Any bytes, for an image of any length.
    if let Some((length, bytes)) = rest.split_first_chunk() {
        for byte_len in [u64::from_le_bytes(*length), image_byte_len] {
            if let Some(tree) = ImageTree::from_bytes(bytes, &sample.hash, byte_len) {
                assert_eq!(tree.to_bytes(), sample.tree.to_bytes());
                assert_eq!(Some(bytes.len() as u64), tree_byte_len(byte_len));
            }
        }
    }
    // Any bytes in place of the right ones.
    let mut bytes = sample.tree.to_bytes();
    let end = bytes.len().min(rest.len());
    bytes[..end].copy_from_slice(&rest[..end]);
    let is_right = bytes == sample.tree.to_bytes();
    let read = ImageTree::from_bytes(&bytes, &sample.hash, image_byte_len);
    assert_eq!(read.is_some(), is_right);
    // A part of the image in which some bytes are others, at any offset.
    let start = usize::from(offset_blocks % 6) * BLOCK_BYTES as usize;
    let start = start.min(sample.image.len());
    let length = usize::from(length_blocks % 6) * BLOCK_BYTES as usize;
    let end = start.saturating_add(length).min(sample.image.len());
    let mut part = sample.image[start..end].to_vec();
    let bent = part.len().min(rest.len());
    part[..bent].copy_from_slice(&rest[..bent]);
    let offset = start as u64 + u64::from(offset_blocks / 6 % 3);
    let is_admitted = sample.tree.admits(offset, &part);
    let is_the_image = sample
        .image
        .get(offset as usize..offset as usize + part.len())
        == Some(&part[..]);
    assert!(!is_admitted || is_the_image);
    let is_whole = offset == start as u64;
    assert!(is_admitted || !is_the_image || !is_whole || part.is_empty());
    if let Some((offset, part)) = rest.split_first_chunk() {
        let offset = u64::from_le_bytes(*offset);
        assert!(!sample.tree.admits(offset, part) || part.is_empty() || offset < image_byte_len);
    }
});
