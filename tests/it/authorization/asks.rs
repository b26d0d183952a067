//! What is asked of each operation, and what foreign things it is asked for.

use clustergate::access::Scope;
use clustergate::app;
use clustergate::sandbox::Vendor;
use http::Method;
use serde_json::{Value, json};

use super::{NOBODYS, OURS, source};

/// The webhook that there is.
pub(super) const WEBHOOK: &str = "ops";

/// What is asked of an operation. `{cluster}`, `{source}` and `{operation}` stand for something that the caller may not see.
pub(super) struct Ask {
    pub(super) query: &'static str,
    pub(super) body: Option<Value>,
    pub(super) is: Is,
}

/// What an answer is about.
pub(super) enum Is {
    /// Nobody's clusters.
    Open,
    /// Whatever the caller sees, of which its own source must be part or not.
    List { of_own: bool },
    /// What is there for those only who see everything: nobody else learns that there is any.
    Everything(u16),
    /// One thing, which is answered so where it does not exist.
    Named(u16, &'static str),
}

impl Ask {
    pub(super) fn open() -> Self {
        Self::new("", Is::Open)
    }

    pub(super) fn list(query: &'static str) -> Self {
        Self::new(query, Is::List { of_own: true })
    }

    pub(super) fn named(query: &'static str, status: u16, code: &'static str) -> Self {
        Self::new(query, Is::Named(status, code))
    }

    pub(super) fn cluster(query: &'static str) -> Self {
        Self::named(query, 404, "CLUSTER_NOT_FOUND")
    }

    pub(super) fn new(query: &'static str, is: Is) -> Self {
        let body = None;
        Self { query, body, is }
    }

    pub(super) fn with(self, body: Value) -> Self {
        let body = Some(body);
        Self { body, ..self }
    }
}

/// What is asked of each operation; one that nobody has thought about here is an error.
pub(super) fn asks(operation: &str, spec: &Value, patch: &Value) -> Vec<Ask> {
    let unknown = |query| Ask::named(query, 400, "INVALID_PARAMETER");
    match operation {
        "read_index" | "check_liveness" | "check_readiness" | "read_openapi"
        | "read_openapi_3_0" | "find_problem" => vec![Ask::open()],
        "list_clusters" => vec![
            Ask::list("?limit=1000"),
            Ask::list("?limit=1000&format=ndjson&include=raw,nodes"),
            Ask::list("?format=csv"),
            unknown("?source={source}"),
            unknown("?source=!{source}"),
        ],
        "list_changes" => vec![
            Ask::list("?limit=1000"),
            Ask::list("?format=ndjson&noise=true"),
            unknown("?source={source}"),
        ],
        "watch_changes" => vec![
            Ask::list("?since={begun}&noise=true"),
            unknown("?source={source}"),
        ],
        "list_providers" | "list_sources" | "read_metrics" => vec![Ask::list("")],
        "find_provider" => vec![Ask::new("", Is::List { of_own: false })],
        "list_operations" => vec![
            Ask::list(""),
            unknown("?source={source}"),
            Ask::named("?cluster={cluster}", 200, ""),
        ],
        "summarize_clusters" | "read_merged_kubeconfig" => {
            vec![Ask::list(""), unknown("?source={source}")]
        }
        "list_audit" => vec![Ask::new("?limit=1000", Is::Everything(403))],
        "list_webhooks" => vec![Ask::new("", Is::Everything(200))],
        "list_webhook_deliveries" | "redeliver_webhook_event" | "test_webhook" => {
            vec![Ask::new("", Is::Everything(404))]
        }
        "find_source" | "refresh_source" => vec![Ask::named("", 404, "SOURCE_NOT_FOUND")],
        "find_operation" => vec![Ask::named("", 404, "OPERATION_NOT_FOUND")],
        "find_cluster" => vec![Ask::cluster(""), Ask::cluster("?include=raw,nodes")],
        "list_nodes"
        | "read_cluster_health"
        | "read_kubeconfig"
        | "read_credential"
        | "list_cluster_operations"
        | "read_cluster_history"
        | "provision_cluster" => vec![Ask::cluster("")],
        "read_cluster_metrics" => vec![Ask::cluster("?period=24h")],
        "create_cluster" => {
            let mut body = spec.clone();
            body["source"] = json!("{source}");
            vec![Ask::named("", 404, "SOURCE_NOT_FOUND").with(body)]
        }
        "update_cluster" => vec![Ask::cluster("").with(patch.clone())],
        "destroy_cluster" => vec![Ask::cluster("").with(json!({"name": "not its name"}))],
        "forget_cluster" => vec![Ask::cluster(""), Ask::cluster("?force=true")],
        other => panic!("nothing is asked here of the operation {other}"),
    }
}

/// An operation of the document.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: Method,
    /// Its path, with a word for what it names.
    pub(super) path: String,
    pub(super) scope: Option<Scope>,
}

pub(super) fn operations() -> Vec<Operation> {
    let document = app::openapi(false);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let id = if path.starts_with("/operations") {
            "{operation}"
        } else {
            "{cluster}"
        };
        let name = if path.starts_with("/webhooks") {
            WEBHOOK
        } else if path.starts_with("/providers") {
            "{provider}"
        } else {
            "{source}"
        };
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation.get("x-required-scope");
            found.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_ascii_uppercase().parse().unwrap(),
                path: (path.replace("{id}", id))
                    .replace("{name}", name)
                    .replace("{code}", "internal"),
                scope: scope.map(|scope| scope.as_str().unwrap().parse().unwrap()),
            });
        }
    }
    found
}

/// A request that is the same however often it is sent.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) body: Option<String>,
    pub(super) key: String,
}

impl Call {
    pub(super) fn new(method: Method, target: impl Into<String>) -> Self {
        let target = target.into();
        Self {
            method,
            key: "same".to_owned(),
            target,
            body: None,
        }
    }
}

/// The foreign things that requests name, another cluster for each request.
pub(super) struct Foreign {
    pub(super) vendor: Vendor,
    pub(super) clusters: Vec<String>,
    pub(super) operation: String,
    /// The generation after which all changes are known.
    pub(super) begun_at: u64,
    /// How many clusters were named.
    pub(super) named: usize,
}

impl Foreign {
    /// A request with foreign names in it, and the pairs of what it names and of what does not exist in its place: another
    /// source's, and another one of the same source.
    pub(super) fn call(
        &mut self,
        operation: &Operation,
        ask: &Ask,
    ) -> (Call, Vec<(String, String)>) {
        let body = ask.body.as_ref().map(Value::to_string);
        let target = format!("{}{}", operation.path, ask.query);
        let all = format!("{target}{}", body.as_deref().unwrap_or(""));
        let name = source(self.vendor);
        let elsewhere = |id: &str| id.replace(OURS, NOBODYS);
        let (cluster, pairs) = if all.contains("{cluster}") {
            let id = self.clusters[self.named].clone();
            self.named += 1;
            let others = vec![elsewhere(&id), beside(&id, &self.clusters)];
            (id, others)
        } else {
            (String::new(), vec![elsewhere(&name)])
        };
        let hidden = if all.contains("{operation}") {
            &self.operation
        } else if cluster.is_empty() {
            &name
        } else {
            &cluster
        };
        let others = if hidden == &self.operation {
            let taken = std::slice::from_ref(&self.operation);
            vec![elsewhere(hidden), beside(hidden, taken)]
        } else {
            pairs
        };
        let put = |text: String| {
            text.replace("{cluster}", &cluster)
                .replace("{operation}", &self.operation)
                .replace("{provider}", self.vendor.name())
                .replace("{source}", &name)
                .replace("{begun}", &self.begun_at.to_string())
        };
        let pairs = others.into_iter().map(|other| (hidden.clone(), other));
        let mut call = Call::new(operation.method.clone(), put(target));
        call.body = body.map(put);
        (call, pairs.collect())
    }
}

/// An id that nothing has, in the same letters but the last.
pub(super) fn beside(id: &str, taken: &[String]) -> String {
    let start = &id[..id.len() - 1];
    let mut candidates = ('a'..='z').map(|letter| format!("{start}{letter}"));
    let free = candidates.find(|candidate| candidate != id && !taken.contains(candidate));
    free.unwrap()
}
