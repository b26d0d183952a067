//! JFrog Runtime: a POST that lists, a detail whose path is disputed.

use http::Method;
use serde_json::{Value, json};

use super::fleet::{Arrangement, BASE62, CLOUD_PLACES, Dice, Profile, Style, ago, stamp, uuid};
use super::world::{Answer, Api, Call, Context, Kind, Problem};
use super::{Truth, Vendor};

const LIST: &[&str] = &["/clusters"];
const DETAIL: &[&str] = &["/cluster", "/cluster/nodes"];
const NOT_FOUND_PAGE: &str =
    "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>";

pub(super) struct JfrogRuntime {
    context: Context,
    token: String,
}

struct Record {
    id: Value,
    name: String,
    provider: &'static str,
    regions: Vec<&'static str>,
    status: &'static str,
    version: String,
    reported: String,
    since: String,
    nodes: Vec<Value>,
    running: usize,
    failed: usize,
    not_installed: usize,
    disabled: usize,
    odd: bool,
}

impl JfrogRuntime {
    pub(super) fn new(context: Context) -> Self {
        // The shape of a reference token.
        let token = format!(
            "cmVmd{}",
            Dice::new(&[context.seed, 901]).letters(BASE62, 59)
        );
        Self { context, token }
    }

    /// A number for most clusters, a UUID for some: both have been seen.
    fn id(&self, serial: u64) -> Value {
        let mut dice = Dice::new(&[self.context.seed, serial, 2]);
        if self.context.quirks && dice.percent(30) {
            json!(uuid(&mut dice))
        } else {
            json!(serial + 1)
        }
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
        let (cloud, _, region) = CLOUD_PLACES[profile.place];
        let provider = if cloud == "on-prem" {
            "kubernetes"
        } else {
            cloud
        };
        let regions = match dice.below(10) {
            _ if provider == "kubernetes" => Vec::new(),
            0 => vec![
                region,
                CLOUD_PLACES[(profile.place + 1) % CLOUD_PLACES.len()].2,
            ],
            1 => Vec::new(),
            _ => vec![region],
        };
        let status = match dice.below(12) {
            _ if odd && dice.percent(40) => {
                dice.pick(&["Running", "degraded", "pending_upgrade", ""])
            }
            0 | 1 => "stopped",
            _ => "running",
        };
        let stopped = status == "stopped";
        let nodes: Vec<Value> = (0..profile.nodes)
            .map(|node| self.node(serial, node, region, odd))
            .collect();
        let count = |word: &str| {
            nodes
                .iter()
                .filter(|node| node["status"].as_str().is_some_and(|status| status == word))
                .count()
        };
        let (failed, not_installed, disabled) = (
            count("failed"),
            count("installation_failed"),
            count("disabled"),
        );
        let silent = if stopped { 40 * 86_400 } else { 200 };
        let moved = i64::try_from(revision).unwrap_or(0) * i64::from(!stopped);
        let reported = ago(
            anchor,
            silent + i64::try_from(dice.below(60)).unwrap_or(0) - moved,
        );
        Record {
            id: self.id(serial),
            name: profile.name,
            provider,
            regions,
            status,
            version: if odd {
                "0.0.0".to_owned()
            } else {
                format!("1.{}.{}", dice.between(7, 9), dice.below(5))
            },
            reported: stamp(reported, if odd { Style::Offset } else { Style::Micros }),
            since: stamp(profile.created, Style::Micros),
            running: nodes.len() - failed - not_installed - disabled,
            nodes,
            failed,
            not_installed,
            disabled,
            odd,
        }
    }

    fn node(&self, serial: u64, node: u64, region: &str, odd: bool) -> Value {
        let Context { seed, anchor, .. } = self.context;
        let mut dice = Dice::new(&[seed, serial, node, 7]);
        let status = match dice.below(20) {
            0 => "failed",
            1 => "installation_failed",
            2 => "disabled",
            3 | 4 => "monitored",
            5..=8 => "monitored_with_sensor",
            _ => "running_with_sensors",
        };
        let sensor = status.contains("sensor");
        let ip = format!("10.{}.{}.{}", serial % 250, node, dice.below(250));
        // The vendor's own example holds an address with three numbers.
        let ip = if odd && node == 0 {
            "10.90.124".to_owned()
        } else {
            ip
        };
        let host = format!("ip-10-{}-{node}", serial % 250);
        let seen = ago(anchor, i64::try_from(dice.below(300)).unwrap_or(0));
        json!({"id": serial * 100 + node, "name": host, "hostname": host,
            "architecture": if dice.percent(70) { "amd64" } else { "arm64" },
            "internal_dns": if odd { String::new() } else { format!("{host}.internal") }, "internal_ip": ip,
            "region": if odd { "" } else { region }, "monitored_at": stamp(ago(anchor, 90_000), Style::Seconds),
            "sensor_installed": sensor,
            "sensor_last_updated": if sensor { stamp(seen, Style::Seconds) } else { String::new() },
            "sensor_version": if sensor { "0.0.0-20241224065042-65402c9bec33-43" } else { "" }, "status": status})
    }

    fn row(record: &Record) -> Value {
        let mut row = json!({"id": record.id, "name": record.name, "provider": record.provider, "regions": record.regions,
            "controller_status": record.status, "controller_version": record.version,
            "controller_last_updated": record.reported, "monitored_at": record.since,
            "nodes_count": record.nodes.len(), "running_nodes_count": record.running,
            "failed_nodes_count": record.failed, "failed_to_install_nodes_count": record.not_installed,
            "disabled_nodes_count": record.disabled});
        if record.odd {
            row["risk_score"] = json!(3.5);
            row["controller_version"] = Value::Null;
        }
        row
    }

    fn list(&self, call: &Call) -> Answer {
        let bad = |text: &str| Answer::json(400, json!({"error": text}));
        let body: Value = if call.body.is_empty() {
            json!({})
        } else {
            match serde_json::from_slice(&call.body) {
                Ok(body) => body,
                Err(_) => return bad("invalid request body"),
            }
        };
        let limit = match &body["limit"] {
            Value::Null => 10,
            Value::Number(number) => match number.as_u64() {
                Some(limit @ 1..=100) => usize::try_from(limit).unwrap_or(100),
                _ => return bad("limit must be between 1 and 100"),
            },
            _ => return bad("json: cannot unmarshal limit into int"),
        };
        let sent = match &body["next_key"] {
            Value::Null => None,
            Value::String(key) => Some(key.as_str()),
            _ => return bad("json: cannot unmarshal next_key into string"),
        };
        let cursor = call.cursor(sent);
        let after = match cursor.map(str::parse::<u64>) {
            None => None,
            Some(Ok(key)) => Some(key),
            Some(Err(_)) => return bad("invalid next_key"),
        };
        let order = call.visible(&call.members.arrangement.main);
        let start = after.map_or(0, |key| order.partition_point(|serial| *serial < key));
        let page = &order[start..order.len().min(start + limit)];
        let rows: Vec<Value> = page
            .iter()
            .map(|serial| Self::row(&self.record(*serial, call.revision())))
            .collect();
        // The key counts from one: zero would look like no key to some clients.
        let next = page
            .last()
            .filter(|_| start + page.len() < order.len())
            .map(|serial| (serial + 1).to_string());
        let total = if call.fault == Some(super::Fault::MissingCursor) {
            order.len() + 1_000
        } else {
            order.len()
        };
        let mut pagination = json!({"limit": limit});
        if let Some(next) = call.next(next) {
            pagination["next_key"] = json!(next);
        }
        let mut body = json!({"clusters": Value::Null, "pagination": Value::Null});
        if call.feature("pagination-total") {
            pagination["total_count"] = json!(total);
        } else {
            body["total_count"] = json!(total);
        }
        body["clusters"] = Value::Array(rows);
        body["pagination"] = pagination;
        Answer::ok(body).rows(LIST).first(after.is_none())
    }

    fn detail(&self, call: &Call, id: &str) -> Answer {
        let Some(serial) = call.serial(id) else {
            return Answer::json(404, json!({"error": "cluster not found"}));
        };
        let record = self.record(serial, call.revision());
        let mut cluster = Self::row(&record);
        cluster["nodes"] = json!(record.nodes);
        if record.odd
            && let Some(fields) = cluster.as_object_mut()
        {
            // The field table of the detail does not have these.
            for name in [
                "running_nodes_count",
                "failed_nodes_count",
                "failed_to_install_nodes_count",
                "disabled_nodes_count",
            ] {
                fields.remove(name);
            }
        }
        Answer::ok(json!({"cluster": cluster})).rows(DETAIL)
    }
}

/// An id as it stands in a path.
fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

impl Api for JfrogRuntime {
    fn token(&self) -> &str {
        &self.token
    }

    fn features(&self) -> &'static [(&'static str, bool)] {
        &[
            ("runtime", true),
            ("clusters_slash", false),
            ("pagination-total", false),
        ]
    }

    fn ids(&self, serial: u64) -> Vec<String> {
        vec![text(&self.id(serial))]
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
            vendor: Vendor::JfrogRuntime,
            id: text(&record.id),
            name: record.name,
            status: Some(record.status.to_owned()),
            region: record.regions.first().map(|region| (*region).to_owned()),
            version: None,
            nodes: Some(record.nodes.len() as u64),
            family: "clusters",
            parent: None,
        }
    }

    fn kind(&self, call: &Call) -> Kind {
        let path = call.path();
        let ["runtime", "api", "v1", rest @ ..] = path.as_slice() else {
            return Kind::UNKNOWN;
        };
        match rest {
            _ if !call.feature("runtime") => Kind::UNKNOWN,
            ["clusters"] => Kind::list("list"),
            ["cluster", _] => Kind::detail("detail"),
            ["clusters", _] => Kind::detail("detail-slash"),
            ["registration_token", ..] => Kind::secret("registration-token"),
            _ => Kind::UNKNOWN,
        }
    }

    fn answer(&self, call: &Call, kind: Kind) -> Answer {
        let path = call.path();
        let slash = call.feature("clusters_slash");
        match (kind.name, path.as_slice()) {
            ("list", _) if call.is(&Method::POST) => self.list(call),
            ("detail", [.., id]) if call.is(&Method::GET) && !slash => self.detail(call, id),
            ("detail-slash", [.., id]) if call.is(&Method::GET) && slash && call.trailing_slash => {
                self.detail(call, id)
            }
            ("registration-token", _) => {
                Answer::json(201, json!({"token": "SECRET-CANARY-registration"}))
            }
            ("list", _) => Answer::json(405, json!({"error": "method not allowed"})),
            _ => Answer::html(404, NOT_FOUND_PAGE),
        }
    }

    fn problem(&self, call: &Call, problem: Problem) -> Answer {
        let error = |status, text: &str| Answer::json(status, json!({"error": text}));
        match problem {
            Problem::BadRequest => error(400, "required fields are missing"),
            Problem::Unauthorized => Answer::json(
                401,
                json!({"errors": [{"status": 401, "message": "Unauthorized"}]}),
            ),
            Problem::Expired => Answer::json(
                401,
                json!({"message": "Token failed verification: expired"}),
            ),
            Problem::Forbidden => Answer::json(
                403,
                json!({"errors": [{"status": 403, "message": "Permission denied"}]}),
            ),
            Problem::NotFound => error(404, "not found"),
            Problem::TooMany(wait) => {
                let mut body =
                    json!({"error": "rate limit exceeded", "message": "Too many requests"});
                if let Some(wait) = wait {
                    let wait =
                        jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::ZERO);
                    let until = jiff::Timestamp::now()
                        .checked_add(wait)
                        .unwrap_or(jiff::Timestamp::MAX);
                    body["reset_at"] = json!(stamp(until, Style::Micros));
                }
                let _ = call;
                Answer::json(429, body)
            }
            Problem::Internal => error(500, "internal server error"),
            Problem::Unavailable => Answer::json(
                503,
                json!({"errors": [{"status": 503, "message": "Service Unavailable"}]}),
            ),
        }
    }

    fn legacy(&self, _call: &Call, answer: Answer) -> Answer {
        // The draft of 2024: offsets, UUIDs, the total inside the paging, a detail without its wrapper.
        let body = answer.body();
        if body["clusters"].is_array() {
            return Answer::ok(
                json!({"data": body["clusters"], "pagination": {"limit": 100, "offset": 0, "total_count": body["total_count"]}}),
            );
        }
        Answer::ok(body["cluster"].clone())
    }
}
