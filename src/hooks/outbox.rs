//! Where deliveries lie until they are delivered, and for a while afterwards.

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use jiff::Timestamp;

use super::event::NewEvent;
use super::settings::HookName;
use crate::inventory::Mark;

/// The outbox cannot be used now; the code is one of the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deliveries cannot be kept now")]
pub struct OutboxError(pub &'static str);

/// What is answered with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, OutboxError>>;

/// Keeps deliveries, and how far each webhook was told. Several gateways may share one. All times are the caller's.
pub trait Outbox: Send + Sync + 'static {
    /// The last generation of which all changes are kept.
    fn known(&self) -> Answer<'_, u64>;

    /// Takes back what this process cannot be delivering though it is claimed, where nobody else can be.
    fn begin<'a>(&'a self, owner: &'a str) -> Answer<'a, ()>;

    /// Up to where changes were made deliveries of; a webhook that is new begins at the given place.
    fn cursor<'a>(&'a self, hook: &'a HookName, first: Mark, now: Timestamp) -> Answer<'a, Mark>;

    /// Adds deliveries and moves the place, all of it or nothing. Answers with whether the place was still where it is moved from.
    fn put<'a>(&'a self, hook: &'a HookName, put: &'a Put) -> Answer<'a, bool>;

    /// Notes that a webhook was looked at, so that its place is kept though nothing changes.
    fn seen<'a>(&'a self, hook: &'a HookName, now: Timestamp) -> Answer<'a, ()>;

    /// Adds a delivery that belongs to no change, also for a server that said that it is gone: events are sent to it again.
    fn add<'a>(
        &'a self,
        hook: &'a HookName,
        event: &'a NewEvent,
        asked: Asked,
    ) -> Answer<'a, Listed>;

    /// Claims deliveries that are due, at most so many and first those that became due first, until a time at which they are free
    /// again. One is left alone while an earlier one about the same is due or claimed, and all of them while the server is gone.
    fn claim<'a>(
        &'a self,
        hook: &'a HookName,
        owner: &'a str,
        most: usize,
        until: Timestamp,
        now: Timestamp,
    ) -> Answer<'a, Claims>;

    /// Notes how an attempt went, and whether the server is gone. Answers with whether the claim was still held.
    fn settle<'a>(
        &'a self,
        hook: &'a HookName,
        number: i64,
        owner: &'a str,
        settled: &'a Settled,
        now: Timestamp,
    ) -> Answer<'a, bool>;

    /// Makes dead letters of what was tried long enough, and deletes a little of what is kept long enough. Answers with whether
    /// there may be more of it.
    fn tidy(&self, now: Timestamp) -> Answer<'_, bool>;

    /// How a webhook stands; `None` where it was never seen.
    fn account<'a>(&'a self, hook: &'a HookName) -> Answer<'a, Option<Account>>;

    /// Deliveries of a webhook, the newest first.
    fn list<'a>(&'a self, hook: &'a HookName, page: &'a Page) -> Answer<'a, Vec<Listed>>;

    /// Has a delivery be tried anew, from now on; `None` where there is none of this id. One that is under way is left as it is.
    /// Events are sent again to a server that said that it is gone.
    fn redeliver<'a>(
        &'a self,
        hook: &'a HookName,
        id: &'a str,
        asked: Asked,
    ) -> Answer<'a, Option<Listed>>;
}

/// What holds for a delivery that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Deliveries that may wait; where there are more, the oldest of the others become dead letters.
    pub max_pending: u64,
    /// Until when it is tried.
    pub give_up_at: Timestamp,
    /// The time.
    pub now: Timestamp,
}

/// Deliveries of some changes.
#[derive(Debug, Clone)]
pub struct Put {
    /// The place that the changes begin at.
    pub from: Mark,
    /// The place behind them.
    pub to: Mark,
    /// What is to be delivered of them, in order.
    pub events: Vec<NewEvent>,
    /// Deliveries that may wait; where there are more, the oldest become dead letters.
    pub max_pending: u64,
    /// Until when they are tried.
    pub give_up_at: Timestamp,
    /// The time.
    pub now: Timestamp,
}

/// What was claimed.
#[derive(Debug, Default)]
pub struct Claims {
    /// Deliveries to be sent.
    pub taken: Vec<Claimed>,
    /// When another one is due, where that is known.
    pub next: Option<Timestamp>,
    /// Whether nothing is sent, since the server said that it is gone.
    pub is_gone: bool,
}

/// A delivery that is to be sent.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Its place in the order of the webhook's events.
    pub number: i64,
    /// The event's id.
    pub id: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was added.
    pub created_at: Timestamp,
    /// Until when it is tried.
    pub give_up_at: Timestamp,
    /// JSON.
    pub body: Vec<u8>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// Why it failed: one of a closed list of codes; `None` where it did not.
    pub code: Option<&'static str>,
}

impl Ended {
    /// Whether the server has said that it is gone.
    pub fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// How the attempt ended.
    pub ended: Ended,
    /// When it is tried again; `None` where it is not.
    pub again_at: Option<Timestamp>,
}

impl Settled {
    /// The state that follows.
    pub const fn state(&self) -> DeliveryState {
        match (self.ended.code, self.again_at) {
            (None, _) => DeliveryState::Delivered,
            (Some(_), Some(_)) => DeliveryState::Pending,
            (Some(_), None) => DeliveryState::Dead,
        }
    }
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its turn, or for another attempt.
    Pending,
    /// The server took it.
    Delivered,
    /// It is not tried any more.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Which deliveries are listed.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only those that come before this one.
    pub before: Option<i64>,
    /// At most so many.
    pub most: usize,
}

/// A delivery as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its place in the order of the webhook's events.
    pub number: i64,
    /// The event's id.
    pub id: String,
    /// The event's type.
    pub kind: String,
    /// The cluster or the source that it is about.
    pub subject: Option<String>,
    /// The generation that first shows it.
    pub generation: u64,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it is tried again; `None` where it is not.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was last tried.
    pub last_attempt_at: Option<Timestamp>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Why the last attempt failed, or why it is dead.
    pub code: Option<String>,
    /// When it was delivered or became a dead letter.
    pub ended_at: Option<Timestamp>,
}

/// How a webhook stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Up to where changes were made deliveries of.
    pub cursor: Mark,
    /// Deliveries that wait.
    pub pending: u64,
    /// Deliveries that the server took, as far as they are still kept.
    pub delivered: u64,
    /// Dead letters, as far as they are still kept.
    pub dead: u64,
    /// When the oldest delivery that waits was added.
    pub oldest_pending: Option<Timestamp>,
    /// When an attempt last went well.
    pub success_at: Option<Timestamp>,
    /// When one last failed.
    pub failure_at: Option<Timestamp>,
    /// The status of the answer then, where there was one.
    pub failure_status: Option<u16>,
    /// Why it failed.
    pub failure_code: Option<String>,
    /// When its server said that it is gone; `None` once somebody asked for a delivery since.
    pub gone_at: Option<Timestamp>,
}

/// How long deliveries are kept that the server took.
pub(crate) const KEEP_DELIVERED: Duration = Duration::from_hours(7 * 24);
/// How long dead letters are kept.
pub(crate) const KEEP_DEAD: Duration = Duration::from_hours(30 * 24);
/// How long the place of a webhook is kept that no gateway has any more.
pub(crate) const KEEP_CURSOR: Duration = Duration::from_hours(30 * 24);
/// Deliveries of one webhook that are kept after their end, at most.
pub(crate) const MOST_ENDED: u64 = 100_000;
/// Why a delivery became a dead letter without another attempt: too many waited, or too long.
pub(crate) const OVERFLOW: &str = "TOO_MANY_PENDING";
pub(crate) const EXPIRED: &str = "EXPIRED";
