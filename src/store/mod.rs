//! The inventory on disk: what was last known of every source outlives the process, and what changed is kept for a while.
//!
//! One writer hands each publication to the [`Recorder`], which makes it durable before readers see it. A store is a help and no
//! condition: where it is damaged, full, locked or away, the gateway serves from memory, says so, and catches up.
//!
//! - **A restart** begins with what the store has: every cluster as it was, nothing of it fresh, every age the true one.
//! - **What cannot be trusted is not shown.** Each record tells whether it is whole; one that is not makes its source incomplete.
//!   A file that is damaged is moved aside, one of a later version is left alone.
//! - **A commit may be repeated.** Whoever does not know whether it happened does it again; nothing is counted twice.
//! - **A store that opens late** gets all that is known in memory. What it has of sources that were not read yet stays there, for
//!   the next start: nothing that readers saw becomes older by it.
//!
//! SQLite and PostgreSQL get the same statements; only their tables are made by two texts. Nothing else in the program names SQL.

mod durable;
mod error;
mod files;
mod open;
mod pool;
mod queue;
mod recorder;
mod replicas;
mod restore;
mod retention;
mod settings;
mod write;

pub use error::StoreError;
pub use open::Store;
pub use recorder::Recorder;
pub use settings::{Address, NoAddress, Settings, Sharing};

#[cfg(test)]
mod tests;
