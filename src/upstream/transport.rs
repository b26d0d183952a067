//! The wire: no redirects, no proxy from the environment, bodies within their cap.

use std::error::Error;
use std::io;
use std::path::Path;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use http::{Request, header::CONTENT_LENGTH};
use reqwest::tls::Certificate;
use reqwest::{Client, ClientBuilder, Url, redirect};
use std::time::Duration;
use tower::Service;

use super::address::Address;
use super::body::{self, Coding, Read};
use super::{Answer, FailureKind, StackError, StackSettings, UpstreamError};

/// An error answer has no rows: what is longer is cut, not refused.
const LARGEST_ERROR_BODY: usize = 64 << 10;

/// Finds a dead HTTP/2 connection before many attempts have hung on it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One client for one source, with its own connections.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client,
    max_body: usize,
}

impl Transport {
    pub(super) fn new(settings: &StackSettings, address: &Address) -> Result<Self, StackError> {
        // With two crypto libraries in the tree rustls could not choose; someone else's choice is as good as ours.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .https_only(address.is_https())
                .connect_timeout(settings.connect_timeout)
                .pool_max_idle_per_host(settings.max_in_flight)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .http2_keep_alive_timeout(KEEP_ALIVE)
                .tcp_nodelay(true)
        };
        let client = match &settings.ca_file {
            Some(path) => {
                let trusted = certificates(path).map_err(StackError::CaFile)?;
                builder().tls_certs_only(trusted).build()
            }
            // Reading the system's certificates takes longer than the first calls of a client that needs none.
            None if !address.is_https() => builder().tls_certs_only(std::iter::empty()).build(),
            // A machine without certificates of its own, such as a bare container, gets the bundled ones.
            None => builder().build().or_else(|_| bundled(builder())?.build()),
        };
        Ok(Self {
            client: client.map_err(|error| StackError::Client(Box::new(error.without_url())))?,
            max_body: settings.max_body_bytes,
        })
    }

    async fn exchange(self, request: Request<Bytes>) -> Result<Answer, UpstreamError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| {
            UpstreamError::new(FailureKind::Rejected).with_text("the address is not a URL")
        })?;
        let mut request = self
            .client
            .request(parts.method, url)
            .headers(parts.headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        let response = request.send().await.map_err(failure)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let cap = if status.is_success() {
            self.max_body
        } else {
            self.max_body.min(LARGEST_ERROR_BODY)
        };
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if status.is_success() && announced.is_some_and(|length| length > cap as u64) {
            return Err(body::too_large(cap));
        }
        let read = match Coding::of(&headers) {
            Ok(coding) => {
                let stream = Box::pin(response.bytes_stream().map_err(failure));
                body::read(stream, coding, cap).await
            }
            Err(error) => Read {
                bytes: Bytes::new(),
                failure: Some(error),
            },
        };
        match read.failure {
            Some(mut error) if status.is_success() => {
                error.status = Some(status);
                Err(error)
            }
            // The status and the headers of a refusal say what matters, however its body ends.
            Some(_) | None => Ok(Answer {
                status,
                headers,
                body: read.bytes,
            }),
        }
    }
}

impl Service<Request<Bytes>> for Transport {
    type Response = Answer;
    type Error = UpstreamError;
    type Future = BoxFuture<'static, Result<Answer, UpstreamError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(self.clone().exchange(request))
    }
}

pub(super) fn certificates(path: &Path) -> io::Result<Vec<Certificate>> {
    let pem = std::fs::read(path)?;
    let found = Certificate::from_pem_bundle(&pem)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.without_url()))?;
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no certificate in the file",
        ));
    }
    Ok(found)
}

pub(super) fn bundled(builder: ClientBuilder) -> Result<ClientBuilder, reqwest::Error> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|root| Certificate::from_der(root))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(builder.tls_certs_only(roots))
}

/// The kind of a failure below HTTP, and its text without the URL.
fn failure(error: reqwest::Error) -> UpstreamError {
    let error = error.without_url();
    UpstreamError::new(kind(&error)).with_text(chain(&error))
}

fn kind(error: &reqwest::Error) -> FailureKind {
    if error.is_connect() {
        return FailureKind::Unreachable;
    }
    if error.is_timeout() {
        return FailureKind::Timeout;
    }
    for cause in causes(error) {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return FailureKind::TooLarge;
            }
            // A connection that ends within a chunk is a parse error to hyper, but an interruption to us.
            if error.is_parse() {
                return FailureKind::Garbled;
            }
        }
        if let Some(error) = cause.downcast_ref::<io::Error>()
            && matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
            )
        {
            return FailureKind::Garbled;
        }
    }
    FailureKind::Interrupted
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}

fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use std::io::Write;

    #[test]
    fn the_bundled_certificates_make_a_client() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        assert!(bundled(Client::builder()).unwrap().build().is_ok());
    }

    #[test]
    fn a_certificate_file_is_read_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for root in &webpki_root_certs::TLS_SERVER_ROOT_CERTS[..2] {
            let text = base64::engine::general_purpose::STANDARD.encode(root);
            writeln!(
                file,
                "-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----"
            )
            .unwrap();
        }
        assert_eq!(certificates(file.path()).unwrap().len(), 2);
        let mut settings = StackSettings::new("https://api.example".parse().unwrap());
        settings.ca_file = Some(file.path().to_owned());
        let address = Address::new(settings.base_url.clone()).unwrap();
        assert!(Transport::new(&settings, &address).is_ok());
    }
}
