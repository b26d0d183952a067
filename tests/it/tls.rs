//! The listener over TLS, over real sockets, with certificates made on the spot.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use clustergate::adapters::CATALOG;
use clustergate::api::server::{CertificateWatch, Limits, serve_with};
use clustergate::api::{ApiState, Settings, router};
use clustergate::app::Gateway;
use clustergate::cli::printer::Printer;
use clustergate::cli::{Cli, Command};
use clustergate::config::Process;
use clustergate::tls::{Files, Served};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::PATIENCE;

const SHORT: Duration = Duration::from_millis(80);
const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A gateway without sources, on a socket that speaks TLS.
struct Listening {
    address: SocketAddr,
    files: Files,
    state: ApiState,
    _folder: TempDir,
    _watch: CertificateWatch,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Writes a new pair, and gives back the certificate.
fn write(files: &Files) -> CertificateDer<'static> {
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let beside = files.key.with_extension("new");
    fs::write(&beside, key.serialize_pem()).unwrap();
    keep_to_owner(&beside);
    fs::rename(&beside, &files.key).unwrap();
    fs::write(&files.cert, certificate.pem()).unwrap();
    certificate.der().clone()
}

#[cfg(unix)]
fn keep_to_owner(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
fn keep_to_owner(_: &Path) {}

impl Listening {
    async fn start(limits: Limits) -> (Self, CertificateDer<'static>) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files {
            cert: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
        };
        let certificate = write(&files);
        let served = Arc::new(Served::load(files.clone()).unwrap());
        let settings = Settings {
            hsts: Some(Duration::from_hours(24)),
            ..Settings::default()
        };
        let gateway = Gateway::over(Vec::new(), &Handle::current());
        let control = Arc::clone(&gateway.keeper);
        let state = ApiState::new(
            Arc::clone(&gateway.inventory),
            control,
            gateway.live.clone(),
            CATALOG,
            settings,
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let watch = CertificateWatch::start(state.clone(), Arc::clone(&served), SHORT / 8);
        let router = router(state.clone());
        let task = tokio::spawn(serve_with(listener, Some(served), router, limits, async {
            let _ = stopped.await;
        }));
        let listening = Self {
            address,
            files,
            state,
            _folder: folder,
            _watch: watch,
            stop,
            task,
        };
        (listening, certificate)
    }

    async fn plain(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect(
        &self,
        certificate: &CertificateDer<'static>,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, self.plain().await).await
    }

    async fn knows(&self, certificate: &CertificateDer<'static>) -> bool {
        self.connect(certificate, &[&TLS13], &[]).await.is_ok()
    }

    fn metric(&self, name: &str) -> Option<String> {
        let text = self.state.metrics.render(Vec::new()).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim().to_owned())
    }

    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut(&Self) -> bool) {
        let wait = async {
            while !is_so(self).await {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "in vain: {what}");
    }

    async fn close(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }
}

/// What comes until the other side ends, which it must.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "the connection does not end");
    bytes
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(REQUEST).await.unwrap();
    String::from_utf8(rest(stream).await).unwrap()
}

#[tokio::test]
async fn both_good_versions_are_spoken() {
    let (gateway, certificate) = Listening::start(Limits::default()).await;
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (offered, taken) in [
            (&[][..], None),
            (&["http/1.1"], Some(b"http/1.1".as_slice())),
            (&["h2", "http/1.1"], Some(b"http/1.1")),
        ] {
            let mut stream = gateway
                .connect(&certificate, &[version], offered)
                .await
                .unwrap();
            let (_, session) = stream.get_ref();
            assert_eq!(session.protocol_version(), Some(expected));
            assert_eq!(session.alpn_protocol(), taken, "{offered:?}");
            let answer = ask(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("\r\nstrict-transport-security: max-age=86400\r\n"));
        }
    }
    assert!(
        gateway
            .connect(&certificate, &[&TLS13], &["h2"])
            .await
            .is_err()
    );
    gateway.close().await;
}

/// The first message of a client that knows no newer version than this, and all that is needed for 1.2.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    // ECDHE with ECDSA: AES-GCM, and AES-CBC as older ones have it.
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x09]);
    body.extend([1, 0]);
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let points = [0, 11, 0, 2, 1, 0];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    body.extend([0, 22]);
    body.extend(groups.iter().chain(&points).chain(&signatures));
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn what_is_not_such_a_version_is_told_so_and_closed() {
    let (gateway, _) = Listening::start(Limits::default()).await;
    let mut stream = gateway.plain().await;
    stream.write_all(&client_hello([3, 3])).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 22, "a handshake goes on");
    for version in [[3, 0], [3, 1], [3, 2]] {
        let mut stream = gateway.plain().await;
        stream.write_all(&client_hello(version)).await.unwrap();
        let answer = rest(&mut stream).await;
        // A fatal alert: the protocol version.
        assert_eq!((answer[0], &answer[5..]), (21, &[2, 70][..]), "{version:?}");
    }
    let mut stream = gateway.plain().await;
    stream.write_all(REQUEST).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    gateway.close().await;
}

#[tokio::test]
async fn who_does_not_shake_hands_in_time_is_closed() {
    let limits = Limits {
        head_timeout: SHORT,
        idle_timeout: SHORT * 4,
        max_connections: 3,
        ..Limits::default()
    };
    let (gateway, certificate) = Listening::start(limits).await;
    let began = Instant::now();
    let mut silent = gateway.plain().await;
    let mut halfway = gateway.plain().await;
    halfway
        .write_all(&client_hello([3, 3])[..20])
        .await
        .unwrap();
    let mut dribbling = gateway.connect(&certificate, &[&TLS13], &[]).await.unwrap();
    // All of them count, so there is no place for one more.
    assert!(rest(&mut gateway.plain().await).await.is_empty());
    dribbling.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    for stream in [&mut silent, &mut halfway] {
        assert!(rest(stream).await.is_empty());
    }
    assert!(began.elapsed() >= SHORT);
    assert!(rest(&mut dribbling).await.is_empty());
    assert!(began.elapsed() >= SHORT);

    let mut stream = gateway.connect(&certificate, &[&TLS13], &[]).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    gateway.close().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_hands_to_be_shaken() {
    let (gateway, _) = Listening::start(Limits::default()).await;
    let mut silent = gateway.plain().await;
    let mut halfway = gateway.plain().await;
    halfway
        .write_all(&client_hello([3, 3])[..20])
        .await
        .unwrap();
    assert!(timeout(PATIENCE, gateway.close()).await.is_ok());
    rest(&mut silent).await;
}

const ENDS: &str = "clustergate_tls_certificate_not_after_timestamp_seconds{}";
const USED: &str = "clustergate_tls_certificate_reloads_total{outcome=\"used\"}";
const REFUSED: &str = "clustergate_tls_certificate_reloads_total{outcome=\"refused\"}";

#[tokio::test]
async fn a_new_pair_is_shown_to_whoever_comes_after_it() {
    let (gateway, first) = Listening::start(Limits::default()).await;
    assert!(gateway.metric(ENDS).is_some());
    let mut early = gateway.connect(&first, &[&TLS13], &[]).await.unwrap();
    let second = write(&gateway.files);
    gateway
        .until("the second certificate", async |gateway| {
            gateway.knows(&second).await
        })
        .await;
    assert!(!gateway.knows(&first).await);
    assert!(ask(&mut early).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(gateway.metric(USED).is_some());
    gateway.close().await;
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_changes_nothing() {
    let (gateway, first) = Listening::start(Limits::default()).await;
    fs::write(&gateway.files.cert, "not a certificate").unwrap();
    gateway
        .until("a refusal", async |gateway| {
            gateway.metric(REFUSED).is_some()
        })
        .await;
    let mut stream = gateway.connect(&first, &[&TLS12], &[]).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let second = write(&gateway.files);
    gateway
        .until("the second certificate", async |gateway| {
            gateway.knows(&second).await
        })
        .await;
    gateway.close().await;
}

/// What `clustergate health` ends with.
async fn health(arguments: &[&str]) -> u8 {
    let command = ["clustergate", "health"].into_iter();
    let cli = Cli::try_parse_from(command.chain(arguments.iter().copied())).unwrap();
    let Command::Health(health) = cli.command else {
        panic!("another command");
    };
    let exit = health.run(Printer::new(&Process)).await;
    exit.unwrap().code()
}

#[tokio::test]
async fn the_probe_of_a_container_asks_its_own_listener() {
    let (gateway, _) = Listening::start(Limits::default()).await;
    let path = gateway.files.cert.with_file_name("clustergate.toml");
    let text = format!(
        "[server]\nlisten = \"{}\"\ntls_cert = \"tls.crt\"\ntls_key = \"tls.key\"\nunknown = 1\n",
        gateway.address
    );
    fs::write(&path, text).unwrap();
    let config = path.to_str().unwrap();
    let cert = gateway.files.cert.to_str().unwrap();
    let address = gateway.address.to_string();
    let url = format!("https://localhost:{}", gateway.address.port());
    for (arguments, expected) in [
        (vec!["--config", config], 0),
        (
            vec!["--listen", &address, "--tls-cert", cert, "--tls-key", cert],
            0,
        ),
        (vec!["--url", &url, "--ca-file", cert], 0),
        (vec!["--url", &url], 1),
        (vec!["--listen", &address], 1),
    ] {
        assert_eq!(health(&arguments).await, expected, "{arguments:?}");
    }
    // A gateway that does not take a bad certificate up is as alive as before.
    fs::write(&gateway.files.cert, "not a certificate").unwrap();
    assert_eq!(health(&["--config", config]).await, 0);
    gateway.close().await;
}
