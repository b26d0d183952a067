//! A write on its way into what outlives the process: before its vendor is asked, when it has said yes, and what came of it.

use jiff::Timestamp;

use super::book::{Known, Origin};
use super::evidence::Lookback;
use super::keep::{Intended, Record, Stage, Task};
use super::lookback::Since;
use super::owed::Word;
use super::write::{Done, Write, WriteFailure};
use super::{Connected, Failure, Key, Live};
use crate::domain::{Operation, OperationError, OperationId, OperationState, SourceName};
use crate::provider::Written;

/// Begins the names of operations that only the gateway tracks.
pub(super) const OWN: &str = "gw-";

/// The code of an operation of which it is not known what became of it.
const UNKNOWN: &str = "WRITE_OUTCOME_UNKNOWN";

/// A write that is, or is about to be, sent.
pub(super) struct Intent {
    /// The vendor's part of its id, should the vendor tell no operation.
    pub(super) native_id: String,
    record: Record,
    /// Whether it is durable, as far as is known.
    may_be_kept: bool,
}

impl Intent {
    pub(super) fn id(&self) -> &OperationId {
        &self.record.known.id
    }

    /// One that an earlier process left.
    pub(super) fn left(record: Record) -> Self {
        Self {
            native_id: record.known.operation.native_id.clone(),
            record,
            may_be_kept: true,
        }
    }
}

impl Live {
    /// Keeps a write before it is sent. Where nothing can be kept it is sent all the same, since who must act in an outage has
    /// to be able to; then its operation says so. What others know as not sent under its key is not.
    pub(super) async fn intend(
        &self,
        connected: &Connected,
        write: &Write,
        since: &Since,
        key: Option<&Key>,
    ) -> Result<Option<Intent>, WriteFailure> {
        let mut name = [0; 16];
        // Without randomness there is no name, and what has no name can neither be kept nor followed.
        if getrandom::fill(&mut name).is_err() {
            let is_kept = key.is_some() && self.0.keep.standing().is_some();
            return if is_kept {
                Err(WriteFailure::Unkept)
            } else {
                Ok(None)
            };
        }
        let native_id = format!("{OWN}{:032x}", u128::from_be_bytes(name));
        let known = Known {
            id: OperationId::new(&connected.name, &native_id),
            source: connected.name.clone(),
            provider: connected.provider.kind(),
            cluster: write.target().map(|target| target.id.clone()),
            origin: Origin::Gateway,
            operation: Operation {
                native_id: native_id.clone(),
                kind: write.kind(),
                state: OperationState::Pending,
                created_at: Some(since.at),
                ..Operation::default()
            },
            since: since.at,
            at: since.at,
            durable: false,
        };
        let record = Record {
            known,
            stage: Stage::Asked,
            task: Some(Box::new(Task::of(write, since))),
            is_shown: false,
        };
        let may_be_kept = match self.0.keep.intend(&record, key).await {
            Intended::Kept => self.0.keep.standing().is_some(),
            Intended::Away { may_be_kept } => may_be_kept,
            refused @ (Intended::Unsafe | Intended::Taken | Intended::Busy) => {
                // Whether it is kept is not known: what was not heard of may hold itself up. That nothing was sent is.
                self.tell(&record.known.id, Word::Withdrawn).await;
                return Err(match refused {
                    Intended::Taken => WriteFailure::Taken,
                    Intended::Busy => WriteFailure::Busy,
                    Intended::Unsafe | Intended::Kept | Intended::Away { .. } => {
                        WriteFailure::Unkept
                    }
                });
            }
        };
        Ok(Some(Intent {
            native_id,
            record,
            may_be_kept,
        }))
    }

    /// Keeps that the vendor has said yes, before anything else is asked of it.
    pub(super) async fn accepted(&self, intent: Option<&mut Intent>, written: &Written) {
        let Some(intent) = intent.filter(|intent| intent.may_be_kept) else {
            return;
        };
        intent.record.stage = Stage::Accepted {
            operation: written.operation.clone().map(Box::new),
            is_pending: written.is_pending,
        };
        // What came of it is kept in a moment; until then it would be looked at as if there had been no answer.
        let word = Word::Accepted(Box::new(intent.record.clone()));
        self.tell(intent.id(), word).await;
    }

    /// Keeps what came of a write, before it is answered.
    pub(super) async fn settled(&self, intent: Option<Intent>, done: &mut Done) {
        let Some(intent) = intent else { return };
        let now = super::now();
        let record = if let Some(known) = &done.operation {
            self.record_of(known)
        } else {
            let mut known = intent.record.known.clone();
            known.cluster.clone_from(&done.cluster);
            end(&mut known, OperationState::Succeeded, now);
            Record {
                known,
                stage: Stage::Settled,
                task: None,
                is_shown: false,
            }
        };
        // Of what ended at once and was never kept there is nothing to tell.
        let is_told = intent.may_be_kept || record.is_shown;
        let is_kept = is_told
            && self
                .tell(intent.id(), Word::Settled(Box::new(record)))
                .await
            && self.0.keep.standing().is_some();
        if let Some(known) = &mut done.operation {
            known.durable = is_kept;
            self.0.book.keep(&known.id, is_kept);
        }
    }

    /// Keeps that nothing was carried out.
    pub(super) async fn withdrawn(&self, intent: Option<Intent>) {
        if let Some(intent) = intent.filter(|intent| intent.may_be_kept) {
            self.tell(intent.id(), Word::Withdrawn).await;
        }
    }

    /// Keeps that it is not known what became of a write; `is_shown` where its caller was not told.
    pub(super) async fn unknown(
        &self,
        intent: Option<Intent>,
        lookback: &Lookback,
        is_shown: bool,
    ) {
        let Some(intent) = intent else { return };
        let id = intent.id().clone();
        let mut known = intent.record.known;
        end(&mut known, OperationState::Unknown, super::now());
        known.operation.error = Some(OperationError {
            code: Some(UNKNOWN.to_owned()),
            message: Some(lookback.text.clone()),
            retryable: Some(false),
            ..OperationError::default()
        });
        let record = Record {
            known,
            stage: Stage::Settled,
            task: None,
            is_shown,
        };
        if intent.may_be_kept {
            self.tell(&id, Word::Settled(Box::new(record))).await;
        }
    }

    /// What is to be kept of an operation that is in the book.
    pub(super) fn record_of(&self, known: &Known) -> Record {
        let follow = self.0.book.find(&known.id).and_then(|(_, follow)| follow);
        Record {
            known: known.clone(),
            stage: Stage::Settled,
            task: follow.map(|follow| Box::new(follow.task())),
            is_shown: true,
        }
    }

    /// Keeps what is new of an operation that was begun here; says whether nothing is left to keep.
    pub(super) async fn keep_up(&self, id: &OperationId) -> bool {
        let Some(known) = self.0.book.due(id) else {
            return true;
        };
        let record = self.record_of(&known);
        let is_kept = self.0.keep.put(&record).await.is_ok();
        if is_kept {
            self.0.book.kept(&known);
        }
        is_kept
    }

    /// What is kept of an operation, as far as this process does not know better.
    pub(super) async fn kept(&self, id: &OperationId) -> Result<Option<Known>, Failure> {
        let found = self.0.keep.find(id).await.map_err(|_| Failure::Away)?;
        Ok(found.map(|record| record.known))
    }

    /// The sources whose vendors can be asked.
    pub(super) fn sources(&self) -> Vec<SourceName> {
        self.0.sources.keys().cloned().collect()
    }
}

/// What is known of a write that an earlier process sent, for who asks again under its key.
pub(super) fn outcome(record: Record) -> Result<Done, WriteFailure> {
    let Record {
        known, is_shown, ..
    } = record;
    let operation = &known.operation;
    if operation.done
        && operation.state == OperationState::Unknown
        && known.origin == Origin::Gateway
    {
        let error = operation.error.clone().unwrap_or_default();
        return Err(WriteFailure::Unknown(Lookback {
            cause: "UPSTREAM_INTERRUPTED",
            timed_out: false,
            was_read: true,
            state: None,
            text: error.message.unwrap_or_default(),
        }));
    }
    Ok(Done {
        source: known.source.clone(),
        provider: known.provider.clone(),
        kind: operation.kind,
        cluster: known.cluster.clone(),
        is_pending: !operation.done,
        was_read_back: true,
        operation: is_shown.then_some(known),
    })
}

fn end(known: &mut Known, state: OperationState, at: Timestamp) {
    known.at = at;
    let operation = &mut known.operation;
    operation.state = state;
    operation.done = true;
    operation.updated_at = Some(at);
    operation.completed_at = Some(at);
}
