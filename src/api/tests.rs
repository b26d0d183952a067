//! The routes as callers see them, without a socket.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION,
    RETRY_AFTER,
};
use http::{Request, StatusCode};
use serde_json::Value;

use super::testing::{
    app, guarded, json, reports, send, send_bare, send_request, state, state_of, text,
};
use super::{NOTHING, READ, Settings, always, assemble, get, openapi, problem, route, router};
use crate::telemetry::testing::listen;

async fn code(app: &axum::Router, method: &str, target: &str) -> (u16, String) {
    let response = send(app, method, target).await;
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        problem::PROBLEM_JSON,
        "{method} {target}"
    );
    let body = json(response).await;
    assert_eq!(body["status"], status, "{body}");
    assert!(body["request_id"].is_string(), "{body}");
    // A `%` that begins no escape cannot stand in a reference, so it is escaped itself.
    let instance = body["instance"].as_str().unwrap().replace("%25", "%");
    assert!(target.starts_with(&instance), "{body}");
    (status, body["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let app = app();
    let long = format!("/sources?x={}", "a".repeat(9_000));
    for (method, target, status, expected) in [
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/clusters/", 404, "NOT_FOUND"),
        ("GET", "/sources/main/", 404, "NOT_FOUND"),
        ("GET", "/docs/nothing.js", 404, "NOT_FOUND"),
        ("GET", "/problems/nothing", 404, "NOT_FOUND"),
        ("DELETE", "/sources", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/sources/main/refresh", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/sources/nobody", 404, "SOURCE_NOT_FOUND"),
        ("GET", "/sources/..%2F..%2Fetc", 404, "SOURCE_NOT_FOUND"),
        ("GET", "/sources/%FF", 404, "SOURCE_NOT_FOUND"),
        ("POST", "/sources/gone/refresh", 404, "SOURCE_NOT_FOUND"),
        ("POST", "/sources/A_B/refresh", 404, "SOURCE_NOT_FOUND"),
        ("GET", "/providers/nobody", 404, "PROVIDER_NOT_FOUND"),
        ("GET", "/sources/%zz", 400, "INVALID_PARAMETER"),
        ("GET", "/%", 400, "INVALID_PARAMETER"),
        ("GET", "/livez?verbose=%ff", 400, "INVALID_PARAMETER"),
        ("GET", "/readyz?verbose=perhaps", 400, "INVALID_PARAMETER"),
        ("GET", "/readyz?verbose&verbose", 400, "INVALID_PARAMETER"),
        ("GET", &long, 414, "URI_TOO_LONG"),
    ] {
        assert_eq!(
            code(&app, method, target).await,
            (status, expected.to_owned()),
            "{method} {target}"
        );
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let response = send(&app(), "DELETE", "/sources").await;
    assert_eq!(response.headers()[ALLOW], "GET,HEAD");
    let response = send(&app(), "GET", "/sources/main/refresh").await;
    assert_eq!(response.headers()[ALLOW], "POST");
}

#[tokio::test]
async fn a_request_that_names_no_host_or_two_is_refused_everywhere() {
    let app = app();
    for target in ["/sources", "/nothing", "/livez", "/readyz", "/metrics"] {
        for hosts in [[].as_slice(), &["localhost", "localhost"], &["a b"]] {
            let mut request = Request::get(target);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let response = send_bare(&app, request.body(Body::empty()).unwrap()).await;
            assert_eq!(response.status(), 400, "{target} {hosts:?}");
            assert_eq!(json(response).await["code"], "INVALID_HOST");
        }
    }
}

#[tokio::test]
async fn a_request_for_somebody_else_is_let_through_to_probes_alone() {
    let app = app();
    let mut statuses = Vec::new();
    for target in [
        "/clusters",
        "/sources",
        "/metrics",
        "/nothing",
        "/livez",
        "/readyz",
    ] {
        let request = Request::get(target)
            .header(HOST, "rebound.example:8650")
            .body(Body::empty())
            .unwrap();
        let response = send_bare(&app, request).await;
        statuses.push(response.status().as_u16());
        if response.status() == 421 {
            let body = json(response).await;
            assert_eq!(body["code"], "HOST_NOT_ALLOWED");
            let detail = body["detail"].as_str().unwrap();
            assert!(detail.contains("server.hosts") && detail.contains("rebound.example"));
        }
    }
    assert_eq!(statuses, [421, 421, 421, 421, 200, 200]);
}

#[tokio::test]
async fn an_announced_body_that_is_too_large_is_refused() {
    let request = Request::post("/sources/main/refresh")
        .header(CONTENT_LENGTH, "65537")
        .body(Body::empty())
        .unwrap();
    let response = send_request(&app(), request).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(json(response).await["code"], "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_body_that_does_not_come_keeps_nobody_out() {
    let settings = Settings {
        max_in_flight: 1,
        ..Settings::default()
    };
    let app = router(state_of(reports(), settings));
    let request = Request::post("/sources/main/refresh")
        .body(Body::from_stream(stream::pending::<
            Result<Bytes, Infallible>,
        >()))
        .unwrap();
    let mut slow = std::pin::pin!(send_request(&app, request));
    assert!(futures_util::poll!(slow.as_mut()).is_pending());
    assert_eq!(send(&app, "GET", "/sources").await.status(), 200);
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_everywhere() {
    let app = app();
    for target in [
        "/?x=1",
        "/sources?x=1",
        "/sources/main?x=1",
        "/providers?x=1",
        "/providers/latitude?x=1",
        "/problems/internal?x=1",
        "/openapi.json?x=1",
        "/openapi-3.0.json?x=1",
        "/livez?x=1",
        "/readyz?x=1",
        "/metrics?x=1",
    ] {
        assert_eq!(
            code(&app, "GET", target).await,
            (400, "UNKNOWN_PARAMETER".to_owned()),
            "{target}"
        );
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let app = app();
    for (target, status) in [("/sources", 200), ("/nothing", 404), ("/sources/x", 404)] {
        let response = send(&app, "HEAD", target).await;
        assert_eq!(response.status(), status, "{target}");
        assert!(text(response).await.is_empty(), "{target}");
    }
}

#[tokio::test]
async fn the_length_of_a_completed_problem_is_its_own() {
    let response = send(&app(), "GET", "/sources/nobody").await;
    let length: usize = response.headers()[CONTENT_LENGTH]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(text(response).await.len(), length);
}

#[tokio::test]
async fn a_request_keeps_its_own_id_when_it_is_well_formed() {
    let app = app();
    for (given, kept) in [("abc-1._Z", true), ("a b", false), ("", false)] {
        let request = Request::get("/nothing")
            .header("X-Request-Id", given)
            .body(Body::empty())
            .unwrap();
        let response = send_request(&app, request).await;
        let id = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(id == given, kept, "{given:?}");
        assert_eq!(json(response).await["request_id"], id);
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_problem_and_the_server_goes_on() {
    async fn broken() -> StatusCode {
        panic!("secret")
    }
    let state = state();
    let routes = vec![
        route("/broken", get(NOTHING, broken)),
        route("/sources", get(READ, super::sources::list_sources)),
    ];
    let app = assemble(routes, state);
    let response = send(&app, "GET", "/broken").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = text(response).await;
    assert!(body.contains("INTERNAL") && !body.contains("secret"));
    assert_eq!(send(&app, "GET", "/sources").await.status(), 200);
}

#[tokio::test]
async fn over_the_cap_requests_are_refused_but_health_is_answered() {
    let settings = Settings {
        max_in_flight: 1,
        ..Settings::default()
    };
    let state = state_of(reports(), settings);
    let open = Arc::new(tokio::sync::Notify::new());
    let waiting = Arc::clone(&open);
    let slow = move || {
        let waiting = Arc::clone(&waiting);
        async move { waiting.notified().await }
    };
    let routes = vec![
        route("/slow", get(NOTHING, slow)),
        route("/sources", get(READ, super::sources::list_sources)),
        always("/livez", get(NOTHING, super::health::check_liveness)),
    ];
    let app = assemble(routes, state);
    let slow = tokio::spawn({
        let app = app.clone();
        async move { send(&app, "GET", "/slow").await.status() }
    });
    tokio::task::yield_now().await;
    let refused = send(&app, "GET", "/sources").await;
    assert_eq!(refused.headers()[RETRY_AFTER], "1");
    assert_eq!(json(refused).await["code"], "OVERLOADED");
    assert_eq!(send(&app, "GET", "/livez").await.status(), 200);
    open.notify_one();
    assert_eq!(slow.await.unwrap(), StatusCode::OK);
    assert_eq!(send(&app, "GET", "/sources").await.status(), 200);
}

#[tokio::test]
async fn sources_say_how_well_they_can_be_read() {
    let app = app();
    let mut body = json(send(&app, "GET", "/sources").await).await;
    body["items"][1]["age_seconds"] = "[age]".into();
    insta::assert_json_snapshot!(body);
    let one = json(send(&app, "GET", "/sources/broken").await).await;
    assert_eq!(one, body["items"][0]);
}

#[tokio::test]
async fn a_refresh_is_accepted_and_says_where_to_look() {
    let response = send(&app(), "POST", "/sources/broken/refresh").await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.headers()[LOCATION], "/sources/broken");
    insta::assert_json_snapshot!(json(response).await);
}

#[tokio::test]
async fn providers_say_what_they_can_do() {
    let body = json(send(&app(), "GET", "/providers/latitude").await).await;
    insta::assert_json_snapshot!(body);
    let list = json(send(&app(), "GET", "/providers").await).await;
    assert_eq!(list["items"][0], body);
}

#[tokio::test]
async fn every_problem_type_leads_to_its_explanation() {
    let app = app();
    for code in super::Code::ALL {
        let body = json(send(&app, "GET", &code.type_reference()).await).await;
        assert_eq!(body["code"], code.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn ready_is_after_the_first_attempts_and_for_good() {
    let mut unread = reports();
    unread[0].attempts.clear();
    let state = state_of(unread, Settings::default());
    let app = router(state.clone());
    assert_eq!(send(&app, "GET", "/readyz").await.status(), 503);
    assert_eq!(send(&app, "GET", "/livez").await.status(), 200);
    tokio::time::advance(Settings::default().ready_after).await;
    assert_eq!(send(&app, "GET", "/readyz").await.status(), 200);
    state.drain();
    assert_eq!(code(&app, "GET", "/readyz").await.1, "SHUTTING_DOWN");
}

#[tokio::test]
async fn ready_at_once_without_sources_and_when_all_were_tried() {
    let empty = router(state_of(Vec::new(), Settings::default()));
    assert_eq!(send(&empty, "GET", "/readyz").await.status(), 200);
    let body = json(send(&app(), "GET", "/readyz?verbose").await).await;
    insta::assert_json_snapshot!(body);
}

#[tokio::test]
async fn metrics_are_well_formed_and_their_labels_bounded() {
    let app = app();
    for path in 0..50 {
        send(&app, "GET", &format!("/clusters/x:{path}")).await;
        send(&app, "GET", &format!("/nothing/{path}")).await;
    }
    let response = send(&app, "GET", "/metrics").await;
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        crate::telemetry::metrics::CONTENT_TYPE
    );
    let text = text(response).await;
    assert!(text.ends_with("# EOF\n"));
    let allowed: BTreeSet<&str> = [
        "source",
        "provider",
        "code",
        "state",
        "route",
        "method",
        "status_class",
        "version",
        "le",
    ]
    .into();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(!series.contains("x:"), "{line}");
        let Some((_, labels)) = series.trim_end_matches('}').split_once('{') else {
            continue;
        };
        for label in labels.split("\",") {
            let name = label.split('=').next().unwrap();
            assert!(allowed.contains(name), "{line}");
        }
    }
    for expected in [
        // The scrape itself.
        "http_requests_in_flight 1\n",
        "clustergate_source_up{source=\"main\",provider=\"latitude\"} 1",
        "clustergate_source_up{source=\"broken\",provider=\"latitude\"} 0",
        "clustergate_source_error{source=\"broken\",provider=\"latitude\",code=\"UPSTREAM_RATE_LIMITED\"} 1",
        "clustergate_source_upstream_requests_total{source=\"broken\",provider=\"latitude\"} 12",
        "clustergate_source_quota_remaining{source=\"broken\",provider=\"latitude\"} 7",
        "clustergate_inventory_generation 7",
        "clustergate_inventory_clusters 42",
        "http_requests_total{route=\"unmatched\",method=\"GET\",status_class=\"4xx\"} 50",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

/// Routes of the documentation page, which is no part of the contract.
const PAGE: [&str; 3] = ["/docs", "/docs/", "/docs/{*file}"];

#[tokio::test]
async fn the_document_and_the_routes_are_the_same() {
    let state = state();
    let routed: BTreeSet<&str> = super::routes()
        .into_iter()
        .map(|route| route.template)
        .filter(|template| !PAGE.contains(template))
        .collect();
    let document = openapi::document();
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(routed, documented);
    let app = router(state);
    for (path, item) in paths {
        let target = path
            .replace("{id}", "x:1")
            .replace("{code}", "internal")
            .replace("{name}", "main");
        for method in ["get", "post", "put", "delete", "patch"] {
            let answer = send(&app, &method.to_uppercase(), &target).await;
            assert_eq!(
                item.get(method).is_some(),
                answer.status() != StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn every_operation_has_an_id_a_tag_a_success_and_its_problems() {
    let document = openapi::document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(operation["tags"][0].is_string(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')));
            for (status, response) in responses {
                if status.starts_with(['4', '5']) {
                    assert_eq!(
                        response["content"][problem::PROBLEM_JSON]["schema"]["$ref"],
                        "#/components/schemas/Problem",
                        "{status} of {id}"
                    );
                }
            }
            assert!(responses.contains_key("400") && responses.contains_key("500"));
        }
    }
    assert_eq!(document["info"]["title"], "clustergate");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_of_the_documents_leads_somewhere() {
    for document in [openapi::document(), openapi::document_3_0()] {
        each(&document, &mut |object| {
            if let Some(Value::String(reference)) = object.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
        });
    }
}

#[test]
fn the_older_document_has_nothing_of_the_newer_one() {
    let document = openapi::document_3_0();
    assert_eq!(document["openapi"], "3.0.3");
    each(&document, &mut |object| {
        for keyword in [
            "const",
            "$schema",
            "prefixItems",
            "propertyNames",
            "if",
            "contains",
        ] {
            assert!(!object.contains_key(keyword), "{object:?}");
        }
        assert!(
            object.get("type").is_none_or(|word| !word.is_array()),
            "{object:?}"
        );
        assert!(object.get("type") != Some(&"null".into()), "{object:?}");
        assert!(object.get("exclusiveMinimum").is_none_or(Value::is_boolean));
        assert!(object.get("examples").is_none_or(|some| !some.is_array()));
        assert!(
            !(object.contains_key("$ref") && object.len() > 1),
            "{object:?}"
        );
    });
}

fn each(value: &Value, visit: &mut dyn FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|child| each(child, visit));
        }
        Value::Array(items) => items.iter().for_each(|child| each(child, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn the_documents_and_the_page_are_served_from_here() {
    let app = app();
    let response = send(&app, "GET", "/openapi.json").await;
    assert!(response.headers().contains_key("etag"));
    assert_eq!(json(response).await["openapi"], "3.1.0");
    let page = send(&app, "GET", "/docs/").await;
    assert_eq!(page.status(), 200);
    let redirect = send(&app, "GET", "/docs").await;
    assert_eq!(redirect.headers()[LOCATION], "/docs/");
    let start = send(&app, "GET", "/docs/swagger-initializer.js").await;
    let start = text(start).await;
    assert!(start.contains("/openapi.json"), "{start}");
    assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
    assert!(
        text(page).await.starts_with("<!"),
        "plain for who accepts no gzip"
    );
    let request = Request::get("/docs/")
        .header(ACCEPT_ENCODING, "br, gzip")
        .body(Body::empty())
        .unwrap();
    let page = send_request(&app, request).await;
    assert_eq!(page.headers()[CONTENT_ENCODING], "gzip");
}

#[tokio::test]
async fn handlers_and_the_access_log_know_who_asks() {
    use secrecy::ExposeSecret as _;

    use super::guard::Caller;
    use crate::access::{Access, KeysFile, NewKey, Scopes, Settings as Guard};

    async fn whoami(caller: Caller) -> String {
        caller.0.id.clone()
    }
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    let new = NewKey {
        name: "ci".to_owned(),
        scopes: Scopes::ADMIN,
        sources: None,
        projects: None,
        expires_at: None,
    };
    let made = file.create(new, jiff::Timestamp::now()).unwrap();
    let guard = Guard {
        keys_file: Some(file.path().to_owned()),
        ..Guard::default()
    };
    let access = Access::start(&guard, &tokio::runtime::Handle::current()).unwrap();
    let routes = || {
        vec![
            route("/whoami", get(READ, whoami)),
            route("/anybody", get(NOTHING, whoami)),
        ]
    };
    let closed = assemble(routes(), guarded(access));
    let heard = listen();
    let shown = format!("Bearer {}", made.text.expose_secret());
    let ask = async |target: &str| {
        let request = Request::get(target)
            .header("authorization", &shown)
            .header("host", "localhost");
        send_request(&closed, request.body(Body::empty()).unwrap()).await
    };
    let id = made.entry.id.as_str();
    assert_eq!(text(ask("/whoami").await).await, id);
    // Where nobody is told apart, nobody is taken for somebody who may do everything.
    assert_eq!(ask("/anybody").await.status(), StatusCode::UNAUTHORIZED);
    let log = heard.text();
    assert!(log.contains(&format!("principal.id=\"{id}\"")), "{log}");
    let secret = made.text.expose_secret();
    assert!(!log.contains(&secret[secret.len() - 20..]), "{log}");

    let open = assemble(routes(), state());
    for target in ["/whoami", "/anybody"] {
        assert_eq!(text(send(&open, "GET", target).await).await, "open");
    }
}
