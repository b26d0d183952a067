//! The whole stack over a transport that answers as told, in paused time; and over real sockets.

mod breaking;
mod pacing;
mod posting;
mod retrying;
mod secrets;
mod sockets;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use tokio::time::Instant;
use tower::service_fn;

use super::*;

/// What the scripted vendor does with one request.
#[derive(Clone)]
struct Reply {
    after: Duration,
    result: Result<Answer, FailureKind>,
}

impl Reply {
    fn status(status: u16) -> Self {
        Self {
            after: Duration::ZERO,
            result: Ok(Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"{}"),
            }),
        }
    }

    fn ok() -> Self {
        Self::status(200)
    }

    fn fails(kind: FailureKind) -> Self {
        Self {
            after: Duration::ZERO,
            result: Err(kind),
        }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        let answer = self.result.as_mut().unwrap();
        answer
            .headers
            .insert(HeaderName::from_static(name), value.parse().unwrap());
        self
    }

    fn body(mut self, body: &str) -> Self {
        self.result.as_mut().unwrap().body = Bytes::copy_from_slice(body.as_bytes());
        self
    }

    fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    fn never() -> Self {
        Self::ok().after(Duration::from_secs(1 << 30))
    }
}

/// When a request went out, and the request.
type Sent = (Instant, Request<Bytes>);

/// The vendor's side of a test.
#[derive(Clone, Default)]
struct Witness {
    requests: Arc<Mutex<Vec<Sent>>>,
    abandoned: Arc<AtomicUsize>,
}

impl Witness {
    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn times(&self) -> Vec<Instant> {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .map(|(time, _)| *time)
            .collect()
    }

    fn request(&self, index: usize) -> Request<Bytes> {
        self.requests.lock().unwrap()[index].1.clone()
    }

    fn abandoned(&self) -> usize {
        self.abandoned.load(SeqCst)
    }
}

/// Counts the replies that nobody waited for.
struct Abandon(Option<Arc<AtomicUsize>>);

impl Abandon {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_add(1, SeqCst);
        }
    }
}

fn settings() -> StackSettings {
    let mut settings = StackSettings::new("https://api.example/base/".parse().unwrap());
    settings.breaker_failures = 1_000_000;
    settings
}

fn credential(token: &str) -> Credential {
    Credential {
        token: Arc::new(TokenSource::Value(token.into())),
        scheme: Scheme::Bearer,
    }
}

/// A stack whose n-th request, from 0, is answered by `script(n)`.
fn stack(
    settings: StackSettings,
    script: impl Fn(usize) -> Reply + Send + Sync + 'static,
) -> (Stack, Witness) {
    stack_with(settings, credential("token-1"), Dialect::PLAIN, script)
}

fn stack_with(
    settings: StackSettings,
    credential: Credential,
    dialect: Dialect,
    script: impl Fn(usize) -> Reply + Send + Sync + 'static,
) -> (Stack, Witness) {
    let witness = Witness::default();
    let script = Arc::new(script);
    let seen = witness.clone();
    let transport = service_fn(move |request: Request<Bytes>| {
        let index = {
            let mut requests = seen.requests.lock().unwrap();
            requests.push((Instant::now(), request));
            requests.len() - 1
        };
        let guard = Abandon(Some(Arc::clone(&seen.abandoned)));
        let reply = script(index);
        async move {
            tokio::time::sleep(reply.after).await;
            guard.finish();
            reply.result.map_err(UpstreamError::new)
        }
    });
    let stack = Stack::over(transport, settings, credential, dialect).unwrap();
    (stack, witness)
}

fn read() -> Call {
    Call::get("read", Target::new("/v1/things"))
}

fn write() -> Call {
    Call {
        method: http::Method::DELETE,
        repeatable: false,
        ..read()
    }
}
