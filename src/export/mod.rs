//! Downstream forms of the inventory, one file or folder each.

pub mod csv;
pub mod kubeconfig;
