//! Latitude.sh: projects, the legacy Kubernetes clusters and their successor LKS.

use http::Method;
use serde_json::{Value, json};

use super::fleet::{Arrangement, BASE62, Dice, HEX, Profile, Style, ago, stamp};
use super::world::{Answer, Api, Call, Context, Kind, Problem};
use super::{Truth, Vendor};

const ROWS: &[&str] = &["/data"];
const SITES: [&str; 8] = ["SAN3", "DAL2", "LAX2", "FRA2", "ASH", "LON2", "TYO4", "SYD"];
const PLANS: [&str; 4] = [
    "c3-small-x86",
    "c3-medium-x86",
    "f4-metal-small",
    "g3-large-h100",
];
const PROJECTS_MAX: u64 = 200;

pub(super) struct Latitude {
    context: Context,
    token: String,
}

/// What both families of clusters have.
struct Record {
    serial: u64,
    id: String,
    legacy: bool,
    project: u64,
    name: String,
    site: &'static str,
    /// `phase` of a legacy cluster, `status` of an LKS one.
    status: Option<&'static str>,
    minor: u64,
    patch: u64,
    nodes: u64,
    plan: &'static str,
    created: jiff::Timestamp,
    updated: jiff::Timestamp,
    revision: u64,
    odd: bool,
}

impl Record {
    fn ready(&self) -> bool {
        matches!(self.status, Some("Provisioned" | "Upgrading" | "ready"))
    }

    fn version(&self) -> String {
        if self.legacy {
            format!("v1.{}.{}+rke2r1", self.minor, self.patch)
        } else {
            format!("1.{}.{}", self.minor, self.patch)
        }
    }

    const fn control_planes(&self) -> u64 {
        if self.nodes > 4 { 3 } else { 1 }
    }

    /// Nodes of each LKS pool.
    fn pools(&self) -> Vec<u64> {
        let second = if self.nodes > 2 { self.nodes / 3 } else { 0 };
        [self.nodes - second, second]
            .into_iter()
            .filter(|count| *count > 0)
            .collect()
    }
}

impl Latitude {
    pub(super) fn new(context: Context) -> Self {
        let token = Dice::new(&[context.seed, 905]).letters(HEX, 40);
        Self { context, token }
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

    /// A project has at most one legacy cluster, and a fifth of them has none.
    fn legacy(&self, serial: u64) -> bool {
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
        let legacy = self.legacy(serial);
        let status = match (legacy, dice.below(16)) {
            (true, _) if odd && dice.percent(40) => {
                Some(dice.pick(&["Unknown", "Hibernating", "Upgrading"]))
            }
            (false, _) if odd && dice.percent(40) => {
                dice.pick(&[None, Some("hibernating"), Some("paused")])
            }
            (true, 0) => Some("Provisioning"),
            (true, 1) => Some("Failed"),
            (true, 2) => Some("Upgrading"),
            (true, _) => Some("Provisioned"),
            (false, 0) => Some("provisioning"),
            (false, 1) => Some("scaling"),
            (false, 2) => Some("upgrading"),
            (false, 3) => Some("deleting"),
            (false, _) => Some("ready"),
        };
        let moved =
            i64::try_from(Dice::new(&[seed, serial, revision, 4]).below(3_000)).unwrap_or(0);
        Record {
            serial,
            id: self.id(serial),
            legacy,
            project: serial % self.projects(),
            name: profile.name,
            site: SITES[profile.place % SITES.len()],
            status,
            minor: dice.between(33, 36),
            patch: dice.below(5),
            nodes: profile.nodes,
            plan: if profile.gpu.is_some() {
                "g3-large-h100"
            } else {
                dice.pick(&PLANS[..3])
            },
            created: profile.created,
            updated: ago(anchor, 4_000 - moved),
            revision,
            odd,
        }
    }

    fn project(&self, number: u64) -> Value {
        json!({"id": self.project_id(number), "type": "projects", "attributes": {
            "name": format!("Project {number}"), "slug": slug(number), "description": "",
            "environment": if number % 3 == 0 { json!("Production") } else { Value::Null },
            "provisioning_type": "on_demand", "billing_type": "Normal", "billing_method": "Normal",
            "team": {"id": "team_1", "name": "Example", "slug": "example", "currency": {"code": "USD"}, "feature_flags": [], "limits": {}},
            "stats": {"servers": 3}, "tags": [],
            "created_at": "2024-08-19T20:35:22+00:00", "updated_at": "2024-08-19T20:35:22.292Z"}})
    }

    fn message(record: &Record) -> String {
        match record.status {
            Some("Provisioned") | Some("ready") => {
                format!("the cluster is ready (check {})", record.revision)
            }
            Some(other) => format!(
                "the cluster is {} (check {})",
                other.to_lowercase(),
                record.revision
            ),
            None => String::new(),
        }
    }

    fn legacy_summary(record: &Record) -> Value {
        let ready = record.ready();
        let step = |name: &str, done: bool| json!({"name": name, "status": if done { "completed" } else { "in_progress" }});
        let mut attributes = json!({"name": record.name, "phase": record.status, "ready": ready,
            "infrastructure_ready": true, "control_plane_ready": ready, "message": Self::message(record),
            "steps": [step("infrastructure", true), step("control_plane", ready), step("workers", ready)],
            "last_status_change": stamp(record.updated, Style::Seconds), "created_at": stamp(record.created, Style::Seconds)});
        if record.odd {
            attributes["last_status_change"] = Value::Null;
            attributes["steps"] = json!([]);
            attributes["maintenance_window"] = json!({"added": "lately"});
        }
        json!({"type": "kubernetes_clusters", "id": record.id, "attributes": attributes})
    }

    fn legacy_detail(&self, record: &Record) -> Value {
        let mut row = Self::legacy_summary(record);
        let ready = record.ready();
        let (planes, workers) = (
            record.control_planes(),
            record.nodes.saturating_sub(record.control_planes()),
        );
        let known = !(record.odd && record.status == Some("Unknown"));
        let more = json!({
            "control_plane_endpoint": ready.then(|| format!("https://{}.k8s.example.com:6443", record.id.replace('_', "-"))),
            "kubeconfig_url": ready.then(|| format!("/kubernetes_clusters/{}/kubeconfig", record.id)),
            "location": known.then_some(record.site), "load_balancer_ips": if ready { json!(["198.51.100.7"]) } else { json!([]) },
            "kubernetes_version": known.then(|| record.version()),
            "version_status": if !known { "unknown" } else if record.minor < 35 { "upgrade_available" } else { "up_to_date" },
            "available_upgrade": (known && record.minor < 35).then(|| format!("v1.{}.0+rke2r1", record.minor + 1)),
            "plan": known.then_some(record.plan), "worker_plan": (workers > 0).then_some(record.plan),
            "control_plane_count": planes, "worker_count": workers,
            "control_plane": known.then(|| json!({"ready": ready, "replicas": planes, "ready_replicas": if ready { planes } else { 0 }})),
            "workers": known.then(|| json!({"replicas": workers, "ready_replicas": workers, "available_replicas": workers})),
            "worker_status": if workers == 0 { json!("idle") } else if record.odd { Value::Null } else { json!("ready") },
            "control_plane_status": if ready { "ready" } else { "scaling" },
            "failure_message": (record.status == Some("Failed")).then_some("control plane did not come up"),
            "failure_reason": (record.status == Some("Failed")).then_some("ControlPlaneTimeout"),
            "nodes": self.legacy_nodes(record, planes, workers),
            "project": {"id": self.project_id(record.project), "name": format!("Project {}", record.project), "slug": slug(record.project)}});
        if let (Some(attributes), Value::Object(more)) = (row["attributes"].as_object_mut(), more) {
            attributes.extend(more);
        }
        row
    }

    fn legacy_nodes(&self, record: &Record, planes: u64, workers: u64) -> Vec<Value> {
        (0..planes + workers)
            .map(|node| {
                let plane = node < planes;
                let name = format!("{}-{}-{node}", record.name, if plane { "control-plane" } else { "workers" });
                let bound = !record.odd;
                let status = match Dice::new(&[self.context.seed, record.serial, node, 5]).below(20) {
                    0 => "pending",
                    1 if !plane => "failed",
                    _ => "ready",
                };
                json!({"id": name, "name": name, "hostname": bound.then_some(&name), "server_id": bound.then(|| format!("sv_{node}")),
                    "type": if plane { "control_plane" } else { "worker" }, "status": status,
                    "ip": bound.then(|| format!("203.0.113.{}", node % 250)), "internal_ip": format!("10.0.0.{}", node % 250),
                    "external_ip": bound.then(|| format!("203.0.113.{}", node % 250))})
            })
            .collect()
    }

    fn lks(&self, record: &Record) -> Value {
        let up = record.status != Some("provisioning");
        let mut attributes = json!({"name": record.name, "description": if record.odd { Value::Null } else { json!("") },
            "project_id": self.project_id(record.project), "site": record.site, "status": record.status,
            "message": Self::message(record), "reason": "",
            "control_plane_endpoint": up.then(|| format!("https://{}.lks.lsh.io:6443", record.id.replace('_', "-"))),
            "kubeconfig_url": up.then(|| format!("/lks/clusters/{}/kubeconfig", record.id)),
            "kubernetes_version": record.version(), "platform_version": format!("lks-v{}-007", record.version()),
            "network": {"pod_cidrs": ["10.0.0.0/12"], "service_cidrs": ["10.96.0.0/15"], "node_cidrs": ["10.16.0.0/21"]},
            "created_at": stamp(record.created, Style::Micros), "updated_at": stamp(record.updated, Style::Micros)});
        if record.odd
            && let Some(fields) = attributes.as_object_mut()
        {
            fields.remove("description");
            fields.insert("reason".to_owned(), Value::Null);
            fields.insert("autopilot".to_owned(), json!(true));
        }
        json!({"id": record.id, "type": "lks_clusters", "attributes": attributes})
    }

    fn pool_id(record: &Record, pool: usize) -> String {
        format!("lksnp_{}{pool}", record.id.trim_start_matches("lksc_"))
    }

    fn pool(record: &Record, pool: usize, count: u64) -> Value {
        let allocated = record.odd && pool > 0;
        json!({"id": Self::pool_id(record, pool), "type": "lks_node_pools", "attributes": {
            "name": format!("pool-{}", if pool == 0 { 'a' } else { 'b' }), "type": "bare_metal",
            "mode": if allocated { "allocated" } else { "on_demand" }, "plan": (!allocated).then_some(record.plan),
            "server_ids": allocated.then(|| (0..count).map(|node| format!("sv_{node}")).collect::<Vec<_>>()),
            "description": "", "count": count, "max_pods_per_node": Value::Null,
            "kubernetes_version": record.version(), "platform_version": format!("lks-v{}-007", record.version()),
            "status": if record.ready() { "ready" } else { "updating" }, "message": "the node pool is ready", "reason": "",
            // Null is "not reported", and reported as often as not.
            "ready_nodes": (record.serial % 2 == 0).then_some(count), "labels": {},
            "taints": if pool == 0 { json!([]) } else { json!([{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]) },
            "created_at": stamp(record.created, Style::Micros), "updated_at": stamp(record.updated, Style::Micros)}})
    }

    fn pool_node(&self, record: &Record, pool: usize, node: u64) -> Value {
        let mut dice = Dice::new(&[self.context.seed, record.serial, pool as u64, node, 6]);
        let status = if dice.percent(8) {
            dice.pick(&["pending", "not_ready"])
        } else {
            "ready"
        };
        json!({"id": format!("lksno_{}", dice.letters(HEX, 12)), "type": "lks_nodes", "attributes": {
            "name": format!("pool-{pool}-{}", dice.letters("abcdefghjkmnpqrstuvwxyz23456789", 5)), "status": status, "reason": "",
            "message": Value::Null, "server": if status == "pending" { Value::Null } else { json!({"id": format!("sv_{node}"), "status": "on"}) },
            "joined_at": (status != "pending").then(|| stamp(record.created, Style::Micros)),
            "created_at": stamp(record.created, Style::Micros), "updated_at": stamp(record.updated, Style::Micros)}})
    }

    fn project_list(&self, call: &Call) -> Answer {
        let number =
            |name: &str, default: u64| call.query(name).map_or(Ok(default), str::parse::<u64>);
        let (Ok(page), Ok(size)) = (number("page[number]", 1), number("page[size]", 20)) else {
            return refused(400, "VALIDATION_ERROR", "page must be a number");
        };
        let (page, size) = (page.max(1), size.clamp(1, 100));
        let all: Vec<u64> = (0..self.projects()).collect();
        let all = call.visible(&all);
        let start = call
            .start(usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX))
            .min(all.len());
        let size = usize::try_from(size).unwrap_or(100);
        // Without cursors a walk ends at a short page, so one that is not to end needs pages that are full.
        let endless = all
            .iter()
            .cycle()
            .take(if call.restarts() { size } else { 0 });
        let rest = all[start..]
            .iter()
            .take(if call.restarts() { 0 } else { size });
        let rows: Vec<Value> = rest
            .chain(endless)
            .map(|number| self.project(*number))
            .collect();
        let mut body = json!({"data": rows, "meta": {}});
        if call.query("stats[total]") == Some("count")
            || call.fault == Some(super::Fault::TotalOverflow)
        {
            body["meta"] = json!({"stats": {"total": {"count": call.total(all.len())}}});
        }
        Answer::ok(body).rows(ROWS).first(page == 1)
    }

    /// The clusters of one family in one project.
    fn cluster_list(&self, call: &Call, legacy: bool) -> Answer {
        let Some(text) = call.query("project_id").filter(|text| !text.is_empty()) else {
            return if legacy {
                refused(
                    400,
                    "VALIDATION_ERROR",
                    "project_id query param is required",
                )
            } else {
                titled(422, "VALIDATION_ERROR", "project_id is missing")
            };
        };
        let number = self
            .project_of(text)
            .filter(|number| !legacy || self.project_id(*number) == text);
        let gone = |number: u64| call.feature("vanishing-project") && number + 1 == self.projects();
        let Some(number) = number.filter(|number| !gone(*number)) else {
            return titled(404, "not_found", "Specified Record Not Found");
        };
        let group = usize::try_from(number)
            .ok()
            .and_then(|at| call.members.arrangement.groups.get(at));
        let of_family: Vec<u64> = group
            .into_iter()
            .flatten()
            .copied()
            .filter(|serial| self.legacy(*serial) == legacy)
            .collect();
        let rows: Vec<Value> = call
            .visible(&of_family)
            .iter()
            .map(|serial| {
                let record = self.record(*serial, call.revision());
                if legacy {
                    Self::legacy_summary(&record)
                } else {
                    self.lks(&record)
                }
            })
            .collect();
        let mut body = json!({"data": rows});
        if !legacy {
            body["meta"] = json!({"total": call.total(rows.len())});
        }
        Answer::ok(body).rows(ROWS).first(true)
    }

    /// A cluster by id; a legacy one by its name as well.
    fn find(&self, call: &Call, id: &str, legacy: bool) -> Option<Record> {
        let by_id = call
            .serial(id)
            .filter(|serial| self.legacy(*serial) == legacy);
        let by_name = || {
            let few = call
                .members
                .alive
                .iter()
                .take_while(|serial| **serial < self.projects());
            few.copied()
                .find(|serial| legacy && self.legacy(*serial) && self.record(*serial, 0).name == id)
        };
        by_id
            .or_else(by_name)
            .map(|serial| self.record(serial, call.revision()))
    }

    fn pools(record: &Record) -> Answer {
        let pools = record.pools();
        let rows: Vec<Value> = pools
            .iter()
            .enumerate()
            .map(|(pool, count)| Self::pool(record, pool, *count))
            .collect();
        Answer::ok(json!({"meta": {"total": rows.len()}, "data": rows})).rows(ROWS)
    }

    fn one_pool(record: &Record, id: &str) -> Option<(usize, u64)> {
        record
            .pools()
            .into_iter()
            .enumerate()
            .find(|(pool, _)| Self::pool_id(record, *pool) == id)
    }

    fn pool_nodes(&self, call: &Call, record: &Record, pool: usize, count: u64) -> Answer {
        let wanted = call.query("filter[status]");
        let rows: Vec<Value> = (0..count)
            .map(|node| self.pool_node(record, pool, node))
            .filter(|node| {
                wanted.is_none_or(|status| node["attributes"]["status"] == json!(status))
            })
            .collect();
        Answer::ok(json!({"meta": {"total": rows.len()}, "data": rows})).rows(ROWS)
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

fn versions() -> Answer {
    let rows: Vec<Value> =
        (31..36).rev().map(|minor| json!({"latest": format!("v1.{minor}.3+rke2r1"), "minor": format!("1.{minor}")})).collect();
    Answer::ok(json!({"data": rows}))
}

fn lks_versions() -> Answer {
    let rows: Vec<Value> = (33..37)
        .map(|minor| {
            let version = format!("1.{minor}.1");
            json!({"id": version, "type": "lks_available_versions", "attributes": {"version": version, "default": minor == 36,
                "available_for_creation": minor > 33, "available_for_upgrade": true}})
        })
        .collect();
    Answer::ok(json!({"data": rows}))
}

fn lks_sites() -> Answer {
    let rows: Vec<Value> = SITES
        .iter()
        .map(|site| json!({"id": site, "type": "lks_sites", "attributes": {"name": site, "slug": site, "facility": site, "country": Value::Null}}))
        .collect();
    Answer::ok(json!({"data": rows}))
}

fn plans() -> Answer {
    let rows: Vec<Value> = PLANS
        .iter()
        .enumerate()
        .map(|(at, plan)| {
            let hour = 0.5 + at as f64;
            json!({"id": format!("plan_{at}"), "type": "plans", "attributes": {"slug": plan, "name": plan,
                "regions": [{"name": "United States", "pricing": {"USD": {"hour": hour, "month": hour * 500.0, "year": Value::Null}}}]}})
        })
        .collect();
    Answer::ok(json!({"data": rows}))
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
            if let Some(group) = usize::try_from(serial % projects)
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
        match call.path().as_slice() {
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
            [.., "kubeconfig"] => Some(Answer::ok(
                json!({"data": {"type": "kubernetes_cluster_kubeconfigs", "attributes": {"kubeconfig": "SECRET-CANARY-kubeconfig"}}}),
            )),
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
                json!({"data": {"id": "user_1", "type": "users", "attributes": {"email": "SECRET-CANARY@example.com"}}}),
            )),
            _ => None,
        };
        found.unwrap_or_else(|| titled(404, "NOT_FOUND", "Cluster not found"))
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
