//! What outlives the process: what was last known of every source, what changed, operations, keys, and who did what.
//!
//! One writer hands each publication to the [`Recorder`], which makes it durable before readers see it. A store is a help and no
//! condition: where it is damaged, full, locked or away, the gateway serves from memory, says so, and catches up.
//!
//! - **A restart** begins with what the store has: every cluster as it was, nothing of it fresh, every age the true one.
//! - **What cannot be trusted is not shown.** Each record tells whether it is whole; one that is not makes its source incomplete.
//!   A file that is damaged is moved aside, one of a later version is left alone.
//! - **A commit may be repeated.** Whoever does not know whether it happened does it again; nothing is counted twice.
//! - **Changes go on over a restart**, and are read back as far as they are kept. What was shown and never kept is said to be
//!   unknown: what a process goes on from is kept with its first generation.
//! - **A store that opens late** gets all that is known in memory. What it has of sources that were not read yet stays there, for
//!   the next start: nothing that readers saw becomes older by it.
//!
//! Operations, idempotency keys, API keys and the audit are written by any gateway of those that share a store ([`Owned`],
//! [`ApiKeys`], [`AuditLog`]); who does what is decided by conditions of statements, and by the clock of the store.
//!
//! SQLite and PostgreSQL get the same statements; only their tables are made by two texts. Nothing else in the program names SQL.

mod api_keys;
mod audit_log;
mod claims;
mod copy;
mod durable;
mod error;
mod files;
mod hooks;
mod hours;
mod open;
mod operations;
mod owned;
mod past;
mod pool;
mod queue;
mod recorder;
mod replicas;
mod restore;
mod retention;
mod settings;
mod size;
mod tables;
mod verify;
mod write;

pub use api_keys::ApiKeys;
pub use audit_log::AuditLog;
pub use copy::CopyError;
pub use error::StoreError;
pub use open::Store;
pub use owned::Owned;
pub use recorder::Recorder;
pub use settings::{Address, NoAddress, Settings, Sharing};
pub use verify::Verified;

#[cfg(test)]
mod tests;
