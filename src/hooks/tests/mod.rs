//! Webhooks over an outbox in memory and servers that answer as told, in paused time.

mod delivering;
mod telling;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::backoff::Dice;
use super::testing::{Memory, Server, clock};
use super::*;
use crate::domain::SourceName;
use crate::inventory::past::Past;
use crate::inventory::testing::{Archive, Stage, cluster};
use crate::inventory::{ChangeKind, Interest};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// No time that is waited for in a test is longer; it passes at once.
const PATIENCE: Duration = Duration::from_hours(60 * 24);

/// A fleet, and what becomes of its changes.
struct Field {
    stage: Stage,
    outbox: Arc<Memory>,
    clock: super::webhooks::Clock,
}

fn webhook(name: &str) -> Webhook {
    let name = HookName::new(name).unwrap();
    let target = Target::new("https://hooks.example/", false).unwrap();
    let secret = SecretSource::Value(SECRET.into());
    Webhook {
        settings: Settings::new(name, target, secret),
        interest: Arc::new(Interest::default()),
    }
}

impl Field {
    fn new() -> Self {
        let stage = Stage::new(&["a", "b"]);
        Self {
            outbox: Memory::over(&stage.inventory),
            stage,
            clock: clock(),
        }
    }

    /// Starts webhooks with dice that always say the most.
    fn start(&self, hooks: Vec<(Webhook, &Arc<Server>)>) -> Webhooks {
        self.start_with(hooks, |most| most)
    }

    fn start_with(&self, hooks: Vec<(Webhook, &Arc<Server>)>, dice: Dice) -> Webhooks {
        let hooks = hooks.into_iter();
        let hooks = hooks.map(|(hook, server)| {
            let way: Arc<dyn Way> = Arc::<Server>::clone(server);
            (hook, way)
        });
        let past: Arc<dyn Past> = Arc::<Archive>::clone(&self.stage.archive);
        let parts = Parts {
            outbox: Arc::<Memory>::clone(&self.outbox),
            past,
            generations: self.stage.inventory.subscribe(),
        };
        Webhooks::over(
            hooks.collect(),
            parts,
            &self.clock,
            dice,
            &Handle::current(),
        )
    }

    /// Lets webhooks see where they begin.
    async fn begun(&self, names: &[&str]) {
        for name in names {
            let name = HookName::new(name).unwrap();
            until("a place", || {
                let mut account = Box::pin(self.outbox.account(&name));
                let account = futures_util::FutureExt::now_or_never(&mut account);
                matches!(account, Some(Ok(Some(_))))
            })
            .await;
        }
    }

    /// Lists a source with so many clusters.
    fn list(&mut self, source: &str, count: usize) {
        let ids = (0..count).map(|number| number.to_string());
        let clusters = ids.map(|id| cluster(source, &id, "running", None));
        let clusters = clusters.collect();
        self.stage.list(source, clusters);
    }
}

/// Waits until something is so, in paused time.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}
