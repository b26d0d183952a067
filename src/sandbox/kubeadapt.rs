//! Kubeadapt: the current generation of its read API.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fleet::{
    Arrangement, BASE36, BASE62, CLOUD_PLACES, Dice, Profile, Style, ago, stamp, uuid,
};
use super::world::{Allowance, Answer, Api, Call, Context, Kind, Problem};
use super::{Fault, Truth, Vendor};

const ROWS: &[&str] = &["/data"];
const DAY: i64 = 86_400;
const LIST_PARAMETERS: [&str; 8] = [
    "limit",
    "cursor",
    "include_total",
    "provider",
    "region",
    "environment",
    "status",
    "cost_mode",
];
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
/// Filters whose values are checked, with the choices.
const ENUMS: [(&str, &[&str]); 3] = [
    ("provider", &["aws", "gcp", "azure", "on-prem"]),
    (
        "environment",
        &["production", "non-production", "staging", "dev"],
    ),
    (
        "status",
        &["pending", "active", "disconnected", "error", "discovered"],
    ),
];

pub(super) struct Kubeadapt {
    context: Context,
    token: String,
}

struct Record {
    id: String,
    name: String,
    provider: &'static str,
    service: Option<String>,
    region: &'static str,
    environment: &'static str,
    status: &'static str,
    stale: bool,
    version: String,
    created: Timestamp,
    seen: Option<Timestamp>,
    nodes: u64,
    gpu: Option<super::fleet::Gpu>,
    odd: bool,
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

    /// The hourly run rate in ten-thousandths; it moves with each revision, and the order of the list with it.
    fn rate(&self, serial: u64, revision: u64) -> u64 {
        let base = Dice::new(&[self.context.seed, serial, 3]).between(5_000, 1_500_000);
        base + Dice::new(&[self.context.seed, serial, revision, 4]).below(base / 10)
    }

    fn record(&self, serial: u64, revision: u64) -> Record {
        let Context {
            seed,
            anchor,
            quirks,
            ..
        } = self.context;
        let profile = Profile::draw(seed, serial, anchor);
        let mut dice = Dice::new(&[seed, serial, 5]);
        let odd = quirks && dice.percent(15);
        let (provider, service, region) = CLOUD_PLACES[profile.place];
        let status = match dice.below(20) {
            _ if odd && dice.percent(30) => dice.pick(&["paused", "Active", "upgrading"]),
            0 => "disconnected",
            1 => "pending",
            2 => "error",
            3 => "discovered",
            _ => "active",
        };
        let never = matches!(status, "pending" | "discovered");
        let stale = never || status == "disconnected" || dice.percent(5);
        let silent = if stale {
            dice.between(200, 90_000)
        } else {
            dice.between(2, 60)
        };
        let moved = if stale {
            0
        } else {
            i64::try_from(revision).unwrap_or(0)
        };
        let service = match service {
            "" => None,
            service if quirks && dice.percent(20) => Some(service.to_lowercase()),
            service => Some(service.to_owned()),
        };
        Record {
            id: self.id(serial),
            name: profile.name,
            provider,
            service,
            region,
            environment: if odd {
                "development"
            } else {
                profile.environment
            },
            status,
            stale,
            version: format!("1.{}.{}", dice.between(29, 34), dice.below(9)),
            created: profile.created,
            seen: (!never).then(|| ago(anchor, i64::try_from(silent).unwrap_or(0) - moved)),
            nodes: profile.nodes,
            gpu: profile.gpu,
            odd,
        }
    }

    fn row(&self, serial: u64, record: &Record, revision: u64) -> Value {
        let mut dice = Dice::new(&[self.context.seed, serial, revision, 6]);
        let cores = record.nodes * 8;
        let memory = record.nodes * (32 << 30);
        let used = dice.between(15, 85);
        let gpus = record.gpu.map_or(0, |_| record.nodes * 8);
        let gpu_memory = record.gpu.map_or(0, |gpu| gpus * gpu.memory_gb * (1 << 30));
        let gpu_used = if gpus == 0 { 0 } else { dice.between(1, 99) };
        let pods = record.nodes * dice.between(8, 40);
        let mut row = json!({"id": record.id, "kind": if record.odd { "cluster" } else { "Cluster" },
            "metadata": self.metadata(record),
            "capacity": {
                "cpu": {"total_cores": cores as f64, "allocatable_cores": cores as f64 * 0.94},
                "memory": {"total_bytes": memory, "allocatable_bytes": memory / 100 * 93},
                "gpu": {"total": gpus, "allocatable": gpus, "model": record.gpu.map_or("", |gpu| gpu.model)},
                "storage": {"total_bytes": record.nodes * (200 << 30)}, "pods": {"allocatable": record.nodes * 110}},
            "utilization": {
                "cpu": {"requested_cores": cores as f64 * 0.7, "used_cores": cores as f64 * used as f64 / 100.0, "utilization_percent": used as f64},
                "memory": {"requested_bytes": memory / 10 * 6, "used_bytes": memory / 100 * used, "utilization_percent": used as f64 + 0.4},
                "gpu": {"utilization_percent": gpu_used as f64, "memory_used_bytes": gpu_memory / 100 * gpu_used, "memory_total_bytes": gpu_memory},
                "network": {"rx_bytes_total": dice.below(1 << 40), "tx_bytes_total": dice.below(1 << 40)},
                "restarts_total": dice.below(200), "oom_kills_total": dice.below(9),
                "counts": {"nodes": record.nodes, "namespaces": dice.between(3, 30), "workloads": pods / 3 + 1,
                    "deployments": pods / 4, "statefulsets": pods / 20, "daemonsets": 6, "jobs": dice.below(40),
                    "cronjobs": dice.below(10), "pods": pods, "running_pods": pods - pods / 40, "containers": pods * 2,
                    "running_containers": pods * 2 - pods / 20, "persistent_volumes": pods / 12}},
            "cost": {"current_run_rate_hourly": money(self.rate(serial, revision)),
                "last_updated_at": record.seen.map(|seen| stamp(seen, Style::Seconds))}});
        if record.odd {
            row["labels_preview"] = json!(["added", "lately"]);
            if let Some(utilization) = row["utilization"].as_object_mut() {
                utilization.remove("network");
                utilization.remove("restarts_total");
            }
            if record.stale {
                row["cost"]["current_run_rate_hourly"] = Value::Null;
            }
        }
        row
    }

    fn metadata(&self, record: &Record) -> Value {
        let mut metadata = json!({"name": record.name, "provider": record.provider, "region": record.region,
            "availability_zones": [format!("{}a", record.region), format!("{}b", record.region)],
            "environment": record.environment, "status": record.status, "is_stale": record.stale,
            "k8s_version": record.version, "agent_version": "1.18.2", "discovery_source": "agent",
            "created_at": stamp(record.created, Style::Seconds)});
        if let Some(service) = &record.service {
            metadata["service"] = json!(service);
        }
        match record.seen {
            Some(seen) if record.odd => {
                metadata["last_seen_at"] = json!(stamp(seen, Style::Offset))
            }
            Some(seen) => metadata["last_seen_at"] = json!(stamp(seen, Style::Seconds)),
            None if record.odd => {}
            None => metadata["last_seen_at"] = Value::Null,
        }
        if record.odd {
            metadata["agent_version"] = json!("");
            metadata["availability_zones"] = Value::Null;
        }
        metadata
    }

    fn hidden(&self, call: &Call, serial: u64) -> bool {
        call.feature("allow-list") && serial % 3 == 2
    }

    fn list(&self, call: &Call) -> Answer {
        if call.query("cost_mode").is_some() {
            return failure(
                call,
                422,
                "INVALID_COST_MODE",
                "cost_mode is not accepted here",
                json!({"field": "cost_mode"}),
            );
        }
        let (limit, filters) = match (self.limit(call), filters(call)) {
            (Ok(limit), Ok(filters)) => (limit, filters),
            (Err(answer), _) | (_, Err(answer)) => return answer,
        };
        let cursor = match self.position(call) {
            Ok(cursor) => cursor,
            Err(answer) => return answer,
        };
        let order = call.visible(&call.members.arrangement.main);
        let key = |serial: u64| (Reverse(self.rate(serial, call.revision())), self.id(serial));
        let start = cursor.as_ref().map_or(0, |(value, id)| {
            let after = (Reverse(*value), id.clone());
            order.partition_point(|serial| key(*serial) <= after)
        });
        let fits = |serial: u64| {
            !self.hidden(call, serial)
                && (filters.is_empty() || {
                    let record = self.record(serial, call.revision());
                    filters.iter().all(|(name, values)| {
                        let value = match *name {
                            "provider" => record.provider,
                            "region" => record.region,
                            "environment" => record.environment,
                            _ => record.status,
                        };
                        values.iter().any(|wanted| wanted == value)
                    })
                })
        };
        let mut rest = order[start..]
            .iter()
            .copied()
            .filter(|serial| fits(*serial));
        let page: Vec<u64> = rest.by_ref().take(limit).collect();
        let has_more = rest.next().is_some();
        let rows: Vec<Value> = page
            .iter()
            .map(|serial| {
                self.row(
                    *serial,
                    &self.record(*serial, call.revision()),
                    call.revision(),
                )
            })
            .collect();
        let wants_cursor = has_more || call.feature("cursor-on-last-page");
        let next = page.last().filter(|_| wants_cursor).map(|serial| {
            self.token_for(call, self.rate(*serial, call.revision()), &self.id(*serial))
        });
        let total = || order.iter().filter(|serial| fits(**serial)).count();
        let body = envelope(
            call,
            json!(rows),
            Some(pagination(call, next, has_more, limit, total)),
            &LIST_PARAMETERS,
        );
        Answer::ok(body).rows(ROWS).first(cursor.is_none())
    }

    fn limit(&self, call: &Call) -> Result<usize, Answer> {
        let Some(text) = call.query("limit") else {
            return Ok(100);
        };
        match text.parse::<usize>() {
            Ok(limit @ 1..=500) => Ok(limit),
            _ => Err(failure(
                call,
                400,
                "BAD_REQUEST",
                "limit must be between 1 and 500",
                json!({"field": "limit", "reason": "out_of_range"}),
            )),
        }
    }

    /// Where the cursor that was sent stands, once it is found to be whole, young and of the same query.
    fn position(&self, call: &Call) -> Result<Option<(u64, String)>, Answer> {
        let Some(cursor) = call.cursor(call.query("cursor")) else {
            return Ok(None);
        };
        let damaged = || {
            failure(
                call,
                400,
                "INVALID_CURSOR",
                "cursor could not be decoded",
                json!({"field": "cursor"}),
            )
        };
        let expired = |reason: &str| {
            failure(
                call,
                410,
                "CURSOR_EXPIRED",
                "cursor no longer valid",
                json!({"reason": reason}),
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| damaged())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let (Some(value), Some(id), Some(issued)) = (
            token["after_value"].as_u64(),
            token["after_id"].as_str(),
            token["issued_at"].as_i64(),
        ) else {
            return Err(damaged());
        };
        if token["query_hash"] != json!(query_hash(call)) {
            return Err(expired("query_changed"));
        }
        if Timestamp::now().as_second() - issued > DAY || call.feature("expire-cursors") {
            return Err(expired("expired"));
        }
        Ok(Some((value, id.to_owned())))
    }

    fn token_for(&self, call: &Call, value: u64, id: &str) -> String {
        let token = json!({"v": 1, "after_id": id, "after_value": value, "query_hash": query_hash(call),
            "issued_at": Timestamp::now().as_second()});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    /// A cluster of the path, or why there is none.
    fn cluster(&self, call: &Call, id: &str) -> Result<u64, Answer> {
        let well_formed = id.len() == 36
            && id.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !well_formed {
            return Err(failure(
                call,
                400,
                "INVALID_CLUSTER_ID",
                "cluster_id is not a UUID",
                json!({"field": "cluster_id"}),
            ));
        }
        match call.serial(id) {
            Some(serial) if self.hidden(call, serial) => Err(failure(
                call,
                403,
                "CLUSTER_ACCESS_DENIED",
                "cluster is outside the key's allow-list",
                json!({"field": "cluster_id"}),
            )),
            Some(serial) => Ok(serial),
            None => Err(failure(
                call,
                404,
                "CLUSTER_NOT_FOUND",
                "cluster not found in tenant",
                json!({"field": "cluster_id", "reason": "not_found"}),
            )),
        }
    }

    fn detail(&self, call: &Call, id: &str) -> Answer {
        if call.query("cost_mode").is_some() {
            return failure(
                call,
                422,
                "INVALID_COST_MODE",
                "cost_mode is not accepted here",
                json!({"field": "cost_mode"}),
            );
        }
        match self.cluster(call, id) {
            Ok(serial) => {
                let row = self.row(
                    serial,
                    &self.record(serial, call.revision()),
                    call.revision(),
                );
                Answer::ok(envelope(call, row, None, &[])).rows(ROWS)
            }
            Err(answer) => answer,
        }
    }

    fn group_name(record: &Record, node: u64) -> &'static str {
        match node {
            0 => "system",
            _ if record.gpu.is_some() => "gpu:workers",
            _ => "workers",
        }
    }

    fn node(&self, serial: u64, record: &Record, node: u64, revision: u64) -> Value {
        let mut dice = Dice::new(&[self.context.seed, serial, node, 8]);
        let spot = node > 0 && dice.percent(30);
        let used = Dice::new(&[self.context.seed, serial, node, revision, 9]).between(5, 95);
        let id = uuid(&mut dice);
        let rate = self.rate(serial, revision) / record.nodes.max(1);
        let capacity_type = match (spot, record.odd) {
            (true, true) => "SPOT",
            (true, false) => "spot",
            (false, true) => "ON_DEMAND",
            (false, false) => "on-demand",
        };
        let gpus = if node > 0 {
            record.gpu.map_or(0, |_| 8)
        } else {
            0
        };
        let mut row = json!({"id": id, "metadata": {"name": format!("ip-10-{}-{node}", serial % 250),
                "cluster": {"id": record.id, "name": record.name}, "node_role": if node == 0 { "system" } else { "worker" },
                "instance_type": if gpus > 0 { "p5.48xlarge" } else { "m7g.2xlarge" }, "node_group": Self::group_name(record, node),
                "availability_zone": format!("{}a", record.region), "region": record.region, "capacity_type": capacity_type,
                "architecture": if gpus > 0 { "amd64" } else { "arm64" }, "operating_system": "linux",
                "kubelet_version": format!("v{}", record.version), "provider_id": format!("aws:///{}a/i-{serial:08x}{node:02x}", record.region),
                "is_spot": spot, "is_ready": !dice.percent(5), "is_schedulable": true, "labels": {"team": "platform"},
                "created_at_k8s": stamp(record.created, Style::Seconds),
                "last_seen_at": record.seen.map(|seen| stamp(seen, Style::Seconds))},
            "capacity": {"cpu": {"total_cores": 8.0, "allocatable_cores": 7.5},
                "memory": {"total_bytes": 32_u64 << 30, "allocatable_bytes": 30_u64 << 30},
                "gpu": {"total": gpus, "allocatable": gpus, "model": if gpus > 0 { record.gpu.map_or("", |gpu| gpu.model) } else { "" }},
                "ephemeral_storage": {"total_bytes": 200_u64 << 30}, "pods": {"allocatable": 110}},
            "utilization": {"cpu": {"used_cores": used as f64 * 0.08, "utilization_percent": used as f64},
                "memory": {"used_bytes": used * (32 << 30) / 100, "utilization_percent": used as f64},
                "gpu": {"utilization_percent": 0.0, "memory_used_bytes": 0, "memory_total_bytes": 0},
                "counts": {"pods": 30, "running_pods": 29}},
            "cost": {"current_run_rate_hourly": money(rate), "pricing_source": "opaque",
                "last_updated_at": record.seen.map(|seen| stamp(seen, Style::Seconds))}});
        if spot {
            row["cost"]["on_demand_equivalent_hourly"] = money(rate * 5 / 2);
        }
        row
    }

    /// Nodes of some clusters, in the order of the clusters; the cursor counts clusters and nodes.
    fn nodes(&self, call: &Call, serials: &[u64]) -> Answer {
        let limit = match self.limit(call) {
            Ok(limit) => limit,
            Err(answer) => return answer,
        };
        let (mut cluster, mut node) = match self.position(call) {
            Ok(Some((value, _))) => (
                usize::try_from(value >> 16).unwrap_or(usize::MAX),
                value & 0xFFFF,
            ),
            Ok(None) => (0, 0),
            Err(answer) => return answer,
        };
        let first = (cluster, node) == (0, 0);
        let group = call.query("node_group");
        let mut rows = Vec::new();
        while rows.len() < limit && cluster < serials.len() {
            let serial = serials[cluster];
            let record = self.record(serial, call.revision());
            if node >= record.nodes {
                (cluster, node) = (cluster + 1, 0);
                continue;
            }
            if group.is_none_or(|names| {
                names
                    .split(',')
                    .any(|name| name == Self::group_name(&record, node))
            }) {
                rows.push(self.node(serial, &record, node, call.revision()));
            }
            node += 1;
        }
        let at_end = |cluster: usize, node: u64| {
            serials.get(cluster).is_none_or(|serial| {
                cluster + 1 == serials.len() && node >= self.record(*serial, call.revision()).nodes
            })
        };
        let has_more = !at_end(cluster, node);
        let next = has_more.then(|| self.token_for(call, ((cluster as u64) << 16) | node, "node"));
        let total = || {
            serials
                .iter()
                .map(|serial| usize::try_from(self.record(*serial, 0).nodes).unwrap_or(0))
                .sum()
        };
        Answer::ok(envelope(
            call,
            json!(rows),
            Some(pagination(call, next, has_more, limit, total)),
            &NODE_PARAMETERS,
        ))
        .rows(ROWS)
        .first(first)
    }

    fn groups(&self, call: &Call, serials: &[u64]) -> Vec<Value> {
        let mut groups = Vec::new();
        for serial in serials {
            let record = self.record(*serial, call.revision());
            let mut names: Vec<&str> = (0..record.nodes)
                .map(|node| Self::group_name(&record, node))
                .collect();
            let all = names.clone();
            names.dedup();
            for name in names {
                let nodes = all.iter().filter(|other| **other == name).count();
                groups.push(json!({"id": format!("ng-{}-{name}", record.id), "kind": "NodeGroup",
                    "metadata": {"name": name, "cluster": {"id": record.id, "name": record.name},
                        "instance_types": ["m7g.2xlarge"], "zones": [format!("{}a", record.region)], "spot_count": 0,
                        "ondemand_count": nodes, "spot_percentage": 0.0,
                        "oldest_node_created_at_k8s": stamp(record.created, Style::Seconds), "status": "active"},
                    "capacity": {"cpu": {"total_cores": nodes as f64 * 8.0, "allocatable_cores": nodes as f64 * 7.5},
                        "memory": {"total_bytes": nodes as u64 * (32 << 30), "allocatable_bytes": nodes as u64 * (30 << 30)}},
                    "utilization": {"cpu": {"used_cores": 1.0, "utilization_percent": 12.5},
                        "memory": {"used_bytes": 1_u64 << 30, "utilization_percent": 3.1},
                        "counts": {"nodes": nodes, "ready_nodes": nodes, "pods": nodes * 30}},
                    "cost": {"current_run_rate_hourly": money(self.rate(*serial, call.revision()) * nodes as u64 / record.nodes.max(1)),
                        "last_updated_at": record.seen.map(|seen| stamp(seen, Style::Seconds))}}));
            }
        }
        groups
    }

    fn trend(&self, call: &Call, serial: u64) -> Answer {
        let moment = |name: &str| call.query(name).and_then(|text| text.parse::<i64>().ok());
        let (Some(start), Some(end)) = (moment("start"), moment("end")) else {
            return failure(
                call,
                422,
                "VALIDATION_ERROR",
                "start and end are required",
                json!({"field": "start"}),
            );
        };
        if end <= start || end - start > 5 * 366 * DAY {
            return failure(
                call,
                422,
                "VALIDATION_ERROR",
                "end must be after start",
                json!({"field": "end"}),
            );
        }
        let step = ((end - start) / 24).max(1);
        let points: Vec<Value> = (0..24)
            .filter_map(|at| Timestamp::from_second(start + at * step).ok())
            .map(|at| json!({"timestamp": stamp(at, Style::Seconds), "cost": money(self.rate(serial, call.revision()))}))
            .collect();
        let mode = call.query("cost_mode").unwrap_or("fully_loaded");
        let mut body = envelope(
            call,
            json!({"granularity": "hourly", "points": points}),
            None,
            &["start", "end", "type", "granularity", "cost_mode"],
        );
        body["meta"]["cost_mode"] = json!(mode);
        Answer::ok(body)
    }

    fn organization(&self, call: &Call) -> Answer {
        let order = &call.members.arrangement.main;
        let (mut nodes, mut connected, mut rate) = (0, 0, 0);
        for serial in order {
            let record = self.record(*serial, call.revision());
            nodes += record.nodes;
            connected += u64::from(!record.stale);
            rate += self.rate(*serial, call.revision());
        }
        let data = json!({"id": uuid(&mut Dice::new(&[self.context.seed, 11])), "kind": "Organization",
            "metadata": {"name": "Example", "domain": "example.com", "plan_type": "enterprise", "is_active": true,
                "created_at": stamp(ago(self.context.anchor, 500 * DAY), Style::Seconds)},
            "utilization": {"counts": {"clusters": order.len(), "connected_clusters": connected, "nodes": nodes}},
            "cost": {"current_run_rate_hourly": money(rate)}});
        Answer::ok(envelope(call, data, None, &[]))
    }
}

fn money(ten_thousandths: u64) -> Value {
    json!({"amount": format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000), "currency": "USD"})
}

fn meta(call: &Call) -> Value {
    let id = Dice::new(&[call.number, 12]).letters(BASE36, 26);
    json!({"request_id": format!("req_{id}"), "applied_at": stamp(Timestamp::now(), Style::Seconds)})
}

fn envelope(call: &Call, data: Value, pagination: Option<Value>, known: &[&str]) -> Value {
    let mut meta = meta(call);
    if let Some(pagination) = pagination {
        meta["pagination"] = pagination;
    }
    let ignored: Vec<&str> = call
        .query
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !known.contains(name))
        .collect();
    if !ignored.is_empty() {
        meta["ignored_params"] = json!(ignored);
    }
    json!({"data": data, "meta": meta})
}

fn pagination(
    call: &Call,
    next: Option<String>,
    has_more: bool,
    limit: usize,
    total: impl Fn() -> usize,
) -> Value {
    let mut pagination = json!({"has_more": call.more(has_more), "limit": limit});
    match call.next(next) {
        Some(next) => pagination["next_cursor"] = json!(next),
        // Absent and empty both occur.
        None if call.number.is_multiple_of(2) => pagination["next_cursor"] = json!(""),
        None => {}
    }
    if call.query("include_total") == Some("true") || call.fault == Some(Fault::TotalOverflow) {
        pagination["total_count"] = json!(total());
    }
    pagination
}

fn failure(call: &Call, status: u16, code: &str, message: &str, detail: Value) -> Answer {
    Answer::json(
        status,
        json!({"data": Value::Null, "meta": meta(call),
        "error": {"code": code, "message": message, "details": [detail]}}),
    )
}

/// The filters of a query, each with its values; an unknown value of a closed list is refused.
fn filters(call: &Call) -> Result<Vec<(&'static str, Vec<String>)>, Answer> {
    let mut filters = Vec::new();
    if let Some(region) = call.query("region") {
        filters.push(("region", region.split(',').map(str::to_owned).collect()));
    }
    for (name, allowed) in ENUMS {
        let Some(text) = call.query(name) else {
            continue;
        };
        let values: Vec<String> = text.split(',').map(str::to_owned).collect();
        if let Some(bad) = values
            .iter()
            .find(|value| !allowed.contains(&value.as_str()))
        {
            let message = format!("invalid {name} value: {bad}");
            return Err(failure(
                call,
                422,
                "VALIDATION_ERROR",
                &message,
                json!({"field": name, "allowed": allowed}),
            ));
        }
        filters.push((name, values));
    }
    Ok(filters)
}

/// Binds a cursor to the endpoint and to everything that was asked, the limit included.
fn query_hash(call: &Call) -> String {
    let mut pairs: Map<String, Value> = Map::new();
    for (name, value) in call
        .query
        .iter()
        .filter(|(name, _)| name != "cursor" && name != "include_total")
    {
        pairs.insert(name.clone(), json!(value));
    }
    let text = format!("{} {}", call.parts.uri.path(), Value::Object(pairs));
    let parts: Vec<u64> = text.bytes().map(u64::from).collect();
    format!("{:016x}", Dice::new(&parts).next())
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
                json!({"field": "path"}),
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
        let of_cluster = || self.cluster(call, id).map(|serial| vec![serial]);
        let answered = match kind.name {
            "health" => Ok(Answer::ok(
                json!({"status": "healthy", "version": "1.42.0"}),
            )),
            "list" => Ok(self.list(call)),
            "detail" => Ok(self.detail(call, id)),
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
                        json!({"field": "name"}),
                    ),
                }
            }),
            "cost-trend" => self
                .cluster(call, id)
                .map(|serial| self.trend(call, serial)),
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
                json!({"field": "query"}),
            ),
            Problem::Unauthorized => failure(
                call,
                401,
                "UNAUTHORIZED",
                "missing or invalid Bearer token",
                json!({}),
            ),
            Problem::Expired => failure(
                call,
                401,
                "UNAUTHORIZED",
                "API key has expired",
                json!({"reason": "expired"}),
            ),
            Problem::Forbidden => failure(
                call,
                403,
                "FORBIDDEN",
                "missing scope",
                json!({"required": ["clusters:read"], "granted": ["nodes:read"]}),
            ),
            Problem::NotFound => failure(
                call,
                404,
                "CLUSTER_NOT_FOUND",
                "cluster not found in tenant",
                json!({"field": "cluster_id", "reason": "not_found"}),
            ),
            Problem::TooMany(wait) => {
                let answer = failure(
                    call,
                    429,
                    "RATE_LIMITED",
                    "per-key quota exceeded",
                    json!({}),
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
            Problem::Internal => failure(call, 500, "INTERNAL_ERROR", "internal error", json!({})),
            Problem::Unavailable => failure(
                call,
                503,
                "SERVICE_UNAVAILABLE",
                "service unavailable",
                json!({}),
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
