//! Kubeadapt: the current generation of its read API.

mod clusters;
mod nodes;
mod paging;
mod record;
mod trend;

use std::cmp::Reverse;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fleet::{Arrangement, BASE62, Dice, uuid};
use super::world::{Allowance, Answer, Api, Call, Context, Kind, Problem};
use super::{Truth, Vendor};
use paging::{envelope, failure};

const ROWS: &[&str] = &["/data"];
const DAY: i64 = 86_400;
const NODE_PARAMETERS: [&str; 11] = [
    "limit",
    "cursor",
    "include_total",
    "cluster_id",
    "node_group",
    "instance_type",
    "zone",
    "is_spot",
    "is_ready",
    "architecture",
    "capacity_type",
];

pub(super) struct Kubeadapt {
    context: Context,
    token: String,
}

impl Kubeadapt {
    pub(super) fn new(context: Context) -> Self {
        let token = format!(
            "ka_live_{}",
            Dice::new(&[context.seed, 902]).letters(BASE62, 32)
        );
        Self { context, token }
    }

    fn id(&self, serial: u64) -> String {
        uuid(&mut Dice::new(&[self.context.seed, serial, 2]))
    }
}

impl Api for Kubeadapt {
    fn token(&self) -> &str {
        &self.token
    }

    fn features(&self) -> &'static [(&'static str, bool)] {
        &[
            ("cost-trend", true),
            ("cursor-on-last-page", false),
            ("allow-list", false),
            ("expire-cursors", false),
        ]
    }

    fn ids(&self, serial: u64) -> Vec<String> {
        vec![self.id(serial)]
    }

    fn arrange(&self, alive: &[u64], revision: u64) -> Arrangement {
        let mut main = alive.to_vec();
        main.sort_by_cached_key(|serial| (Reverse(self.rate(*serial, revision)), self.id(*serial)));
        Arrangement {
            main,
            ..Arrangement::default()
        }
    }

    fn truth(&self, serial: u64, revision: u64) -> Truth {
        let record = self.record(serial, revision);
        Truth {
            vendor: Vendor::Kubeadapt,
            id: record.id,
            name: record.name,
            status: Some(record.status.to_owned()),
            region: Some(record.region.to_owned()),
            version: Some(record.version),
            nodes: Some(record.nodes),
            family: "clusters",
            parent: None,
        }
    }

    fn kind(&self, call: &Call) -> Kind {
        match call.path().as_slice() {
            ["health"] | ["health", "live" | "ready"] => Kind::open("health"),
            ["v1", "clusters"] => Kind::list("list"),
            ["v1", "clusters", _] => Kind::detail("detail"),
            ["v1", "clusters", _, "nodes"] => Kind::other("cluster-nodes"),
            ["v1", "nodes"] => Kind::other("nodes"),
            ["v1", "nodes", _] => Kind::other("node"),
            ["v1", "clusters", _, "node-groups"] => Kind::other("cluster-node-groups"),
            ["v1", "clusters", _, "node-groups", _] => Kind::other("node-group"),
            ["v1", "node-groups"] => Kind::other("node-groups"),
            ["v1", "clusters", _, "cost-trend"] if call.feature("cost-trend") => {
                Kind::other("cost-trend")
            }
            ["v1", "organization"] => Kind::other("organization"),
            _ => Kind::UNKNOWN,
        }
    }

    fn answer(&self, call: &Call, kind: Kind) -> Answer {
        if !call.is(&Method::GET) || kind == Kind::UNKNOWN {
            return failure(
                call,
                404,
                "NOT_FOUND",
                "no such route",
                &json!({"field": "path"}),
            );
        }
        let path = call.path();
        let id = path.get(2).copied().unwrap_or_default();
        let everything = || {
            let wanted = call
                .query("cluster_id")
                .map(|ids| ids.split(',').filter_map(|id| call.serial(id)).collect());
            wanted.unwrap_or_else(|| call.visible(&call.members.alive).into_owned())
        };
        let of_cluster = || Self::cluster(call, id).map(|serial| vec![serial]);
        let answered = match kind.name {
            "health" => Ok(Answer::ok(
                json!({"status": "healthy", "version": "1.42.0"}),
            )),
            "list" => Ok(self.list(call)),
            "detail" => Ok(self.detail(call, id)),
            "node" => Ok(self.one_node(call, id)),
            "nodes" => Ok(self.nodes(call, &everything())),
            "cluster-nodes" => of_cluster().map(|serials| self.nodes(call, &serials)),
            "node-groups" => Ok(Answer::ok(envelope(
                call,
                json!(self.groups(call, &everything())),
                None,
                &["cluster_id"],
            ))
            .rows(ROWS)),
            "cluster-node-groups" => of_cluster().map(|serials| {
                Answer::ok(envelope(
                    call,
                    json!(self.groups(call, &serials)),
                    None,
                    &[],
                ))
                .rows(ROWS)
            }),
            "node-group" => of_cluster().map(|serials| {
                let name = path.get(4).copied().unwrap_or_default();
                let found = self
                    .groups(call, &serials)
                    .into_iter()
                    .find(|group| group["metadata"]["name"] == json!(name));
                match found {
                    Some(group) => Answer::ok(envelope(call, group, None, &[])).rows(ROWS),
                    None => failure(
                        call,
                        404,
                        "NODE_GROUP_NOT_FOUND",
                        "node group not found",
                        &json!({"field": "name"}),
                    ),
                }
            }),
            "cost-trend" => Self::cluster(call, id).map(|serial| self.trend(call, serial)),
            _ => Ok(self.organization(call)),
        };
        answered.unwrap_or_else(|answer| answer)
    }

    fn problem(&self, call: &Call, problem: Problem) -> Answer {
        match problem {
            Problem::BadRequest => failure(
                call,
                400,
                "BAD_REQUEST",
                "malformed query",
                &json!({"field": "query"}),
            ),
            Problem::Unauthorized => failure(
                call,
                401,
                "UNAUTHORIZED",
                "missing or invalid Bearer token",
                &json!({}),
            ),
            Problem::Expired => failure(
                call,
                401,
                "UNAUTHORIZED",
                "API key has expired",
                &json!({"reason": "expired"}),
            ),
            Problem::Forbidden => failure(
                call,
                403,
                "FORBIDDEN",
                "missing scope",
                &json!({"required": ["clusters:read"], "granted": ["nodes:read"]}),
            ),
            Problem::NotFound => failure(
                call,
                404,
                "CLUSTER_NOT_FOUND",
                "cluster not found in tenant",
                &json!({"field": "cluster_id", "reason": "not_found"}),
            ),
            Problem::TooMany(wait) => {
                let answer = failure(
                    call,
                    429,
                    "RATE_LIMITED",
                    "per-key quota exceeded",
                    &json!({}),
                );
                match wait {
                    // The header is flat whatever is left of the window; only the reset tells the truth.
                    Some(wait) => {
                        let reset = Timestamp::now().as_second()
                            + i64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(60);
                        answer
                            .header("retry-after", "60")
                            .header("x-ratelimit-remaining", "0")
                            .header("x-ratelimit-reset", reset.to_string())
                    }
                    None => answer,
                }
            }
            Problem::Internal => failure(call, 500, "INTERNAL_ERROR", "internal error", &json!({})),
            Problem::Unavailable => failure(
                call,
                503,
                "SERVICE_UNAVAILABLE",
                "service unavailable",
                &json!({}),
            ),
        }
    }

    fn legacy(&self, _call: &Call, answer: Answer) -> Answer {
        let data = answer.body()["data"].clone();
        let flat = |row: &Value| {
            json!({"id": format!("cls-{}", row["id"].as_str().unwrap_or("x").get(..6).unwrap_or("x")),
            "name": row["metadata"]["name"], "provider": row["metadata"]["provider"], "monthly_cost": 123.45})
        };
        match &data {
            Value::Array(rows) => {
                let clusters: Vec<Value> = rows.iter().map(flat).collect();
                Answer::ok(json!({"clusters": clusters, "total": rows.len()}))
            }
            row => Answer::ok(flat(row)),
        }
    }

    fn allowance(&self, allowance: Allowance) -> Vec<(&'static str, String)> {
        let reset = Timestamp::now().as_second()
            + i64::try_from(allowance.resets_in.as_millis().div_ceil(1_000)).unwrap_or(60);
        vec![
            ("x-ratelimit-limit", allowance.limit.to_string()),
            ("x-ratelimit-remaining", allowance.remaining.to_string()),
            ("x-ratelimit-reset", reset.to_string()),
        ]
    }
}
