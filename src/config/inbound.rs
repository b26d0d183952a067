//! Keys of `[server]` about the way in: the certificate that is shown, and whose pages may ask.

use std::path::Path;
use std::time::Duration;

use url::Url;

use super::raw::Section;
use super::{Mistake, Mistakes, Overrides, Server};
use crate::tls::{Fault, Files, Part};

const DAY: Duration = Duration::from_hours(24);

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
