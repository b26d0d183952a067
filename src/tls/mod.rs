//! The certificate that the listener shows: read from two files, checked, and taken up anew when they change.

mod files;
mod probe;
mod served;

pub use files::{Fault, Files, Part};
pub use probe::{Witness, own_listener};
pub use served::Served;
