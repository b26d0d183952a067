//! What is done when the answer to a write is lost: nothing is sent again, the cluster is read back.

use jiff::Timestamp;
use tokio::time::sleep;

use super::evidence::{Look, Lookback, Proof, account, made_by, proof};
use super::read::log;
use super::write::{Done, Write, WriteFailure};
use super::{Connected, Failure, Live, Seen, Target};
use crate::domain::{OperationId, State};
use crate::provider::{Capability, ErrorKind, Infrastructure, Listed};

/// The moment before a write was sent.
#[derive(Debug, Clone)]
pub(super) struct Since {
    /// By our clock.
    pub(super) at: Timestamp,
    /// What the book knew by then: none of it is of the write.
    pub(super) mark: u64,
    /// Operations that were known to another process before.
    pub(super) earlier: Vec<OperationId>,
}

/// A write that was sent.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    /// To whom.
    pub(super) connected: &'a Connected,
    /// What.
    pub(super) write: &'a Write,
    /// When.
    pub(super) since: &'a Since,
    /// The vendor's part of the id of an operation of which the vendor tells nothing; without it nothing is followed.
    pub(super) native_id: Option<&'a str>,
}

impl Live {
    /// Looks what became of a write whose answer was lost.
    pub(super) async fn look_back(
        &self,
        sent: Sent<'_>,
        cause: &'static str,
        timed_out: bool,
    ) -> Result<Done, WriteFailure> {
        let Sent {
            connected,
            write,
            since,
            native_id: _,
        } = sent;
        if let Some(target) = write.target() {
            self.forget_answers(&target.id);
        }
        let mut last = None;
        for wait in self.0.bounds.looks {
            sleep(wait).await;
            let looked = match write {
                Write::Create {
                    source,
                    spec,
                    namesakes,
                } => match self.read(connected.provider.find_created(spec)).await {
                    Ok(found) => match made_by(found, namesakes, since.at) {
                        Some(listed) => {
                            let is_pending = is_being_made(connected, &listed);
                            let target = Some(self.show_listed(source, listed).await);
                            return Ok(self.done(sent, target, None, is_pending, true));
                        }
                        None => Some(Look::default()),
                    },
                    Err(failure) => {
                        log(source, None, "find_created", &failure);
                        None
                    }
                },
                Write::Update { target, .. }
                | Write::Provision { target, .. }
                | Write::Destroy { target, .. }
                | Write::Forget { target, .. } => self.look_at(connected, target, since).await,
            };
            let Some(look) = looked else { continue };
            let found = proof(write.kind(), write.patch(), write.before(), &look, since.at);
            let (is_pending, operation) = match found {
                Proof::None => {
                    last = Some(look);
                    continue;
                }
                Proof::Done => (false, None),
                Proof::UnderWay(operation) => {
                    let goes_on = operation.as_ref().is_none_or(|operation| !operation.done);
                    (goes_on, operation.map(|operation| *operation))
                }
            };
            let target = write.target().cloned();
            if let Some(target) = &target
                && look.is_gone
            {
                let seen = Seen::Gone(target.id.clone());
                self.0.ledger.seen(&target.source, seen).await;
            }
            return Ok(self.done(sent, target, operation, is_pending, true));
        }
        self.0.ledger.refresh(&connected.name);
        Err(WriteFailure::Unknown(Lookback {
            cause,
            timed_out,
            was_read: last.is_some(),
            state: (last.as_ref())
                .and_then(|look| look.cluster.as_ref())
                .map(|cluster| cluster.status.state),
            text: account(write.kind(), cause, last.as_ref()),
        }))
    }

    /// Reads a cluster and its operations; `None` when neither could be read.
    async fn look_at(&self, connected: &Connected, target: &Target, since: &Since) -> Option<Look> {
        let mut look = Look::default();
        match self
            .read(connected.provider.describe(&target.locator))
            .await
        {
            Ok(described) => {
                look.cluster = Some(described.cluster.clone());
                self.show(target, described).await;
            }
            Err(Failure::Provider(error)) if error.kind == ErrorKind::NotFound => {
                look.is_gone = true;
            }
            Err(failure) => log(&target.source, Some(&target.id), "describe", &failure),
        }
        let tells = (connected.provider.capabilities()).supports(Capability::Operations);
        if tells && !look.is_gone {
            match self
                .read(connected.provider.operations(&target.locator))
                .await
            {
                Ok(mut operations) => {
                    operations.retain(|operation| {
                        let id = OperationId::new(&connected.name, &operation.native_id);
                        !self.0.book.had(&id, since.mark) && !since.earlier.contains(&id)
                    });
                    look.operations = Some(operations);
                }
                Err(failure) => log(&target.source, Some(&target.id), "operations", &failure),
            }
        }
        let is_seen = look.cluster.is_some() || look.is_gone || look.operations.is_some();
        is_seen.then_some(look)
    }
}

/// Whether work goes on at a cluster that was just made. One that waits may be a record, at which nobody works.
fn is_being_made(connected: &Connected, listed: &Listed) -> bool {
    match listed.cluster.status.state {
        State::Provisioning => true,
        State::Pending => {
            connected.provider.infrastructure(&listed.cluster) == Infrastructure::Possible
        }
        _ => false,
    }
}
