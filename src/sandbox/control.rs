//! The control port: the handles of the vendors, over HTTP.
//!
//! | call | body |
//! |---|---|
//! | `GET /vendors`, `GET /vendors/{name}` | |
//! | `GET /faults` | |
//! | `PUT`, `DELETE /vendors/{name}/fault` | `{"fault": "hang", "probability": 1.0, "kinds": ["detail"], "skip": 0, "count": 3, "late": false}`; all but the first may be left out |
//! | `PUT`, `DELETE /vendors/{name}/latency` | `{"ms": 500}` |
//! | `PUT`, `DELETE /vendors/{name}/quota` | `{"calls": 60, "per_ms": 60000}` |
//! | `PUT`, `DELETE /vendors/{name}/pace` | `{"ms": 500}`: how long work goes on that a write begins; deleted, it moves by `advance` alone |
//! | `POST /vendors/{name}/advance` | |
//! | `PUT /vendors/{name}/feature` | `{"feature": "dpop", "on": true}` |
//! | `DELETE /vendors/{name}/stats` | |
//! | `POST /vendors/{name}/touch`, `/add` | |
//! | `POST /vendors/{name}/remove` | `{"id": "..."}`, or nothing for the oldest cluster |

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::body::Outgoing;
use super::server::{accept, simple};
use super::{Aim, Fault, Quota, Simulated, Vendor};

type Vendors = BTreeMap<Vendor, Simulated>;

/// A status and a body.
type Outcome = Result<Value, (StatusCode, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    fault: String,
    #[serde(default = "always")]
    probability: f64,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    skip: u64,
    count: Option<u64>,
    #[serde(default)]
    late: bool,
}

const fn always() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeBody {
    ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaBody {
    calls: u64,
    per_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureBody {
    feature: String,
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveBody {
    id: String,
}

pub(super) async fn serve(listener: TcpListener, vendors: Vendors) {
    let vendors = Arc::new(vendors);
    accept(listener, |stream| {
        let vendors = Arc::clone(&vendors);
        async move {
            simple(stream, |parts, body| {
                ready(respond(&vendors, &parts.method, parts.uri.path(), &body))
            })
            .await;
        }
    })
    .await;
}

fn respond(vendors: &Vendors, method: &Method, path: &str, body: &[u8]) -> Response<Outgoing> {
    let (status, body) = match route(vendors, method, path, body) {
        Ok(body) => (StatusCode::OK, body),
        Err((status, message)) => (status, json!({"error": message})),
    };
    let mut response = Response::new(Outgoing::whole(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn route(vendors: &Vendors, method: &Method, path: &str, body: &[u8]) -> Outcome {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match segments.as_slice() {
        [] | ["vendors"] if *method == Method::GET => Ok(vendors.values().map(describe).collect()),
        ["faults"] if *method == Method::GET => Ok(Fault::ALL
            .iter()
            .map(|fault| json!({"fault": fault.name(), "description": fault.describe()}))
            .collect()),
        ["vendors", name] if *method == Method::GET => find(vendors, name).map(describe),
        ["vendors", name, action] => {
            let vendor = find(vendors, name)?;
            act(vendor, method, action, body)?;
            Ok(describe(vendor))
        }
        _ => Err((
            StatusCode::NOT_FOUND,
            format!("no such route: {method} {path}"),
        )),
    }
}

fn find<'a>(vendors: &'a Vendors, name: &str) -> Result<&'a Simulated, (StatusCode, String)> {
    let unknown = || {
        let names: Vec<&str> = Vendor::ALL.iter().map(|vendor| vendor.name()).collect();
        (
            StatusCode::NOT_FOUND,
            format!("no vendor `{name}`; there are {}", names.join(", ")),
        )
    };
    name.parse()
        .ok()
        .and_then(|vendor: Vendor| vendors.get(&vendor))
        .ok_or_else(unknown)
}

fn act(
    vendor: &Simulated,
    method: &Method,
    action: &str,
    body: &[u8],
) -> Result<(), (StatusCode, String)> {
    match (method.as_str(), action) {
        ("PUT", "fault") => {
            let asked: FaultBody = read(body)?;
            let fault: Fault = asked.fault.parse().map_err(|error: super::UnknownFault| {
                (StatusCode::BAD_REQUEST, error.to_string())
            })?;
            if !(0.0..=1.0).contains(&asked.probability) {
                return Err((
                    StatusCode::BAD_REQUEST,
                    "probability must be between 0 and 1".to_owned(),
                ));
            }
            vendor.set_fault_probability(asked.probability);
            vendor.set_fault_aim(Aim {
                kinds: asked.kinds,
                skip: asked.skip,
                count: asked.count,
                late: asked.late,
            });
            vendor.set_fault(Some(fault));
        }
        ("DELETE", "fault") => {
            vendor.set_fault(None);
            vendor.set_fault_probability(1.0);
            vendor.set_fault_aim(Aim::default());
        }
        ("PUT", "latency") => {
            vendor.set_latency(Duration::from_millis(read::<TimeBody>(body)?.ms));
        }
        ("DELETE", "latency") => vendor.set_latency(Duration::ZERO),
        ("PUT", "pace") => {
            vendor.set_pace(Some(Duration::from_millis(read::<TimeBody>(body)?.ms)));
        }
        ("DELETE", "pace") => vendor.set_pace(None),
        ("POST", "advance") => drop(vendor.advance()),
        ("PUT", "quota") => {
            let asked: QuotaBody = read(body)?;
            vendor.set_quota(Some(Quota {
                calls: asked.calls,
                per: Duration::from_millis(asked.per_ms),
            }));
        }
        ("DELETE", "quota") => vendor.set_quota(None),
        ("PUT", "feature") => {
            let asked: FeatureBody = read(body)?;
            if !vendor.set_feature(&asked.feature, asked.on) {
                let names: Vec<&str> = vendor.features().into_keys().collect();
                let message = format!(
                    "no feature `{}`; there are {}",
                    asked.feature,
                    names.join(", ")
                );
                return Err((StatusCode::BAD_REQUEST, message));
            }
        }
        ("DELETE", "stats") => vendor.reset_stats(),
        ("POST", "touch") => vendor.touch(),
        ("POST", "add") => drop(vendor.add()),
        ("POST", "remove") => {
            let asked = if body.is_empty() {
                None
            } else {
                Some(read::<RemoveBody>(body)?.id)
            };
            let id = asked.or_else(|| vendor.truth().first().map(|cluster| cluster.id.clone()));
            if !id.is_some_and(|id| vendor.remove(&id)) {
                return Err((StatusCode::NOT_FOUND, "no such cluster".to_owned()));
            }
        }
        _ => {
            return Err((
                StatusCode::NOT_FOUND,
                format!("no such action: {method} {action}"),
            ));
        }
    }
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("body: {error}")))
}

fn describe(vendor: &Simulated) -> Value {
    let stats = vendor.stats();
    json!({"vendor": vendor.vendor().name(), "base_url": vendor.base_url(), "api_url": vendor.api_url(),
        "clusters": vendor.len(), "fault": vendor.fault().map(Fault::name), "probability": vendor.fault_probability(),
        "latency_ms": u64::try_from(vendor.latency().as_millis()).unwrap_or(u64::MAX),
        "pace_ms": vendor.pace().map(|pace| u64::try_from(pace.as_millis()).unwrap_or(u64::MAX)),
        "quota": vendor.quota().map(|quota| json!({"calls": quota.calls, "per_ms": u64::try_from(quota.per.as_millis()).unwrap_or(u64::MAX)})),
        "features": vendor.features(),
        "stats": {"connections": stats.connections, "requests": stats.requests, "list_calls": stats.list_calls,
            "detail_calls": stats.detail_calls, "unauthorized": stats.unauthorized, "throttled": stats.throttled,
            "faulted": stats.faulted, "secret_calls": stats.secret_calls, "write_calls": stats.write_calls, "injected": stats.injected,
            "inflight": stats.inflight, "max_inflight": stats.max_inflight, "bytes_sent": stats.bytes_sent,
            "by_kind": stats.by_kind}})
}
