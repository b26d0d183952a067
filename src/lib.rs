//! clustergate: one REST gateway over every vendor that runs or watches a company's clusters.
//!
//! # What it is made of
//!
//! Six things that know little of each other:
//!
//! - an **adapter library**: [`provider`] is the contract that every vendor's adapter fulfils, [`adapters`] holds one folder for
//!   each vendor, [`domain`] is the one model into which all of them map;
//! - an **outbound client** that survives bad upstreams: [`upstream`], as layers, knows nothing of clusters;
//! - an **inventory**: [`inventory`] keeps what is known now, complete or admittedly not, as immutable snapshots;
//! - a **store**: [`store`] has what was last known outlive the process, and serves as well without;
//! - **live calls**: [`live`] asks a vendor now, for one cluster, and carries out writes;
//! - an **API server** over all of it: [`api`], with whole-list forms in [`export`].
//!
//! What changes is also handed to servers that want to know: [`hooks`] signs it, and has it outlive them and this process.
//!
//! Before the API stands [`access`]: who may do what, by keys of a file or by tokens of an issuer, and the audit of it.
//!
//! Around them: [`config`] reads files and variables, [`app`] puts everything together, [`cli`] is the command line,
//! [`telemetry`] holds logs and metrics, [`tls`] the certificate that the listener shows, and [`sandbox`] simulates the five vendors
//! over real HTTP, for the demo, the tests and the benches. The sandbox shares no type with the adapters that it checks.
//!
//! # Three flows
//!
//! **A list request** never leaves the process: [`api`] takes the current [`inventory::Snapshot`], answers from the orders and
//! filter bitmaps of its indexes, and joins rows whose JSON was written when they were read. It never waits for a vendor, and no
//! number of readers causes one more call.
//!
//! **A refresh** of one source: its period or an activation wakes its task, which [walks](provider::walk()) the vendor's pages
//! under a deadline and prepares each row as it comes; the one writer, the [`inventory::Keeper`], makes the next shelf of it, has the
//! [store](store::Recorder) keep what is different, and publishes the next generation. A failed refresh changes nothing but what is said about the source.
//!
//! **A live call** is for what no snapshot has: nodes, health, metrics and operations of one cluster as they are now, and
//! writes. Calls that come together are one call, its answer is remembered for seconds, and what it has shown of the cluster is
//! published before it is answered. A write is sent once: where its answer is lost, the cluster is read back.
//!
//! # What must stay true
//!
//! - Only a complete listing removes a cluster, and it takes two. A short list is never taken for a whole one: a walk that meets
//!   a repeated cursor, a cap or another shape fails ([`provider::ErrorKind`]).
//! - Absent, empty and zero are three things, and the vendor's own word stands beside every normalized one ([`domain`]).
//! - Every wait has a bound, every buffer a cap, every task an owner.
//! - What a caller may not see does not exist for it: handlers get at the inventory through a view that holds nothing else
//!   ([`api::viewer`]).
//! - No vendor's text, host, account or token reaches a client, a metric or a `Debug`.
//! - Imports point at what changes less often; a test reads them and holds the table.

pub mod access;
pub mod adapters;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod export;
pub mod hooks;
pub mod inventory;
pub mod live;
pub mod provider;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upstream;
