//! Where answers come from: a running gateway, or the vendors themselves through the same API in process.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use http::HeaderMap;
use rustls::ClientConfig;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::exit::Failure;
use super::problem::Problem;
use super::progress::Display;
use crate::adapters::CATALOG;
use crate::app::InProcess;
use crate::config::{Overrides, Process, Strings, load};
use crate::upstream::{FetchError, Fetcher, is_confidential};

pub use crate::app::Reply;

/// Largest JSON answer that is held in memory; one page of a list is far smaller.
const MAX_JSON_BYTES: usize = 256 << 20;

/// Largest file that a key is read of; tokens of issuers are longer than keys.
const MAX_KEY_BYTES: u64 = 16 << 10;

/// Which gateway to ask.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Gateway to read from
    #[arg(long, env = "CLUSTERGATE_URL", hide_env_values = true, default_value = Self::DEFAULT_URL, value_parser = gateway)]
    pub url: Url,
    /// File that holds the API key to show.
    #[arg(
        long,
        env = "CLUSTERGATE_API_KEY_FILE",
        value_name = "FILE",
        help = "File that holds the API key to show; without it the one in CLUSTERGATE_API_KEY is shown"
    )]
    pub api_key_file: Option<PathBuf>,
    /// Certificates to trust instead of the system's, for a gateway at https
    #[arg(long, env = "CLUSTERGATE_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Read the vendors directly with the configuration, without a gateway; --url is not used then
    #[arg(long)]
    pub direct: bool,
    /// Configuration for --direct; without it the vendors' usual variables are used
    #[arg(long, env = "CLUSTERGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Target {
    /// Where a gateway listens unless told otherwise.
    pub const DEFAULT_URL: &'static str = "http://127.0.0.1:8650";
}

/// A way to ask the API.
#[derive(Debug)]
pub enum Access {
    /// Over the network.
    Remote(Remote),
    /// In this process, over a fresh reading of every source.
    Direct(Box<InProcess>),
}

/// A gateway over the network.
#[derive(Debug)]
pub struct Remote {
    base: Url,
    fetcher: Fetcher,
}

impl Access {
    /// Gets ready to ask; with `--direct`, reads every source first.
    pub async fn open(target: &Target) -> Result<Self, Failure> {
        if !target.direct {
            let key = api_key(target.api_key_file.as_deref(), &Process)?;
            let ca_file = target.ca_file.as_deref();
            return Remote::trusting(target.url.clone(), ca_file)?
                .with_key(key.as_ref())
                .map(Self::Remote);
        }
        let overrides = Overrides {
            reads_only: true,
            ..Overrides::default()
        };
        let config = load(target.config.as_deref(), &overrides, &Process, CATALOG)?;
        let display = Arc::new(Display::new(config.sources.len()));
        let update = Arc::clone(&display);
        let read = InProcess::read(config, Arc::new(move |progress| update.update(progress)));
        Ok(Self::Direct(Box::new(read.await?)))
    }

    /// Asks for one whole answer.
    pub async fn get(&self, path_and_query: &str, accept: &str) -> Result<Reply, Failure> {
        let mut body = Vec::new();
        let (status, headers) = self
            .stream(path_and_query, accept, |bytes| {
                body.extend_from_slice(bytes);
                if body.len() > MAX_JSON_BYTES {
                    return Err(Failure::Answer("it is too large"));
                }
                Ok(())
            })
            .await?;
        Ok(Reply {
            status,
            headers,
            body: Bytes::from(body),
        })
    }

    /// Asks for JSON; a problem document becomes an error.
    pub async fn json(&self, path_and_query: &str) -> Result<Value, Failure> {
        let reply = self.get(path_and_query, "application/json").await?;
        serde_json::from_slice(&reply.body).map_err(|_| Failure::Answer("it is not JSON"))
    }

    /// Asks for an answer that is handed on as it arrives. Only a good one is: any other becomes an error.
    pub async fn stream(
        &self,
        path_and_query: &str,
        accept: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(u16, HeaderMap), Failure> {
        match self {
            Self::Remote(remote) => remote.stream(path_and_query, accept, take).await,
            Self::Direct(direct) => {
                let reply = direct.get(path_and_query, accept).await?;
                refuse_problem(&reply)?;
                take(&reply.body)?;
                Ok((reply.status, reply.headers))
            }
        }
    }
}

impl Remote {
    /// A client for a gateway. It opens no connection yet.
    pub fn new(base: Url) -> Result<Self, Failure> {
        Self::trusting(base, None)
    }

    /// A client for a gateway that shows a certificate of an authority of one's own.
    pub fn trusting(base: Url, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let fetcher = Fetcher::trusting(&base, ca_file);
        Self::with(base, fetcher)
    }

    /// A client for a gateway that is known otherwise.
    pub(super) fn with_tls(base: Url, tls: ClientConfig) -> Result<Self, Failure> {
        let fetcher = Fetcher::with_tls(&base, tls);
        Self::with(base, fetcher)
    }

    fn with(base: Url, fetcher: Result<Fetcher, FetchError>) -> Result<Self, Failure> {
        match fetcher {
            Ok(fetcher) => Ok(Self { base, fetcher }),
            Err(error) => Err(Failure::Gateway {
                gateway: shown(&base),
                error,
            }),
        }
    }

    /// Shows a key with each request, unless others could read it on the way.
    fn with_key(self, key: Option<&SecretString>) -> Result<Self, Failure> {
        let Some(key) = key else {
            return Ok(self);
        };
        if !is_confidential(&self.base) {
            return Err(Failure::Usage(format!(
                "an API key is sent over https only, or to this machine; {} is neither",
                shown(&self.base)
            )));
        }
        let fetcher = self.fetcher.with_token(key);
        let fetcher = fetcher
            .ok_or_else(|| Failure::Usage("the API key has signs that no key has".into()))?;
        Ok(Self { fetcher, ..self })
    }

    /// Asks for an answer that is handed on as it arrives.
    pub async fn stream(
        &self,
        path_and_query: &str,
        accept: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(u16, HeaderMap), Failure> {
        let failed = |error| Failure::Gateway {
            gateway: shown(&self.base),
            error,
        };
        let url = below(&self.base, path_and_query)
            .ok_or_else(|| Failure::Usage("--url cannot be joined with a path".to_owned()))?;
        let mut fetched = self.fetcher.fetch(&url, accept).await.map_err(failed)?;
        let (status, headers) = (fetched.status().as_u16(), fetched.headers().clone());
        if !fetched.status().is_success() {
            let body = fetched.body(1 << 20).await.unwrap_or_default();
            let reply = Reply {
                status,
                headers,
                body,
            };
            refuse_problem(&reply)?;
            return Ok((status, reply.headers));
        }
        while let Some(chunk) = fetched.chunk().await.map_err(failed)? {
            take(&chunk)?;
        }
        Ok((status, headers))
    }
}

/// The key to show: of the file, else of the variable. It is no flag, since everybody can read a command line.
fn api_key(file: Option<&Path>, strings: &dyn Strings) -> Result<Option<SecretString>, Failure> {
    let Some(path) = file else {
        let key = strings.get("CLUSTERGATE_API_KEY").unwrap_or_default();
        let key = key.trim();
        return Ok((!key.is_empty()).then(|| SecretString::from(key)));
    };
    let unusable = |reason: &str| Failure::Usage(format!("{}: {reason}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| unusable(&error.to_string()))?;
    if file
        .metadata()
        .is_ok_and(|metadata| is_world_readable(&metadata))
    {
        return Err(unusable(
            "readable by everyone; take that right away (chmod o-r)",
        ));
    }
    let mut text = String::new();
    std::io::Read::take(file, MAX_KEY_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| unusable(&error.to_string()))?;
    match text.trim() {
        "" => Err(unusable("empty")),
        key => Ok(Some(SecretString::from(key))),
    }
}

#[cfg(unix)]
fn is_world_readable(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_: &std::fs::Metadata) -> bool {
    false
}

fn refuse_problem(reply: &Reply) -> Result<(), Failure> {
    if (200..300).contains(&reply.status) {
        Ok(())
    } else {
        Err(Failure::Problem(Box::new(Problem::read(reply))))
    }
}

/// Reads an address that a gateway can have.
pub(super) fn gateway(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and name a host".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have no query and no fragment".to_owned());
    }
    Ok(url)
}

/// A path below a gateway's address, which may itself have a path.
fn below(base: &Url, path_and_query: &str) -> Option<Url> {
    let text = base.as_str().trim_end_matches('/');
    Url::parse(&format!("{text}{path_and_query}")).ok()
}

/// An address as it may be shown: without user and password.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::exit::Exit;

    /// Asks a gateway that gives one answer.
    async fn ask(status: &str, body: &str) -> Result<Value, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let response = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /clusters/a:1 HTTP/1.1\r\n"));
            socket.write_all(response.as_bytes()).await.unwrap();
        };
        let access = Access::Remote(Remote::new(base.parse().unwrap()).unwrap());
        tokio::join!(access.json("/clusters/a:1"), serve).0
    }

    #[tokio::test]
    async fn an_answer_is_json_or_an_error_with_its_exit_code() {
        let answer = ask("200 OK", r#"{"id":"a:1"}"#).await.unwrap();
        assert_eq!(answer["id"], "a:1");
        let problem = r#"{"title":"No such cluster","code":"CLUSTER_NOT_FOUND"}"#;
        let failure = ask("404 Not Found", problem).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(failure.to_string(), "No such cluster (CLUSTER_NOT_FOUND)");
        let page = ask("200 OK", "<html>").await.unwrap_err();
        assert_eq!(page.exit(), Exit::Failure);
        let moved = ask("301 Moved Permanently", "").await.unwrap_err();
        assert_eq!(moved.exit(), Exit::Failure);
    }

    #[test]
    fn the_key_comes_from_a_file_or_a_variable_and_not_from_what_everybody_reads() {
        use std::collections::BTreeMap;

        use secrecy::ExposeSecret as _;

        let set = BTreeMap::from([("CLUSTERGATE_API_KEY".to_owned(), " cg_a\n".to_owned())]);
        let unset = BTreeMap::new();
        let read = |file: Option<&Path>, strings: &BTreeMap<String, String>| {
            api_key(file, strings)
                .map(|key| key.map(|key| key.expose_secret().to_owned()))
                .map_err(|failure| failure.exit())
        };
        assert_eq!(read(None, &set), Ok(Some("cg_a".to_owned())));
        assert_eq!(read(None, &unset), Ok(None));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(read(Some(&path), &set), Err(Exit::Usage), "it is missing");
        std::fs::write(&path, "cg_b\n").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let allow = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode));
            allow(0o644).unwrap();
            assert_eq!(read(Some(&path), &set), Err(Exit::Usage));
            allow(0o600).unwrap();
        }
        assert_eq!(read(Some(&path), &set), Ok(Some("cg_b".to_owned())));
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(read(Some(&path), &set), Err(Exit::Usage), "it is empty");
    }

    #[tokio::test]
    async fn a_key_is_shown_to_this_machine_or_over_https_only() {
        let key = SecretString::from("cg_secret");
        let with = |url: &str| {
            Remote::new(url.parse().unwrap())
                .unwrap()
                .with_key(Some(&key))
        };
        for url in [
            "https://gateway.example",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            let remote = with(url).unwrap();
            assert!(!format!("{remote:?}").contains("cg_secret"), "{url}");
        }
        for url in [
            "http://gateway.example",
            "http://10.0.0.1",
            "http://a.localhost",
        ] {
            let failure = with(url).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{url}");
            assert!(!failure.to_string().contains("cg_secret"), "{url}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = with(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            socket.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&request[..read]).to_lowercase()
        };
        let (answer, request) = tokio::join!(remote.stream("/", "*/*", |_| Ok(())), serve);
        answer.unwrap();
        assert!(
            request.contains("authorization: bearer cg_secret\r\n"),
            "{request}"
        );
    }

    #[test]
    fn a_gateway_may_live_below_a_path_and_its_password_is_not_shown() {
        let base = gateway("https://user:secret@example.com/inventory/").unwrap();
        let url = below(&base, "/clusters?limit=1").unwrap();
        assert_eq!(url.path(), "/inventory/clusters");
        assert_eq!(url.query(), Some("limit=1"));
        assert_eq!(shown(&base), "https://example.com");
        assert_eq!(
            shown(&gateway("http://[::1]:8650").unwrap()),
            "http://[::1]:8650"
        );
    }

    #[test]
    fn what_is_no_address_of_a_gateway_is_refused() {
        for text in [
            "",
            "localhost:8650",
            "file:///etc",
            "http://",
            "http://a/?q=1",
            "http://a/#x",
        ] {
            assert!(gateway(text).is_err(), "{text:?}");
        }
    }
}
