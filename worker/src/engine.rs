//! The engine: does the work a slice at a time.
