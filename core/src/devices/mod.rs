//! The devices on the bus. None of them knows the instruction set.
