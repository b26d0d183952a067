//! The unified model: no I/O, no async, no vendor's word.
