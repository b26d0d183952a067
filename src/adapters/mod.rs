//! The vendors: one `mod` line and one row of [`CATALOG`] for each, and nothing else.

mod lakesail;
mod latitude;

use crate::provider::Entry;

/// Every provider that a source can name.
pub static CATALOG: &[Entry] = &[lakesail::ENTRY, latitude::ENTRY];
