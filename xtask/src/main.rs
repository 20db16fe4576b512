//! Everything a person or CI does here, as `cargo xtask …`.

fn main() {}
