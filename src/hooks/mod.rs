//! Webhooks: what changes in the inventory is handed to servers that the configuration names, signed by Standard Webhooks.
//!
//! - [`Webhooks`] runs them: one pump makes deliveries of what changed, one deliverer for each webhook hands them over.
//! - Deliveries lie in an [`Outbox`], which outlives the process and may be shared by several gateways. A delivery and the place
//!   up to which changes were made deliveries of are written together, so none is missed and none is made twice; who hands one
//!   over claims it for a while, so that it is with one gateway at a time, and one that dies with it comes back.
//! - **What is promised**: each event at least once, always with the same id and the same body. Events of one cluster set out in
//!   the order in which they happened; one that has to be tried again may be overtaken. `data.generation` tells the order.
//! - A server that is away keeps nobody else waiting and no memory busy: what it misses waits in the outbox, tried again less and
//!   less often, and becomes a dead letter in the end.
//!
//! This module knows nothing of SQL, of the API or of files: the outbox is a trait, and what a webhook wants is given to it.

mod backoff;
mod deliver;
mod event;
mod outbox;
mod pump;
mod secret;
mod settings;
mod tally;
mod webhooks;

use futures_util::future::BoxFuture;
use http::HeaderMap;

pub use event::{EventKind, NewEvent};
pub use outbox::{
    Account, Answer, Asked, Claimed, Claims, DeliveryState, Ended, Listed, Outbox, OutboxError,
    Page, Put, Settled,
};
pub(crate) use outbox::{EXPIRED, KEEP_CURSOR, KEEP_DEAD, KEEP_DELIVERED, MOST_ENDED, OVERFLOW};
pub use secret::{Key, NoKey, SecretSource, sign};
pub use settings::{HookName, Settings, Target, TargetError, Webhook};
pub use tally::{Latency, Tally};
pub use webhooks::{Condition, Parts, Report, Webhooks};

use crate::upstream::{PostError, Posted, Poster};

/// The way to a server.
pub trait Way: Send + Sync + 'static {
    /// Hands a body over.
    fn post(
        &self,
        headers: HeaderMap,
        body: bytes::Bytes,
    ) -> BoxFuture<'_, Result<Posted, PostError>>;
}

impl Way for Poster {
    fn post(
        &self,
        headers: HeaderMap,
        body: bytes::Bytes,
    ) -> BoxFuture<'_, Result<Posted, PostError>> {
        Box::pin(Self::post(self, headers, body))
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
