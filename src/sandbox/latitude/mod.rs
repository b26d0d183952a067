//! Latitude.sh: projects, the legacy Kubernetes clusters and their successor LKS.

mod access;
mod catalogue;
mod ledger;
mod legacy;
mod lists;
mod lks;
mod record;
mod writes;

use std::sync::Mutex;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fleet::{Arrangement, BASE62, Dice, HEX};
use super::world::{Answer, Api, Call, Context, Fleet, Kind, Problem};
use super::{Example, Truth, Vendor};
use catalogue::{lks_sites, lks_versions, plans, versions};
use ledger::Ledger;

const ROWS: &[&str] = &["/data"];
const CANARY: &str = "SECRET-CANARY";
const PROJECTS_MAX: u64 = 200;

pub(super) struct Latitude {
    context: Context,
    token: String,
    ledger: Mutex<Ledger>,
    /// Held while a write is checked and done.
    writing: Mutex<()>,
    began: Instant,
}

impl Latitude {
    pub(super) fn new(context: Context) -> Self {
        let token = Dice::new(&[context.seed, 905]).letters(HEX, 40);
        Self {
            context,
            token,
            ledger: Mutex::default(),
            writing: Mutex::default(),
            began: Instant::now(),
        }
    }

    fn projects(&self) -> u64 {
        (self.context.initial as u64)
            .div_ceil(8)
            .clamp(1, PROJECTS_MAX)
    }

    fn project_id(&self, number: u64) -> String {
        format!(
            "proj_{}",
            Dice::new(&[self.context.seed, number, 41]).letters(BASE62, 13)
        )
    }

    /// A project by its id or its slug.
    fn project_of(&self, text: &str) -> Option<u64> {
        (0..self.projects())
            .find(|number| self.project_id(*number) == text || slug(*number) == text)
    }

    fn legacy(&self, serial: u64) -> bool {
        let birth = self.birth(serial);
        birth.map_or_else(|| self.drawn_legacy(serial), |birth| birth.legacy)
    }

    /// A project has at most one legacy cluster, and a fifth of them has none.
    fn drawn_legacy(&self, serial: u64) -> bool {
        serial < self.projects() && serial % 5 != 4
    }

    fn id(&self, serial: u64) -> String {
        let mut dice = Dice::new(&[self.context.seed, serial, 2]);
        if self.legacy(serial) {
            format!("kc_{}", dice.letters(BASE62, 13))
        } else {
            format!("lksc_{}", dice.letters(HEX, 14))
        }
    }
}

fn slug(number: u64) -> String {
    format!("project-{number}")
}

/// The shape of all Kubernetes examples.
fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(
        status,
        json!({"errors": [{"code": code, "message": message}]}),
    )
}

/// The shape of the schema and of other resources.
fn titled(status: u16, code: &str, detail: &str) -> Answer {
    Answer::json(
        status,
        json!({"errors": [{"code": code, "status": status.to_string(), "title": "Error", "detail": detail, "meta": {}}]}),
    )
}

impl Api for Latitude {
    fn token(&self) -> &str {
        &self.token
    }

    fn content_type(&self) -> &'static str {
        "application/vnd.api+json; charset=utf-8"
    }

    fn features(&self) -> &'static [(&'static str, bool)] {
        &[
            ("kubernetes", true),
            ("lks", true),
            ("stock", true),
            ("management-plane", true),
            ("read-only-key", false),
            ("vanishing-project", false),
        ]
    }

    fn ids(&self, serial: u64) -> Vec<String> {
        vec![self.id(serial)]
    }

    fn arrange(&self, alive: &[u64], _revision: u64) -> Arrangement {
        let projects = self.projects();
        let mut groups = vec![Vec::new(); usize::try_from(projects).unwrap_or(1)];
        for serial in alive {
            let drawn = serial % projects;
            let project = self.birth(*serial).map_or(drawn, |birth| birth.project);
            if let Some(group) = usize::try_from(project)
                .ok()
                .and_then(|at| groups.get_mut(at))
            {
                group.push(*serial);
            }
        }
        Arrangement {
            groups,
            ..Arrangement::default()
        }
    }

    fn truth(&self, serial: u64, revision: u64) -> Truth {
        let record = self.record(serial, revision);
        let unknown = record.legacy && record.odd && record.status == Some("Unknown");
        Truth {
            vendor: Vendor::Latitude,
            version: (!unknown).then(|| record.version()),
            region: (!unknown).then(|| record.site.to_owned()),
            nodes: Some(if record.legacy {
                record.nodes.max(record.control_planes())
            } else {
                record.nodes
            }),
            family: if record.legacy { "kubernetes" } else { "lks" },
            parent: Some(self.project_id(record.project)),
            id: record.id,
            name: record.name,
            status: record.status.map(str::to_owned),
        }
    }

    fn kind(&self, call: &Call) -> Kind {
        let path = call.path();
        if !call.is(&Method::GET) {
            let family = path.first().copied().unwrap_or_default();
            return match (call.parts.method.as_str(), path.as_slice()) {
                ("POST", ["kubernetes_clusters"] | ["lks", "clusters"]) => Kind::write("create"),
                ("PATCH", ["kubernetes_clusters", _] | ["lks", "clusters", _]) => {
                    Kind::write("update")
                }
                ("DELETE", ["kubernetes_clusters", _] | ["lks", "clusters", _]) => {
                    Kind::write("destroy")
                }
                _ if ["kubernetes_clusters", "lks"].contains(&family) => {
                    Kind::write("unknown-write")
                }
                _ => Kind::UNKNOWN,
            };
        }
        match path.as_slice() {
            ["projects"] => Kind::list("projects"),
            ["kubernetes_clusters"] => Kind::list("legacy-list"),
            ["kubernetes_clusters", "available_versions"] => Kind::other("versions"),
            ["kubernetes_clusters", _] => Kind::detail("legacy-detail"),
            ["kubernetes_clusters", _, "kubeconfig"] | ["lks", "clusters", _, "kubeconfig"] => {
                Kind::secret("kubeconfig")
            }
            ["lks", "clusters"] => Kind::list("lks-list"),
            ["lks", "clusters", _] => Kind::detail("lks-detail"),
            ["lks", "clusters", _, "nodepools"] => Kind::other("node-pools"),
            ["lks", "clusters", _, "nodepools", _] => Kind::other("node-pool"),
            ["lks", "clusters", _, "nodepools", _, "nodes"] => Kind::other("nodes"),
            ["lks", "available_versions"] => Kind::other("lks-versions"),
            ["lks", "sites"] => Kind::other("lks-sites"),
            ["plans"] | ["plans", "lks"] => Kind::other("plans"),
            ["user", "profile"] => Kind::other("profile"),
            _ => Kind::UNKNOWN,
        }
    }

    fn authorized(&self, call: &Call) -> bool {
        call.bearer() == Some(self.token.as_str())
            || call.header("authorization") == Some(self.token.as_str())
    }

    fn answer(&self, call: &Call, kind: Kind) -> Answer {
        if kind == Kind::UNKNOWN || !call.is(&Method::GET) {
            return titled(404, "not_found", "Specified Record Not Found");
        }
        let path = call.path();
        let family = match path.as_slice() {
            ["kubernetes_clusters", ..] => Some("kubernetes"),
            ["lks", ..] => Some("lks"),
            _ => None,
        };
        if family.is_some_and(|family| !call.feature(family)) {
            return refused(
                403,
                "FEATURE_NOT_ENABLED",
                "Managed Kubernetes is not enabled for this team",
            );
        }
        let of_lks = |id: &str| self.find(call, id, false);
        let found = match path.as_slice() {
            ["projects"] => Some(self.project_list(call)),
            ["kubernetes_clusters"] => Some(self.cluster_list(call, true)),
            ["lks", "clusters"] => Some(self.cluster_list(call, false)),
            ["kubernetes_clusters", "available_versions"] => Some(versions()),
            ["kubernetes_clusters", id] => match self.find(call, id, true) {
                Some(record) => {
                    Some(Answer::ok(json!({"data": self.legacy_detail(&record)})).rows(ROWS))
                }
                None => Some(refused(
                    404,
                    "NOT_FOUND",
                    &format!("Cluster {id} not found"),
                )),
            },
            ["kubernetes_clusters", id, "kubeconfig"] => Some(self.kubeconfig(call, id, true)),
            ["lks", "clusters", id, "kubeconfig"] => Some(self.kubeconfig(call, id, false)),
            ["lks", "clusters", id] => {
                of_lks(id).map(|record| Answer::ok(json!({"data": self.lks(&record)})).rows(ROWS))
            }
            ["lks", "clusters", id, "nodepools"] => of_lks(id).map(|record| Self::pools(&record)),
            ["lks", "clusters", id, "nodepools", pool] => of_lks(id).and_then(|record| {
                let (at, count) = Self::one_pool(&record, pool)?;
                Some(Answer::ok(json!({"data": Self::pool(&record, at, count)})).rows(ROWS))
            }),
            ["lks", "clusters", id, "nodepools", pool, "nodes"] => of_lks(id).and_then(|record| {
                let (at, count) = Self::one_pool(&record, pool)?;
                Some(self.pool_nodes(call, &record, at, count))
            }),
            ["lks", "available_versions"] => Some(lks_versions()),
            ["lks", "sites"] => Some(lks_sites()),
            ["plans", ..] => Some(plans()),
            ["user", "profile"] => Some(Answer::ok(
                json!({"data": {"id": "user_1", "type": "users", "attributes": {"email": format!("{CANARY}@example.com")}}}),
            )),
            _ => None,
        };
        found.unwrap_or_else(|| titled(404, "NOT_FOUND", "Cluster not found"))
    }

    fn write(&self, call: &Call, _kind: Kind, fleet: &dyn Fleet) -> Answer {
        self.change(call, fleet)
    }

    fn advance(&self) -> usize {
        self.step()
    }

    fn gone(&self) -> Vec<u64> {
        self.take_gone()
    }

    fn example(&self, name: &str) -> Option<Example> {
        Some(self.example_of(name))
    }

    fn problem(&self, call: &Call, problem: Problem) -> Answer {
        let lks = call.segments.first().is_some_and(|first| first == "lks");
        match problem {
            Problem::BadRequest => refused(
                400,
                "VALIDATION_ERROR",
                "project_id query param is required",
            ),
            Problem::Unauthorized => refused(401, "UNAUTHORIZED", "Invalid token"),
            Problem::Expired => refused(401, "UNAUTHORIZED", "Token has expired"),
            Problem::Forbidden => refused(403, "FORBIDDEN", "Your role does not allow this"),
            Problem::NotFound => titled(404, "not_found", "Specified Record Not Found"),
            Problem::TooMany(wait) => {
                let mut error = json!({"code": "RATE_LIMIT_EXCEEDED", "status": "429", "title": "Too Many Requests", "detail": "Rate limit exceeded"});
                if let Some(wait) = wait {
                    error["meta"] = json!({"retry_after": u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(60).max(1)});
                }
                Answer::json(429, json!({"errors": [error]}))
            }
            Problem::Internal => titled(500, "INTERNAL_SERVER_ERROR", "Something went wrong"),
            Problem::Unavailable if lks => titled(
                503,
                "SERVICE_UNAVAILABLE",
                "The platform controller did not answer",
            ),
            Problem::Unavailable => refused(
                503,
                "MANAGEMENT_CLUSTER_ERROR",
                "Management cluster is unreachable",
            ),
        }
    }

    fn legacy(&self, _call: &Call, answer: Answer) -> Answer {
        // Plain objects in place of JSON:API, as an API this old once had.
        let data = answer.body()["data"].clone();
        let flat = |row: &Value| {
            let mut flat = row["attributes"].clone();
            flat["id"] = row["id"].clone();
            flat
        };
        match &data {
            Value::Array(rows) => {
                Answer::ok(json!({"clusters": rows.iter().map(flat).collect::<Vec<_>>()}))
            }
            row => Answer::ok(flat(row)),
        }
    }
}
