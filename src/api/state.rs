//! What every handler shares.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::domain::{ClusterId, SourceName};
use crate::hooks::Webhooks;
use crate::inventory::hours::Hours;
use crate::inventory::journal::{Forgetful, Journal, Standing};
use crate::inventory::past::Past;
use crate::inventory::{Control, Feed, Inventory, Snapshot, View};
use crate::live::Live;
use crate::provider::Entry;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Rate;

use super::clusters::{self, Pages};
use super::cors::Origins;
use super::load::Load;
use super::rate::Proxies;
use super::site::Hosts;
use super::summary;
use super::then::{self, Then};

/// How long an event stream says nothing, where its connection bears it.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Bounds of the inbound side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whom a request may be for; one for anybody else is refused with `HOST_NOT_ALLOWED`.
    pub hosts: Hosts,
    /// Whose pages may ask, beside this server's own.
    pub cors: Origins,
    /// How often each client may ask; one that asks more often is refused with `RATE_LIMITED`.
    pub rate_limit: Option<Rate>,
    /// Proxies that are believed when they say whom they ask for.
    pub proxies: Proxies,
    /// Whether requests come over TLS, and no others do.
    pub over_tls: bool,
    /// How long browsers are told to ask over TLS only; `None` where TLS is not spoken.
    pub hsts: Option<Duration>,
    /// Requests in flight at once; one more is refused with `OVERLOADED`.
    pub max_in_flight: usize,
    /// How long a request may have to wait for its turn; one that would wait longer is refused with `OVERLOADED`. Zero refuses none.
    pub shed_above: Duration,
    /// Longest path and query together; a longer one is refused with `URI_TOO_LONG`.
    pub max_uri_bytes: usize,
    /// Largest body; a larger one is refused with `PAYLOAD_TOO_LARGE`.
    pub max_body_bytes: u64,
    /// Time for a body to come; one that takes longer is refused with `BODY_TIMEOUT`.
    pub body_timeout: Duration,
    /// Time after which the server calls itself ready even when a source was not attempted yet.
    pub ready_after: Duration,
    /// Changes in one event; more of one generation come in parts.
    pub max_event_items: usize,
    /// Changes that are undone for one answer at most, to tell what was shown earlier; more are refused with `AS_OF_TOO_FAR`.
    pub max_undone: usize,
    /// How long an event stream says nothing at most: less than after what its connection would count as idle.
    pub heartbeat: Duration,
    /// Whether a caller of whom nothing is known sees everything; else nothing. Where access is controlled it must be `false`.
    pub open: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            cors: Origins::default(),
            rate_limit: None,
            proxies: Proxies::default(),
            over_tls: false,
            hsts: None,
            max_in_flight: 1024,
            shed_above: Duration::from_millis(100),
            max_uri_bytes: 8 << 10,
            max_body_bytes: 64 << 10,
            body_timeout: Duration::from_secs(30),
            ready_after: Duration::from_secs(10),
            max_event_items: 500,
            max_undone: then::MOST,
            heartbeat: HEARTBEAT,
            open: true,
        }
    }
}

/// What every handler shares; a clone is one reference count.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

/// The parts of an [`ApiState`].
pub struct Inner {
    /// What is known, of which each caller sees a part: handlers ask their viewer.
    inventory: Arc<Inventory>,
    /// What can be asked of the tasks behind it.
    pub control: Arc<dyn Control>,
    /// Calls to vendors.
    pub live: Live,
    /// Every provider there is.
    pub catalog: &'static [Entry],
    /// What is counted.
    pub metrics: Metrics,
    /// How late requests are.
    pub load: Load,
    /// Pages that were asked for before.
    pub pages: Pages,
    /// Summaries that were asked for before.
    pub summaries: Pages,
    /// Accounts of earlier generations.
    pub then: Then,
    /// What controls access, and records it; `None` where everybody may do everything.
    pub access: Option<Arc<Access>>,
    /// Where publications are made durable.
    pub journal: Arc<dyn Journal>,
    /// Who is told what changes; `None` where nobody is.
    pub webhooks: Option<Arc<Webhooks>>,
    /// Bounds of the inbound side.
    pub settings: Settings,
    /// When the state was made.
    pub started: Instant,
    /// Requests for changes, which go on when their callers hang up.
    pub(super) outlasting: TaskTracker,
    /// What changed before the memory begins; `None` where nothing keeps it.
    pub(super) past: Option<Arc<dyn Past>>,
    /// Counts of earlier hours; `None` where nothing keeps them.
    pub(super) hours: Option<Arc<dyn Hours>>,
    ready: AtomicBool,
    stopping: CancellationToken,
}

impl ApiState {
    /// Joins the parts. Everybody may do everything.
    pub fn new(
        inventory: Arc<Inventory>,
        control: Arc<dyn Control>,
        live: Live,
        catalog: &'static [Entry],
        settings: Settings,
    ) -> Self {
        Self::guarded(inventory, control, live, catalog, settings, None)
    }

    /// The same, for callers that access control lets in.
    pub fn guarded(
        inventory: Arc<Inventory>,
        control: Arc<dyn Control>,
        live: Live,
        catalog: &'static [Entry],
        settings: Settings,
        access: Option<Arc<Access>>,
    ) -> Self {
        Self::remembering(inventory, control, live, catalog, settings, access, None)
    }

    /// The same, with what keeps changes that are older than the memory.
    pub fn remembering(
        inventory: Arc<Inventory>,
        control: Arc<dyn Control>,
        live: Live,
        catalog: &'static [Entry],
        settings: Settings,
        access: Option<Arc<Access>>,
        past: Option<Arc<dyn Past>>,
    ) -> Self {
        let metrics = Metrics::default();
        Self(Arc::new(Inner {
            inventory,
            control,
            live,
            catalog,
            load: Load::new(settings.shed_above, metrics.queue_delay().clone()),
            metrics,
            pages: Pages::default(),
            summaries: Pages::within(summary::REMEMBERED_BYTES, 1_024),
            then: Then::default(),
            access,
            journal: Arc::new(Forgetful),
            webhooks: None,
            settings,
            started: Instant::now(),
            outlasting: TaskTracker::new(),
            past,
            hours: None,
            ready: AtomicBool::new(false),
            stopping: CancellationToken::new(),
        }))
    }

    /// The same, over a journal that says how its store is. To be called before the state is shared.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<dyn Journal>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.journal = journal;
        }
        self
    }

    /// The same, with what keeps counts of earlier hours. To be called before the state is shared.
    #[must_use]
    pub fn with_hours(mut self, hours: Option<Arc<dyn Hours>>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.hours = hours;
        }
        self
    }

    /// The same with those who are told what changes. To be called before the state is shared.
    #[must_use]
    pub fn with_webhooks(mut self, webhooks: Option<Arc<Webhooks>>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.webhooks = webhooks;
        }
        self
    }

    /// What is known, whoever asks.
    pub(super) fn whole(&self) -> &Arc<Inventory> {
        &self.0.inventory
    }

    /// What is known now, to make an account of an earlier generation of: nobody is to be shown it.
    pub(super) fn to_be_undone(&self) -> Arc<Snapshot> {
        self.whole().current()
    }

    /// Clusters of a source that have a name already, whoever may see them.
    pub(super) fn named(&self, source: &SourceName, name: &str) -> Vec<ClusterId> {
        self.whole().current().named(source, name)
    }

    /// The id that a path means, whoever may see the cluster.
    pub(super) fn meant(&self, uri: &Uri) -> Option<ClusterId> {
        clusters::meant(uri, &self.whole().current())
    }

    /// The generation that is published now.
    pub(super) fn generation(&self) -> u64 {
        self.whole().current().generation
    }

    /// The same, where all that was done here is in it; `None` where it waits for a store that several gateways share.
    pub(super) fn reliable_generation(&self) -> Option<u64> {
        let standing = self.journal.standing();
        let waits = |standing: Standing| standing.shared.is_some() && standing.behind.is_some();
        (!standing.is_some_and(waits)).then(|| self.generation())
    }

    /// Tells of each new generation.
    pub(super) fn generations(&self) -> watch::Receiver<u64> {
        self.whole().subscribe()
    }

    /// What changed lately, of which each caller sees a part: a viewer selects it.
    pub(super) fn feed(&self) -> &Feed {
        self.whole().feed()
    }

    /// Cancelled when the server is about to stop.
    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Keeps what is behind a view for a reader that walks through it page by page.
    pub(super) fn retain(&self, view: &View) {
        view.retain_in(self.whole());
    }

    /// Whether callers have to show who they are.
    pub fn is_guarded(&self) -> bool {
        let access = self.0.access.as_ref();
        access.is_some_and(|access| access.is_guarded())
    }

    /// Says that the server is about to stop: it is no longer ready, though it goes on answering.
    pub fn drain(&self) {
        self.0.stopping.cancel();
    }

    /// Waits, at most so long, until every change that was asked for is accounted for, also where nobody waits for its answer.
    pub async fn settle(&self, grace: Duration) {
        self.0.outlasting.close();
        let settled = self.0.outlasting.wait();
        if tokio::time::timeout(grace, settled).await.is_err() {
            tracing::error!(
                grace_ms = grace.as_millis(),
                requests.count = self.0.outlasting.len(),
                "requests for changes did not end in time"
            );
        }
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Whether the first attempts are over. Once true it stays true: it does not depend on vendors afterwards.
    pub fn is_settled(&self) -> bool {
        if self.0.ready.load(Ordering::Relaxed) {
            return true;
        }
        if self.0.journal.is_waiting() {
            return false;
        }
        let snapshot = self.whole().current();
        let settled = self.0.started.elapsed() >= self.0.settings.ready_after
            || snapshot
                .sources()
                .iter()
                .all(|source| source.fetched_at.is_some() || !source.attempts.is_empty());
        if settled {
            self.0.ready.store(true, Ordering::Relaxed);
        }
        settled
    }
}

impl Deref for ApiState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
