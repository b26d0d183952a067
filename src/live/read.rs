//! Reads of one cluster.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::flight::{Answer, Flights};
use super::weigh::Weigh;
use super::{Connected, Failure, Live, Seen, Target, is_of};
use crate::domain::{ClusterId, ClusterMetrics, Health, Node, Operation, Period, SourceName};
use crate::provider::{Described, ErrorKind, Kubeconfig, ProviderError};

impl Live {
    /// The cluster's detail. What is read is told to the ledger before it is answered.
    pub async fn detail(&self, target: &Target, fresh: bool) -> Result<Answer<Described>, Failure> {
        let connected = self.connected(&target.source)?;
        let provider = Arc::clone(&connected.provider);
        let inner = Arc::clone(&self.0);
        let of = target.clone();
        let call = self.bounded(target, "describe", async move {
            let began = Instant::now();
            let described = provider.describe(&of.locator).await?;
            if inner.is_changed_since(&of.id, began) {
                // Who waits for this asked before the change; nobody else is told.
                return Ok(described);
            }
            if !is_of(&described.cluster, &of.id) {
                return Err(ProviderError::new(ErrorKind::UnexpectedShape, "describe")
                    .with_detail("the detail is of another cluster"));
            }
            let seen = Seen::Described {
                id: of.id,
                described: Box::new(described.clone()),
                at: super::now(),
            };
            inner.ledger.seen(&of.source, seen).await;
            Ok(described)
        });
        self.ask(connected, &self.0.details, target.id.clone(), fresh, call)
            .await
    }

    /// The cluster's nodes.
    pub async fn nodes(&self, target: &Target, fresh: bool) -> Result<Answer<Vec<Node>>, Failure> {
        let connected = self.connected(&target.source)?;
        let provider = Arc::clone(&connected.provider);
        let locator = target.locator.clone();
        let call = self.bounded(
            target,
            "nodes",
            async move { provider.nodes(&locator).await },
        );
        self.ask(connected, &self.0.nodes, target.id.clone(), fresh, call)
            .await
    }

    /// How well the cluster is.
    pub async fn health(&self, target: &Target, fresh: bool) -> Result<Answer<Health>, Failure> {
        let connected = self.connected(&target.source)?;
        let provider = Arc::clone(&connected.provider);
        let locator = target.locator.clone();
        let call = self.bounded(
            target,
            "health",
            async move { provider.health(&locator).await },
        );
        self.ask(connected, &self.0.healths, target.id.clone(), fresh, call)
            .await
    }

    /// What the vendor measured of the cluster.
    pub async fn metrics(
        &self,
        target: &Target,
        period: Period,
        fresh: bool,
    ) -> Result<Answer<ClusterMetrics>, Failure> {
        let connected = self.connected(&target.source)?;
        let provider = Arc::clone(&connected.provider);
        let locator = target.locator.clone();
        let call = self.bounded(target, "metrics", async move {
            provider.metrics(&locator, period).await
        });
        let key = (target.id.clone(), period);
        self.ask(connected, &self.0.metrics, key, fresh, call).await
    }

    /// The operations of the cluster, as its vendor tells them.
    pub(super) async fn vendor_operations(
        &self,
        target: &Target,
        fresh: bool,
    ) -> Result<Answer<Vec<Operation>>, Failure> {
        let connected = self.connected(&target.source)?;
        let provider = Arc::clone(&connected.provider);
        let locator = target.locator.clone();
        let call = self.bounded(target, "operations", async move {
            provider.operations(&locator).await
        });
        let key = target.id.clone();
        self.ask(connected, &self.0.of_cluster, key, fresh, call)
            .await
    }

    /// The access file of the cluster: asked for anew each time, shared with nobody, kept nowhere. It ends with its caller.
    pub async fn kubeconfig(&self, target: &Target) -> Result<Kubeconfig, Failure> {
        let connected = self.connected(&target.source)?;
        let _place = connected.places.try_acquire().map_err(|_| Failure::Busy)?;
        let provider = Arc::clone(&connected.provider);
        let locator = target.locator.clone();
        self.bounded(target, "kubeconfig", async move {
            provider.kubeconfig(&locator).await
        })
        .await
    }

    /// A call under the deadline, given up when the program stops; its failure is logged here and nowhere else.
    fn bounded<V: Send + 'static>(
        &self,
        target: &Target,
        operation: &'static str,
        call: impl Future<Output = Result<V, ProviderError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<V, Failure>> {
        self.bounded_of(&target.source, Some(target.id.clone()), operation, call)
    }

    pub(super) fn bounded_of<V: Send + 'static>(
        &self,
        source: &SourceName,
        cluster: Option<ClusterId>,
        operation: &'static str,
        call: impl Future<Output = Result<V, ProviderError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<V, Failure>> {
        let (stop, deadline) = (self.0.stop.clone(), self.0.bounds.deadline);
        let source = source.clone();
        Box::pin(async move {
            let answered = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Failure::Stopping),
                answered = timeout(deadline, call) => answered,
            };
            let failure = match answered {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => Failure::from(error),
                Err(_) => Failure::Deadline,
            };
            log(&source, cluster.as_ref(), operation, &failure);
            Err(failure)
        })
    }

    pub(super) async fn ask<K, V>(
        &self,
        connected: &Connected,
        flights: &Arc<Flights<K, V>>,
        key: K,
        fresh: bool,
        call: BoxFuture<'static, Result<V, Failure>>,
    ) -> Result<Answer<V>, Failure>
    where
        K: Hash + Eq + Clone + Send + 'static,
        V: Weigh + Send + Sync + 'static,
    {
        let admit = || {
            let places = Arc::clone(&connected.places);
            places.try_acquire_owned().map_err(|_| Failure::Busy)
        };
        let spawn = |flight: BoxFuture<'static, ()>| {
            self.0.reads.spawn_on(flight, &self.0.runtime);
        };
        flights.ask(key, fresh, call, admit, spawn).await
    }
}

/// Writes the one line of a failed call.
pub(super) fn log(
    source: &SourceName,
    cluster: Option<&ClusterId>,
    operation: &'static str,
    failure: &Failure,
) {
    let error = match failure {
        Failure::Provider(error) => Some(error),
        Failure::Deadline
        | Failure::Busy
        | Failure::NoSource
        | Failure::Stopping
        | Failure::Away
        | Failure::Broken => None,
    };
    let upstream = error.and_then(|error| error.source.as_ref());
    warn!(
        source.name = %source,
        cluster.id = cluster.map(ClusterId::as_str),
        live.operation = operation,
        live.failure = %failure,
        error.code = error.map(|error| error.kind.code()),
        error.detail = error.and_then(|error| error.detail.as_deref()),
        upstream.status = upstream.and_then(|upstream| upstream.status).map(|status| status.as_u16()),
        upstream.code = upstream.and_then(|upstream| upstream.code.as_deref()),
        upstream.text = upstream.and_then(|upstream| upstream.text.as_deref()),
        upstream.attempts = upstream.map(|upstream| upstream.attempts),
        "live call failed"
    );
}
