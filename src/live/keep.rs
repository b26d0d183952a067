//! Operations beyond one process: what is kept of each, and who follows it.
//!
//! A write is kept as an intent before its vendor is asked, as accepted when the vendor has said yes, and as settled when it is
//! known what goes on. Whoever stops in between leaves a record by which another process looks what became of the write; nobody
//! sends it again. Each record has one owner at a time, who says now and then that it is alive.

use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::book::{Known, Place, Selection};
use super::lookback::Since;
use super::write::Write;
use super::{Key, Target};
use crate::domain::{
    Cluster, ClusterId, ClusterPatch, ClusterSpec, Operation, OperationId, OperationKind,
    SourceName,
};

/// An operation as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What is known of it.
    pub known: Known,
    /// How far it is known what came of the write.
    pub stage: Stage,
    /// What it takes to look what became of it.
    pub task: Option<Box<Task>>,
    /// Whether lists show it. A write that ended with its answer is no operation, though it is kept for who asks again.
    #[serde(skip)]
    pub is_shown: bool,
}

/// How far it is known what came of a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The vendor is asked, or is about to be: it may have been.
    Asked,
    /// The vendor has said yes.
    Accepted {
        /// Its own operation, where it tells one.
        operation: Option<Box<Operation>>,
        /// Whether the work goes on.
        is_pending: bool,
    },
    /// What goes on is known.
    Settled,
}

/// A write that was sent, and what was so before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What it does.
    pub kind: OperationKind,
    /// When it was sent, by our clock.
    pub began: Timestamp,
    /// What it is about.
    pub subject: Subject,
    /// The cluster as it was.
    pub before: Option<Box<Cluster>>,
    /// What of it was to change.
    pub patch: Option<Box<ClusterPatch>>,
    /// The vendor's operations that were known before: none of them is of this write.
    pub earlier: Vec<OperationId>,
    /// Whether the cluster was seen at work since.
    pub has_worked: bool,
}

/// What a write is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A cluster.
    Cluster(Target),
    /// A cluster that was asked for and is not there yet.
    Creation {
        /// As it should be.
        spec: Box<ClusterSpec>,
        /// Clusters that had the name before: none of them is the new one.
        namesakes: Vec<ClusterId>,
    },
}

impl Task {
    pub(super) fn of(write: &Write, since: &Since) -> Self {
        let subject = match write {
            Write::Create {
                spec, namesakes, ..
            } => Subject::Creation {
                spec: spec.clone(),
                namesakes: namesakes.clone(),
            },
            Write::Update { target, .. }
            | Write::Provision { target, .. }
            | Write::Destroy { target, .. }
            | Write::Forget { target, .. } => Subject::Cluster(target.clone()),
        };
        Self {
            kind: write.kind(),
            began: since.at,
            subject,
            before: write.before().cloned().map(Box::new),
            patch: write.patch().cloned().map(Box::new),
            earlier: since.earlier.clone(),
            has_worked: false,
        }
    }

    /// The write as it was sent; `None` where it is about nothing that can be looked at.
    pub(super) fn write(&self, source: &SourceName) -> Option<Write> {
        let target = match &self.subject {
            Subject::Creation { spec, namesakes } => {
                return Some(Write::Create {
                    source: source.clone(),
                    spec: spec.clone(),
                    namesakes: namesakes.clone(),
                });
            }
            Subject::Cluster(target) => target.clone(),
        };
        let before = self.before.clone();
        match self.kind {
            OperationKind::Update => Some(Write::Update {
                target,
                before,
                patch: self.patch.clone()?,
            }),
            OperationKind::Provision => Some(Write::Provision { target, before }),
            OperationKind::Destroy => Some(Write::Destroy { target, before }),
            OperationKind::Forget => Some(Write::Forget {
                target,
                before,
                force: true,
            }),
            OperationKind::Create | OperationKind::Unknown => None,
        }
    }
}

impl Record {
    /// What no second write may touch while this one is sent; `None` where it is about nothing that is known.
    pub fn subject(&self) -> Option<String> {
        let task = self.task.as_ref()?;
        let write = task.write(&self.known.source)?;
        Some(write.subject())
    }
}

/// Whether a write may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intended {
    /// It is kept, and may be sent.
    Kept,
    /// It cannot be kept now, and may be sent: nobody else knows of its key.
    Away {
        /// Whether it may be kept all the same.
        may_be_kept: bool,
    },
    /// It cannot be kept now, and must not be sent: others know its key as one under which nothing was.
    Unsafe,
    /// It must not be sent: its key is no longer this process's.
    Taken,
    /// It must not be sent: another process is sending a write of the same thing.
    Busy,
}

/// A part of what is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The operations that can be read.
    pub known: Vec<Known>,
    /// Where it ends; `None` where nothing comes after it.
    pub until: Option<Place>,
}

/// What keeps operations cannot be reached now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what keeps operations cannot be reached")]
pub struct Away;

/// How what keeps operations is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Since when it cannot be reached, and one of a closed list of codes that says why; `None` where it can.
    pub behind: Option<(Timestamp, &'static str)>,
    /// Operations and answers that it does not have.
    pub unkept: usize,
}

/// Where operations outlive the process. Each process that shares one has a name of its own there.
pub trait Keep: Send + Sync {
    /// Keeps a write that is about to be sent, together with that something is sent under its key; done when it is durable.
    fn intend<'a>(&'a self, intent: &'a Record, key: Option<&'a Key>) -> BoxFuture<'a, Intended>;

    /// Keeps what is known of an operation, unless it is known to have ended.
    fn put<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Away>>;

    /// Keeps what came of an intent, under the same or another id, whoever owns it by now.
    fn settle<'a>(
        &'a self,
        intent: &'a OperationId,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<(), Away>>;

    /// Forgets an intent: nothing was carried out.
    fn withdraw<'a>(&'a self, intent: &'a OperationId) -> BoxFuture<'a, Result<(), Away>>;

    /// What is kept under an id, or under what it became.
    fn find<'a>(&'a self, id: &'a OperationId) -> BoxFuture<'a, Result<Option<Record>, Away>>;

    /// What is shown of a source and a cluster, the newest first from a place on, at most so many.
    fn list<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<&'a Place>,
        most: usize,
    ) -> BoxFuture<'a, Result<Part, Away>>;

    /// Says that this process is alive.
    fn beat(&self) -> BoxFuture<'_, Result<(), Away>>;

    /// Keeps answers that could not be kept before.
    fn catch_up(&self) -> BoxFuture<'_, Result<(), Away>>;

    /// Takes over what goes on at these sources and whose owner is no more, at most so many.
    fn adopt<'a>(
        &'a self,
        sources: &'a [SourceName],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, Away>>;

    /// Leaves one operation to whoever adopts it next.
    fn abandon<'a>(&'a self, id: &'a OperationId) -> BoxFuture<'a, Result<(), Away>>;

    /// Leaves what this process owns to others.
    fn release(&self) -> BoxFuture<'_, ()>;

    /// How it is; `None` where nothing outlives the process.
    fn standing(&self) -> Option<Standing>;
}

/// Keeps nothing: a restart forgets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

impl Keep for Forgetful {
    fn intend<'a>(&'a self, _: &'a Record, _: Option<&'a Key>) -> BoxFuture<'a, Intended> {
        Box::pin(ready(Intended::Kept))
    }

    fn put<'a>(&'a self, _: &'a Record) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(ready(Ok(())))
    }

    fn settle<'a>(&'a self, _: &'a OperationId, _: &'a Record) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(ready(Ok(())))
    }

    fn withdraw<'a>(&'a self, _: &'a OperationId) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(ready(Ok(())))
    }

    fn find<'a>(&'a self, _: &'a OperationId) -> BoxFuture<'a, Result<Option<Record>, Away>> {
        Box::pin(ready(Ok(None)))
    }

    fn list<'a>(
        &'a self,
        _: &'a Selection,
        _: Option<&'a Place>,
        _: usize,
    ) -> BoxFuture<'a, Result<Part, Away>> {
        Box::pin(ready(Ok(Part {
            known: Vec::new(),
            until: None,
        })))
    }

    fn beat(&self) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(ready(Ok(())))
    }

    fn catch_up(&self) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(ready(Ok(())))
    }

    fn adopt<'a>(
        &'a self,
        _: &'a [SourceName],
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, Away>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn abandon<'a>(&'a self, _: &'a OperationId) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(ready(Ok(())))
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    fn standing(&self) -> Option<Standing> {
        None
    }
}

/// Addresses at vendors as texts: they are kept, and never shown.
pub(super) mod locator {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::provider::Locator;

    pub(in super::super) fn serialize<S: Serializer>(
        locator: &Locator,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(locator.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Locator, D::Error> {
        String::deserialize(deserializer).map(Locator::new)
    }
}
