//! Prime Intellect: the admin cluster endpoints and their inventory twin.

mod factory;
mod record;

use http::Method;
use serde_json::{Value, json};

use super::fleet::{Arrangement, Dice, HEX, LOWER36};
use super::world::{Answer, Api, Call, Context, Kind, Problem};
use super::{Fault, Truth, Vendor};
use record::Record;

const LIST: &[&str] = &["/data"];
const DETAIL: &[&str] = &["/data", "/data/nodes"];
/// Stands in every field that must not leave a gateway.
const CANARY: &str = "SECRET-CANARY";

pub(super) struct PrimeIntellect {
    context: Context,
    token: String,
}

impl PrimeIntellect {
    pub(super) fn new(context: Context) -> Self {
        let token = format!("pit_{}", Dice::new(&[context.seed, 900]).letters(HEX, 64));
        Self { context, token }
    }

    fn id(&self, serial: u64) -> String {
        format!(
            "cm{}",
            Dice::new(&[self.context.seed, serial, 2]).letters(LOWER36, 23)
        )
    }

    fn list(&self, call: &Call) -> Answer {
        let number = |name: &str, default: usize, low: usize, high: usize| match call.query(name) {
            None => Ok(default),
            Some(text) => match text.parse::<usize>() {
                Err(_) => Err(invalid(
                    name,
                    "Input should be a valid integer, unable to parse string as an integer",
                )),
                Ok(value) if value < low => Err(invalid(
                    name,
                    &format!("Input should be greater than or equal to {low}"),
                )),
                Ok(value) if value > high => Err(invalid(
                    name,
                    &format!("Input should be less than or equal to {high}"),
                )),
                Ok(value) => Ok(value),
            },
        };
        let flag = |name: &str| match call.query(name) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(invalid(
                name,
                "Input should be a valid boolean, unable to interpret input",
            )),
        };
        let read = || {
            Ok((
                number("offset", 0, 0, usize::MAX)?,
                number("limit", 20, 1, 100)?,
                flag("vaultEnabled")?,
                flag("detailed")?,
            ))
        };
        let (offset, limit, vault, detailed) = match read() {
            Ok(query) => query,
            Err(answer) => return answer,
        };
        let start = call.start(offset);
        let order = call.visible(&call.members.arrangement.main);
        let search = call.query("search").map(str::to_lowercase);
        let row = |record: &Record| Self::summary(record, detailed == Some(true));
        let (total, rows): (usize, Vec<Value>) = if vault.is_none() && search.is_none() {
            let rows = order
                .iter()
                .skip(start)
                .take(limit)
                .map(|serial| row(&self.record(*serial, call.revision())))
                .collect();
            (order.len(), rows)
        } else {
            let found: Vec<Record> = order
                .iter()
                .map(|serial| self.record(*serial, call.revision()))
                .filter(|record| vault.is_none_or(|vault| record.vault == vault))
                .filter(|record| {
                    search.as_ref().is_none_or(|text| {
                        record.name.to_lowercase().contains(text) || record.id.contains(text)
                    })
                })
                .collect();
            (
                found.len(),
                found.iter().skip(start).take(limit).map(row).collect(),
            )
        };
        let echo = if call.restarts() && call.fault == Some(Fault::CursorLoop) {
            0
        } else {
            offset
        };
        let mut body = json!({"total_count": call.total(total), "offset": echo, "limit": limit, "status": Value::Null});
        body["data"] = Value::Array(rows);
        Answer::ok(body).rows(LIST).first(offset == 0)
    }

    fn one(&self, call: &Call, id: &str) -> Answer {
        match call.serial(id) {
            Some(serial) => {
                let data = Self::detail(&self.record(serial, call.revision()));
                Answer::ok(json!({"data": data, "status": Value::Null})).rows(DETAIL)
            }
            None if call.feature("data-null") => {
                Answer::ok(json!({"data": Value::Null, "status": "error"}))
            }
            None => Answer::json(404, json!({"detail": "Cluster not found"})),
        }
    }

    fn logs(&self, call: &Call, id: &str) -> Answer {
        let Some(serial) = call.serial(id) else {
            return self.one(call, id);
        };
        let record = self.record(serial, call.revision());
        let rows: Vec<Value> = (0..record.nodes)
            .map(|node| {
                json!({"id": format!("ev{node}"), "eventType": "ATTACHED", "createdAt": record.created,
                    "podId": format!("{}p{node}", record.id), "podName": format!("{}-{node}", record.name),
                    "podStatus": record.status, "gpuName": record.gpu.market, "gpuCount": record.per_node,
                    "host": Value::Null, "role": Value::Null, "changeSummary": Value::Null})
            })
            .collect();
        Answer::ok(
            json!({"total_count": rows.len(), "offset": 0, "limit": 20, "data": rows, "status": Value::Null}),
        )
    }
}

fn invalid(param: &str, details: &str) -> Answer {
    Answer::json(
        422,
        json!({"errors": [{"param": param, "details": details}]}),
    )
}

impl Api for PrimeIntellect {
    fn token(&self) -> &str {
        &self.token
    }

    fn features(&self) -> &'static [(&'static str, bool)] {
        &[
            ("admin-prefix", true),
            ("inventory-prefix", false),
            ("data-null", true),
        ]
    }

    fn ids(&self, serial: u64) -> Vec<String> {
        vec![self.id(serial)]
    }

    fn arrange(&self, alive: &[u64], _revision: u64) -> Arrangement {
        Arrangement {
            main: alive.to_vec(),
            ..Arrangement::default()
        }
    }

    fn truth(&self, serial: u64, revision: u64) -> Truth {
        let record = self.record(serial, revision);
        Truth {
            vendor: Vendor::PrimeIntellect,
            id: record.id,
            name: record.name,
            status: Some(record.status.to_owned()),
            region: None,
            version: record.version,
            nodes: Some(record.nodes),
            family: "clusters",
            parent: record.team,
        }
    }

    fn kind(&self, call: &Call) -> Kind {
        let path = call.path();
        let rest = match path.as_slice() {
            ["api", "v1", "factory", "status" | "nodes" | "workloads"] => {
                return Kind::other("factory");
            }
            ["api", "v1", "slurm-clusters", _] => return Kind::other("slurm"),
            ["api", "admin", "users", "whoami"] => return Kind::other("whoami"),
            [
                "api",
                "admin",
                "inventory",
                _,
                "authorization",
                "certificate",
            ] => return Kind::secret("certificate"),
            ["api", "admin", "clusters", rest @ ..] if call.feature("admin-prefix") => rest,
            ["api", "admin", "inventory", "clusters", rest @ ..]
                if call.feature("inventory-prefix") =>
            {
                rest
            }
            _ => return Kind::UNKNOWN,
        };
        match rest {
            [] => Kind::list("list"),
            [_] => Kind::detail("detail"),
            [_, "node-logs"] => Kind::other("node-logs"),
            [_, "authorizations", "certificate"] => Kind::secret("certificate"),
            _ => Kind::UNKNOWN,
        }
    }

    fn answer(&self, call: &Call, kind: Kind) -> Answer {
        if kind.name == "certificate" {
            return Answer::ok(
                json!({"data": {"signedKey": format!("{CANARY}-signed-key")}, "status": Value::Null}),
            );
        }
        if kind == Kind::UNKNOWN || call.trailing_slash {
            return Answer::json(404, json!({"detail": "Not Found"}));
        }
        if !call.is(&Method::GET) {
            return Answer::json(405, json!({"detail": "Method Not Allowed"}));
        }
        let path = call.path();
        match (kind.name, path.as_slice()) {
            ("list", _) => self.list(call),
            ("detail", [.., id]) => self.one(call, id),
            ("node-logs", [.., id, _]) => self.logs(call, id),
            ("factory", [.., part]) => self.factory(call, part),
            ("slurm", [.., team]) => self.slurm(call, team),
            ("whoami", _) => Answer::ok(
                json!({"data": {"name": "Gateway", "email": format!("{CANARY}@example.com"), "role": "MANAGER",
                "admin_role": "MANAGER", "permissions": {"clusters": ["read"], "inventory": ["read"]}}, "status": Value::Null}),
            ),
            _ => Answer::json(404, json!({"detail": "Not Found"})),
        }
    }

    fn problem(&self, _call: &Call, problem: Problem) -> Answer {
        let detail = |status, text: &str| Answer::json(status, json!({"detail": text}));
        match problem {
            Problem::BadRequest => detail(400, "Bad request"),
            Problem::Unauthorized => detail(401, "Not authenticated"),
            Problem::Expired => detail(401, "API key has expired"),
            Problem::Forbidden => detail(403, "Missing permission: clusters:read"),
            Problem::NotFound => detail(404, "Cluster not found"),
            Problem::TooMany(wait) => {
                let answer = detail(429, "Too many requests");
                match wait {
                    Some(wait) => answer.header("retry-after", seconds(wait)),
                    None => answer,
                }
            }
            Problem::Internal => detail(500, "Internal server error"),
            Problem::Unavailable => detail(503, "Service unavailable"),
        }
    }

    fn legacy(&self, _call: &Call, answer: Answer) -> Answer {
        let data = answer.body()["data"].clone();
        if data.is_array() {
            return Answer::ok(json!({"items": data, "totalCount": 1_000}));
        }
        Answer::ok(json!({"cluster": data}))
    }
}

/// A waiting time in whole seconds, never less than it is.
pub(super) fn seconds(wait: std::time::Duration) -> String {
    wait.as_millis().div_ceil(1_000).max(1).to_string()
}
