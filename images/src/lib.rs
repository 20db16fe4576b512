//! Guests and images among this computer's files and at registries, for whatever runs natively.
//!
//! # Code map
//! - `container`: container images, made into root images and kept.
//! - `guest`: the guest that was built, and the folders in which images may be.
//! - `registry`: container images over HTTP.
//! - `store`: images in files and folders, found by their hash.
//! - `workspace`: a folder that a machine sees as its workspace.
//!
//! # Invariants
//! - An image that is handed out has the hash that was asked for: its bytes were read, whatever its name says.

pub mod container;
pub mod guest;
pub mod registry;
pub mod store;
pub mod workspace;
