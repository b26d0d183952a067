//! LakeSail's lists: references in one place, the objects sideloaded in another, and two ways of paging.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::Fault;
use super::super::world::{Answer, Call};
use super::record::{Home, Record};
use super::{LakeSail, bad};

const ME_LIST: &[&str] = &["/items", "/included/clusters", "/included/externalClusters"];
const INFRA_LIST: &[&str] = &["/items", "/included/clusters"];
const ME_ITEM: &[&str] = &["/item", "/included/clusters", "/included/externalClusters"];
const INFRA_ITEM: &[&str] = &["/item", "/included/clusters"];

impl LakeSail {
    /// Connections the records refer to, each once; a target is missing now and then.
    fn sideloaded(&self, records: &[Record]) -> Vec<Value> {
        let mut numbers: Vec<u64> = records
            .iter()
            .filter(|record| {
                record.home != Home::SelfRegistered && !(record.odd && record.serial % 2 == 1)
            })
            .map(|record| record.connection)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
            .into_iter()
            .map(|number| self.connection(number))
            .collect()
    }

    fn me_included(&self, records: &[Record]) -> Value {
        let external = records.iter().filter(|record| record.home == Home::Both);
        let mut networks: Vec<u64> = external.clone().map(|record| record.network).collect();
        networks.sort_unstable();
        networks.dedup();
        included([
            (
                "clusters",
                records
                    .iter()
                    .map(|record| self.platform_cluster(record))
                    .collect(),
            ),
            ("connections", self.sideloaded(records)),
            (
                "networks",
                networks
                    .into_iter()
                    .map(|number| self.network(number))
                    .collect(),
            ),
            (
                "externalClusters",
                external
                    .map(|record| self.external_cluster(record))
                    .collect(),
            ),
        ])
    }

    fn infra_included(&self, records: &[Record]) -> Value {
        let operations = records.iter().flat_map(|record| {
            // What a cluster was made by is long over where it runs well.
            let drawn = self
                .operation(record)
                .filter(|_| record.status != Some("active"));
            drawn.into_iter().chain(self.works_of(record.serial))
        });
        included([
            (
                "clusters",
                records
                    .iter()
                    .map(|record| self.external_cluster(record))
                    .collect(),
            ),
            ("connections", self.sideloaded(records)),
            ("operations", operations.collect()),
        ])
    }

    fn records(&self, call: &Call, serials: &[u64]) -> Vec<Record> {
        serials
            .iter()
            .map(|serial| self.record(*serial, call.revision()))
            .collect()
    }

    pub(super) fn me_list(&self, call: &Call) -> Answer {
        let (limit, page) = match (
            limit(call),
            call.query("page").map_or(Ok(1), str::parse::<usize>),
        ) {
            (Some(limit), Ok(page)) if page >= 1 => (limit, page),
            _ => return bad("limit must be 0..100 and page at least 1"),
        };
        if call.query("sortBy").is_some_and(|by| by != "name") {
            return bad("sortBy must be name");
        }
        let mut order = call.visible(&call.members.arrangement.main).into_owned();
        match call.query("sortDirection") {
            Some("desc") => order.reverse(),
            None | Some("asc") => {}
            Some(_) => return bad("sortDirection must be asc or desc"),
        }
        let start = call
            .start((page - 1).saturating_mul(limit))
            .min(order.len());
        let records = self.records(call, &order[start..order.len().min(start + limit)]);
        let items: Vec<Value> = records
            .iter()
            .map(|record| self.me_reference(record))
            .collect();
        let mut body = json!({"total": call.total(order.len()), "items": items});
        body["included"] = self.me_included(&records);
        Answer::ok(body).rows(ME_LIST).first(page == 1)
    }

    /// A list of external clusters, all of them or those of one connection.
    pub(super) fn infra_list(&self, call: &Call, order: &[u64]) -> Answer {
        let Some(limit) = limit(call) else {
            return bad("limit must be 0..100");
        };
        let marker = call.cursor(call.query("marker"));
        let after = match marker.map(unmark) {
            None => None,
            Some(Some(serial)) => Some(serial),
            Some(None) => return bad("marker is not valid"),
        };
        let order = call.visible(order);
        let start = after.map_or(0, |after| order.partition_point(|serial| *serial <= after));
        let page = &order[start..order.len().min(start + limit)];
        let next = page
            .last()
            .filter(|_| start + page.len() < order.len())
            .map(|serial| mark(*serial));
        let records = self.records(call, page);
        let items: Vec<Value> = records
            .iter()
            .map(|record| json!({"id": record.external, "connectionId": self.connection_id(record.connection)}))
            .collect();
        let total = if call.fault == Some(Fault::MissingCursor) {
            order.len() + 1_000
        } else {
            order.len()
        };
        let mut body = json!({"total": total, "items": items});
        body["included"] = self.infra_included(&records);
        match call.next(next) {
            Some(next) => body["marker"] = json!(next),
            None if call.number.is_multiple_of(2) => body["marker"] = Value::Null,
            None => {}
        }
        Answer::ok(body).rows(INFRA_LIST).first(after.is_none())
    }

    pub(super) fn me_item(&self, record: Record) -> Answer {
        let item = self.me_reference(&record);
        Answer::ok(json!({"item": item, "included": self.me_included(&[record])})).rows(ME_ITEM)
    }

    pub(super) fn infra_item(&self, record: Record) -> Answer {
        let item =
            json!({"id": record.external, "connectionId": self.connection_id(record.connection)});
        Answer::ok(json!({"item": item, "included": self.infra_included(&[record])}))
            .rows(INFRA_ITEM)
    }

    /// Connections and networks are listed as whole objects.
    pub(super) fn objects(
        call: &Call,
        count: u64,
        object: impl Fn(u64) -> Value,
        included: bool,
    ) -> Answer {
        let Some(limit) = limit(call) else {
            return bad("limit must be 0..100");
        };
        let start = match call.cursor(call.query("marker")).map(unmark) {
            None => 0,
            Some(Some(last)) => last + 1,
            Some(None) => return bad("marker is not valid"),
        };
        let end = count.min(start + limit as u64);
        let mut body =
            json!({"total": count, "items": (start..end).map(object).collect::<Vec<_>>()});
        if included {
            body["included"] = json!({"operations": []});
        }
        if end < count && end > 0 {
            body["marker"] = json!(mark(end - 1));
        }
        Answer::ok(body)
    }
}

/// Moved, not copied: `json!` would write all objects anew.
fn included<const N: usize>(lists: [(&str, Vec<Value>); N]) -> Value {
    lists
        .into_iter()
        .map(|(name, list)| (name.to_owned(), Value::Array(list)))
        .collect()
}

fn limit(call: &Call) -> Option<usize> {
    call.query("limit")
        .map_or(Some(100), |text| text.parse().ok())
        .filter(|limit| *limit <= 100)
}

fn mark(serial: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("after:{serial}"))
}

fn unmark(marker: &str) -> Option<u64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()?;
    text.strip_prefix("after:")?.parse().ok()
}
