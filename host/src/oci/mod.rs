//! Container images: which documents and blobs they are made of, and what their configuration says.

mod archive;
mod config;
mod document;
mod select;
mod unpacker;
mod want;

pub use config::ImageConfig;
pub use unpacker::Unpacker;
pub use want::{Place, Progress, Unpacked, Want};
