//! A plain HTTP client for what is no vendor: a running gateway, or an issuer of tokens. No retry, no redirect.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::transport::certificates;

/// Time for one connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Time without a byte: a gateway answers from memory, so a longer silence is a fault.
const SILENCE: Duration = Duration::from_secs(30);

/// A fetch that failed. The address is left to the caller to name; it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client could not be built.
    #[error("the HTTP client could not be built")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection.
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer, or no more of it, in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection broke before the answer was complete")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body is larger than the caller can use.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Connect(Box::new(error))
        } else if error.is_builder() {
            Self::Client(Box::new(error))
        } else {
            Self::Interrupted(Box::new(error))
        }
    }
}

/// Reads from one host.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: reqwest::Client,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: Option<HeaderValue>,
}

impl Fetcher {
    /// A client for a host. It opens no connection yet.
    pub fn new(base: &Url) -> Result<Self, FetchError> {
        Self::trusting(base, None)
    }

    /// A client for a host that shows a certificate of an authority of one's own.
    pub fn trusting(base: &Url, ca_file: Option<&Path>) -> Result<Self, FetchError> {
        let builder = || builder(base);
        let bundled = || {
            webpki_root_certs::TLS_SERVER_ROOT_CERTS
                .iter()
                .filter_map(|root| reqwest::Certificate::from_der(root).ok())
        };
        let client = if let Some(file) = ca_file {
            let trusted =
                certificates(file).map_err(|error| FetchError::Client(Box::new(error)))?;
            builder().tls_certs_only(trusted).build()
        } else if base.scheme() == "https" {
            // A minimal container has no certificates of its own, and the system's verifier refuses to start there.
            builder()
                .build()
                .or_else(|_| builder().tls_certs_only(bundled()).build())
        } else {
            builder().tls_certs_only(std::iter::empty()).build()
        };
        Ok(Self {
            client: client?,
            authorization: None,
        })
    }

    /// A client for a host that is known otherwise.
    pub fn with_tls(base: &Url, tls: ClientConfig) -> Result<Self, FetchError> {
        Ok(Self {
            client: builder(base).tls_backend_preconfigured(tls).build()?,
            authorization: None,
        })
    }

    /// Shows a token with each request; `None` when it cannot stand in a header.
    #[must_use]
    pub fn with_token(mut self, token: &SecretString) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Some(self)
    }

    /// Sends a GET; the body is read from what comes back.
    pub async fn fetch(&self, url: &Url, accept: &str) -> Result<Fetched, FetchError> {
        let mut request = self.client.get(url.clone()).header(ACCEPT, accept);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        // The headers wait on this; the body waits on the client's read timeout.
        let response = tokio::time::timeout(CONNECT + SILENCE, request.send())
            .await
            .map_err(|_| FetchError::Timeout)??;
        Ok(Fetched(response))
    }
}

fn builder(base: &Url) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent(concat!("clustergate/", env!("CARGO_PKG_VERSION")));
    // A proxy of the environment cannot reach this machine's own loopback.
    if is_loopback(base) {
        builder.no_proxy()
    } else {
        builder
    }
}

/// An answer of which the body is still on its way.
#[derive(Debug)]
pub struct Fetched(reqwest::Response);

impl Fetched {
    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// Headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next part of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        Ok(self.0.chunk().await?)
    }

    /// The whole body, if it is not larger than `most`.
    pub async fn body(mut self, most: usize) -> Result<Bytes, FetchError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > most {
                return Err(FetchError::TooLarge(most));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Whether what is said to an address stays between the two, and nobody else answers for it: https, or this machine.
pub fn is_confidential(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // Names below `localhost` may lead anywhere, by a resolver that does not know them.
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_here,
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes; gives back the request.
    async fn answer(response: &'static str) -> (Url, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/clusters?q=1", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            socket.write_all(response.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (url.parse().unwrap(), task)
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_end_and_a_redirect_is_not_followed() {
        let (url, task) = answer(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 4\r\n\r\nbody",
        )
        .await;
        let fetched = Fetcher::new(&url)
            .unwrap()
            .fetch(&url, "text/csv")
            .await
            .unwrap();
        assert_eq!(fetched.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(fetched.body(4).await.unwrap(), "body");
        let request = task.await.unwrap();
        assert!(
            request.starts_with("GET /clusters?q=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("accept: text/csv\r\n"), "{request}");
    }

    #[tokio::test]
    async fn a_short_body_and_a_large_one_are_errors() {
        let (url, _task) = answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody").await;
        let fetched = Fetcher::new(&url)
            .unwrap()
            .fetch(&url, "*/*")
            .await
            .unwrap();
        assert!(matches!(
            fetched.body(100).await,
            Err(FetchError::Interrupted(_))
        ));
        let (url, _task) = answer("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody").await;
        let fetched = Fetcher::new(&url)
            .unwrap()
            .fetch(&url, "*/*")
            .await
            .unwrap();
        assert!(matches!(
            fetched.body(3).await,
            Err(FetchError::TooLarge(3))
        ));
    }

    #[tokio::test]
    async fn nobody_listening_is_no_connection_and_names_no_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://user:secret@{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        drop(listener);
        let error = Fetcher::new(&url)
            .unwrap()
            .fetch(&url, "*/*")
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Connect(_)));
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
