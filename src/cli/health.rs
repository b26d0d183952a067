//! `clustergate health`: a probe for containers that have no other program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;

use super::access::Remote;
use super::exit::{Exit, Failure};
use super::printer::Printer;
use super::serve::Tls;
use crate::config::{Overrides, Server, listening_side};
use crate::tls::{Files, Witness, own_listener};

/// Ask a running gateway whether it is alive; exit code 0 or 1.
#[derive(Debug, Clone, Args)]
pub struct Health {
    /// Ask whether it has an inventory to serve, instead of whether it is alive
    #[arg(long)]
    pub ready: bool,
    /// Gateway to ask; without it the one that listens on this machine as configured
    #[arg(long, env = "CLUSTERGATE_URL", hide_env_values = true, value_parser = super::access::gateway)]
    pub url: Option<Url>,
    /// Certificates to trust instead of the system's, for --url
    #[arg(long, env = "CLUSTERGATE_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Configuration of the gateway on this machine
    #[arg(long, env = "CLUSTERGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the gateway on this machine listens [default: 127.0.0.1:8650]
    #[arg(long, env = "CLUSTERGATE_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// What it shows.
    #[command(flatten)]
    pub tls: Tls,
}

impl Health {
    /// Runs the command. Probes know success and failure only, so every failure is [`Exit::Failure`].
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        match self.ask(printer).await {
            Ok(()) => Ok(Exit::Ok),
            Err(failure) => {
                printer.remark(&format!("error: {}", failure.report().unwrap_or_default()));
                Ok(Exit::Failure)
            }
        }
    }

    async fn ask(&self, printer: Printer) -> Result<(), Failure> {
        let path = if self.ready { "/readyz" } else { "/livez" };
        let (remote, witness) = match &self.url {
            Some(url) => {
                let remote = Remote::trusting(url.clone(), self.ca_file.as_deref())?;
                (remote, Witness::default())
            }
            None => self.own()?,
        };
        let outcome = remote.stream(path, "*/*", |_| Ok(())).await.map(drop);
        if witness.saw_another() {
            printer.remark(
                "warning: the gateway shows another certificate than the configured file has",
            );
        }
        outcome
    }

    /// The gateway on this machine.
    fn own(&self) -> Result<(Remote, Witness), Failure> {
        let overrides = Overrides {
            listen: self.listen,
            tls_cert: self.tls.tls_cert.clone(),
            tls_key: self.tls.tls_key.clone(),
            ..Overrides::default()
        };
        let server = listening_side(self.config.as_deref(), &overrides)?;
        let url = address(&server)?;
        match &server.tls {
            None => Ok((Remote::new(url)?, Witness::default())),
            Some(files) => over_tls(url, &files.cert),
        }
    }
}

fn over_tls(url: Url, cert: &Path) -> Result<(Remote, Witness), Failure> {
    // A file that cannot be read is no reason to call a gateway dead that still shows what was in it.
    let expected = Files::certificates(cert).ok();
    let expected = expected.and_then(|chain| chain.into_iter().next());
    let (tls, witness) =
        own_listener(expected).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok((Remote::with_tls(url, tls)?, witness))
}

/// Where a listener is reached from its own machine.
fn address(server: &Server) -> Result<Url, Failure> {
    let ip = match server.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let address = SocketAddr::new(ip, server.listen.port());
    let url = Url::parse(&format!("{scheme}://{address}"));
    url.map_err(|_| Failure::Usage("--listen is no address that can be asked".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_asked_where_it_can_be_reached_and_as_it_speaks() {
        let tls = Files {
            cert: "a".into(),
            key: "b".into(),
        };
        for (listen, tls, expected) in [
            ("127.0.0.1:8650", None, "http://127.0.0.1:8650/"),
            ("0.0.0.0:8650", None, "http://127.0.0.1:8650/"),
            ("[::]:8650", Some(tls.clone()), "https://[::1]:8650/"),
            ("192.0.2.1:443", Some(tls), "https://192.0.2.1/"),
        ] {
            let server = Server {
                listen: listen.parse().unwrap(),
                tls,
                ..Server::default()
            };
            assert_eq!(address(&server).unwrap().as_str(), expected);
        }
    }
}
