//! The vendors: one `mod` line and one row of [`CATALOG`] for each, and nothing else.

mod kubeadapt;
mod lakesail;
mod latitude;
mod prime_intellect;
mod runtime;

use crate::provider::Entry;

/// Every provider that a source can name.
pub static CATALOG: &[Entry] = &[
    kubeadapt::ENTRY,
    lakesail::ENTRY,
    latitude::ENTRY,
    prime_intellect::ENTRY,
    runtime::ENTRY,
];
