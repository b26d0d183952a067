//! A server that stands in for a cluster's API: TLS by an authority of its own, and who may ask for its version.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The token that it takes; whoever shows a client certificate of its authority needs none.
pub(super) const TOKEN: &str = "a-token-of-the-vendor";

/// The server.
pub(super) struct Kubernetes {
    address: SocketAddr,
    authority: CertifiedIssuer<'static, KeyPair>,
    serving: JoinHandle<()>,
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Kubernetes {
    /// Starts it with certificates made now.
    pub(super) async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let config = config(&authority);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
        Self {
            address,
            authority,
            serving,
        }
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificate of its authority.
    pub(super) fn authority(&self) -> String {
        self.authority.pem()
    }

    /// A client certificate and its key.
    pub(super) fn client(&self) -> (String, String) {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn config(authority: &CertifiedIssuer<'static, KeyPair>) -> ServerConfig {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();

    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap()
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // What a client makes of a refused handshake is told by the client.
            let Ok(stream) = acceptor.accept(socket).await else {
                return;
            };
            let is_certified = stream.get_ref().1.peer_certificates().is_some();
            let service = service_fn(move |request: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, is_certified)))
            });
            let _ = Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, is_certified: bool) -> Response<Body> {
    let shown = (request.headers().get(AUTHORIZATION)).and_then(|value| value.to_str().ok());
    let has_token = shown == Some(format!("Bearer {TOKEN}").as_str());
    let (status, body) = match request.uri().path() {
        _ if !is_certified && !has_token => (
            StatusCode::UNAUTHORIZED,
            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}"#.to_owned(),
        ),
        "/version" => (
            StatusCode::OK,
            format!(
                r#"{{"major":"1","minor":"34","gitVersion":"v1.34.3","platform":"{}"}}"#,
                if is_certified { "certificate" } else { "token" }
            ),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#.to_owned(),
        ),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
