//! Downstream forms of the inventory, one file each.

pub mod csv;
