//! All webhooks of a gateway, running: their tasks, and what can be asked of them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Way;
use super::backoff::Dice;
use super::deliver::Deliverer;
use super::event::NewEvent;
use super::outbox::{Account, Asked, Listed, Outbox, OutboxError, Page};
use super::pump::Pump;
use super::settings::{Settings, Webhook};
use super::tally::{Counts, Tally};
use crate::domain::Reach;
use crate::inventory::Interest;
use crate::inventory::past::Past;
use crate::upstream::{NoPoster, Poster, random_up_to};

/// How long a report waits for the outbox.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells the time.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The time so much later.
pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// One webhook, as its tasks share it.
pub(super) struct Hook {
    pub(super) settings: Settings,
    pub(super) interest: Arc<Interest>,
    pub(super) reach: Reach,
    pub(super) way: Arc<dyn Way>,
    /// Wakes who delivers.
    pub(super) wake: Notify,
    pub(super) counts: Counts,
    /// Whether somebody asked for a delivery.
    asked: AtomicBool,
}

impl Hook {
    fn new(webhook: Webhook, way: Arc<dyn Way>) -> Self {
        Self {
            reach: webhook.settings.reach(),
            settings: webhook.settings,
            interest: webhook.interest,
            way,
            wake: Notify::new(),
            counts: Counts::default(),
            asked: AtomicBool::new(false),
        }
    }

    /// Whether somebody asked for a delivery since this was last looked at.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// What holds for a delivery that somebody asks for now.
    fn asked(&self, now: Timestamp) -> Asked {
        Asked {
            max_pending: self.settings.max_pending,
            give_up_at: later(now, self.settings.give_up_after),
            now,
        }
    }

    /// Delivers at once, though the server may have to be left alone.
    fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }
}

/// What webhooks work with.
pub struct Parts {
    /// Where deliveries lie.
    pub outbox: Arc<dyn Outbox>,
    /// What changed.
    pub past: Arc<dyn Past>,
    /// Tells of each new generation.
    pub generations: watch::Receiver<u64>,
}

/// How a webhook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = WebhookState)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its server takes events, as far as is known.
    Active,
    /// The last attempt failed.
    Failing,
    /// Its server has said that it is gone: nothing is sent until somebody asks for a test or a delivery.
    Disabled,
}

/// A webhook and how it is.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// Its configuration.
    pub settings: &'a Settings,
    /// How it is.
    pub condition: Condition,
    /// How it stands; `None` where it was never seen by the outbox.
    pub account: Option<Account>,
    /// What this process counted.
    pub tally: Tally,
}

/// All webhooks of a gateway. Dropping it ends its tasks.
pub struct Webhooks {
    hooks: Vec<Arc<Hook>>,
    outbox: Arc<dyn Outbox>,
    generations: watch::Receiver<u64>,
    clock: Clock,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Webhooks {
    /// Starts the webhooks on a runtime; none of them calls anybody before something changes.
    pub fn start(webhooks: Vec<Webhook>, parts: Parts, runtime: &Handle) -> Result<Self, NoPoster> {
        let with_ways = webhooks.into_iter().map(|webhook| {
            let poster = Poster::new(webhook.settings.post())?;
            Ok((webhook, Arc::new(poster) as Arc<dyn Way>))
        });
        let with_ways = with_ways.collect::<Result<Vec<_>, NoPoster>>()?;
        let clock: Clock = Arc::new(Timestamp::now);
        Ok(Self::over(with_ways, parts, &clock, random_up_to, runtime))
    }

    /// The same over given ways, by a given clock and with given dice.
    pub(super) fn over(
        webhooks: Vec<(Webhook, Arc<dyn Way>)>,
        parts: Parts,
        clock: &Clock,
        dice: Dice,
        runtime: &Handle,
    ) -> Self {
        let Parts {
            outbox,
            past,
            generations,
        } = parts;
        let hooks = webhooks.into_iter();
        let hooks: Vec<Arc<Hook>> = hooks
            .map(|(webhook, way)| Arc::new(Hook::new(webhook, way)))
            .collect();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let owner: Arc<str> = nonce().into();
        let pump = Pump {
            hooks: hooks.clone(),
            outbox: Arc::clone(&outbox),
            past,
            clock: Arc::clone(clock),
        };
        let run = pump.run(Arc::clone(&owner), generations.clone(), stop.clone());
        tasks.spawn_on(run, runtime);
        for hook in &hooks {
            let deliverer = Arc::new(Deliverer {
                hook: Arc::clone(hook),
                outbox: Arc::clone(&outbox),
                owner: Arc::clone(&owner),
                clock: Arc::clone(clock),
                dice,
            });
            tasks.spawn_on(deliverer.run(stop.clone()), runtime);
        }
        tasks.close();
        Self {
            hooks,
            outbox,
            generations,
            clock: Arc::clone(clock),
            stop,
            tasks,
        }
    }

    fn hook(&self, name: &str) -> Option<&Arc<Hook>> {
        let mut hooks = self.hooks.iter();
        hooks.find(|hook| hook.settings.name.as_str() == name)
    }

    /// The webhook of a name.
    pub fn find(&self, name: &str) -> Option<&Settings> {
        self.hook(name).map(|hook| &hook.settings)
    }

    /// Every webhook and how it is, in the order of the configuration.
    pub async fn reports(&self) -> Result<Vec<Report<'_>>, OutboxError> {
        let mut reports = Vec::with_capacity(self.hooks.len());
        for hook in &self.hooks {
            let account = self
                .bounded(self.outbox.account(&hook.settings.name))
                .await?;
            let is_failing = account
                .as_ref()
                .is_some_and(|account| account.failure_at > account.success_at);
            let is_gone = account
                .as_ref()
                .is_some_and(|account| account.gone_at.is_some());
            let condition = if is_gone {
                Condition::Disabled
            } else if is_failing {
                Condition::Failing
            } else {
                Condition::Active
            };
            reports.push(Report {
                settings: &hook.settings,
                condition,
                account,
                tally: hook.counts.read(),
            });
        }
        Ok(reports)
    }

    /// Deliveries of a webhook, the newest first; `None` where there is no such webhook.
    pub async fn list(&self, name: &str, page: Page) -> Result<Option<Vec<Listed>>, OutboxError> {
        let Some(hook) = self.hook(name) else {
            return Ok(None);
        };
        let listed = self.outbox.list(&hook.settings.name, &page);
        self.bounded(listed).await.map(Some)
    }

    /// Sends an event anew, from now on as long as a new one; `None` where there is no such webhook or event.
    pub async fn redeliver(&self, name: &str, id: &str) -> Result<Option<Listed>, OutboxError> {
        let Some(hook) = self.hook(name) else {
            return Ok(None);
        };
        let asked = hook.asked((self.clock)());
        let found = (self.outbox).redeliver(&hook.settings.name, id, asked);
        let found = self.bounded(found).await?;
        if found.is_some() {
            hook.ask();
        }
        Ok(found)
    }

    /// Sends an event that tells nothing; `None` where there is no such webhook.
    pub async fn test(&self, name: &str) -> Result<Option<Listed>, OutboxError> {
        let Some(hook) = self.hook(name) else {
            return Ok(None);
        };
        let now = (self.clock)();
        let name = &hook.settings.name;
        let event = NewEvent::test(name, *self.generations.borrow(), &nonce(), now);
        let added = self.outbox.add(name, &event, hook.asked(now));
        let added = self.bounded(added).await?;
        hook.ask();
        Ok(Some(added))
    }

    /// No caller waits longer for the outbox.
    async fn bounded<T>(&self, answer: super::outbox::Answer<'_, T>) -> Result<T, OutboxError> {
        let late = Err(OutboxError("STORE_LATE"));
        timeout(PATIENCE, answer).await.unwrap_or(late)
    }

    /// Takes nothing new, and waits at most so long for what is under way. The rest stays in the outbox.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                grace_ms = grace.as_millis(),
                "deliveries of webhooks did not end in time; they will be sent once more"
            );
        }
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A text that nobody else has.
fn nonce() -> String {
    let mut bytes = [0; 12];
    // Without randomness the process and the time still tell two gateways apart.
    if getrandom::fill(&mut bytes).is_err() {
        let now = Timestamp::now().as_nanosecond().to_be_bytes();
        bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
        bytes[4..].copy_from_slice(&now[8..]);
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
