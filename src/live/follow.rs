//! Operations: those that vendors track, and those that only the gateway does, whose progress follows from the cluster.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::book::{Known, Origin};
use super::evidence::{Agreement, agree, has_workers, made_by};
use super::flight::Answer;
use super::intent::OWN;
use super::keep::{Subject, Task};
use super::{Connected, Failure, Live, Seen, Target};
use crate::domain::{
    Cluster, ClusterId, ClusterSpec, Operation, OperationError, OperationId, OperationKind,
    OperationState, SourceName, State,
};
use crate::provider::{Capability, ErrorKind, ProviderError};

/// What became of a change that cannot be seen at its cluster after so much time is not known.
const SETTLED: Duration = Duration::from_mins(2);

/// An operation that only the gateway tracks.
pub(super) struct Follow {
    began: Instant,
    task: Mutex<Task>,
}

impl Live {
    /// One operation. What has ended is answered from memory, everything else by its vendor.
    pub async fn operation(&self, id: &OperationId, fresh: bool) -> Result<Answer<Known>, Failure> {
        let source = SourceName::new(id.source()).map_err(|_| Failure::NoSource)?;
        let connected = self.connected(&source)?;
        let noted = match self.0.book.find(id) {
            Some(noted) => Some(noted),
            None => match self.left(id).await? {
                // Only who owns it looks how far it is.
                Some(known) if known.operation.done || known.origin == Origin::Gateway => {
                    return Ok(answer(known, None));
                }
                Some(known) => Some((known, None)),
                None => None,
            },
        };
        let followed = match &noted {
            Some((known, _)) if known.operation.done => return Ok(answer(known.clone(), None)),
            Some((known, Some(follow))) => {
                Some(self.look(connected, known.clone(), follow, fresh).await)
            }
            Some((_, None)) | None => None,
        };
        let read = match followed {
            Some(read) => read,
            None => self.vendor_operation(connected, id, fresh).await,
        };
        self.keep_up(id).await;
        match (read, noted) {
            (Err(failure), Some((known, _))) if failure.leaves_standing() => {
                Ok(answer(known, Some(failure)))
            }
            (read, _) => read,
        }
    }

    /// What is kept of an operation that is not in the book. One that its vendor tracks can be asked for without it.
    async fn left(&self, id: &OperationId) -> Result<Option<Known>, Failure> {
        match self.kept(id).await {
            Err(_) if !id.native().is_some_and(|native| native.starts_with(OWN)) => Ok(None),
            found => found,
        }
    }

    /// What is known of an operation; no vendor is asked.
    pub async fn known_operation(&self, id: &OperationId) -> Result<Option<Known>, Failure> {
        match self.0.book.find(id) {
            Some((known, _)) => Ok(Some(known)),
            None => self.left(id).await,
        }
    }

    /// The operations of one cluster, the newest first.
    pub async fn operations_of(
        &self,
        target: &Target,
        fresh: bool,
    ) -> Result<Answer<Vec<Known>>, Failure> {
        let connected = self.connected(&target.source)?;
        let capabilities = connected.provider.capabilities();
        let mut known = Vec::new();
        let (mut at, mut failed) = (super::now(), None);
        if capabilities.supports(Capability::Operations) {
            let read = self.vendor_operations(target, fresh).await?;
            (at, failed) = (read.at, read.failed);
            for operation in read.value.iter() {
                let cluster = Some(target.id.clone());
                let one = self.noted(connected, operation.clone(), cluster, read.at);
                known.push(one);
            }
        }
        for id in self.0.book.tracked(&target.id) {
            let one = self.operation(&id, fresh).await?;
            at = at.min(one.at);
            failed = failed.or_else(|| one.failed.clone());
            known.push(Known::clone(&one.value));
        }
        for one in &known {
            self.keep_up(&one.id).await;
        }
        self.join_kept(&target.id, &mut known).await;
        known.sort_by_key(|known| {
            let operation = &known.operation;
            std::cmp::Reverse(operation.created_at.or(operation.started_at))
        });
        Ok(Answer {
            value: Arc::new(known),
            at,
            failed,
        })
    }

    async fn vendor_operation(
        &self,
        connected: &Connected,
        id: &OperationId,
        fresh: bool,
    ) -> Result<Answer<Known>, Failure> {
        let native = id.native().filter(|native| !native.starts_with(OWN));
        let can = (connected.provider.capabilities()).supports(Capability::Operations);
        let (Some(native), true) = (native, can) else {
            return Err(ProviderError::new(ErrorKind::NotFound, "operation").into());
        };
        let provider = Arc::clone(&connected.provider);
        let call = self.bounded_of(&connected.name, None, "operation", async move {
            provider.operation(&native).await
        });
        let flights = &self.0.operations;
        let read = self
            .ask(connected, flights, id.clone(), fresh, call)
            .await?;
        let operation = Operation::clone(&read.value);
        let known = self.noted(connected, operation, None, read.at);
        Ok(answer(
            Known {
                id: id.clone(),
                ..known
            },
            read.failed,
        ))
    }

    /// Takes a vendor's account of an operation into the book, and asks for a refresh when it has ended.
    pub(super) fn noted(
        &self,
        connected: &Connected,
        operation: Operation,
        cluster: Option<ClusterId>,
        at: Timestamp,
    ) -> Known {
        let id = OperationId::new(&connected.name, &operation.native_id);
        let known = Known {
            id: id.clone(),
            source: connected.name.clone(),
            provider: connected.provider.kind(),
            cluster,
            origin: Origin::Vendor,
            since: operation.created_at.unwrap_or(at),
            operation,
            at,
            durable: false,
        };
        let is_new = self.0.book.find(&id).is_none();
        let has_ended = self.0.book.note(known.clone(), None);
        // What had ended before it was ever seen is no news.
        if has_ended && !is_new {
            self.0.ledger.refresh(&connected.name);
        }
        self.0.book.find(&id).map_or(known, |(known, _)| known)
    }

    /// Begins to follow a write whose vendor tells no operation.
    pub(super) fn follow(&self, connected: &Connected, native_id: &str, task: Task) -> Known {
        let at = super::now();
        let cluster = match &task.subject {
            Subject::Cluster(target) => Some(target.id.clone()),
            Subject::Creation { .. } => None,
        };
        let known = Known {
            id: OperationId::new(&connected.name, native_id),
            source: connected.name.clone(),
            provider: connected.provider.kind(),
            cluster,
            origin: Origin::Gateway,
            operation: Operation {
                native_id: native_id.to_owned(),
                kind: task.kind,
                state: OperationState::Running,
                created_at: Some(task.began),
                started_at: Some(task.began),
                updated_at: Some(at),
                ..Operation::default()
            },
            since: task.began,
            at,
            durable: false,
        };
        let follow = Arc::new(Follow::new(task));
        self.0.book.note(known.clone(), Some(follow));
        known
    }

    /// Looks at the cluster of an operation that only the gateway tracks.
    async fn look(
        &self,
        connected: &Connected,
        mut known: Known,
        follow: &Follow,
        fresh: bool,
    ) -> Result<Answer<Known>, Failure> {
        let task = follow.task();
        let seen = match task.subject {
            Subject::Cluster(target) => match self.detail(&target, fresh).await {
                Ok(detail) if detail.failed.is_some() => {
                    return Ok(answer(known, detail.failed.clone()));
                }
                Ok(detail) => Some((detail.value.cluster.clone(), detail.at)),
                Err(Failure::Provider(error)) if error.kind == ErrorKind::NotFound => None,
                Err(failure) => return Err(failure),
            },
            Subject::Creation { spec, namesakes } => {
                let appeared = self.appeared(connected, follow, spec, &namesakes);
                let Some(cluster) = appeared.await? else {
                    known.at = super::now();
                    return Ok(answer(known, None));
                };
                known.cluster = Some(cluster.id.clone());
                Some((cluster, super::now()))
            }
        };
        if seen.is_none() {
            self.show_gone(connected, &known, follow).await;
        }
        let (cluster, at) = match &seen {
            Some((cluster, at)) => (Some(cluster), *at),
            None => (None, super::now()),
        };
        follow.tell(&mut known.operation, cluster, at);
        known.at = at;
        if self.0.book.note(known.clone(), None) {
            self.0.ledger.refresh(&connected.name);
        }
        Ok(answer(known, None))
    }

    /// A cluster that was to be removed and that its vendor no longer has: readers see that before they see the work's end.
    async fn show_gone(&self, connected: &Connected, known: &Known, follow: &Follow) {
        let was_meant = matches!(
            follow.task().kind,
            OperationKind::Destroy | OperationKind::Forget
        );
        if let Some(id) = known.cluster.clone().filter(|_| was_meant) {
            self.0.ledger.seen(&connected.name, Seen::Gone(id)).await;
        }
    }

    /// Looks for a cluster that was accepted and was not there yet.
    async fn appeared(
        &self,
        connected: &Connected,
        follow: &Follow,
        spec: Box<ClusterSpec>,
        namesakes: &[ClusterId],
    ) -> Result<Option<Cluster>, Failure> {
        let provider = Arc::clone(&connected.provider);
        let find = self.bounded_of(&connected.name, None, "find_created", async move {
            provider.find_created(&spec).await
        });
        let found = made_by(find.await?, namesakes, follow.locked().began);
        let Some(listed) = found else {
            return Ok(None);
        };
        let cluster = listed.cluster.clone();
        follow.locked().subject = Subject::Cluster(Target {
            id: cluster.id.clone(),
            source: connected.name.clone(),
            locator: listed.locator.clone(),
        });
        let seen = Seen::Listed(Box::new(listed));
        self.0.ledger.seen(&connected.name, seen).await;
        Ok(Some(cluster))
    }
}

impl Follow {
    /// Follows what a task began, however long ago.
    pub(super) fn new(task: Task) -> Self {
        let ago = super::now().duration_since(task.began);
        let ago = Duration::try_from(ago).unwrap_or_default();
        let now = Instant::now();
        Self {
            began: now.checked_sub(ago).unwrap_or(now),
            task: Mutex::new(task),
        }
    }

    /// What it takes to go on following it.
    pub(super) fn task(&self) -> Task {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Task> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings an operation up to date with the cluster; `None` is a cluster that is gone.
    fn tell(&self, operation: &mut Operation, cluster: Option<&Cluster>, at: Timestamp) {
        let had_time = self.began.elapsed() >= SETTLED;
        operation.updated_at = Some(at);
        operation.native_status = cluster.and_then(|cluster| cluster.status.native.clone());
        operation.state = self.locked().state(cluster, had_time);
        operation.done = matches!(
            operation.state,
            OperationState::Succeeded | OperationState::Failed | OperationState::Unknown
        );
        if operation.done {
            operation.completed_at = Some(at);
        }
        if operation.state == OperationState::Failed {
            operation.error = cluster.map(|cluster| OperationError {
                code: cluster.status.reason.clone(),
                message: cluster.status.message.clone(),
                ..OperationError::default()
            });
        }
    }
}

impl Task {
    /// How far it is, as its cluster shows; `None` is a cluster that is gone.
    fn state(&mut self, cluster: Option<&Cluster>, had_time: bool) -> OperationState {
        let Some(cluster) = cluster else {
            return match self.kind {
                OperationKind::Destroy | OperationKind::Forget => OperationState::Succeeded,
                OperationKind::Create
                | OperationKind::Provision
                | OperationKind::Update
                | OperationKind::Unknown => OperationState::Failed,
            };
        };
        let state = cluster.status.state;
        self.has_worked |= matches!(
            state,
            State::Pending | State::Provisioning | State::Updating | State::Deleting
        );
        match (self.kind, state) {
            // A record is gone when it cannot be read.
            (OperationKind::Forget, _) => OperationState::Running,
            (OperationKind::Destroy, State::Deleted)
            | (
                OperationKind::Create | OperationKind::Provision,
                State::Running | State::Degraded,
            ) => OperationState::Succeeded,
            // The state that the cluster failed in before is no end of what began since.
            (_, State::Failed) if self.has_worked || self.was() != Some(State::Failed) => {
                OperationState::Failed
            }
            (OperationKind::Destroy, _) => OperationState::Running,
            (_, State::Deleting | State::Deleted) => OperationState::Failed,
            (OperationKind::Update, State::Running | State::Degraded | State::Stopped) => {
                self.end_of_change(cluster, had_time)
            }
            _ => OperationState::Running,
        }
    }

    /// How far a change is whose cluster is not at work: it succeeded when what was asked for can be seen. That the cluster was at
    /// work, or had time for it, does not show whose work that was.
    fn end_of_change(&self, cluster: &Cluster, had_time: bool) -> OperationState {
        let Some(patch) = &self.patch else {
            return OperationState::Unknown;
        };
        let is_seen = match agree(patch, self.before.as_deref(), cluster) {
            Agreement::Changed => true,
            Agreement::AsWanted => self.has_worked || had_time,
            Agreement::Unknown => (self.has_worked || had_time) && has_workers(patch, cluster),
            Agreement::Otherwise => false,
        };
        match (is_seen, had_time) {
            (true, _) => OperationState::Succeeded,
            (false, true) => OperationState::Unknown,
            (false, false) => OperationState::Running,
        }
    }

    fn was(&self) -> Option<State> {
        self.before.as_ref().map(|before| before.status.state)
    }
}

fn answer(known: Known, failed: Option<Failure>) -> Answer<Known> {
    Answer {
        at: known.at,
        value: Arc::new(known),
        failed,
    }
}
