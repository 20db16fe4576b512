//! A timeline as a target of the GDB remote serial protocol.
