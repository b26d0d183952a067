//! Keys over real files; tokens over issuers that answer from a script, with paused time.

mod issuers;
mod keys;
mod sign;
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use url::Url;

use super::discovery::{Read, Unread};
use super::*;
use sign::{Signer, jwks};

/// The moment at which everything happens unless said otherwise.
const NOW: i64 = 1_900_000_000;
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "clustergate";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

fn headers(shown: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::try_from(format!("Bearer {shown}")).unwrap();
    headers.insert(AUTHORIZATION, value);
    headers
}

/// Issuers that answer from a script, and count how often they are asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<HashMap<String, Bytes>>>,
    readings: Arc<AtomicUsize>,
}

impl Script {
    fn say(&self, url: &str, answer: &Value) {
        let answer = Bytes::from(answer.to_string());
        self.answers.lock().unwrap().insert(url.to_owned(), answer);
    }

    fn fall_silent(&self) {
        self.answers.lock().unwrap().clear();
    }

    fn readings(&self) -> usize {
        self.readings.load(Ordering::Relaxed)
    }
}

impl Read for Script {
    fn read<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, Unread>> {
        self.readings.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.lock().unwrap().get(url.as_str()).cloned();
        async move {
            // A reading takes time, in which others may ask as well.
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer.ok_or(Unread("no connection"))
        }
        .boxed()
    }
}

/// An issuer with its keys at a known address.
fn issuer(name: &str) -> IssuerSettings {
    IssuerSettings {
        jwks_uri: Some(format!("{name}/keys").parse().unwrap()),
        ..IssuerSettings::new(name, AUDIENCE)
    }
}

fn start(issuers: Vec<IssuerSettings>, script: &Script) -> Arc<Access> {
    let settings = Settings {
        issuers,
        ..Settings::default()
    };
    let network =
        |_: &IssuerSettings| -> Result<Box<dyn Read>, AccessError> { Ok(Box::new(script.clone())) };
    Access::start_over(&settings, Shared::default(), &Handle::current(), network)
        .unwrap()
        .unwrap()
}

/// Access for one issuer that publishes the keys of these signers.
fn one_issuer(signers: &[&Signer]) -> (Arc<Access>, Script) {
    let script = Script::default();
    script.say(&format!("{ISSUER}/keys"), &jwks(signers));
    (start(vec![issuer(ISSUER)], &script), script)
}

/// Shows a token, and asks the issuer if that is wanted.
async fn show(access: &Access, token: &str, now: Timestamp) -> Result<Arc<Principal>, Denied> {
    match access.authenticate(&headers(token), now) {
        Authentication::Done(told) => told,
        Authentication::Ask(question) => access.ask(question, now).await,
    }
}

/// Claims that are good.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": NOW - 10, "exp": NOW + 600,
        "scope": "clusters:read",
    })
}

/// Good claims, of which one is another.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}
