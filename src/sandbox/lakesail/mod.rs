//! LakeSail: the platform's own records under `/me`, the clouds' clusters under `/infra`.

mod lists;
mod record;

use http::Method;
use serde_json::{Value, json};

use super::fleet::{Arrangement, BASE36, BASE62, Dice, Profile};
use super::prime::seconds;
use super::world::{Answer, Api, Call, Context, Kind, Problem};
use super::{Truth, Vendor};
use record::{Home, Record};

const CANARY: &str = "SECRET-CANARY";

pub(super) struct LakeSail {
    context: Context,
    token: String,
    organization: String,
}

impl LakeSail {
    pub(super) fn new(context: Context) -> Self {
        let token = format!(
            "lsk_{}",
            Dice::new(&[context.seed, 903]).letters(BASE62, 44)
        );
        let organization = format!("OR{}", Dice::new(&[context.seed, 904]).letters(BASE36, 8));
        Self {
            context,
            token,
            organization,
        }
    }

    fn named(&self, prefix: &str, number: u64, salt: u64) -> String {
        format!(
            "{prefix}{}",
            Dice::new(&[self.context.seed, number, salt]).letters(BASE36, 8)
        )
    }

    fn connections(&self) -> u64 {
        (self.context.initial as u64 / 10).clamp(1, 40)
    }

    fn connection_id(&self, number: u64) -> String {
        self.named("CN", number, 31)
    }

    fn home(&self, serial: u64) -> Home {
        // The first three show all there is, however small the fleet.
        match if serial < 3 {
            serial * 4
        } else {
            Dice::new(&[self.context.seed, serial, 2]).below(10)
        } {
            4 | 5 => Home::InfraOnly,
            8 | 9 => Home::SelfRegistered,
            _ => Home::Both,
        }
    }

    /// The record of a path, if the id is of the kind the path takes.
    fn find(&self, call: &Call, id: &str, external: bool) -> Option<Record> {
        let record = self.record(call.serial(id)?, call.revision());
        let fits = if external {
            record.home != Home::SelfRegistered && record.external == id
        } else {
            record.home != Home::InfraOnly && record.id == id
        };
        fits.then_some(record)
    }

    fn health(record: &Record) -> Answer {
        let ready = if record.status == Some("active") {
            record.nodes - u64::from(record.serial % 9 == 4)
        } else {
            0
        };
        let status = if ready == record.nodes {
            "healthy"
        } else {
            "degraded"
        };
        Answer::ok(
            json!({"status": status, "providerMetadata": {"status": "ACTIVE"},
            "nodeGroups": [{"name": "system", "status": "ACTIVE", "desiredSize": record.nodes, "readyNodes": ready, "message": Value::Null}],
            "systemPods": [{"name": "coredns-1", "namespace": "kube-system", "ready": true, "phase": "Running", "restartCount": 0, "message": Value::Null}],
            "totalNodes": record.nodes, "readyNodes": ready, "lastCheckedAt": record.checked}),
        )
    }

    fn metrics(record: &Record) -> Answer {
        let series = |value: f64| json!([{"timestamp": record.checked, "value": value}]);
        Answer::ok(
            json!({"cpuUtilization": series(41.5), "memoryUtilization": series(60.25), "estimatedCost": series(0.31), "activeJobCount": []}),
        )
    }

    fn of_connection(&self, call: &Call, id: &str) -> Option<Vec<u64>> {
        let number = (0..self.connections()).find(|number| self.connection_id(*number) == id)?;
        let at = usize::try_from(number).ok()?;
        Some(
            call.members
                .arrangement
                .groups
                .get(at)
                .cloned()
                .unwrap_or_default(),
        )
    }
}

fn bad(message: &str) -> Answer {
    Answer::json(
        400,
        json!({"code": "bad_request", "message": message, "errorType": "validation", "details": {"retryable": false}}),
    )
}

fn missing() -> Answer {
    Answer::json(
        404,
        json!({"code": "not_found", "message": "not found or not accessible", "errorType": "not_found", "details": {"retryable": false}}),
    )
}

/// The path behind the documented prefix, which may be left out.
fn route<'a>(path: &'a [&'a str]) -> &'a [&'a str] {
    path.strip_prefix(&["api", "v1"]).unwrap_or(path)
}

impl Api for LakeSail {
    fn token(&self) -> &str {
        &self.token
    }

    fn base_path(&self) -> &'static str {
        "/api/v1"
    }

    fn organization(&self) -> Option<&str> {
        Some(&self.organization)
    }

    fn features(&self) -> &'static [(&'static str, bool)] {
        &[("organization-header", false), ("dpop", false)]
    }

    fn ids(&self, serial: u64) -> Vec<String> {
        let (id, external) = (self.named("CL", serial, 21), self.named("EX", serial, 22));
        match self.home(serial) {
            Home::Both => vec![external, id],
            Home::InfraOnly => vec![external],
            Home::SelfRegistered => vec![id],
        }
    }

    fn arrange(&self, alive: &[u64], _revision: u64) -> Arrangement {
        let of = |unwanted: Home| {
            alive
                .iter()
                .copied()
                .filter(move |serial| self.home(*serial) != unwanted)
        };
        let mut main: Vec<u64> = of(Home::InfraOnly).collect();
        main.sort_by_cached_key(|serial| {
            Profile::draw(self.context.seed, *serial, self.context.anchor).name
        });
        let other: Vec<u64> = of(Home::SelfRegistered).collect();
        let connections = self.connections();
        let mut groups = vec![Vec::new(); usize::try_from(connections).unwrap_or(1)];
        for serial in &other {
            if let Some(group) = usize::try_from(serial % connections)
                .ok()
                .and_then(|at| groups.get_mut(at))
            {
                group.push(*serial);
            }
        }
        Arrangement {
            main,
            other,
            groups,
        }
    }

    fn truth(&self, serial: u64, revision: u64) -> Truth {
        let record = self.record(serial, revision);
        let own = record.home == Home::SelfRegistered;
        Truth {
            vendor: Vendor::LakeSail,
            id: if own { record.id } else { record.external },
            name: record.name,
            status: record.status.map(str::to_owned),
            region: (!own || !record.odd).then(|| record.region.to_owned()),
            version: (!own).then_some(record.version),
            nodes: (!own).then_some(record.nodes),
            family: if own { "me" } else { "infra" },
            parent: (!own).then(|| self.connection_id(record.connection)),
        }
    }

    fn kind(&self, call: &Call) -> Kind {
        match route(&call.path()) {
            ["me", "clusters"] => Kind::list("me-list"),
            ["me", "clusters", _] => Kind::detail("me-detail"),
            ["infra", "clusters"] => Kind::list("infra-list"),
            ["infra", "clusters", _] => Kind::detail("infra-detail"),
            ["infra", "connections", _, "clusters"] => Kind::list("connection-list"),
            ["infra", "connections", _, "clusters", _] => Kind::detail("connection-detail"),
            ["infra", "connections", _, "clusters", _, "health"] => Kind::other("health"),
            ["infra", "connections", _, "clusters", _, "metrics"] => Kind::other("metrics"),
            ["infra", "connections", _, "clusters", _, "kubeconfig"] => Kind::secret("kubeconfig"),
            ["infra", "connections", _, "clusters", _, "provision"] => Kind::secret("provision"),
            ["infra", "connections"] => Kind::other("connections"),
            ["infra", "connections", _, "provider-networks"] => Kind::other("provider-networks"),
            ["infra", "networks"] => Kind::other("networks"),
            ["operations", _] => Kind::other("operation"),
            _ => Kind::UNKNOWN,
        }
    }

    fn authorized(&self, call: &Call) -> bool {
        let organization =
            call.header("lakesail-organization-id") == Some(self.organization.as_str());
        call.bearer() == Some(self.token.as_str())
            && !call.feature("dpop")
            && (organization || !call.feature("organization-header"))
    }

    fn answer(&self, call: &Call, kind: Kind) -> Answer {
        let path = call.path();
        if kind.name == "kubeconfig" {
            return Answer::ok(
                json!({"kubeconfig": format!("{CANARY}-kubeconfig"), "clusterEndpoint": "https://example.com", "clusterCertificateAuthority": "x"}),
            );
        }
        if !call.is(&Method::GET) {
            return Answer::json(405, json!({"message": "method not allowed"}));
        }
        let of_connection = |connection: &str, id: &str| {
            self.find(call, id, true)
                .filter(|record| self.connection_id(record.connection) == connection)
        };
        let found = match route(&path) {
            ["me", "clusters"] => Some(self.me_list(call)),
            ["me", "clusters", id] => self
                .find(call, id, false)
                .map(|record| self.me_item(record)),
            ["infra", "clusters"] => Some(self.infra_list(call, &call.members.arrangement.other)),
            ["infra", "clusters", id] => self
                .find(call, id, true)
                .map(|record| self.infra_item(record)),
            ["infra", "connections", connection, "clusters"] => self
                .of_connection(call, connection)
                .map(|serials| self.infra_list(call, &serials)),
            ["infra", "connections", connection, "clusters", id] => {
                of_connection(connection, id).map(|record| self.infra_item(record))
            }
            ["infra", "connections", connection, "clusters", id, "health"] => {
                of_connection(connection, id).map(|record| Self::health(&record))
            }
            [
                "infra",
                "connections",
                connection,
                "clusters",
                id,
                "metrics",
            ] => of_connection(connection, id).map(|record| Self::metrics(&record)),
            ["infra", "connections"] => Some(Self::objects(
                call,
                self.connections(),
                |number| self.connection(number),
                true,
            )),
            ["infra", "connections", _, "provider-networks"] => Some(Answer::ok(
                json!([{"vpcId": "vpc-0000", "cidr": "10.0.0.0/16", "name": "main", "azCount": 3, "state": "available", "tags": {}}]),
            )),
            ["infra", "networks"] => Some(Self::objects(
                call,
                self.connections() * 2,
                |number| self.network(number),
                false,
            )),
            ["operations", id] => call
                .members
                .arrangement
                .other
                .iter()
                .find(|serial| self.named("OP", **serial, 34) == *id)
                .map(|serial| Answer::ok(self.operation(&self.record(*serial, call.revision())))),
            _ => None,
        };
        found.unwrap_or_else(missing)
    }

    fn problem(&self, call: &Call, problem: Problem) -> Answer {
        let error = |status, code: &str, message: &str| {
            Answer::json(
                status,
                json!({"code": code, "message": message, "errorType": code, "details": {"retryable": status >= 429}}),
            )
        };
        match problem {
            Problem::BadRequest => bad("malformed request"),
            Problem::Unauthorized if call.feature("dpop") => {
                error(401, "unauthorized", "organization requires DPoP")
                    .header("www-authenticate", "DPoP algs=\"ES256\"")
            }
            Problem::Unauthorized if call.bearer() == Some(self.token.as_str()) => {
                error(401, "unauthorized", "organization is not selected")
            }
            Problem::Unauthorized => Answer::json(401, json!({"message": "Unauthorized"}))
                .header("www-authenticate", "Bearer"),
            Problem::Expired => error(401, "token_expired", "the access token expired").header(
                "www-authenticate",
                "Bearer error=\"invalid_token\", error_description=\"The access token expired\"",
            ),
            Problem::Forbidden => error(403, "forbidden", "permission denied"),
            Problem::NotFound => missing(),
            Problem::TooMany(wait) => {
                let answer = error(429, "too_many_requests", "too many requests");
                match wait {
                    Some(wait) => answer.header("retry-after", seconds(wait)),
                    None => answer,
                }
            }
            Problem::Internal => error(500, "internal", "internal error"),
            Problem::Unavailable => Answer::json(503, json!({"error": "service unavailable"})),
        }
    }

    fn legacy(&self, _call: &Call, answer: Answer) -> Answer {
        // The deprecated product answers the objects themselves, without references and sideloads.
        let clusters = answer.body()["included"]["clusters"].clone();
        Answer::ok(json!({"clusters": clusters, "nextMarker": Value::Null}))
    }
}
