//! LakeSail: the platform's own records under `/me`, the clouds' clusters under `/infra`.

mod ledger;
mod lists;
mod live;
mod record;
mod writes;

use std::sync::Mutex;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fleet::{Arrangement, BASE36, BASE62, Dice, Profile};
use super::prime::seconds;
use super::world::{Answer, Api, Call, Context, Fleet, Kind, Problem};
use super::{Example, Truth, Vendor};
use ledger::Ledger;
use record::{Home, Record};

const CANARY: &str = "SECRET-CANARY";

pub(super) struct LakeSail {
    context: Context,
    token: String,
    organization: String,
    ledger: Mutex<Ledger>,
    began: Instant,
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
            ledger: Mutex::default(),
            began: Instant::now(),
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

    /// One connection more than clusters are drawn in: it is not active.
    fn connection_number(&self, id: &str) -> Option<u64> {
        (0..=self.connections()).find(|number| self.connection_id(*number) == id)
    }

    fn is_active(&self, connection: u64) -> bool {
        connection < self.connections()
    }

    /// Two for each active connection, and two that are not active: one of the first connection, one of the last.
    fn networks(&self) -> u64 {
        self.connections() * 2 + 2
    }

    fn network_number(&self, id: &str) -> Option<u64> {
        (0..self.networks()).find(|number| self.network_id(*number) == id)
    }

    fn connection_of_network(&self, number: u64) -> u64 {
        if number + 1 == self.networks() {
            0
        } else {
            number / 2
        }
    }

    fn is_network_active(&self, number: u64) -> bool {
        number < self.connections() * 2
    }

    fn connection_of(&self, serial: u64) -> u64 {
        let drawn = serial % self.connections();
        self.birth(serial).map_or(drawn, |birth| birth.connection)
    }

    fn home(&self, serial: u64) -> Home {
        if self.birth(serial).is_some() {
            return Home::Both;
        }
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

    fn drawn_operation_by_id(&self, call: &Call, id: &str) -> Option<Value> {
        let mut serials = call.members.arrangement.other.iter();
        let serial = serials.find(|serial| self.named("OP", **serial, 34) == id)?;
        self.operation(&self.record(*serial, call.revision()))
    }

    fn of_connection(&self, call: &Call, id: &str) -> Option<Vec<u64>> {
        let number = self.connection_number(id)?;
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
        &[
            ("organization-header", false),
            ("dpop", false),
            ("failing-work", false),
            ("empty-answers", false),
            ("kubeconfig-exec", false),
            ("kubeconfig-certificate", false),
        ]
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
            let drawn = || Profile::draw(self.context.seed, *serial, self.context.anchor).name;
            let life = self.life(*serial);
            life.and_then(|life| life.name).unwrap_or_else(drawn)
        });
        let other: Vec<u64> = of(Home::SelfRegistered).collect();
        let connections = self.connections();
        let mut groups = vec![Vec::new(); usize::try_from(connections).unwrap_or(1)];
        for serial in &other {
            if let Some(group) = usize::try_from(self.connection_of(*serial))
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
            region: (!own || !record.odd).then_some(record.region),
            version: (!own).then_some(record.version),
            nodes: (!own).then_some(record.nodes),
            family: if own { "me" } else { "infra" },
            parent: (!own).then(|| self.connection_id(record.connection)),
        }
    }

    fn kind(&self, call: &Call) -> Kind {
        let path = call.path();
        let path = route(&path);
        if !call.is(&Method::GET) {
            return match (call.parts.method.as_str(), path) {
                ("POST", ["infra", "connections", _, "clusters"]) => Kind::write("create"),
                ("POST", ["infra", "connections", _, "clusters", _]) => Kind::write("update"),
                ("DELETE", ["infra", "connections", _, "clusters", _]) => Kind::write("destroy"),
                ("DELETE", ["infra", "clusters", _]) => Kind::write("forget"),
                ("POST", ["infra", "connections", _, "clusters", _, "provision"]) => {
                    Kind::write("provision")
                }
                _ => Kind::write("unknown-write"),
            };
        }
        match path {
            ["me", "clusters"] => Kind::list("me-list"),
            ["me", "clusters", _] => Kind::detail("me-detail"),
            ["infra", "clusters"] => Kind::list("infra-list"),
            ["infra", "clusters", _] => Kind::detail("infra-detail"),
            ["infra", "connections", _, "clusters"] => Kind::list("connection-list"),
            ["infra", "connections", _, "clusters", _] => Kind::detail("connection-detail"),
            ["infra", "connections", _, "clusters", _, "health"] => Kind::other("health"),
            ["infra", "connections", _, "clusters", _, "metrics"] => Kind::other("metrics"),
            ["infra", "connections", _, "clusters", _, "kubeconfig"] => Kind::secret("kubeconfig"),
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

    fn answer(&self, call: &Call, _kind: Kind) -> Answer {
        let path = call.path();
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
            ] => of_connection(connection, id).map(|record| self.metrics(call, &record)),
            [
                "infra",
                "connections",
                connection,
                "clusters",
                id,
                "kubeconfig",
            ] => of_connection(connection, id).map(|record| self.kubeconfig(call, &record)),
            ["infra", "connections"] => Some(Self::objects(
                call,
                self.connections() + 1,
                |number| self.connection(number),
                true,
            )),
            ["infra", "connections", _, "provider-networks"] => Some(Answer::ok(
                json!([{"vpcId": "vpc-0000", "cidr": "10.0.0.0/16", "name": "main", "azCount": 3, "state": "available", "tags": {}}]),
            )),
            ["infra", "networks"] => Some(Self::objects(
                call,
                self.networks(),
                |number| self.network(number),
                false,
            )),
            ["operations", id] => self
                .work_by_id(id)
                .or_else(|| self.drawn_operation_by_id(call, id))
                .map(|operation| Answer::ok(operation).rows(&[""])),
            _ => None,
        };
        found.unwrap_or_else(missing)
    }

    fn write(&self, call: &Call, _kind: Kind, fleet: &dyn Fleet) -> Answer {
        self.change(call, route(&call.path()), fleet)
    }

    fn advance(&self) -> usize {
        self.step()
    }

    fn example(&self, name: &str) -> Option<Example> {
        Some(self.example_of(name))
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
