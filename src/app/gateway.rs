//! Sources, keeper and API, put together.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::access::audit::Shelf;
use crate::access::{Access, Shared, Vault};
use crate::adapters::CATALOG;
use crate::api::rate::Proxies;
use crate::api::{self, ApiState, Hosts, Origins};
use crate::config::{Config, Mistake, Mistakes, Server, SourceConfig, connect};
use crate::domain::SourceName;
use crate::hooks::{self, Webhook, Webhooks};
use crate::inventory::hours::HourWatch;
use crate::inventory::journal::{Forgetful, Journal, Restored};
use crate::inventory::{Control, Detailed, Inventory, Keeper, Schedule, Shown, Source};
use crate::live::{self, Bounds, Forgetful as Unkept, InMemory, Keep, Keys, Ledger, Live, Seen};
use crate::store::{self, Recorder};
use crate::upstream::Poster;

/// How long each part may take at the end, however late it is.
const LATE: Duration = Duration::from_millis(300);

/// A running gateway, without a listener.
pub struct Gateway {
    /// What is known.
    pub inventory: Arc<Inventory>,
    /// The tasks that read the sources.
    pub keeper: Arc<Keeper>,
    /// Calls to vendors.
    pub live: Live,
    /// What the API's handlers share.
    pub state: ApiState,
    /// The API.
    pub router: Router,
    /// What controls access, where anything does.
    pub access: Option<Arc<Access>>,
    /// What hands publications to the store, where there is one.
    pub recorder: Option<Arc<Recorder>>,
    hours: Option<HourWatch>,
    /// Who is told what changes, where anybody is.
    pub webhooks: Option<Arc<Webhooks>>,
}

impl Gateway {
    /// Connects the sources, takes over what the store has of them, and starts reading them on the given runtime.
    pub async fn start(config: &Config, runtime: &Handle) -> Result<Self, Mistakes> {
        let (sources, webhooks) = (sources(&config.sources), webhooks(config));
        let (sources, webhooks) = match (sources, webhooks) {
            (Ok(sources), Ok(webhooks)) => (sources, webhooks),
            (sources, webhooks) => {
                let wrong = sources.err().into_iter().chain(webhooks.err());
                return Err(Mistakes(wrong.flat_map(|mistakes| mistakes.0).collect()));
            }
        };
        let memory = match &config.store {
            Some(store) => Memory::open(store.clone(), &sources, runtime).await,
            None => Memory::default(),
        };
        let access = Access::sharing(&config.access, memory.shared(runtime), runtime)
            .map_err(|error| Mistakes(vec![Mistake::new("access", told(&error))]))?;
        if let Some(access) = &access {
            access.load().await;
        }
        let memory = Memory { webhooks, ..memory };
        let settings = settings(&config.server);
        Ok(Self::remembering(
            sources, memory, access, settings, runtime,
        ))
    }

    /// Starts reading sources that are connected already; everybody may ask.
    pub fn over(sources: Vec<Source>, runtime: &Handle) -> Self {
        Self::with(sources, api::Settings::default(), runtime)
    }

    /// Starts reading sources that are connected already, and bounds requests as told; everybody may ask.
    pub fn with(sources: Vec<Source>, settings: api::Settings, runtime: &Handle) -> Self {
        Self::guarded(sources, None, settings, runtime)
    }

    /// Starts reading sources that are connected already, for callers that access control lets in.
    pub fn guarded(
        sources: Vec<Source>,
        access: Option<Arc<Access>>,
        settings: api::Settings,
        runtime: &Handle,
    ) -> Self {
        Self::remembering(sources, Memory::default(), access, settings, runtime)
    }

    /// The same, with what outlives the process.
    pub fn remembering(
        sources: Vec<Source>,
        memory: Memory,
        access: Option<Arc<Access>>,
        settings: api::Settings,
        runtime: &Handle,
    ) -> Self {
        let Memory {
            recorder,
            restored,
            webhooks,
        } = memory;
        let journal: Arc<dyn Journal> = match &recorder {
            Some(recorder) => Arc::<Recorder>::clone(recorder),
            None => Arc::new(Forgetful),
        };
        let hours = recorder.as_ref().and_then(|recorder| recorder.hours());
        let asked = sources.clone();
        let commons = recorder.as_ref().and_then(|recorder| recorder.commons());
        let (inventory, keeper) = match commons {
            Some((commons, first)) => Keeper::join(sources, first, commons, runtime),
            None => Keeper::resume(sources, restored, Arc::clone(&journal), runtime),
        };
        let keeper = Arc::new(keeper);
        let owned = recorder.as_ref().and_then(|recorder| recorder.owned());
        let live = live_over(&asked, &keeper, owned, runtime);
        let control: Arc<dyn Control> = Arc::<Keeper>::clone(&keeper);
        let webhooks = telling(webhooks, recorder.as_deref(), &inventory, runtime);
        let settings = api::Settings {
            open: access.as_ref().is_none_or(|access| !access.is_guarded()),
            ..settings
        };
        let past = recorder.as_ref().and_then(|recorder| recorder.past());
        let state = ApiState::remembering(
            Arc::clone(&inventory),
            control,
            live.clone(),
            CATALOG,
            settings,
            access.clone(),
            past,
        )
        .with_journal(journal)
        .with_hours(hours.clone())
        .with_webhooks(webhooks.clone());
        let hours = hours.map(|hours| HourWatch::start(Arc::clone(&inventory), hours, runtime));
        let router = api::router(state.clone());
        Self {
            inventory,
            keeper,
            live,
            state,
            router,
            access,
            recorder,
            hours,
            webhooks,
        }
    }

    /// Leaves to other gateways over the same store what they can read as well, as soon as what is under way of it is done. All
    /// else goes on.
    pub fn retire(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.retire();
        }
    }

    /// Lets writes end and be accounted for, then stops reading; waits for all of it together at most so long, and a little for each
    /// that is late.
    pub async fn stop(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let left = || {
            let left = deadline.saturating_duration_since(Instant::now());
            left.max(LATE)
        };
        self.retire();
        self.live.stop(left()).await;
        self.state.settle(left()).await;
        self.keeper.stop(left()).await;
        if let Some(recorder) = &self.recorder {
            recorder.leave(left()).await;
        }
        if let Some(hours) = &self.hours {
            hours.stop(left()).await;
        }
        if let Some(webhooks) = &self.webhooks {
            webhooks.stop(left()).await;
        }
        // What it has left to write down may go into the store.
        if let Some(access) = &self.access {
            access.stop(left()).await;
        }
        if let Some(recorder) = &self.recorder {
            recorder.stop(left()).await;
        }
    }
}

/// What outlives the process.
#[derive(Default)]
pub struct Memory {
    /// What hands publications to the store; `None` forgets them.
    pub recorder: Option<Arc<Recorder>>,
    /// What an earlier process left.
    pub restored: Restored,
    /// Who is told what changes, from where an earlier process left off.
    pub webhooks: Vec<Webhook>,
}

impl Memory {
    /// What of access control is in the store.
    pub fn shared(&self, runtime: &Handle) -> Shared {
        let recorder = self.recorder.as_ref();
        let keys = recorder.and_then(|recorder| recorder.api_keys());
        let audit = recorder.and_then(|recorder| recorder.audit_log(runtime));
        Shared {
            keys: keys.map(|keys| keys as Arc<dyn Vault>),
            audit: audit.map(|audit| audit as Arc<dyn Shelf>),
        }
    }

    /// Opens the store and reads back what it has of these sources.
    pub async fn open(store: store::Settings, sources: &[Source], runtime: &Handle) -> Self {
        let known = sources.iter();
        let known = known.map(|source| (source.name.clone(), source.provider.kind()));
        let (recorder, restored) = Recorder::open(store, known.collect(), runtime).await;
        Self {
            recorder: Some(recorder),
            restored,
            webhooks: Vec::new(),
        }
    }
}

/// What the filters of the configured webhooks mean; says everything that is wrong with them otherwise. Nobody is called.
pub fn webhooks(config: &Config) -> Result<Vec<Webhook>, Mistakes> {
    let names = config.sources.iter().map(|source| source.name.as_str());
    let names: Vec<&str> = names
        .chain(config.disabled.iter().map(SourceName::as_str))
        .collect();
    let mut webhooks = Vec::new();
    let mut mistakes = Vec::new();
    for settings in &config.webhooks {
        let path = format!("webhooks[{}]", settings.name);
        if let Err(error) = Poster::new(settings.post()) {
            mistakes.push(Mistake::new(format!("{path}.ca_file"), told(&error)));
        }
        match api::webhooks::interest(&settings.filter, &names, CATALOG) {
            Ok(interest) => webhooks.push(Webhook {
                settings: settings.clone(),
                interest: Arc::new(interest),
            }),
            Err(wrong) => mistakes.extend(wrong.into_iter().map(|wrong| {
                let allowed = wrong
                    .allowed
                    .map(|words| format!("; accepted are {}", words.join(", ")));
                let key = if wrong.parameter == "kind" {
                    "kinds"
                } else {
                    "filter"
                };
                let reason = format!(
                    "{}: {}{}",
                    wrong.parameter,
                    wrong.detail,
                    allowed.unwrap_or_default()
                );
                Mistake::new(format!("{path}.{key}"), reason)
            })),
        }
    }
    if mistakes.is_empty() {
        Ok(webhooks)
    } else {
        Err(Mistakes(mistakes))
    }
}

/// Starts to tell what changes; `None` where nobody wants to know, or nothing keeps what they are told.
fn telling(
    webhooks: Vec<Webhook>,
    recorder: Option<&Recorder>,
    inventory: &Inventory,
    runtime: &Handle,
) -> Option<Arc<Webhooks>> {
    if webhooks.is_empty() {
        return None;
    }
    let recorder = recorder?;
    let parts = hooks::Parts {
        outbox: recorder.outbox()?,
        past: recorder.past()?,
        generations: inventory.subscribe(),
    };
    match Webhooks::start(webhooks, parts, runtime) {
        Ok(webhooks) => Some(Arc::new(webhooks)),
        Err(error) => {
            // The clients were made once before, when the configuration was found good.
            tracing::error!(error = told(&error), "webhooks cannot be started");
            None
        }
    }
}

/// An error and its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Calls to the vendors of these sources, which tell the keeper what they have shown.
pub fn live(sources: &[Source], keeper: &Arc<Keeper>, runtime: &Handle) -> Live {
    live_over(sources, keeper, None, runtime)
}

/// The same, with operations and idempotency keys in the store where there is one.
fn live_over(
    sources: &[Source],
    keeper: &Arc<Keeper>,
    owned: Option<Arc<store::Owned>>,
    runtime: &Handle,
) -> Live {
    let asked = sources.iter().map(|source| live::Source {
        name: source.name.clone(),
        provider: Arc::clone(&source.provider),
    });
    let (keys, keep): (Arc<dyn Keys>, Arc<dyn Keep>) = match owned {
        Some(owned) => (Arc::<store::Owned>::clone(&owned), owned),
        None => (Arc::new(InMemory::default()), Arc::new(Unkept)),
    };
    Live::keeping(
        asked.collect(),
        Bounds::default(),
        Arc::new(Kept(Arc::clone(keeper))),
        keys,
        keep,
        runtime,
    )
}

/// The inventory, to which calls tell what they have shown.
struct Kept(Arc<Keeper>);

impl Ledger for Kept {
    fn seen(&self, source: &SourceName, seen: Seen) -> BoxFuture<'static, ()> {
        let change = match seen {
            Seen::Listed(listed) => Shown::Listed(listed),
            Seen::Described { id, described, at } => Shown::Described(Box::new(Detailed {
                id,
                described: *described,
                at,
                based_on: u64::MAX,
            })),
            Seen::Gone(id) => Shown::Gone(id),
        };
        Box::pin(self.0.record(source, change))
    }

    fn refresh(&self, source: &SourceName) {
        // A source that is not there has no list to read.
        let _ = Control::refresh(self.0.as_ref(), source);
    }
}

/// Connects sources; says everything that is wrong with their settings otherwise.
pub fn sources(configs: &[SourceConfig]) -> Result<Vec<Source>, Mistakes> {
    let mut sources = Vec::with_capacity(configs.len());
    let mut mistakes = Vec::new();
    for config in configs {
        match connect(config) {
            Ok(connected) => sources.push(Source {
                name: config.name.clone(),
                provider: connected.provider,
                stack: connected.stack,
                schedule: schedule(config),
            }),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() {
        Ok(sources)
    } else {
        Err(Mistakes(mistakes))
    }
}

/// What the API needs to know of the listening side.
fn settings(server: &Server) -> api::Settings {
    // Where others call the gateway by names that it was not told, it cannot tell a wrong one. What reaches loopback has no name
    // but this machine's, unless somebody else's name was made to point here.
    let is_open = server.hosts.is_empty() && !server.listen.ip().is_loopback();
    api::Settings {
        hosts: if is_open {
            Hosts::Any
        } else {
            Hosts::Named(server.hosts.clone())
        },
        cors: Origins::new(&server.cors_origins),
        rate_limit: server.rate_limit,
        proxies: Proxies::new(server.trusted_proxies.clone()),
        over_tls: server.tls.is_some(),
        hsts: (server.tls.is_some() && !server.hsts.is_zero()).then_some(server.hsts),
        shed_above: server.shed_above,
        // Answers come from memory: all that can take time is the request itself.
        body_timeout: server.request_timeout,
        // A stream that has nothing to say is no idle connection.
        heartbeat: (server.idle_timeout / 2).min(api::HEARTBEAT),
        ..api::Settings::default()
    }
}

fn schedule(config: &SourceConfig) -> Schedule {
    let times = &config.schedule;
    Schedule {
        refresh_interval: times.refresh_interval,
        refresh_deadline: times.refresh_deadline,
        staleness_limit: times.staleness_limit,
        // Changed clusters are described at once; the others need it seldom.
        detail_interval: times.details.then(|| {
            times
                .refresh_interval
                .saturating_mul(10)
                .max(Duration::from_mins(5))
        }),
        limits: times.limits(),
        rate: config.stack.rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_open_address_without_names_answers_to_any() {
        let named = vec!["intranet".to_owned()];
        for (listen, hosts, expected) in [
            ("127.0.0.1:1", &[][..], Hosts::Named(Vec::new())),
            ("[::1]:1", &[], Hosts::Named(Vec::new())),
            ("127.0.0.1:1", &named, Hosts::Named(named.clone())),
            ("0.0.0.0:1", &named, Hosts::Named(named.clone())),
            ("0.0.0.0:1", &[], Hosts::Any),
            ("192.0.2.1:1", &[], Hosts::Any),
        ] {
            let server = Server {
                listen: listen.parse().unwrap(),
                hosts: hosts.to_vec(),
                ..Server::default()
            };
            assert_eq!(settings(&server).hosts, expected, "{listen} {hosts:?}");
        }
    }
}
