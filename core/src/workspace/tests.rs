//! Tests of the server through its messages.

mod changes;
mod client;
mod malformed;
mod messages;
mod model;
mod names;
mod random;
