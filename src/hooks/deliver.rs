//! Hands the deliveries of one webhook over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::backoff::{self, Dice};
use super::outbox::{Claimed, Ended, Outbox, OutboxError, Settled};
use super::secret::{Key, sign};
use super::webhooks::{Clock, Hook, later};
use crate::upstream::Posted;

/// How often the outbox is looked at where nobody tells that there is something new.
const LOOK: Duration = Duration::from_secs(5);
/// How long after the outbox could not be used it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// A claim outlasts its attempt by this, so that its end can be noted.
const MARGIN: Duration = Duration::from_secs(20);
/// After so many failures in a row one event at a time is tried, and seldom.
const PATIENCE: u32 = 3;
/// While it fails, the server is tried again after this at most.
const PROBE: Duration = Duration::from_mins(5);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The task that does so.
pub(super) struct Deliverer {
    pub(super) hook: Arc<Hook>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) owner: Arc<str>,
    pub(super) clock: Clock,
    pub(super) dice: Dice,
}

/// How an attempt went, for what comes next.
struct Attempted {
    ended: Ended,
    /// How long the server wants to be left alone.
    asked: Option<Duration>,
}

impl Deliverer {
    /// Delivers until it is asked to stop; what is under way then is brought to its end.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        // Tasks of their own: what one of them holds of the outbox it lets go of, whatever this one waits for.
        let mut sending: JoinSet<Attempted> = JoinSet::new();
        let mut failures: u32 = 0;
        let mut hold = Timestamp::MIN;
        loop {
            let wait = self.claim(sending.len(), failures, hold).await;
            let wait = match wait {
                Ok((claimed, wait)) => {
                    for one in claimed {
                        sending.spawn(Arc::clone(&self).attempt(one));
                    }
                    wait
                }
                Err(error) => {
                    debug!(webhook.name = %self.hook.settings.name, error.code = error.0, "deliveries cannot be claimed");
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(attempted) = sending.join_next() => {
                    // One that broke is claimed anew when its claim is over.
                    if let Ok(attempted) = attempted {
                        failures = self.judge(&attempted, failures, &mut hold);
                    }
                }
                () = self.hook.wake.notified() => {}
                () = sleep(wait) => {}
            }
        }
        while sending.join_next().await.is_some() {}
    }

    /// Claims what may be sent now; with it, how long nothing else happens by itself.
    async fn claim(
        &self,
        sending: usize,
        failures: u32,
        hold: Timestamp,
    ) -> Result<(Vec<Claimed>, Duration), OutboxError> {
        let settings = &self.hook.settings;
        let now = (self.clock)();
        let until_hold = Duration::try_from(hold.duration_since(now)).unwrap_or_default();
        let is_asked_for = self.hook.take_asked();
        if !until_hold.is_zero() && !is_asked_for {
            return Ok((Vec::new(), until_hold.min(LOOK)));
        }
        let limit = if failures >= PATIENCE {
            1
        } else {
            settings.max_in_flight
        };
        let room = limit.saturating_sub(sending);
        if room == 0 {
            return Ok((Vec::new(), LOOK));
        }
        let until = later(now, settings.timeout + MARGIN);
        let claim = self
            .outbox
            .claim(&settings.name, &self.owner, room, until, now);
        let claims = claim.await?;
        if claims.is_gone {
            return Ok((Vec::new(), LOOK));
        }
        let due = claims.next.map(|next| next.duration_since(now));
        let due = due.map(|due| Duration::try_from(due).unwrap_or_default());
        // What is due and was not claimed is another gateway's, or waits for what was.
        let due = due.map_or(LOOK, |due| due.clamp(Duration::from_millis(50), LOOK));
        Ok((claims.taken, due))
    }

    /// Sends a delivery, and notes how it went.
    async fn attempt(self: Arc<Self>, claimed: Claimed) -> Attempted {
        let attempted = self.send(&claimed).await;
        let attempts = claimed.attempts.saturating_add(1);
        let settings = &self.hook.settings;
        let now = (self.clock)();
        let again_at = attempted.ended.code.and_then(|_| {
            let is_last = settings.max_attempts.is_some_and(|most| attempts >= most);
            let at = later(now, backoff::wait(attempts, attempted.asked, self.dice));
            (!is_last && at < claimed.give_up_at).then_some(at)
        });
        let settled = Settled {
            ended: attempted.ended,
            again_at,
        };
        self.settle(&claimed, attempts, &settled).await;
        attempted
    }

    async fn send(&self, claimed: &Claimed) -> Attempted {
        let failed = |code| Attempted {
            ended: Ended {
                status: None,
                code: Some(code),
            },
            asked: None,
        };
        let headers = match self.headers(claimed) {
            Ok(headers) => headers,
            Err(reason) => {
                warn!(webhook.name = %self.hook.settings.name, reason, "the secret of a webhook cannot be used");
                return failed("SECRET_UNUSABLE");
            }
        };
        let body = Bytes::from(claimed.body.clone());
        match self.hook.way.post(headers, body).await {
            Ok(posted) => answered(posted),
            Err(error) => failed(error.code()),
        }
    }

    fn headers(&self, claimed: &Claimed) -> Result<HeaderMap, String> {
        let keys = self.hook.settings.secrets.iter();
        let keys: Vec<Key> = keys
            .map(super::SecretSource::key)
            .collect::<Result<_, _>>()?;
        let at = (self.clock)().as_second();
        let signature = sign(&keys, &claimed.id, at, &claimed.body);
        let text = |text: &str| HeaderValue::from_str(text).map_err(|_| "no header".to_owned());
        Ok(HeaderMap::from_iter([
            (ID, text(&claimed.id)?),
            (TIMESTAMP, HeaderValue::from(at)),
            (SIGNATURE, text(&signature)?),
        ]))
    }

    /// Notes how an attempt went. Where that cannot be noted, the claim ends by itself and the event is sent once more.
    async fn settle(&self, claimed: &Claimed, attempts: u32, settled: &Settled) {
        let hook = &self.hook;
        let name = &hook.settings.name;
        let deadline = later((self.clock)(), MARGIN);
        let Ended { status, code } = settled.ended;
        match (code, settled.again_at) {
            (None, _) => {
                let took = (self.clock)().duration_since(claimed.created_at);
                hook.counts.note(|tally| {
                    tally.delivered += 1;
                    tally.latency.add(took.unsigned_abs());
                });
                debug!(webhook.name = %name, event.id = claimed.id, attempts, "delivered");
            }
            (Some(code), Some(_)) => {
                hook.counts.note(|tally| tally.retried += 1);
                debug!(webhook.name = %name, event.id = claimed.id, attempts, status, error.code = code, "not delivered");
            }
            (Some(code), None) => {
                hook.counts.note(|tally| tally.dead += 1);
                warn!(webhook.name = %name, event.id = claimed.id, attempts, status, error.code = code, "an event is a dead letter: it was tried as long as it may be");
            }
        }
        loop {
            let now = (self.clock)();
            let noted = (self.outbox).settle(name, claimed.number, &self.owner, settled, now);
            match noted.await {
                Ok(_) => return,
                Err(error) if now >= deadline => {
                    warn!(webhook.name = %name, event.id = claimed.id, error.code = error.0, "how a delivery went cannot be noted; it will be sent once more");
                    return;
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    }

    /// What an attempt means for those that follow; answers with how many failed in a row by now.
    fn judge(&self, attempted: &Attempted, failures: u32, hold: &mut Timestamp) -> u32 {
        let name = &self.hook.settings.name;
        let now = (self.clock)();
        let Some(code) = attempted.ended.code else {
            if failures >= PATIENCE {
                info!(webhook.name = %name, "the server of a webhook takes events again");
            }
            *hold = Timestamp::MIN;
            return 0;
        };
        if attempted.ended.is_gone() {
            warn!(webhook.name = %name, "the server of a webhook says that it is gone: nothing is sent to it until somebody asks for a test or a delivery");
        }
        let failures = failures.saturating_add(1);
        if failures == PATIENCE {
            warn!(webhook.name = %name, error.code = code, "the server of a webhook takes no events; they wait and are tried again");
        }
        let wait = if failures >= PATIENCE {
            backoff::wait(failures - PATIENCE + 1, attempted.asked, self.dice).min(
                // What the server asks for counts in full.
                attempted.asked.map_or(PROBE, |asked| asked.max(PROBE)),
            )
        } else {
            // A server that refuses one event may take the next.
            attempted
                .asked
                .map_or(Duration::ZERO, |asked| asked.min(backoff::LONGEST_ASKED))
        };
        *hold = (*hold).max(later(now, wait));
        failures
    }
}

/// What an answer means.
fn answered(posted: Posted) -> Attempted {
    let status = posted.status;
    let code = match status.as_u16() {
        200..=299 => None,
        300..=399 => Some("REDIRECTED"),
        410 => Some("GONE"),
        429 => Some("RATE_LIMITED"),
        400..=499 => Some("REFUSED"),
        _ => Some("SERVER_ERROR"),
    };
    // Anybody else who says when to come back says it of something that will not change by waiting.
    let is_busy = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&status);
    Attempted {
        ended: Ended {
            status: Some(status.as_u16()),
            code,
        },
        asked: posted.retry_after.filter(|_| is_busy),
    }
}
