//! Writes: sent once, never repeated, read back where their answer is lost.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{error, info};

use super::book::Known;
use super::evidence::{Lookback, made_by};
use super::keep::{Subject, Task};
use super::lookback::{Sent, Since};
use super::read::log;
use super::{Connected, Failure, Key, Live, Seen, Target, is_of};
use crate::domain::{
    Cluster, ClusterId, ClusterPatch, ClusterSpec, Kind, Operation, OperationKind, SourceName,
    State,
};
use crate::provider::{Described, ErrorKind, Infrastructure, Listed, ProviderError, Written};

/// A write that is wanted.
#[derive(Debug, Clone)]
pub enum Write {
    /// Make a cluster.
    Create {
        /// In this source.
        source: SourceName,
        /// As it should be.
        spec: Box<ClusterSpec>,
        /// Clusters that have the name already: none of them can be the new one.
        namesakes: Vec<ClusterId>,
    },
    /// Change a cluster.
    Update {
        /// The cluster.
        target: Target,
        /// As it is known.
        before: Option<Box<Cluster>>,
        /// What of it is to change.
        patch: Box<ClusterPatch>,
    },
    /// Build a cluster's infrastructure.
    Provision {
        /// The cluster.
        target: Target,
        /// As it is known.
        before: Option<Box<Cluster>>,
    },
    /// Destroy a cluster's infrastructure.
    Destroy {
        /// The cluster.
        target: Target,
        /// As it is known.
        before: Option<Box<Cluster>>,
    },
    /// Remove a cluster's record.
    Forget {
        /// The cluster.
        target: Target,
        /// As it is known.
        before: Option<Box<Cluster>>,
        /// Also where infrastructure may be left behind.
        force: bool,
    },
}

/// A write that was carried out, or that goes on.
#[derive(Debug, Clone)]
pub struct Done {
    /// The source.
    pub source: SourceName,
    /// Its provider.
    pub provider: Kind,
    /// What was done.
    pub kind: OperationKind,
    /// The cluster, where it is known.
    pub cluster: Option<ClusterId>,
    /// What goes on, where it does.
    pub operation: Option<Known>,
    /// Whether the work goes on.
    pub is_pending: bool,
    /// Whether the answer was lost and this was found by reading back.
    pub was_read_back: bool,
}

/// Why a write was not carried out, or is not known to have been.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteFailure {
    /// Another write of this cluster is running.
    #[error("another write is running")]
    Busy,
    /// Its key belongs to another request by now, whose answer is this one's as well. Nothing was sent.
    #[error("the key is taken")]
    Taken,
    /// That something is sent under its key cannot be kept, so that nothing was.
    #[error("its key cannot be kept")]
    Unkept,
    /// The cluster is no longer as it was wanted to be.
    #[error("the cluster has changed since")]
    Changed,
    /// It was not carried out.
    #[error("the write was not carried out")]
    Refused(#[source] Failure),
    /// The record was not removed, since infrastructure may be left behind.
    #[error("infrastructure may exist")]
    InfrastructureMayExist(State),
    /// Whether the infrastructure exists could not be read, so that the record was not removed.
    #[error("the cluster could not be read before")]
    Unread(#[source] Failure),
    /// It may have been carried out, and may still be.
    #[error("the outcome is not known")]
    Unknown(Lookback),
}

impl Write {
    /// What it does.
    pub fn kind(&self) -> OperationKind {
        match self {
            Self::Create { .. } => OperationKind::Create,
            Self::Update { .. } => OperationKind::Update,
            Self::Provision { .. } => OperationKind::Provision,
            Self::Destroy { .. } => OperationKind::Destroy,
            Self::Forget { .. } => OperationKind::Forget,
        }
    }

    pub(super) fn source(&self) -> &SourceName {
        match self {
            Self::Create { source, .. } => source,
            Self::Update { target, .. }
            | Self::Provision { target, .. }
            | Self::Destroy { target, .. }
            | Self::Forget { target, .. } => &target.source,
        }
    }

    pub(super) fn target(&self) -> Option<&Target> {
        match self {
            Self::Create { .. } => None,
            Self::Update { target, .. }
            | Self::Provision { target, .. }
            | Self::Destroy { target, .. }
            | Self::Forget { target, .. } => Some(target),
        }
    }

    pub(super) fn before(&self) -> Option<&Cluster> {
        match self {
            Self::Create { .. } => None,
            Self::Update { before, .. }
            | Self::Provision { before, .. }
            | Self::Destroy { before, .. }
            | Self::Forget { before, .. } => before.as_deref(),
        }
    }

    pub(super) fn patch(&self) -> Option<&ClusterPatch> {
        match self {
            Self::Update { patch, .. } => Some(patch),
            Self::Create { .. }
            | Self::Provision { .. }
            | Self::Destroy { .. }
            | Self::Forget { .. } => None,
        }
    }

    /// What no second write may touch meanwhile. A slash is in no id, so no cluster has the name of one to be.
    pub(super) fn subject(&self) -> String {
        match self {
            // Who makes one in another project must not be told of this one.
            Self::Create { source, spec, .. } => {
                format!("{source}/{:?}/{}", spec.project, spec.name)
            }
            Self::Update { target, .. }
            | Self::Provision { target, .. }
            | Self::Destroy { target, .. }
            | Self::Forget { target, .. } => target.id.to_string(),
        }
    }
}

/// A write that is running.
pub(super) struct Held {
    kind: OperationKind,
    source: SourceName,
    cluster: Option<ClusterId>,
}

/// Writes that are running, by what no second one may touch meanwhile.
pub(super) type UnderWay = Arc<Mutex<HashMap<String, Held>>>;

/// The right to write one cluster.
struct Turn {
    written: UnderWay,
    subject: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.remove(&self.subject);
    }
}

impl Live {
    /// Carries out a write. It is sent once; [`Live::once`] runs it in a task that outlives its caller.
    pub async fn write(&self, write: Write) -> Result<Done, WriteFailure> {
        self.write_if(write, || true).await
    }

    /// The same, if something is still so when no other write of the cluster is running.
    pub async fn write_if(
        &self,
        write: Write,
        still: impl FnOnce() -> bool + Send,
    ) -> Result<Done, WriteFailure> {
        self.write_under(None, write, still).await
    }

    /// The same, under a key by which who asks again is told what came of it, also by another process.
    pub async fn write_under(
        &self,
        key: Option<&Key>,
        write: Write,
        still: impl FnOnce() -> bool + Send,
    ) -> Result<Done, WriteFailure> {
        // Much is remembered on the way; none of it is worth moving about.
        Box::pin(self.carry_out(key, write, still)).await
    }

    async fn carry_out(
        &self,
        key: Option<&Key>,
        write: Write,
        still: impl FnOnce() -> bool + Send,
    ) -> Result<Done, WriteFailure> {
        let connected = (self.connected(write.source())).map_err(WriteFailure::Refused)?;
        let _turn = self.turn(&write).ok_or(WriteFailure::Busy)?;
        if !still() {
            return Err(WriteFailure::Changed);
        }
        if let Write::Forget {
            target,
            force: false,
            ..
        } = &write
        {
            self.is_safe_to_forget(connected, target).await?;
        }
        let since = Since {
            at: super::now(),
            mark: self.0.book.mark(),
            earlier: (self.0.book).earlier(write.target().map(|target| &target.id)),
        };
        let mut intent = self.intend(connected, &write, &since, key).await?;
        let native_id = intent.as_ref().map(|intent| intent.native_id.clone());
        let sent = Sent {
            connected,
            write: &write,
            since: &since,
            native_id: native_id.as_deref(),
        };
        let clock = Instant::now();
        let answer = timeout(self.0.bounds.write_deadline, send(connected, &write)).await;
        let (lost, timed_out) = match answer {
            Ok(Ok(written)) => {
                self.accepted(intent.as_mut(), &written).await;
                let mut done = self.carried_out(sent, written).await;
                self.settled(intent, &mut done).await;
                account_for(&write, "carried out", &Ok(done.clone()), clock);
                return Ok(done);
            }
            Ok(Err(error)) if !error.may_have_happened() => {
                let failure = Failure::from(error);
                log(
                    write.source(),
                    write.target().map(|target| &target.id),
                    name(write.kind()),
                    &failure,
                );
                self.withdrawn(intent).await;
                let refused = Err(WriteFailure::Refused(failure));
                account_for(&write, "refused", &refused, clock);
                return refused;
            }
            Ok(Err(error)) => (Failure::from(error), false),
            Err(_) => (Failure::Deadline, true),
        };
        log(
            write.source(),
            write.target().map(|target| &target.id),
            name(write.kind()),
            &lost,
        );
        let (cause, timed_out) = match &lost {
            Failure::Provider(error) => {
                let code = error.kind.code();
                (code, timed_out || code == "UPSTREAM_TIMEOUT")
            }
            Failure::Deadline
            | Failure::Busy
            | Failure::NoSource
            | Failure::Stopping
            | Failure::Away
            | Failure::Broken => ("UPSTREAM_TIMEOUT", true),
        };
        let mut outcome = self.look_back(sent, cause, timed_out).await;
        match &mut outcome {
            Ok(done) => self.settled(intent, done).await,
            Err(WriteFailure::Unknown(lookback)) => self.unknown(intent, lookback, false).await,
            Err(_) => {}
        }
        account_for(&write, "answer lost", &outcome, clock);
        outcome
    }

    fn turn(&self, write: &Write) -> Option<Turn> {
        let subject = write.subject();
        let mut written = (self.0.written.lock()).unwrap_or_else(PoisonError::into_inner);
        if written.contains_key(&subject) {
            return None;
        }
        let held = Held {
            kind: write.kind(),
            source: write.source().clone(),
            cluster: write.target().map(|target| target.id.clone()),
        };
        written.insert(subject.clone(), held);
        Some(Turn {
            written: Arc::clone(&self.0.written),
            subject,
        })
    }

    /// Writes a line for each write that is running and that nobody will await any longer: what becomes of it is not known.
    pub(super) fn abandon(&self) {
        let written = (self.0.written.lock()).unwrap_or_else(PoisonError::into_inner);
        for held in written.values() {
            error!(
                source.name = %held.source,
                cluster.id = held.cluster.as_ref().map(ClusterId::as_str),
                write.kind = name(held.kind),
                "write abandoned: whether it was carried out is not known"
            );
        }
    }

    /// A fresh look at whether forgetting a record leaves infrastructure behind.
    async fn is_safe_to_forget(
        &self,
        connected: &Connected,
        target: &Target,
    ) -> Result<(), WriteFailure> {
        let described = self
            .read(connected.provider.describe(&target.locator))
            .await
            .map_err(|failure| match &failure {
                Failure::Provider(error) if error.kind == ErrorKind::NotFound => {
                    WriteFailure::Refused(failure)
                }
                _ => WriteFailure::Unread(failure),
            })?;
        match connected.provider.infrastructure(&described.cluster) {
            Infrastructure::None => Ok(()),
            Infrastructure::Possible => {
                let state = described.cluster.status.state;
                self.show(target, described).await;
                Err(WriteFailure::InfrastructureMayExist(state))
            }
        }
    }

    /// What a write that its vendor accepted comes to. Readers see it before it is answered.
    pub(super) async fn carried_out(&self, sent: Sent<'_>, written: Written) -> Done {
        let Sent {
            connected,
            write,
            since,
            native_id: _,
        } = sent;
        let Written {
            cluster,
            operation,
            is_pending,
        } = written;
        if let Some(target) = write.target() {
            self.forget_answers(&target.id);
        }
        let target = match write {
            Write::Forget { target, .. } if !is_pending => {
                let seen = Seen::Gone(target.id.clone());
                self.0.ledger.seen(&target.source, seen).await;
                Some(target.clone())
            }
            Write::Create {
                source,
                spec,
                namesakes,
            } => {
                let listed = if cluster.is_some() {
                    cluster
                } else {
                    let found = (self.read(connected.provider.find_created(spec)).await)
                        .inspect_err(|failure| log(source, None, "find_created", failure));
                    made_by(found.unwrap_or_default(), namesakes, since.at)
                };
                match listed {
                    Some(listed) => Some(self.show_listed(source, listed).await),
                    None => None,
                }
            }
            Write::Update { target, .. }
            | Write::Provision { target, .. }
            | Write::Destroy { target, .. }
            | Write::Forget { target, .. } => {
                match cluster.filter(|listed| is_of(&listed.cluster, &target.id)) {
                    Some(listed) => {
                        self.show_listed(&target.source, listed).await;
                    }
                    None => match self
                        .read(connected.provider.describe(&target.locator))
                        .await
                    {
                        Ok(described) => self.show(target, described).await,
                        Err(Failure::Provider(error))
                            if error.kind == ErrorKind::NotFound
                                && write.kind() == OperationKind::Destroy =>
                        {
                            let seen = Seen::Gone(target.id.clone());
                            self.0.ledger.seen(&target.source, seen).await;
                        }
                        Err(failure) => log(&target.source, Some(&target.id), "describe", &failure),
                    },
                }
                Some(target.clone())
            }
        };
        self.done(sent, target, operation, is_pending, false)
    }

    pub(super) fn done(
        &self,
        sent: Sent<'_>,
        target: Option<Target>,
        operation: Option<Operation>,
        is_pending: bool,
        was_read_back: bool,
    ) -> Done {
        let Sent {
            connected,
            write,
            since,
            native_id,
        } = sent;
        let cluster = target.as_ref().map(|target| target.id.clone());
        // What was accepted without a trace goes on somewhere.
        let is_pending = is_pending || cluster.is_none();
        let known = match operation {
            Some(operation) => {
                Some(self.noted(connected, operation, cluster.clone(), super::now()))
            }
            None if is_pending => native_id.map(|native_id| {
                let mut task = Task::of(write, since);
                if let Some(target) = target {
                    task.subject = Subject::Cluster(target);
                }
                self.follow(connected, native_id, task)
            }),
            None => None,
        };
        self.0.ledger.refresh(&connected.name);
        Done {
            source: connected.name.clone(),
            provider: connected.provider.kind(),
            kind: write.kind(),
            cluster,
            operation: known,
            is_pending,
            was_read_back,
        }
    }

    pub(super) async fn show(&self, target: &Target, described: Described) {
        if !is_of(&described.cluster, &target.id) {
            return;
        }
        let seen = Seen::Described {
            id: target.id.clone(),
            described: Box::new(described),
            at: super::now(),
        };
        self.0.ledger.seen(&target.source, seen).await;
    }

    pub(super) async fn show_listed(&self, source: &SourceName, listed: Listed) -> Target {
        let target = Target {
            id: listed.cluster.id.clone(),
            source: source.clone(),
            locator: listed.locator.clone(),
        };
        let seen = Seen::Listed(Box::new(listed));
        self.0.ledger.seen(source, seen).await;
        target
    }

    /// A read that belongs to a write: it goes on while the program stops.
    pub(super) async fn read<V>(
        &self,
        call: impl Future<Output = Result<V, ProviderError>>,
    ) -> Result<V, Failure> {
        let deadline: Duration = self.0.bounds.deadline;
        match timeout(deadline, call).await {
            Ok(answered) => answered.map_err(Failure::from),
            Err(_) => Err(Failure::Deadline),
        }
    }
}

/// Writes the one line of a write, whatever became of it.
fn account_for(
    write: &Write,
    ended: &'static str,
    outcome: &Result<Done, WriteFailure>,
    since: Instant,
) {
    let done = outcome.as_ref().ok();
    let cluster = done
        .and_then(|done| done.cluster.as_ref())
        .or_else(|| write.target().map(|target| &target.id));
    info!(
        source.name = %write.source(),
        cluster.id = cluster.map(ClusterId::as_str),
        write.kind = name(write.kind()),
        write.ended = ended,
        write.effect = if done.is_some() { "seen" } else { "not seen" },
        operation.id = done.and_then(|done| done.operation.as_ref()).map(|known| known.id.as_str()),
        duration_ms = since.elapsed().as_millis(),
        "cluster written"
    );
}

async fn send(connected: &Connected, write: &Write) -> Result<Written, ProviderError> {
    let provider = connected.provider.as_ref();
    match write {
        Write::Create { spec, .. } => provider.create(spec).await,
        Write::Update { target, patch, .. } => provider.update(&target.locator, patch).await,
        Write::Provision { target, .. } => provider.provision(&target.locator).await,
        Write::Destroy { target, .. } => provider.destroy(&target.locator).await,
        Write::Forget { target, .. } => provider.forget(&target.locator).await,
    }
}

/// The word for a write in logs.
const fn name(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Create => "create",
        OperationKind::Provision => "provision",
        OperationKind::Update => "update",
        OperationKind::Destroy => "destroy",
        OperationKind::Forget => "forget",
        OperationKind::Unknown => "unknown",
    }
}
