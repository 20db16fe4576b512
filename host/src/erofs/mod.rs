//! The root image: an uncompressed EROFS, byte for byte a function of the tree.
//!
//! EROFS because it is what a root is here: read-only, under an overlay. It has all that a layer can say
//! (32-bit owners, nanoseconds, hard links, attributes of any number, names of 255 bytes, files of any size),
//! needs no bitmaps, journal or free space, packs the ends of small files beside their inodes, and its layout
//! is decided here alone, so that an image keeps its hash. The guest's kernel needs `CONFIG_EROFS_FS`,
//! `_XATTR`, `_POSIX_ACL` and `_SECURITY`.
//!
//! # Layout
//! Blocks are 4096 bytes. Block 0 has the superblock; inodes follow it, each with its attributes, and with the
//! end of its content where that fits into the same block; then whole blocks of content. Everything stands in
//! the order of a walk through the tree, except that small inodes fill what larger ones left free shortly
//! before.

mod directory;
mod format;
mod image;
mod plan;

pub use image::RootImage;
