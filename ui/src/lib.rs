//! The page: terminal, timeline and debugger panels.
//!
//! # Code map
//! - [`action`]: what views ask for.
//! - [`looks`]: what views look at.
//! - [`model`]: what views draw.

pub mod action;
pub mod looks;
pub mod model;
