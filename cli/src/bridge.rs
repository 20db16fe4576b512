//! The bridge between a gdb of this computer and the page in one of its browsers.
//!
//! gdb speaks TCP, a page speaks WebSocket (RFC 6455). The page comes first and alone with a code that it was given; then gdb
//! may come. What passes between them:
//!
//! | from the bridge | meaning |
//! | --- | --- |
//! | text `gdb` | a gdb has come; its bytes follow |
//! | bytes | what gdb has sent |
//! | text `gone` | that gdb has gone |
//!
//! | from the page | meaning |
//! | --- | --- |
//! | bytes | what gdb is to be sent |
//! | text `free`, or `free` and a sentence | the page is through with this gdb, and why. Always once for each gdb, so that nothing that is meant for one reaches the next |

mod gate;
mod relay;
#[cfg(test)]
mod tests;

pub(crate) use gate::{Gate, origin_from_text};
pub(crate) use relay::{Ports, Relay};
