//! What the gateway does to its vendors, and how soon it is well again, by the vendors' own counters.
//!
//! Bounds are those of the design, and room for a busy machine where they are times.

use std::time::Duration;

use clustergate::adapters::CATALOG;
use clustergate::app::sources;
use clustergate::config::SourceConfig;
use clustergate::inventory::{Freshness, Snapshot};
use clustergate::provider::{ErrorKind, Limits, walk};
use clustergate::sandbox::{Aim, Fault, Quota, Sandbox};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::{PATIENCE, Plan, Rig, to_this_machine};

const INTERVAL: Duration = Duration::from_millis(300);
/// What a busy machine and a build without optimization add to a bound of time.
const ROOM: Duration = Duration::from_millis(1_500);

fn lively() -> Plan {
    Plan {
        refresh_interval: INTERVAL,
        details: false,
        ..Plan::default()
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    CATALOG.iter().map(|entry| entry.kind.as_str())
}

fn all_fresh(snapshot: &Snapshot) -> bool {
    let mut sources = snapshot.sources().iter();
    sources.all(|source| source.state == Freshness::Fresh && source.error.is_none())
}

/// Small pages, where the provider can be told.
fn in_small_pages(configs: &mut Vec<SourceConfig>) {
    for config in configs {
        let mut paged = config.clone();
        paged.settings.insert("page_size".to_owned(), 7.into());
        if sources(std::slice::from_ref(&paged)).is_ok() {
            *config = paged;
        }
    }
}

#[tokio::test]
async fn one_bad_row_costs_one_row() {
    let prepare = |sandbox: &Sandbox| {
        for vendor in sandbox.vendors() {
            // Latitude's first list is of projects.
            let kinds = vendor
                .features()
                .contains_key("lks")
                .then(|| "legacy-list".to_owned());
            vendor.set_fault_aim(Aim {
                kinds: kinds.into_iter().collect(),
                count: Some(1),
                ..Aim::default()
            });
            vendor.set_fault(Some(Fault::BadRow));
        }
    };
    let rig = Rig::begin(
        Plan {
            details: false,
            ..Plan::default()
        },
        prepare,
        |_| {},
    )
    .await;
    rig.settled().await;
    for name in names() {
        let report = rig.report(name);
        assert_eq!((report.error, report.rejected), (None, 1), "{name}");
        assert!(report.clusters >= 19, "{name}: {}", report.clusters);
        assert_eq!(report.omitted, 1, "{name}");
    }
    let list = rig.get("/clusters").await.json();
    assert_eq!(list["complete"], false);
}

#[tokio::test]
async fn paging_that_never_ends_is_left_after_a_few_pages() {
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let mut configs = plan.configs(&sandbox);
    in_small_pages(&mut configs);
    for source in sources(&configs).unwrap() {
        let name = source.name.as_str();
        let vendor = sandbox.vendor(name.parse().unwrap());
        for fault in [Fault::CursorLoop, Fault::SamePage, Fault::TotalOverflow] {
            vendor.set_fault(Some(fault));
            vendor.reset_stats();
            let walked = timeout(PATIENCE, walk(source.provider.as_ref(), Limits::default()));
            let calls = || vendor.stats().requests;
            match walked.await.unwrap() {
                Ok(listing) => {
                    assert_eq!(fault, Fault::TotalOverflow, "{name}");
                    assert_eq!(listing.clusters.len(), plan.clusters, "{name}");
                }
                Err(failure) => {
                    let kinds = [
                        ErrorKind::PaginationLoop,
                        ErrorKind::PageLimit,
                        ErrorKind::Truncated,
                    ];
                    assert!(
                        kinds.contains(&failure.error.kind),
                        "{name} {fault}: {:?}",
                        failure.error
                    );
                    if fault != Fault::TotalOverflow {
                        assert!(calls() <= 4, "{name} {fault}: {} calls", calls());
                    }
                }
            }
            assert!(calls() <= 40, "{name} {fault}: {} calls", calls());
        }
    }
}

#[tokio::test]
async fn no_call_goes_out_before_the_time_that_the_vendor_asks_for() {
    // What a 429 says of the wait is each vendor's own, and with some a moment in whole seconds; the header is exact.
    let own = first_calls(Fault::Http429, Duration::from_secs(1));
    let header = first_calls(Fault::Http503RetryAfter, Duration::from_secs(2));
    tokio::join!(own, header);
}

/// Lets the first call at each vendor fail and looks at when the second one comes.
async fn first_calls(fault: Fault, asked: Duration) {
    let prepare = |sandbox: &Sandbox| {
        for vendor in sandbox.vendors() {
            vendor.set_fault_aim(Aim {
                count: Some(1),
                ..Aim::default()
            });
            vendor.set_fault(Some(fault));
        }
    };
    let rig = Rig::begin(lively(), prepare, |_| {}).await;
    rig.until("the sources after the wait", all_fresh).await;
    for name in names() {
        let times = rig.vendor(name).stats().times;
        let waited = times[1].saturating_sub(times[0]);
        assert!(waited >= asked, "{name} called after {waited:?}");
    }
}

#[tokio::test]
async fn a_small_quota_makes_a_refresh_slower_and_not_shorter() {
    let quota = Quota {
        calls: 2,
        per: INTERVAL,
    };
    let prepare = |sandbox: &Sandbox| {
        sandbox
            .vendors()
            .for_each(|vendor| vendor.set_quota(Some(quota)));
    };
    let plan = Plan {
        details: false,
        ..Plan::default()
    };
    let rig = Rig::begin(plan, prepare, in_small_pages).await;
    rig.settled().await;
    for name in names() {
        let report = rig.report(name);
        assert_eq!((report.error, report.clusters), (None, 20), "{name}");
        let stats = rig.vendor(name).stats();
        let windows = u32::try_from(stats.list_calls / quota.calls)
            .unwrap()
            .saturating_sub(1);
        assert!(report.attempts[0].took >= INTERVAL * windows, "{name}");
    }
}

#[tokio::test]
async fn a_change_at_a_vendor_is_seen_after_an_interval_and_a_refresh() {
    let rig = Rig::start(lively()).await;
    for name in names() {
        let before = rig.report(name).clusters;
        rig.vendor(name).add();
        let began = Instant::now();
        rig.until("the new cluster", |snapshot| {
            snapshot.source(name).unwrap().clusters > before
        })
        .await;
        let took = began.elapsed();
        let report = rig.report(name);
        let refresh = report
            .attempts
            .iter()
            .map(|attempt| attempt.took)
            .max()
            .unwrap();
        let most = INTERVAL + refresh + Duration::from_millis(100) + ROOM;
        assert!(
            took <= most,
            "{name}: seen after {took:?}, a refresh takes {refresh:?}"
        );
    }
}

#[tokio::test]
async fn nothing_that_a_vendor_answers_leads_a_call_astray() {
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    for fault in [Fault::Redirect, Fault::RedirectSelf, Fault::ForeignNext] {
        sandbox.vendors().for_each(|vendor| vendor.set_fault(None));
        let rig = Rig::over(&sandbox, sources(&plan.configs(&sandbox)).unwrap());
        rig.settled().await;
        for name in names() {
            rig.vendor(name).set_fault(Some(fault));
            rig.refresh(name).await;
        }
        // Each cluster can be asked for under the address that the list gives it, whatever its id.
        let list = rig.get("/clusters?limit=1000").await.json();
        for item in list["items"].as_array().unwrap() {
            let reply = rig.get(item["links"]["self"].as_str().unwrap()).await;
            assert_eq!(reply.status, 200, "{}", item["id"]);
            assert_eq!(reply.json()["id"], item["id"]);
        }
        rig.stop().await;
        for source in sources(&plan.configs(&sandbox)).unwrap() {
            let listing = walk(source.provider.as_ref(), Limits::default()).await;
            for listed in listing.into_iter().flat_map(|listing| listing.clusters) {
                // Whether a spoiled id is found is the vendor's affair.
                let _ = source.provider.describe(&listed.locator).await;
            }
        }
    }
    for vendor in sandbox.vendors() {
        let stats = vendor.stats();
        assert_eq!(stats.secret_calls, 0, "{:?}", vendor.vendor());
        // A segment that were not encoded would end at a place nobody knows.
        assert_eq!(stats.by_kind.get("unknown"), None, "{:?}", vendor.vendor());
    }
    let hits = sandbox.canary_hits();
    assert_eq!(hits.requests, 0, "{:?}", hits.targets);
}

#[tokio::test]
async fn a_failing_vendor_is_called_no_more_than_a_tenth_more() {
    let plan = Plan {
        refresh_interval: Duration::from_millis(20),
        details: false,
        ..Plan::default()
    };
    let prepare = |sandbox: &Sandbox| {
        for vendor in sandbox.vendors() {
            vendor.set_fault_probability(0.3);
            vendor.set_fault(Some(Fault::Http503));
        }
    };
    let mut limits = Vec::new();
    let rig = Rig::begin(plan, prepare, |configs| {
        limits.extend(
            configs
                .iter()
                .map(|config| (config.name.to_string(), config.stack.max_in_flight)),
        );
    })
    .await;
    for name in names() {
        rig.until("many calls", |_| rig.vendor(name).stats().requests >= 150)
            .await;
        let upstream = rig.get(&format!("/sources/{name}")).await.json()["upstream"].clone();
        let retries = upstream["retries"].as_u64().unwrap();
        let calls = upstream["requests"].as_u64().unwrap() - retries;
        // One is in the budget from the start.
        assert!(
            retries <= calls / 10 + 1,
            "{name}: {retries} retries of {calls} calls"
        );
    }
    for (name, most) in limits {
        let stats = rig.vendor(&name).stats();
        assert!(
            stats.max_inflight <= most as u64,
            "{name}: {} at once",
            stats.max_inflight
        );
    }
}

#[tokio::test]
async fn a_dead_vendor_gets_one_probe_an_interval() {
    let rig = Rig::start(lively()).await;
    for name in names() {
        rig.vendor(name).set_fault(Some(Fault::Http503));
    }
    for name in names() {
        rig.until("failures enough to open the breaker", |snapshot| {
            snapshot.source(name).unwrap().failures >= 6
        })
        .await;
        rig.vendor(name).reset_stats();
    }
    let began = Instant::now();
    // A window of time is what is measured.
    tokio::time::sleep(INTERVAL * 5).await;
    for name in names() {
        let calls = rig.vendor(name).stats().requests;
        let intervals = began.elapsed().as_secs_f64() / INTERVAL.as_secs_f64();
        assert!(
            calls as f64 <= intervals + 2.0,
            "{name}: {calls} calls in {intervals} intervals"
        );
        assert!(calls >= 1, "{name} is not probed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stampede_of_readers_makes_no_call() {
    let plan = Plan {
        details: false,
        ..Plan::default()
    };
    let prepare = |sandbox: &Sandbox| {
        sandbox
            .vendors()
            .for_each(|vendor| vendor.set_latency(INTERVAL));
    };
    let quiet = Rig::start(Plan {
        details: false,
        ..Plan::default()
    })
    .await;
    let rig = Rig::begin(plan, prepare, |_| {}).await;
    let mut readers = JoinSet::new();
    for _ in 0..1_000 {
        let router = rig.gateway.router.clone();
        readers.spawn(async move {
            let request = http::Request::get("/clusters").body(axum::body::Body::empty());
            tower::ServiceExt::oneshot(router, to_this_machine(request.unwrap()))
                .await
                .unwrap()
                .status()
        });
    }
    for status in readers.join_all().await {
        assert!(status == 200 || status == 503, "{status}");
    }
    rig.settled().await;
    for name in names() {
        let (calls, expected) = (
            rig.vendor(name).stats().requests,
            quiet.vendor(name).stats().requests,
        );
        assert_eq!(calls, expected, "{name}");
    }
}

#[tokio::test]
async fn healthy_sources_stay_fresh_while_one_hangs() {
    let rig = Rig::start(lively()).await;
    let hanging = CATALOG[0].kind.as_str();
    rig.vendor(hanging).set_fault(Some(Fault::Hang));
    let since = jiff::Timestamp::now();
    for name in names().skip(1) {
        let after = |snapshot: &Snapshot| {
            let attempts = &snapshot.source(name).unwrap().attempts;
            attempts
                .iter()
                .filter(|attempt| attempt.started_at > since)
                .count()
        };
        rig.until("four refreshes", |snapshot| after(snapshot) >= 4)
            .await;
        let attempts = rig.report(name).attempts;
        for (later, earlier) in attempts.iter().zip(attempts.iter().skip(1)) {
            let gap = later.started_at.duration_since(earlier.started_at);
            let most = INTERVAL.max(earlier.took) + ROOM;
            assert!(
                gap <= most.try_into().unwrap(),
                "{name}: {gap:?} between refreshes"
            );
            assert_eq!(later.error, None, "{name}");
        }
    }
}

#[tokio::test]
async fn sources_are_well_soon_after_their_vendors() {
    let mut outages = JoinSet::new();
    for fault in [Fault::Http503, Fault::Hang, Fault::Reset, Fault::SlowBody] {
        outages.spawn(recover(fault));
    }
    outages.join_all().await;
}

async fn recover(fault: Fault) {
    let attempt = Duration::from_secs(1);
    let plan = Plan {
        attempt_timeout: attempt,
        ..lively()
    };
    let rig = Rig::start(plan).await;
    rig.until("a good start", all_fresh).await;
    rig.sandbox
        .vendors()
        .for_each(|vendor| vendor.set_fault(Some(fault)));
    rig.until("all to fail", |snapshot| {
        snapshot
            .sources()
            .iter()
            .all(|source| source.state == Freshness::Stale)
    })
    .await;
    let list = rig.get("/clusters?limit=1000").await;
    assert_eq!(list.header("x-inventory-complete"), "false");
    let list = list.json();
    assert_eq!(
        (list["total"].as_u64(), &list["complete"]),
        (Some(100), &false.into())
    );
    assert_eq!(list["unreachable"].as_array().unwrap().len(), CATALOG.len());
    rig.sandbox
        .vendors()
        .for_each(|vendor| vendor.set_fault(None));
    let began = Instant::now();
    rig.until("all to be well", all_fresh).await;
    // A call that hangs when the vendor comes back still has its time to run out.
    let most = INTERVAL * 2 + attempt + ROOM;
    assert!(began.elapsed() <= most, "{fault}: {:?}", began.elapsed());
}
