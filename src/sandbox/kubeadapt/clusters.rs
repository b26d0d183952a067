//! What Kubeadapt says of clusters and of the organization.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::super::fleet::{Dice, Style, ago, stamp, uuid};
use super::super::world::{Answer, Call};
use super::paging::{envelope, failure, filters, pagination};
use super::record::money;
use super::{DAY, Kubeadapt, ROWS};

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

impl Kubeadapt {
    fn cost_mode(call: &Call) -> Option<Answer> {
        let refusal = || {
            failure(
                call,
                422,
                "INVALID_COST_MODE",
                "cost_mode is not accepted here",
                &json!({"field": "cost_mode"}),
            )
        };
        call.query("cost_mode").map(|_| refusal())
    }

    fn hidden(call: &Call, serial: u64) -> bool {
        call.feature("allow-list") && serial % 3 == 2
    }

    pub(super) fn list(&self, call: &Call) -> Answer {
        if let Some(refused) = Self::cost_mode(call) {
            return refused;
        }
        let (limit, filters) = match (Self::limit(call), filters(call)) {
            (Ok(limit), Ok(filters)) => (limit, filters),
            (Err(answer), _) | (_, Err(answer)) => return answer,
        };
        let cursor = match Self::position(call) {
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
            !Self::hidden(call, serial)
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
            Self::token_for(call, self.rate(*serial, call.revision()), &self.id(*serial))
        });
        let total = || order.iter().filter(|serial| fits(**serial)).count();
        let body = envelope(
            call,
            Value::Array(rows),
            Some(pagination(call, next, has_more, limit, total)),
            &LIST_PARAMETERS,
        );
        Answer::ok(body).rows(ROWS).first(cursor.is_none())
    }

    /// A cluster of the path, or why there is none.
    pub(super) fn cluster(call: &Call, id: &str) -> Result<u64, Answer> {
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
                &json!({"field": "cluster_id"}),
            ));
        }
        match call.serial(id) {
            Some(serial) if Self::hidden(call, serial) => Err(failure(
                call,
                403,
                "CLUSTER_ACCESS_DENIED",
                "cluster is outside the key's allow-list",
                &json!({"field": "cluster_id"}),
            )),
            Some(serial) => Ok(serial),
            None => Err(failure(
                call,
                404,
                "CLUSTER_NOT_FOUND",
                "cluster not found in tenant",
                &json!({"field": "cluster_id", "reason": "not_found"}),
            )),
        }
    }

    pub(super) fn detail(&self, call: &Call, id: &str) -> Answer {
        if let Some(refused) = Self::cost_mode(call) {
            return refused;
        }
        match Self::cluster(call, id) {
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

    pub(super) fn organization(&self, call: &Call) -> Answer {
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
