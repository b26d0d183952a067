//! The audit as callers read it, over a shelf in memory.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use http::Request;
use http::header::{CACHE_CONTROL, LINK, RETRY_AFTER};
use serde_json::Value;
use tokio::runtime::Handle;

use super::super::router;
use super::super::testing::{guarded, json, send, send_request};
use super::*;
use crate::access::audit::{Destination, Event, Outcome, Unreadable};
use crate::access::{Access, Settings, Shared};
use crate::domain::{Reach, SourceName};

/// Answers from memory, unless it is away.
#[derive(Default)]
struct Memory {
    kept: Mutex<Vec<Kept>>,
    is_away: AtomicBool,
    /// What it was told while it was read.
    told: Mutex<Vec<Event>>,
}

impl Shelf for Memory {
    fn keep(&self, events: &[Event]) -> io::Result<()> {
        self.told.lock().unwrap().extend_from_slice(events);
        Ok(())
    }

    fn read(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Kept>, Unreadable>> {
        if self.is_away.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(Unreadable("STORE_UNREACHABLE"))));
        }
        let passes = |one: &Kept| {
            let micros = |at: Timestamp| at.as_microsecond();
            wanted.before.is_none_or(|before| one.place < before)
                && wanted.since.is_none_or(|at| one.place.at >= micros(at))
                && wanted.until.is_none_or(|at| one.place.at < micros(at))
                && (wanted.action).is_none_or(|action| one.action == action.as_str())
                && (wanted.actor.is_none() || one.actor == wanted.actor)
                && (wanted.target.is_none() || one.target == wanted.target)
        };
        let mut found = self.kept.lock().unwrap().clone();
        found.retain(passes);
        found.sort_by_key(|one| std::cmp::Reverse(one.place));
        found.truncate(wanted.most);
        Box::pin(std::future::ready(Ok(found)))
    }
}

/// Seven events in three seconds, by two callers.
fn kept() -> Vec<Kept> {
    let seconds = [0, 1, 1, 1, 1, 2, 2];
    let numbered = seconds.into_iter().zip(1..);
    numbered.map(|(second, id)| one(second, id)).collect()
}

fn one(second: i64, id: i64) -> Kept {
    let at = Timestamp::from_second(1_800_000_000 + second).unwrap();
    let action = if id % 2 == 0 {
        Action::Write
    } else {
        Action::Refresh
    };
    let target = if id % 3 == 0 { "main" } else { "main:c" };
    let mut event = Event::new(action, at);
    event.request_id = format!("r-{id}");
    event.method = "POST".to_owned();
    event.route = "/sources/{name}/refresh";
    event.target = Some(target.to_owned());
    event.outcome = Some(Outcome {
        status: 409,
        code: Some("CLUSTER_BUSY"),
    });
    Kept {
        place: Place {
            at: at.as_microsecond(),
            id,
        },
        action: action.as_str().to_owned(),
        actor: (id != 7).then(|| format!("key{}", id % 2)),
        target: event.target.clone(),
        status: Some(409),
        request_id: Some(event.request_id.clone()),
        line: serde_json::to_string(&event).unwrap(),
    }
}

fn over(audit: Option<Destination>, shelf: &Arc<Memory>) -> Router {
    router(guarded(access(audit, shelf)))
}

fn access(audit: Option<Destination>, shelf: &Arc<Memory>) -> Option<Arc<Access>> {
    let settings = Settings {
        audit,
        ..Settings::default()
    };
    let shared = Shared {
        audit: Some(Arc::clone(shelf) as Arc<dyn Shelf>),
        ..Shared::default()
    };
    Access::sharing(&settings, shared, &Handle::current()).unwrap()
}

fn app() -> (Router, Arc<Memory>) {
    let shelf = Arc::new(Memory {
        kept: Mutex::new(kept()),
        ..Memory::default()
    });
    (over(Some(Destination::Store), &shelf), shelf)
}

fn ids(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap().iter();
    let ids = items.map(|item| item["id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test]
async fn an_event_is_told_as_it_was_written() {
    let (app, shelf) = app();
    let mut odd = one(9, 9);
    "not an event".clone_into(&mut odd.line);
    shelf.kept.lock().unwrap().push(odd);
    let response = send(&app, "GET", "/audit?limit=3").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    insta::assert_json_snapshot!(json(response).await, { ".next_cursor" => "[cursor]" });
}

#[tokio::test]
async fn pages_have_each_event_once_also_those_of_one_time() {
    let (app, _) = app();
    for limit in 1..=7 {
        let mut target = format!("/audit?limit={limit}&since=2027-01-15T08:00:00Z");
        let mut seen = Vec::new();
        loop {
            let response = send(&app, "GET", &target).await;
            let link = response.headers().get(LINK).cloned();
            let body = json(response).await;
            seen.extend(ids(&body));
            let Some(cursor) = body["next_cursor"].as_str() else {
                assert_eq!(link, None);
                break;
            };
            target = format!("/audit?limit={limit}&since=2027-01-15T08:00:00Z&cursor={cursor}");
            assert_eq!(link.unwrap(), format!("<{target}>; rel=\"next\"").as_str());
        }
        assert_eq!(seen, ["7", "6", "5", "4", "3", "2", "1"], "{limit}");
    }
}

#[tokio::test]
async fn filters_leave_out_the_others() {
    let (app, _) = app();
    for (query, expected) in [
        ("since=2027-01-15T08:00:01Z", "765432"),
        ("until=2027-01-15T08:00:01Z", "1"),
        (
            "since=2027-01-15T09:00:01%2B01:00&until=2027-01-15T08:00:02Z",
            "5432",
        ),
        ("actor=key1", "531"),
        ("actor=key", ""),
        ("action=write", "642"),
        ("action=forbidden", ""),
        ("target=main", "63"),
        ("target=main&action=write&actor=key0", "6"),
    ] {
        let response = send(&app, "GET", &format!("/audit?{query}")).await;
        assert_eq!(ids(&json(response).await).concat(), expected, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() {
    let (app, _) = app();
    for (query, code, parameter) in [
        ("since=yesterday", "INVALID_PARAMETER", "since"),
        ("until=", "INVALID_PARAMETER", "until"),
        ("until=2027-01-15", "INVALID_PARAMETER", "until"),
        ("actor=", "INVALID_PARAMETER", "actor"),
        ("target=%00", "INVALID_PARAMETER", "target"),
        ("action=delete", "INVALID_PARAMETER", "action"),
        ("actor=a&actor=b", "INVALID_PARAMETER", "actor"),
        ("limit=0", "INVALID_PARAMETER", "limit"),
        ("cursor=x", "INVALID_CURSOR", "cursor"),
        ("sort=at", "UNKNOWN_PARAMETER", "sort"),
    ] {
        let response = send(&app, "GET", &format!("/audit?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        let body = json(response).await;
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["errors"][0]["parameter"], parameter, "{body}");
    }
    let first = json(send(&app, "GET", "/audit?limit=1&actor=key1").await).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let other = send(
        &app,
        "GET",
        &format!("/audit?limit=1&actor=key0&cursor={cursor}"),
    )
    .await;
    assert_eq!(json(other).await["code"], "CURSOR_MISMATCH");
}

#[tokio::test]
async fn a_caller_who_does_not_see_everything_learns_nothing_of_it() {
    // Where access is controlled, how far a caller sees is told by its key; here by the test.
    let app = super::super::testing::app();
    let sources = BTreeSet::from([SourceName::new("main").unwrap()]);
    let projects = BTreeSet::from(["p".to_owned()]);
    for (sources, projects) in [(Some(sources), None), (None, Some(projects))] {
        let reach = Reach { sources, projects };
        for query in ["", "?since=yesterday"] {
            let mut request = Request::get(format!("/audit{query}"))
                .body(Body::empty())
                .unwrap();
            request
                .extensions_mut()
                .insert(Viewer::new(Arc::new(reach.clone())));
            let response = send_request(&app, request).await;
            assert_eq!(response.status(), 403);
            assert_eq!(json(response).await["code"], "FORBIDDEN");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_says_when_to_ask_again() {
    let (app, shelf) = app();
    shelf.is_away.store(true, Ordering::Relaxed);
    let response = send(&app, "GET", "/audit").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()[RETRY_AFTER], "5");
    assert_eq!(json(response).await["code"], "AUDIT_UNREADABLE");
}

#[tokio::test]
async fn where_it_is_kept_elsewhere_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let shelf = Arc::new(Memory::default());
    for (destination, word) in [
        (None, "no audit"),
        (Some(Destination::Stdout), "standard output"),
        (Some(Destination::File(path.clone())), "file"),
    ] {
        let response = send(&over(destination, &shelf), "GET", "/audit").await;
        assert_eq!(response.status(), 404);
        let body = json(response).await;
        assert_eq!(body["code"], "AUDIT_NOT_IN_STORE");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{detail}");
        assert!(!detail.contains(path.to_str().unwrap()), "{detail}");
    }
}

#[tokio::test]
async fn each_page_that_is_read_is_an_event_of_its_own() {
    let shelf = Arc::new(Memory {
        kept: Mutex::new(kept()),
        ..Memory::default()
    });
    let access = access(Some(Destination::Store), &shelf);
    let app = router(guarded(access.clone()));
    let body = json(send(&app, "GET", "/audit?limit=4").await).await;
    let cursor = body["next_cursor"].as_str().unwrap();
    send(&app, "GET", &format!("/audit?limit=4&cursor={cursor}")).await;
    send(&app, "GET", "/audit?until=never").await;
    access.unwrap().stop(Duration::from_secs(10)).await;
    let told = shelf.told.lock().unwrap();
    let told: Vec<_> = (told.iter())
        .map(|event| {
            (
                event.action,
                event.route,
                event.outcome.map(|end| end.status),
            )
        })
        .collect();
    let read = |status| (Action::AuditRead, "/audit", Some(status));
    assert_eq!(told, [read(200), read(200), read(400)]);
}
