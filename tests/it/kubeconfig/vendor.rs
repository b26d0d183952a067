//! A scripted vendor that gives kubeconfigs, and a gateway over it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clustergate::app::Gateway;
use clustergate::domain::{Cluster, Kind, SourceName, Vantage};
use clustergate::inventory::{Schedule, Source};
use clustergate::provider::{
    Asked, Capabilities, Capability, Described, ErrorKind, Kubeconfig, Limits, Listed, Locator,
    Page, PageCursor, Provider, ProviderError,
};
use clustergate::upstream::{Credential, Dialect, Scheme, Stack, StackSettings, TokenSource};
use http::Request;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::support::{PATIENCE, Reply, to_this_machine};

/// What the vendor says when it is asked for a cluster's kubeconfig.
#[derive(Clone)]
pub(super) enum Said {
    File(String),
    Failure(ErrorKind),
    /// Answers after a while.
    Late(Duration, String),
}

/// A vendor with these clusters: their native id, and what it says of each.
pub(super) struct Vendor {
    source: SourceName,
    clusters: BTreeMap<String, (String, Said)>,
    capabilities: &'static Capabilities,
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

const WITH: Capabilities = Capabilities {
    vantage: Vantage::Hosts,
    operations: &[Capability::List, Capability::Kubeconfig],
    reports: &["name"],
    detail_only: &[],
};
const WITHOUT: Capabilities = Capabilities {
    operations: &[Capability::List],
    ..WITH
};

impl Vendor {
    /// Clusters as native id, name and what is said of them.
    pub(super) fn new<'a>(
        source: &str,
        clusters: impl IntoIterator<Item = (&'a str, &'a str, Said)>,
    ) -> Self {
        Self {
            source: SourceName::new(source).unwrap(),
            clusters: clusters
                .into_iter()
                .map(|(id, name, said)| (id.to_owned(), (name.to_owned(), said)))
                .collect(),
            capabilities: &WITH,
            asked: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        }
    }

    /// The same, without the call.
    pub(super) fn without_kubeconfigs(mut self) -> Self {
        self.capabilities = &WITHOUT;
        self
    }

    /// How often it was asked, and how often at once at most.
    pub(super) fn asked(&self) -> (usize, usize) {
        (
            self.asked.load(Ordering::SeqCst),
            self.most_at_once.load(Ordering::SeqCst),
        )
    }
}

impl Provider for Vendor {
    fn kind(&self) -> Kind {
        Kind::new("latitude")
    }

    fn capabilities(&self) -> &'static Capabilities {
        self.capabilities
    }

    fn list_page<'a>(&'a self, _: Option<&'a PageCursor>) -> Asked<'a, Page> {
        let listed = |(id, (name, _)): (&String, &(String, Said))| Listed {
            cluster: Cluster::new(
                &self.source,
                self.kind(),
                id.clone(),
                name.clone(),
                Vantage::Hosts,
            ),
            locator: Locator::new(id),
            raw: None,
            nodes: None,
        };
        let page = Page {
            clusters: self.clusters.iter().map(listed).collect(),
            ..Page::default()
        };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn describe<'a>(&'a self, _: &'a Locator) -> Asked<'a, Described> {
        Box::pin(std::future::ready(Err(ProviderError::not_supported(
            "describe",
        ))))
    }

    fn kubeconfig<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Kubeconfig> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            let (_, said) = &self.clusters[cluster.as_str()];
            let answer = match said.clone() {
                Said::File(yaml) => Ok(Kubeconfig::new(yaml)),
                Said::Failure(kind) => Err(ProviderError::new(kind, "kubeconfig")),
                Said::Late(after, yaml) => {
                    sleep(after).await;
                    Ok(Kubeconfig::new(yaml))
                }
            };
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    }
}

/// A vendor's kubeconfig with these lines for its cluster and its user.
pub(super) fn kubeconfig(server: &str, cluster: &str, user: &str) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: vendor\n  cluster:\n    server: {server}\n"
    );
    for line in cluster.lines() {
        let _ = writeln!(text, "    {line}");
    }
    text.push_str("users:\n- name: admin\n  user:\n    x: y\n");
    for line in user.lines() {
        let _ = writeln!(text, "    {line}");
    }
    text.push_str(
        "contexts:\n- name: it\n  context: {cluster: vendor, user: admin}\ncurrent-context: it\n",
    );
    text
}

/// The lines of a certificate authority.
pub(super) fn authority(pem: &str) -> String {
    format!("certificate-authority-data: {}", STANDARD.encode(pem))
}

/// The lines of a client certificate.
pub(super) fn certificate(pem: &str, key: &str) -> String {
    format!(
        "client-certificate-data: {}\nclient-key-data: {}",
        STANDARD.encode(pem),
        STANDARD.encode(key)
    )
}

/// A gateway over such vendors.
pub(super) struct Stage(pub(super) Gateway);

impl Stage {
    /// Starts it, and waits for the first listings.
    pub(super) async fn over(vendors: impl IntoIterator<Item = Arc<Vendor>>) -> Self {
        let sources = vendors.into_iter().map(|vendor| Source {
            name: vendor.source.clone(),
            provider: vendor,
            stack: unused(),
            schedule: Schedule {
                refresh_interval: Duration::from_hours(1),
                refresh_deadline: Duration::from_mins(1),
                staleness_limit: Duration::from_hours(3),
                detail_interval: None,
                limits: Limits::default(),
                rate: None,
            },
        });
        let gateway = Gateway::over(sources.collect(), &Handle::current());
        let mut changes = gateway.inventory.subscribe();
        let settled = async {
            while (gateway.inventory.current().sources().iter())
                .any(|source| source.attempts.is_empty())
            {
                changes.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, settled).await.unwrap();
        Self(gateway)
    }

    /// Asks the API in process.
    pub(super) async fn get(&self, path_and_query: &str) -> Reply {
        let request = Request::get(path_and_query).body(Body::empty()).unwrap();
        let answered = self.0.router.clone().oneshot(to_this_machine(request));
        let (parts, body) = answered.await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Reply {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// A stack that nobody calls: the provider is scripted.
fn unused() -> Stack {
    let credential = Credential {
        token: Arc::new(TokenSource::Value("unused".into())),
        scheme: Scheme::Bearer,
    };
    let settings = StackSettings::new("http://127.0.0.1:9".parse().unwrap());
    Stack::connect(settings, credential, Dialect::PLAIN).unwrap()
}
