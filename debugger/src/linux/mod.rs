//! The guest's Linux, seen from outside.
