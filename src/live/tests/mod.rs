//! Calls to a vendor that answers as told, in paused time.

mod lookback;
mod operations;
mod outages;
mod reads;
mod restarts;
mod writes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending, ready};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::*;
use crate::domain::{
    ClusterPatch, ClusterSpec, Kind, OperationKind, OperationState, State, Vantage,
};
use crate::provider::{
    Asked, Capabilities, Capability, ErrorKind, Infrastructure, Page, PageCursor, Warnings, Written,
};
use crate::upstream::{FailureKind, UpstreamError};

/// What is answered to the n-th call, from 0.
type Reply<T> = Box<dyn Fn(usize) -> Asked<'static, T> + Send + Sync>;

/// A vendor that answers as told, and remembers what it was asked.
struct Script {
    describe: Reply<Described>,
    nodes: Reply<Vec<Node>>,
    write: Reply<Written>,
    find_created: Reply<Option<Listed>>,
    operation: Reply<Operation>,
    operations: Reply<Vec<Operation>>,
    infrastructure: Infrastructure,
    capabilities: &'static Capabilities,
    asked: Mutex<Vec<&'static str>>,
}

static ALL: Capabilities = Capabilities {
    vantage: Vantage::Hosts,
    operations: &Capability::ALL,
    reports: &["name"],
    detail_only: &[],
};

/// A vendor that keeps no record of its work.
static SILENT: Capabilities = Capabilities {
    vantage: Vantage::Hosts,
    operations: &[
        Capability::List,
        Capability::Describe,
        Capability::Create,
        Capability::Update,
        Capability::Destroy,
    ],
    reports: &["name"],
    detail_only: &[],
};

impl Default for Script {
    fn default() -> Self {
        Self {
            describe: Box::new(|_| fine(described(State::Running))),
            nodes: Box::new(|_| fine(vec![Node::default()])),
            write: Box::new(|_| fine(Written::default())),
            find_created: Box::new(|_| fine(None)),
            operation: Box::new(|_| fail(ErrorKind::NotFound)),
            operations: Box::new(|_| fine(Vec::new())),
            infrastructure: Infrastructure::None,
            capabilities: &ALL,
            asked: Mutex::default(),
        }
    }
}

impl Script {
    fn take<T: Send + 'static>(&self, what: &'static str, reply: &Reply<T>) -> Asked<'static, T> {
        let call = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(what);
            asked.iter().filter(|asked| **asked == what).count() - 1
        };
        reply(call)
    }

    fn count(&self, what: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| **asked == what).count()
    }
}

impl Provider for Script {
    fn kind(&self) -> Kind {
        Kind::new("script")
    }

    fn capabilities(&self) -> &'static Capabilities {
        self.capabilities
    }

    fn list_page<'a>(&'a self, _: Option<&'a PageCursor>) -> Asked<'a, Page> {
        fine(Page::default())
    }

    fn describe<'a>(&'a self, _: &'a Locator) -> Asked<'a, Described> {
        self.take("describe", &self.describe)
    }

    fn nodes<'a>(&'a self, _: &'a Locator) -> Asked<'a, Vec<Node>> {
        self.take("nodes", &self.nodes)
    }

    fn create<'a>(&'a self, _: &'a ClusterSpec) -> Asked<'a, Written> {
        self.take("write", &self.write)
    }

    fn find_created<'a>(&'a self, _: &'a ClusterSpec) -> Asked<'a, Option<Listed>> {
        self.take("find_created", &self.find_created)
    }

    fn update<'a>(&'a self, _: &'a Locator, _: &'a ClusterPatch) -> Asked<'a, Written> {
        self.take("write", &self.write)
    }

    fn provision<'a>(&'a self, _: &'a Locator) -> Asked<'a, Written> {
        self.take("write", &self.write)
    }

    fn destroy<'a>(&'a self, _: &'a Locator) -> Asked<'a, Written> {
        self.take("write", &self.write)
    }

    fn forget<'a>(&'a self, _: &'a Locator) -> Asked<'a, Written> {
        self.take("write", &self.write)
    }

    fn infrastructure(&self, _: &Cluster) -> Infrastructure {
        self.infrastructure
    }

    fn operation<'a>(&'a self, _: &'a str) -> Asked<'a, Operation> {
        self.take("operation", &self.operation)
    }

    fn operations<'a>(&'a self, _: &'a Locator) -> Asked<'a, Vec<Operation>> {
        self.take("operations", &self.operations)
    }
}

/// Writes down what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|note| *note == what).count()
    }
}

impl Ledger for Notes {
    fn seen(&self, _: &SourceName, seen: Seen) -> BoxFuture<'static, ()> {
        let note = match seen {
            Seen::Listed(listed) => format!(
                "listed {} {}",
                listed.cluster.native_id,
                listed.cluster.status.state.as_str()
            ),
            Seen::Described { id, described, .. } => {
                format!("described {id} {}", described.cluster.status.state.as_str())
            }
            Seen::Gone(id) => format!("gone {id}"),
        };
        self.0.lock().unwrap().push(note);
        ready(()).boxed()
    }

    fn refresh(&self, source: &SourceName) {
        self.0.lock().unwrap().push(format!("refresh {source}"));
    }
}

struct Rig {
    live: Live,
    script: Arc<Script>,
    notes: Arc<Notes>,
}

fn rig(script: Script) -> Rig {
    rig_within(script, Bounds::default())
}

fn rig_within(script: Script, bounds: Bounds) -> Rig {
    let (script, notes) = (Arc::new(script), Arc::<Notes>::default());
    let source = Source {
        name: source(),
        provider: Arc::clone(&script) as Arc<dyn Provider>,
    };
    let live = Live::new(
        vec![source],
        bounds,
        Arc::clone(&notes) as Arc<dyn Ledger>,
        Arc::new(InMemory::default()),
        &Handle::current(),
    );
    Rig {
        live,
        script,
        notes,
    }
}

fn source() -> SourceName {
    SourceName::new("s").unwrap()
}

fn target_of(native_id: &str) -> Target {
    Target {
        id: ClusterId::new(&source(), native_id),
        source: source(),
        locator: Locator::new(native_id),
    }
}

fn target() -> Target {
    target_of("c")
}

fn cluster(state: State) -> Cluster {
    let mut cluster = Cluster::new(&source(), Kind::new("script"), "c", "one", Vantage::Hosts);
    cluster.status.state = state;
    cluster
}

fn described(state: State) -> Described {
    Described {
        cluster: cluster(state),
        nodes: None,
        raw: None,
        warnings: Warnings::default(),
    }
}

fn listed(state: State) -> Listed {
    Listed {
        cluster: cluster(state),
        locator: Locator::new("c"),
        raw: None,
        nodes: None,
    }
}

fn fine<'a, T: Send + 'a>(value: T) -> Asked<'a, T> {
    ready(Ok(value)).boxed()
}

fn fail<'a, T: Send + 'a>(kind: ErrorKind) -> Asked<'a, T> {
    ready(Err(error(kind))).boxed()
}

/// A failure as it comes from a call, or as an adapter finds it without one.
fn error(kind: ErrorKind) -> ProviderError {
    match kind {
        ErrorKind::Call(call) => ProviderError::call("test", UpstreamError::new(call)),
        kind => ProviderError::new(kind, "test"),
    }
}

const TIMEOUT: ErrorKind = ErrorKind::Call(FailureKind::Timeout);

fn after<T: Send + 'static>(seconds: u64, value: T) -> Asked<'static, T> {
    async move {
        sleep(Duration::from_secs(seconds)).await;
        Ok(value)
    }
    .boxed()
}

fn code<T: std::fmt::Debug>(outcome: &Result<T, Failure>) -> &'static str {
    match outcome.as_ref().unwrap_err() {
        Failure::Provider(error) => error.kind.code(),
        Failure::Deadline => "deadline",
        Failure::Busy => "busy",
        Failure::NoSource => "no source",
        Failure::Stopping => "stopping",
        Failure::Away => "away",
        Failure::Broken => "broken",
    }
}
