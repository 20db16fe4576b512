//! What the debugger sees of Linux from outside, against what the guest says of itself.

mod guest_run;
mod laws;
mod oracles;
