//! What a reader may be told of a source whose vendor misbehaves.

use std::collections::{BTreeMap, BTreeSet};

use clustergate::adapters::CATALOG;
use clustergate::app::sources;
use clustergate::provider::ErrorKind;
use clustergate::sandbox::Fault;
use serde_json::Value;

use crate::support::{Plan, Reply, Rig};

/// Rows of one source by the vendor's id, without what the gateway adds at its own time.
type Rows = BTreeMap<String, Value>;

/// When a fault began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the gateway.
    Cold,
    /// After a good refresh; the vendor's data changed in between.
    Warm,
}

/// What a cell ended as, and what is wrong with it.
pub(super) struct Verdict {
    pub(super) outcome: String,
    pub(super) complaints: Vec<String>,
}

/// What well-behaved vendors lead to, before and after their data change.
pub(super) struct Reference {
    before: BTreeMap<&'static str, Rows>,
    after: BTreeMap<&'static str, Rows>,
}

impl Reference {
    pub(super) async fn read(plan: Plan) -> Self {
        let sandbox = plan.sandbox().await;
        let rig = Rig::over(&sandbox, sources(&plan.configs(&sandbox)).unwrap());
        rig.settled().await;
        let before = all_rows(&rig).await;
        for vendor in sandbox.vendors() {
            vendor.touch();
            rig.refresh(vendor.vendor().name()).await;
        }
        let after = all_rows(&rig).await;
        for entry in CATALOG {
            let name = entry.kind.as_str();
            assert_eq!(before[name].len(), plan.clusters, "{name}");
        }
        assert_ne!(before, after, "no vendor's data change");
        Self { before, after }
    }

    pub(super) fn judge(
        &self,
        phase: Phase,
        fault: Fault,
        name: &str,
        list: &Reply,
        report: &Reply,
        alone: &Reply,
        required: &Reply,
    ) -> Verdict {
        let mut complaints = Vec::new();
        if list.status != 200 || report.status != 200 {
            complaints.push(format!("answered {} and {}", list.status, report.status));
            return Verdict {
                outcome: "no answer".to_owned(),
                complaints,
            };
        }
        let (list, report) = (list.json(), report.json());
        for entry in CATALOG.iter().filter(|entry| entry.kind.as_str() != name) {
            let other = entry.kind.as_str();
            let ids: BTreeSet<String> = rows_of(&list, other).into_keys().collect();
            let expected: BTreeSet<String> = self.before[other].keys().cloned().collect();
            let state = &status_of(&list, other)["state"];
            if ids != expected || state != "fresh" {
                complaints.push(format!("{other} is {state} with {} clusters", ids.len()));
            }
        }
        let cell = Seen {
            phase,
            fault,
            name,
            list: &list,
            report: &report,
            rows: rows_of(&list, name),
            before: &self.before[name],
            now: match phase {
                Phase::Cold => &self.before[name],
                Phase::Warm => &self.after[name],
            },
        };
        cell.check_words(&mut complaints);
        cell.check_rows(&mut complaints);
        cell.check_completeness(alone, required, &mut complaints);
        Verdict {
            outcome: cell.outcome(),
            complaints,
        }
    }
}

/// One source, as the answers show it.
struct Seen<'a> {
    phase: Phase,
    fault: Fault,
    name: &'a str,
    list: &'a Value,
    report: &'a Value,
    rows: Rows,
    before: &'a Rows,
    now: &'a Rows,
}

impl Seen<'_> {
    fn state(&self) -> &str {
        self.report["state"].as_str().unwrap_or_default()
    }

    fn code(&self) -> Option<&str> {
        self.report["error"]["code"].as_str()
    }

    fn count(&self, field: &str) -> u64 {
        self.report[field].as_u64().unwrap()
    }

    fn warned(&self) -> BTreeSet<&str> {
        let warnings = self.report["warnings"].as_array().unwrap();
        let fields = warnings.iter().map(|warning| warning["field"].as_str());
        fields.map(Option::unwrap).collect()
    }

    /// Whether what is wrong cannot be seen: an account may well have few clusters, or none.
    fn is_undetectable(&self) -> bool {
        let shrinks = matches!(self.fault, Fault::PartialList | Fault::SuddenlyEmpty);
        shrinks && self.phase == Phase::Cold
    }

    fn presences(&self) -> impl Iterator<Item = &str> {
        items_of(self.list, self.name).filter_map(|item| item["presence"].as_str())
    }

    /// Whether the fault gives clusters other ids, which are the vendor's to choose.
    fn is_renaming(&self) -> bool {
        self.fault == Fault::ForeignNext
    }

    fn check_words(&self, complaints: &mut Vec<String>) {
        let status = status_of(self.list, self.name);
        if status["state"] != self.state()
            || status["error"]["code"] != self.report["error"]["code"]
        {
            complaints.push(format!(
                "the list says {status}, the source {}",
                self.report
            ));
        }
        let named = self.list["unreachable"].as_array().unwrap();
        if named.iter().any(|name| name == self.name) != self.code().is_some() {
            complaints.push("unreachable and error disagree".to_owned());
        }
        let known = match self.code() {
            Some(code) => ErrorKind::ALL.iter().any(|kind| kind.code() == code),
            None => matches!(self.state(), "fresh" | "suspect"),
        };
        let fits = match self.phase {
            Phase::Cold => matches!(self.state(), "fresh" | "never"),
            Phase::Warm => matches!(self.state(), "fresh" | "stale" | "suspect"),
        };
        if !known || !fits {
            complaints.push(format!("{} with {:?}", self.state(), self.code()));
        }
    }

    fn check_rows(&self, complaints: &mut Vec<String>) {
        let listed = items_of(self.list, self.name).count();
        if listed != self.rows.len() {
            complaints.push(format!("{listed} rows, {} ids", self.rows.len()));
        }
        if self.state() == "never" && listed > 0 {
            complaints.push(format!("{listed} clusters of a list that was never read"));
        }
        if self.phase == Phase::Warm {
            let lost = self.before.keys().filter(|id| !self.rows.contains_key(*id));
            let lost = lost.count();
            if lost > 0 {
                complaints.push(format!("{lost} clusters lost"));
            }
        }
        let warned = self.warned();
        for item in items_of(self.list, self.name) {
            let id = item["native_id"].as_str().unwrap();
            let row = &self.rows[id];
            let is_current = item["presence"] == "present" && self.state() != "stale";
            let expected = if is_current { self.now } else { self.before };
            let Some(expected) = expected.get(id) else {
                if !self.is_renaming() {
                    complaints.push(format!("{id:?} does not exist"));
                }
                continue;
            };
            for field in differing(row, expected) {
                let (shown, expected) = (&row[&field], &expected[&field]);
                let is_spoiled = self.fault == Fault::ForeignNext;
                let is_told = is_current && !warned.is_empty() && {
                    let is_id = field == "name" && *shown == *id;
                    // A total that fits its type is the vendor's word, however large.
                    let is_total = self.fault == Fault::TotalOverflow
                        && matches!(&*field, "capacity" | "accelerators" | "utilization");
                    is_id || is_total || falls_short(shown, expected)
                };
                if !(is_spoiled || is_told) {
                    complaints.push(format!(
                        "{id}: {field} is {shown} in place of {expected}, warned of {warned:?}"
                    ));
                }
            }
        }
    }

    fn check_completeness(&self, alone: &Reply, required: &Reply, complaints: &mut Vec<String>) {
        let whole = self.state() == "fresh" && self.count("omitted") == 0;
        if self.list["complete"] != whole {
            complaints.push(format!("complete is {}", self.list["complete"]));
        }
        let missing = self.now.keys().filter(|id| !self.rows.contains_key(*id));
        let missing = missing.count();
        let is_renamed = self.is_renaming() && self.rows.len() >= self.now.len();
        if whole && missing > 0 && !is_renamed && !self.is_undetectable() {
            complaints.push(format!("complete without {missing} clusters"));
        }
        let never = self.state() == "never";
        if never == (alone.status == 200) || (never && !alone.status.is_server_error()) {
            complaints.push(format!("alone it is {}", alone.status));
        }
        if never && alone.json()["source_error"].as_str() != self.code() {
            complaints.push(format!("alone it says {}", alone.text));
        }
        let may_be_relied_on = !never && self.count("omitted") == 0;
        if (required.status == 200) != may_be_relied_on {
            complaints.push(format!("as a complete list it is {}", required.status));
        }
    }

    fn outcome(&self) -> String {
        let mut parts = vec![self.state().to_owned()];
        parts.extend(self.code().map(str::to_owned));
        if self.state() == "fresh" {
            let (rejected, omitted) = (self.count("rejected"), self.count("omitted"));
            if rejected > 0 {
                parts.push(format!("rejected {rejected}, omitted {omitted}"));
            }
            let warned = self.warned();
            if !warned.is_empty() {
                let fields: BTreeSet<&str> = warned
                    .iter()
                    .filter_map(|field| field.split('.').next())
                    .collect();
                parts.push(format!("nulls in {}", Vec::from_iter(fields).join("+")));
            }
            let lost = self.presences().filter(|word| *word == "missing").count();
            if lost > 0 {
                parts.push(format!("missing {lost}"));
            } else if self.rows == *self.now {
                parts.push("whole".to_owned());
            } else if self.is_undetectable() {
                parts.push("undetectable".to_owned());
            }
        }
        parts.join(" ")
    }
}

fn differing(row: &Value, expected: &Value) -> Vec<String> {
    let (row, expected) = (row.as_object().unwrap(), expected.as_object().unwrap());
    let names: BTreeSet<&String> = row.keys().chain(expected.keys()).collect();
    names
        .into_iter()
        .filter(|name| row.get(*name) != expected.get(*name))
        .cloned()
        .collect()
}

/// Whether a value says no more than another one, or the same: what is worked out of a null may differ, and only that.
fn falls_short(shown: &Value, expected: &Value) -> bool {
    match (shown, expected) {
        (Value::Null, _) | (_, Value::Null) => true,
        (Value::Object(shown), Value::Object(expected)) => {
            let mut fields = expected.iter();
            fields.all(|(name, value)| {
                name == "state"
                    || shown
                        .get(name)
                        .is_none_or(|shown| falls_short(shown, value))
            })
        }
        (Value::Array(shown), Value::Array(expected)) if shown.len() == expected.len() => shown
            .iter()
            .zip(expected)
            .all(|(shown, expected)| falls_short(shown, expected)),
        (Value::Array(shown), Value::Array(_)) => shown.is_empty(),
        _ => shown == expected,
    }
}

fn status_of<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut sources = list["sources"].as_array().unwrap().iter();
    sources.find(|source| source["source"] == name).unwrap()
}

fn items_of<'a>(list: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let items = list["items"].as_array().unwrap().iter();
    items.filter(move |item| item["source"] == name)
}

fn rows_of(list: &Value, name: &str) -> Rows {
    items_of(list, name)
        .map(|item| {
            let mut row = item.clone();
            for field in ["fetched_at", "detailed_at", "presence", "stale"] {
                row.as_object_mut().unwrap().remove(field);
            }
            (item["native_id"].as_str().unwrap().to_owned(), row)
        })
        .collect()
}

async fn all_rows(rig: &Rig) -> BTreeMap<&'static str, Rows> {
    let list = rig.get("/clusters?limit=1000").await.json();
    CATALOG
        .iter()
        .map(|entry| (entry.kind.as_str(), rows_of(&list, entry.kind.as_str())))
        .collect()
}
