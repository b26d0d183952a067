//! Keys of `[server]` about the way in: the certificate that is shown, whose pages may ask, and how often anybody may.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::raw::Section;
use super::{Mistake, Mistakes, Overrides, Server, quantity};
use crate::tls::{Fault, Files, Part};
use crate::upstream::Rate;

const DAY: Duration = Duration::from_hours(24);

/// With more there might as well be no limit.
const MOST_CALLS: u32 = 1_000_000;

/// Takes the keys; relative file names of the file begin in `folder`, those of the command line where it is run.
pub(super) fn resolve(
    section: &mut Section<'_>,
    folder: &Path,
    overrides: &Overrides,
    server: &mut Server,
) {
    server.tls = tls(section, folder, overrides);
    if let Some(duration) = section.duration("hsts", Duration::ZERO..=3650 * DAY) {
        server.hsts = duration;
    }
    let origins = section.texts("cors_origins").unwrap_or_default();
    if origins.iter().all(|origin| is_origin(origin)) {
        server.cors_origins = origins;
    } else {
        section.reject(
            "cors_origins",
            "must be origins as browsers write them, in lower case and without a path, such as \"https://dash.example.com\"; there is no wildcard, since any page at all could then read the inventory",
        );
    }
    server.rate_limit = rate_limit(section);
    let proxies = section.texts("trusted_proxies").unwrap_or_default();
    match proxies.iter().map(|text| network(text.trim())).collect() {
        Some(networks) => server.trusted_proxies = networks,
        None => section.reject(
            "trusted_proxies",
            "must be IP addresses or networks, such as \"10.0.0.7\" or \"10.0.0.0/8\"",
        ),
    }
}

/// Takes how often each client may ask; nothing means as often as it likes.
fn rate_limit(section: &mut Section<'_>) -> Option<Rate> {
    let Ok(rate) = quantity::rate(&section.text("rate_limit")?) else {
        section.reject(
            "rate_limit",
            "must be a number of requests and a time, such as \"600/min\"",
        );
        return None;
    };
    let is_whole = rate.per.subsec_nanos() == 0;
    if is_whole && rate.per <= DAY && rate.calls <= MOST_CALLS {
        return Some(rate);
    }
    section.reject(
        "rate_limit",
        format!("must be at most {MOST_CALLS} requests, in whole seconds and at most a day"),
    );
    None
}

/// A network, or an address alone.
fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}

/// Whether a text is an origin letter for letter as browsers send it: it is compared like that.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && !text.contains('*')
            && url.origin().ascii_serialization() == text
    })
}

fn tls(section: &mut Section<'_>, folder: &Path, overrides: &Overrides) -> Option<Files> {
    let mut file = |key, given: &Option<_>| {
        let written = section.text(key).map(|name| folder.join(name));
        given.clone().or(written)
    };
    let cert = file("tls_cert", &overrides.tls_cert);
    let key = file("tls_key", &overrides.tls_key);
    let files = match (cert, key) {
        (Some(cert), Some(key)) => Files { cert, key },
        (Some(_), None) => {
            section.reject("tls_key", "is missing: the file with the key of tls_cert");
            return None;
        }
        (None, Some(_)) => {
            section.reject(
                "tls_cert",
                "is missing: the file with the certificate of tls_key",
            );
            return None;
        }
        (None, None) => return None,
    };
    // Who only reads need not be allowed to read the key.
    if !overrides.reads_only
        && let Err(faults) = files.check()
    {
        for fault in faults {
            section.reject(key_of(fault.part), fault.reason);
        }
    }
    Some(files)
}

const fn key_of(part: Part) -> &'static str {
    match part {
        Part::Cert => "tls_cert",
        Part::Key => "tls_key",
    }
}

/// What is wrong with a pair, as mistakes of the keys that name it.
pub fn tls_mistakes(faults: Vec<Fault>) -> Mistakes {
    let mistake = |fault: Fault| {
        let key = format!("server.{}", key_of(fault.part));
        Mistake::new(key, fault.reason)
    };
    Mistakes(faults.into_iter().map(mistake).collect())
}

#[cfg(test)]
mod tests {
    use super::super::resolve::resolve_server;
    use super::*;

    /// What these lines of `[server]` mean beside a pair, and the keys of what is wrong with them.
    fn read(lines: &str, overrides: &Overrides) -> (Server, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        for (name, text) in [("a.crt", certificate.pem()), ("a.key", key.serialize_pem())] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            keep_to_owner(&path);
        }
        let mut mistakes = Vec::new();
        let table = lines.parse().unwrap();
        let server = resolve_server(table, folder.path(), overrides, false, &mut mistakes);
        (server, mistakes.into_iter().map(|one| one.key).collect())
    }

    #[cfg(unix)]
    fn keep_to_owner(path: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[cfg(not(unix))]
    fn keep_to_owner(_: &Path) {}

    #[test]
    fn a_certificate_and_its_key_are_named_together_and_fit() {
        let lines = "tls_cert = \"a.crt\"\ntls_key = \"a.key\"\nhsts = \"1d\"";
        let (server, mistakes) = read(lines, &Overrides::default());
        assert_eq!(mistakes, [""; 0]);
        assert!(server.tls.unwrap().key.ends_with("a.key"));
        assert_eq!(server.hsts, DAY);
        for (lines, keys) in [
            ("tls_cert = \"a.crt\"", &["server.tls_key"][..]),
            ("tls_key = \"a.key\"", &["server.tls_cert"]),
            (
                "tls_cert = \"none\"\ntls_key = \"none\"",
                &["server.tls_cert", "server.tls_key"],
            ),
            (
                "tls_cert = \"a.key\"\ntls_key = \"a.key\"",
                &["server.tls_cert"],
            ),
            (
                "tls_cert = \"a.crt\"\ntls_key = \"a.crt\"\nhsts = \"for ever\"",
                &["server.tls_key", "server.hsts"],
            ),
        ] {
            assert_eq!(read(lines, &Overrides::default()).1, keys, "{lines}");
        }
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let good = "cors_origins = [\"https://dash.example.com\", \"http://localhost:3000\", \"http://[::1]\"]";
        let (server, mistakes) = read(good, &Overrides::default());
        assert_eq!(mistakes, [""; 0]);
        assert_eq!(server.cors_origins.len(), 3);
        for text in [
            "*",
            "null",
            "dash.example.com",
            "https://dash.example.com/",
            "https://dash.example.com:443",
            "https://Dash.example.com",
            "https://*.example.com",
            "https://user@dash.example.com",
            "file:///",
            "",
        ] {
            let lines = format!("cors_origins = [\"https://a.example\", \"{text}\"]");
            let (server, mistakes) = read(&lines, &Overrides::default());
            assert_eq!(mistakes, ["server.cors_origins"], "{text}");
            assert!(server.cors_origins.is_empty());
        }
    }

    #[test]
    fn a_limit_is_a_number_in_whole_seconds() {
        let limit = |text: &str| {
            let lines = format!("rate_limit = \"{text}\"");
            let (server, mistakes) = read(&lines, &Overrides::default());
            assert_eq!(server.rate_limit.is_some(), mistakes.is_empty(), "{text}");
            server
                .rate_limit
                .map(|rate| (rate.calls, rate.per.as_secs()))
        };
        assert_eq!(limit("600/min"), Some((600, 60)));
        assert_eq!(limit("10/s"), Some((10, 1)));
        assert_eq!(limit("1/24h"), Some((1, 86_400)));
        for text in [
            "600",
            "0/min",
            "5/500ms",
            "1/1500ms",
            "1/25h",
            "1000001/h",
            "",
        ] {
            assert_eq!(limit(text), None, "{text}");
        }
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let lines = "trusted_proxies = [\"10.0.0.0/8\", \"127.0.0.1\", \"::1\", \"fd00::/8\"]";
        let (server, mistakes) = read(lines, &Overrides::default());
        assert_eq!(mistakes, [""; 0]);
        let networks = server.trusted_proxies.iter().map(ToString::to_string);
        let expected = ["10.0.0.0/8", "127.0.0.1/32", "::1/128", "fd00::/8"];
        assert!(networks.eq(expected));
        for text in ["proxy.example.com", "10.0.0.0/33", "10.0.0.1:80", "*", ""] {
            let lines = format!("trusted_proxies = [\"127.0.0.1\", \"{text}\"]");
            let (server, mistakes) = read(&lines, &Overrides::default());
            assert_eq!(mistakes, ["server.trusted_proxies"], "{text}");
            assert!(server.trusted_proxies.is_empty());
        }
    }

    #[test]
    fn who_serves_nothing_needs_no_key() {
        let reader = Overrides {
            reads_only: true,
            ..Overrides::default()
        };
        let lines = "listen = \"0.0.0.0:1\"\ntls_cert = \"none\"\ntls_key = \"none\"";
        assert_eq!(read(lines, &reader).1, [""; 0]);
    }

    #[test]
    fn the_command_line_names_files_from_where_it_is_run() {
        let overrides = Overrides {
            tls_cert: Some("elsewhere/b.crt".into()),
            reads_only: true,
            ..Overrides::default()
        };
        let (server, _) = read("tls_cert = \"a.crt\"\ntls_key = \"a.key\"", &overrides);
        let files = server.tls.unwrap();
        assert_eq!(files.cert, Path::new("elsewhere/b.crt"));
        assert!(files.key.is_absolute(), "the file's own folder");
    }
}
