//! The page: terminal, timeline and debugger panels.
//!
//! # Code map
//! - [`action`]: what views ask for.
//! - [`looks`]: what views look at.

pub mod action;
pub mod looks;
