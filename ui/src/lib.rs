//! The app: terminal, timeline and debugger panels, in a page or in a window.
//!
//! # Code map
//! - `app`: the whole; what engines and the person say, and what follows.
//! - `action`, `looks`, `model`: what views ask for, look at and draw.
//! - `terminal`, `timeline`, `controls`, `panels`, `start`: the views.
//! - `dock`: how they lie side by side.
//! - `share`: links.
//! - `link`, `host`: the ways to engines, and to the browser or the system.
//! - `asker`, `session`: requests under way, and what is open.
//! - `searchers`: a search of the whole recording, divided over engines.
//! - `bridge`: the connection by which a gdb debugs what is shown.
//! - `words`, `format`: numbers as people read them.
//! - `web` (wasm only): the app in a browser.
//!
//! # Invariants
//! - Views draw and ask; the app alone carries out. No view blocks.
//! - A page speaks to an engine by `reprise_worker::protocol`, and by nothing else.
//! - What a link or a trace says is not trusted; nothing is fetched from elsewhere than the person was asked about, and no
//!   link makes a connection to a bridge.

pub mod action;
pub mod app;
mod asker;
pub mod bridge;
mod controls;
pub mod dock;
pub mod format;
pub mod host;
pub mod link;
pub mod looks;
pub mod model;
pub mod panels;
mod searchers;
mod session;
pub mod share;
mod start;
pub mod terminal;
mod timeline;
#[cfg(target_family = "wasm")]
pub mod web;
pub mod words;
