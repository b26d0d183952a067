//! Latitude.sh's lists, and clusters by their id.

use serde_json::{Value, json};

use super::super::Fault;
use super::super::world::{Answer, Call};
use super::record::Record;
use super::{Latitude, ROWS, refused, titled};

impl Latitude {
    pub(super) fn project_list(&self, call: &Call) -> Answer {
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
        if call.query("stats[total]") == Some("count") || call.fault == Some(Fault::TotalOverflow) {
            body["meta"] = json!({"stats": {"total": {"count": call.total(all.len())}}});
        }
        Answer::ok(body).rows(ROWS).first(page == 1)
    }

    /// The clusters of one family in one project.
    pub(super) fn cluster_list(&self, call: &Call, legacy: bool) -> Answer {
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
        let mut body = json!({});
        if !legacy {
            body["meta"] = json!({"total": call.total(rows.len())});
        }
        body["data"] = Value::Array(rows);
        Answer::ok(body).rows(ROWS).first(true)
    }

    /// A cluster by id; a legacy one by its name as well.
    pub(super) fn find(&self, call: &Call, id: &str, legacy: bool) -> Option<Record> {
        let by_id = call
            .serial(id)
            .filter(|serial| self.legacy(*serial) == legacy);
        let by_name = || {
            let few = call
                .members
                .alive
                .iter()
                .filter(|serial| legacy && self.legacy(**serial));
            few.copied()
                .find(|serial| self.record(*serial, 0).name == id)
        };
        by_id
            .or_else(by_name)
            .map(|serial| self.record(serial, call.revision()))
    }

    pub(super) fn pools(record: &Record) -> Answer {
        let pools = record.pools();
        let rows: Vec<Value> = pools
            .iter()
            .enumerate()
            .map(|(pool, count)| Self::pool(record, pool, *count))
            .collect();
        Answer::ok(json!({"meta": {"total": rows.len()}, "data": rows})).rows(ROWS)
    }

    pub(super) fn one_pool(record: &Record, id: &str) -> Option<(usize, u64)> {
        record
            .pools()
            .into_iter()
            .enumerate()
            .find(|(pool, _)| Self::pool_id(record, *pool) == id)
    }

    pub(super) fn pool_nodes(
        &self,
        call: &Call,
        record: &Record,
        pool: usize,
        count: u64,
    ) -> Answer {
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
