//! Prime Intellect: the admin cluster endpoints and their inventory twin.

use http::Method;
use serde_json::{Value, json};

use super::fleet::{Arrangement, Dice, HEX, LOWER36, Profile, Style, ago, stamp};
use super::world::{Answer, Api, Call, Context, Kind, Problem};
use super::{Truth, Vendor};

const LIST: &[&str] = &["/data"];
const DETAIL: &[&str] = &["/data", "/data/nodes"];
/// Stands in every field that must not leave a gateway.
const CANARY: &str = "SECRET-CANARY";
const PROVIDERS: [&str; 8] = [
    "nebius",
    "latitude",
    "datacrunch",
    "hyperstack",
    "lambdalabs",
    "crusoecloud",
    "massedcompute",
    "dc_impala",
];

pub(super) struct PrimeIntellect {
    context: Context,
    token: String,
}

/// One cluster, before it is put in any of the vendor's shapes.
struct Record {
    id: String,
    name: String,
    provider: &'static str,
    status: &'static str,
    vault: bool,
    team: Option<String>,
    user: Option<String>,
    gpu: super::fleet::Gpu,
    per_node: u64,
    nodes: u64,
    orchestrator: &'static str,
    version: Option<String>,
    price: Option<f64>,
    created: String,
    updated: String,
    odd: bool,
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

    fn record(&self, serial: u64, revision: u64) -> Record {
        let Context {
            seed,
            anchor,
            quirks,
            ..
        } = self.context;
        let profile = Profile::draw(seed, serial, anchor);
        let mut dice = Dice::new(&[seed, serial, 3]);
        let odd = quirks && dice.percent(15);
        let gpu = profile
            .gpu
            .unwrap_or(super::fleet::GPUS[usize::try_from(serial % 4).unwrap_or(0)]);
        let status = match dice.below(20) {
            _ if odd && dice.percent(40) => {
                dice.pick(&["Degraded", "active", "MIGRATING", "UNKNOWN"])
            }
            0 => "PROVISIONING",
            1 => "STOPPED",
            2 => "ERROR",
            3 => "PENDING",
            4 => "DELETING",
            _ => "ACTIVE",
        };
        let naive = quirks && dice.percent(40);
        let style = if naive { Style::Naive } else { Style::Seconds };
        let nodes = profile.nodes;
        let mut moving = Dice::new(&[seed, serial, revision, 4]);
        let cents = gpu.cents_per_hour * 8 * nodes + moving.below(100);
        let updated = ago(
            anchor,
            4_000 - i64::try_from(moving.below(3_000)).unwrap_or(0),
        );
        let orchestrator = dice.pick(&["SLURM", "KUBERNETES", "KUBERNETES", "RAY", "NONE"]);
        let version = (orchestrator == "KUBERNETES" && !odd)
            .then(|| format!("v1.{}.{}", dice.between(31, 34), dice.below(6)));
        Record {
            id: self.id(serial),
            name: if profile.gpu.is_some() {
                profile.name
            } else {
                format!("{}-{}", gpu.short, profile.name)
            },
            provider: dice.pick(&PROVIDERS),
            status,
            vault: dice.percent(50),
            team: dice.percent(80).then(|| {
                format!(
                    "clv{}",
                    Dice::new(&[seed, serial % 5, 5]).letters(LOWER36, 22)
                )
            }),
            user: dice.percent(30).then(|| {
                format!(
                    "clu{}",
                    Dice::new(&[seed, serial % 7, 6]).letters(LOWER36, 22)
                )
            }),
            gpu,
            per_node: 8,
            nodes,
            orchestrator,
            version,
            price: (!odd || dice.percent(50)).then_some(cents as f64 / 100.0),
            created: stamp(profile.created, style),
            updated: stamp(updated, style),
            odd,
        }
    }

    fn connection(record: &Record, node: u64) -> Value {
        json!({"podId": format!("{}p{node}", record.id), "podName": format!("{}-{node}", record.name),
            "host": format!("{CANARY}-host-198.51.100.{}", node + 1), "port": 22, "user": format!("{CANARY}-ubuntu"),
            "role": if node == 0 { "controller" } else { "worker" }, "isControlNode": node == 0})
    }

    fn summary(record: &Record, detailed: bool) -> Value {
        let mut row = json!({"id": record.id, "name": record.name, "providerType": record.provider,
            "status": record.status, "vaultEnabled": record.vault, "createdAt": record.created,
            "teamId": record.team, "userId": record.user,
            "controller": Self::connection(record, 0), "nodes": Value::Null});
        if detailed {
            row["nodes"] = (0..record.nodes)
                .map(|node| Self::connection(record, node))
                .collect();
        }
        if record.odd {
            row["clusterGroup"] = json!({"added": "lately"});
            if let Some(fields) = row.as_object_mut() {
                fields.remove("controller");
            }
        }
        row
    }

    fn node(record: &Record, node: u64) -> Value {
        let failed = record.status == "ERROR" && node == 0;
        json!({"id": format!("{}p{node}", record.id), "name": format!("{}-{node}", record.name),
            "remoteId": format!("r-{}-{node}", &record.id[2..8]), "providerType": record.provider, "type": "HOSTED",
            "status": if failed { "ERROR" } else { record.status },
            "installationStatus": if failed { "ERROR" } else { "FINISHED" },
            "installationProgress": if failed { Value::Null } else { json!(100) },
            "installationFailure": failed.then_some("driver did not load"), "testStatus": Value::Null,
            "finalizerStatus": Value::Null, "gpuName": record.gpu.market, "gpuCount": record.per_node,
            "socket": record.gpu.socket, "priceHr": record.price.map(|price| price / record.nodes as f64),
            "stoppedPriceHr": Value::Null, "provisioningPriceHr": 0.0, "basePriceHr": Value::Null,
            "baseCurrency": "USD", "environmentType": "ubuntu_22_cuda_12", "userId": record.user,
            "teamId": record.team, "walletId": format!("{CANARY}-wallet"), "isDetached": false,
            "createdAt": record.created, "updatedAt": record.updated, "terminatedAt": Value::Null,
            "providerReadyAt": record.created, "piReadyAt": record.updated,
            "info": {"note": format!("{CANARY}-node-info")}, "connections": [Self::connection(record, node)]})
    }

    fn detail(record: &Record) -> Value {
        let mut data = json!({"id": record.id, "remoteId": format!("r-{}", &record.id[2..8]), "name": record.name,
            "providerType": record.provider, "status": record.status, "vaultEnabled": record.vault,
            "gpuName": record.gpu.market, "gpuCount": record.per_node * record.nodes, "socket": record.gpu.socket,
            "priceHr": record.price, "stoppedPriceHr": Value::Null, "provisioningPriceHr": 0.0,
            "basePriceHr": record.price.map(|price| (price * 80.0).round() / 100.0), "baseCurrency": if record.odd { "EUR" } else { "USD" },
            "userId": record.user, "teamId": record.team, "walletId": format!("{CANARY}-wallet"),
            "orchestratorType": record.orchestrator, "orchestratorVersion": record.version,
            "orchestratorEndpoint": format!("https://{CANARY}.example.com:6443"),
            "orchestratorConfig": {"kubeconfig": format!("{CANARY}-kubeconfig"), "nested": [{"token": format!("{CANARY}-token")}]},
            "orchestratorDeploymentJobId": format!("job-{}", &record.id[2..10]),
            "orchestratorDeploymentStatus": "FINISHED",
            "createdAt": record.created, "updatedAt": record.updated, "terminatedAt": Value::Null,
            "info": {"any": format!("{CANARY}-info")},
            "nodes": (0..record.nodes).map(|node| Self::node(record, node)).collect::<Vec<_>>(),
            "sshKeys": [{"id": "k1", "role": "ADMIN", "userId": record.user, "sshKeyId": "s1",
                "publicKey": format!("ssh-ed25519 {CANARY}-public-key")}]});
        if record.odd {
            data["socket"] = Value::Null;
            data["topology"] = json!("fat-tree");
        }
        data
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
        let echo = if call.restarts() && call.fault == Some(super::Fault::CursorLoop) {
            0
        } else {
            offset
        };
        Answer::ok(json!({"total_count": call.total(total), "offset": echo, "limit": limit, "data": rows, "status": Value::Null}))
            .rows(LIST)
            .first(offset == 0)
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
