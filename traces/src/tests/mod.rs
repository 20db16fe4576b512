//! Tests of the crate as a whole.

mod damage;
mod hostile;
mod packed;
mod round_trip;
mod sample;
mod size;
