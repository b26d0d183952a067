//! The limit as callers see it, without a socket.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use tokio::time::advance;

use super::super::server::Peer;
use super::super::testing::{guarded_with, json, reports, send_request, state_of};
use super::super::{Origins, Settings, router};
use super::*;
use crate::access::{Access, IssuerSettings, Settings as Guard};

const PAGE: &str = "https://dash.example.com";

fn app(calls: u32) -> Router {
    router(state_of(reports(), settings(calls)))
}

fn settings(calls: u32) -> Settings {
    Settings {
        cors: Origins::new(&[PAGE]),
        rate_limit: Some(Rate {
            calls,
            per: Duration::from_mins(1),
        }),
        proxies: Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]),
        ..Settings::default()
    }
}

fn request(method: &str, target: &str, from: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(target);
    let mut request = request.body(Body::empty()).unwrap();
    let peer = Peer(SocketAddr::new(from.parse().unwrap(), 4711));
    request.extensions_mut().insert(peer);
    request
}

async fn ask(app: &Router, target: &str, from: &str) -> Response {
    send_request(app, request("GET", target, from)).await
}

fn told<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_how_it_stands_and_refused_when_nothing_is_left() {
    let app = app(3);
    for (left, full) in [(2, 20), (1, 40), (0, 60)] {
        let response = ask(&app, "/sources", "192.0.2.1").await;
        assert_eq!(response.status(), 200);
        assert_eq!(told(&response, "ratelimit-policy"), "\"default\";q=3;w=60");
        let expected = format!("\"default\";r={left};t={full}");
        assert_eq!(told(&response, "ratelimit"), expected);
    }
    advance(Duration::from_millis(4_500)).await;
    for target in ["/sources", "/metrics", "/nothing", "/docs/"] {
        let response = ask(&app, target, "192.0.2.1").await;
        assert_eq!(response.status(), 429, "{target}");
        assert_eq!(told(&response, "retry-after"), "16");
        assert_eq!(told(&response, "ratelimit"), "\"default\";r=0;t=56");
        let problem = json(response).await;
        assert_eq!(problem["code"], "RATE_LIMITED");
        assert_eq!(problem["retry_after"], 16);
        assert_eq!(problem["retryable"], true);
    }
    advance(Duration::from_secs(16)).await;
    assert_eq!(ask(&app, "/sources", "192.0.2.1").await.status(), 200);
    assert_eq!(ask(&app, "/sources", "192.0.2.1").await.status(), 429);
}

#[tokio::test(start_paused = true)]
async fn each_client_has_a_bucket_of_its_own() {
    let app = app(1);
    for (from, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("::ffff:192.0.2.2", 429),
        ("2001:db8::1", 200),
        ("2001:db8::ffff", 429),
        ("2001:db8:0:1::1", 200),
    ] {
        let response = ask(&app, "/sources", from).await;
        assert_eq!(response.status(), status, "{from}");
    }
    for (forwarded, status) in [
        ("198.51.100.1", 200),
        ("198.51.100.2", 200),
        ("192.0.2.9, 198.51.100.2", 429),
    ] {
        let mut request = request("GET", "/sources", "10.0.0.1");
        let value = HeaderValue::from_static(forwarded);
        request.headers_mut().insert("x-forwarded-for", value);
        let response = send_request(&app, request).await;
        assert_eq!(response.status(), status, "{forwarded}");
    }
}

#[tokio::test(start_paused = true)]
async fn probes_and_what_a_browser_asks_first_take_nothing() {
    let app = app(1);
    for target in ["/livez", "/readyz"] {
        for _ in 0..5 {
            let response = ask(&app, target, "192.0.2.1").await;
            assert_eq!(response.status(), 200, "{target}");
            assert_eq!(told(&response, "ratelimit"), "");
        }
    }
    for _ in 0..5 {
        let mut request = request("OPTIONS", "/sources", "192.0.2.1");
        let headers = request.headers_mut();
        headers.insert("origin", HeaderValue::from_static(PAGE));
        headers.insert(
            "access-control-request-method",
            HeaderValue::from_static("GET"),
        );
        assert_eq!(send_request(&app, request).await.status(), 204);
    }
    let mut last = request("GET", "/sources", "192.0.2.1");
    last.headers_mut()
        .insert("origin", HeaderValue::from_static(PAGE));
    assert_eq!(send_request(&app, last).await.status(), 200);
    let mut late = request("GET", "/sources", "192.0.2.1");
    late.headers_mut()
        .insert("origin", HeaderValue::from_static(PAGE));
    let refused = send_request(&app, late).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(told(&refused, "access-control-allow-origin"), PAGE);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_before_it_is_known_what_it_wants_is_held_to_the_rate_too() {
    let app = app(2);
    let ask = async |host: &'static str, target: &str| {
        let mut request = request("GET", target, "192.0.2.1");
        let host = HeaderValue::from_static(host);
        request.headers_mut().insert("host", host);
        send_request(&app, request).await.status().as_u16()
    };
    assert_eq!(ask("rebound.example", "/sources").await, 421);
    assert_eq!(ask("localhost", "/sources/%zz").await, 400);
    assert_eq!(ask("rebound.example", "/sources").await, 429);
    assert_eq!(ask("localhost", "/sources/%zz").await, 429);
    assert_eq!(ask("localhost", "/livez").await, 200);
}

#[tokio::test(start_paused = true)]
async fn who_makes_up_keys_of_an_issuer_asks_it_no_more_often_than_anything_else() {
    // {"alg":"RS256","kid":"a"}.{"iss":"http://127.0.0.1:1"}
    const TOKEN: &str =
        "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwOi8vMTI3LjAuMC4xOjEifQ.AAAA";
    let mut issuer = IssuerSettings::new("http://127.0.0.1:1", "clustergate");
    issuer.jwks_uri = Some("http://127.0.0.1:1/keys".parse().unwrap());
    let guard = Guard {
        issuers: vec![issuer],
        ..Guard::default()
    };
    let access = Access::start(&guard, &tokio::runtime::Handle::current()).unwrap();
    let app = router(guarded_with(access, settings(1)));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let mut request = request("GET", "/sources", "192.0.2.1");
        let shown = HeaderValue::from_static(TOKEN);
        request.headers_mut().insert("authorization", shown);
        statuses.push(send_request(&app, request).await.status().as_u16());
    }
    assert_eq!(statuses, [503, 429, 429]);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_looks_without_taking_and_forgets_no_more_than_it_must() {
    let limiter = Limiter::new(Rate {
        calls: 1,
        per: Duration::from_mins(1),
    });
    let client = Client::caller("somebody");
    let now = Instant::now();
    assert_eq!(limiter.look(&client, now).remaining, 1);
    assert_eq!(limiter.look(&client, now).remaining, 1);
    assert_eq!(limiter.draw(&client, now).wait, None);
    assert!(limiter.look(&client, now).wait.is_some());
    for number in 0..200_000_u32 {
        limiter.draw(
            &Client::at(std::net::Ipv4Addr::from_bits(number).into()),
            now,
        );
    }
    assert!(limiter.buckets.len() <= REMEMBERED);
}

#[tokio::test]
async fn without_a_limit_nothing_is_told() {
    let app = router(state_of(reports(), Settings::default()));
    let response = ask(&app, "/sources", "192.0.2.1").await;
    assert_eq!(told(&response, "ratelimit"), "");
    assert_eq!(told(&response, "ratelimit-policy"), "");
}
