//! Kubeconfigs: what a vendor's file says of one cluster ([`Access`]), one file for many clusters ([`merged`]), and the credential
//! alone in the form that `kubectl` asks commands for ([`exec_credential`]).
//!
//! A vendor's file is foreign text that ends on a user's machine, where `kubectl` would run commands and read files that it names.
//! So nothing of it is passed on as it is: [`Access::read`] takes the few things that are known, refuses what it does not
//! understand and what would name a file, and [`merged`] writes a new file from them.
//!
//! What [`merged`] decides:
//!
//! - **Users hold no secret by default.** Each one runs `clustergate credential --cluster <id>`, which asks the gateway for the
//!   credential whenever `kubectl` needs it; the file itself may be shown around. [`UserMode::Embed`] puts the vendor's own
//!   credential in.
//! - **A vendor's command is never run by default.** Only an embedding file has it, and a comment names it. Where a vendor gives a
//!   command or a password, which cannot be handed on as a credential, the other mode leaves the cluster out and says so.
//! - **Names depend on the set of clusters alone**, never on their order: `<source>/<name>`, with the end of the vendor's id where
//!   two would be the same.
//! - **Only where one cluster was asked for is its context the current one**, so that a command never reaches a cluster that nobody
//!   chose.
//! - **What could not be had is named** at the top of the file, and in [`File::header`].

mod access;
mod credential;
mod file;
mod name;
mod read;
mod wire;
mod yaml;

#[cfg(test)]
mod tests;

pub use access::{Access, Authorization, ClientCertificate, Command, Refused, Server, User};
pub use credential::{NotForwardable, exec_credential, forwardable};
pub use file::{Entry, File, MARK, UserMode, merged};

/// Largest kubeconfig that is read.
pub const MAX_BYTES: usize = 1 << 20;
