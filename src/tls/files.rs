//! The two files, and everything that can be wrong with them.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{Error as TlsError, InconsistentKeys, ServerConfig};

/// Chains and keys are some thousand bytes; a larger file is some other file.
const LARGEST: u64 = 1 << 20;

/// The only protocol that is spoken over TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// A certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and after it those that lead to an authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate.
    Cert,
    /// Its private key.
    Key,
}

/// What is wrong with one of the files. It repeats nothing of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub part: Part,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl Fault {
    fn new(part: Part, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { part, reason }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Cert => "certificate",
            Part::Key => "key",
        };
        write!(f, "{part}: {}", self.reason)
    }
}

/// A pair that fits, ready to be shown.
pub(super) struct Pair {
    pub(super) config: Arc<ServerConfig>,
    pub(super) not_after: Option<u64>,
}

/// What of a file changes when somebody changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// A folder of secrets is often exchanged as a whole, with times that are older.
    identity: u64,
}

impl Files {
    /// Says everything that is wrong with the two.
    pub fn check(&self) -> Result<(), Vec<Fault>> {
        self.read().map(drop)
    }

    /// The certificates alone; the first is the one that is shown.
    pub fn certificates(cert: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let fault = |reason: String| Fault::new(Part::Cert, reason);
        let pem = read(cert, |_| Ok(())).map_err(fault)?;
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&pem).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            Ok(_) => Err(fault("has no PEM certificate in it".to_owned())),
            Err(_) => Err(fault("is not PEM".to_owned())),
        }
    }

    pub(super) fn read(&self) -> Result<Pair, Vec<Fault>> {
        let (chain, key) = match (Self::certificates(&self.cert), private_key(&self.key)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
        };
        let not_after = chain.first().and_then(not_after);
        let config = configure(chain, key).map_err(|error| vec![misfit(&error)])?;
        Ok(Pair {
            config: Arc::new(config),
            not_after,
        })
    }

    /// What the files look like from outside; `None` for one that is not there.
    pub(super) fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.cert, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some(Stamp {
                modified: metadata.modified().ok(),
                length: metadata.len(),
                identity: identity(&metadata),
            })
        })
    }
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(config)
}

/// What is wrong with two files that can be read.
fn misfit(error: &TlsError) -> Fault {
    match error {
        TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => Fault::new(
            Part::Key,
            "is not the key of the first certificate: put the server's own certificate before those of its authorities",
        ),
        TlsError::InvalidCertificate(_) => {
            Fault::new(Part::Cert, "has a first certificate that cannot be read")
        }
        _ => Fault::new(
            Part::Key,
            "is of a kind that cannot be used: it must be RSA, ECDSA or Ed25519",
        ),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let fault = |reason: String| Fault::new(Part::Key, reason);
    let pem = read(path, |metadata| {
        if is_world_readable(metadata) {
            return Err("is readable by everyone; take that right away (chmod o-r)".to_owned());
        }
        Ok(())
    })
    .map_err(fault)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        fault(match error {
            pem::Error::NoItemsFound => {
                "has no PEM private key in it, or one that is encrypted".to_owned()
            }
            _ => "is not PEM".to_owned(),
        })
    })
}

/// A whole file, if it is one that may be used.
fn read(path: &Path, may: impl FnOnce(&Metadata) -> Result<(), String>) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    may(&metadata)?;
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err("is too large for this".to_owned());
    }
    Ok(bytes)
}

/// When a certificate ends, in seconds since 1970. The one who checks certificates says it of one that has expired.
fn not_after(certificate: &CertificateDer<'static>) -> Option<u64> {
    let far = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let usage = webpki::KeyUsage::server_auth();
    match certificate.verify_for_usage(&[], &[], &[], far, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Some(not_after.as_secs()),
        _ => None,
    }
}

#[cfg(unix)]
fn is_world_readable(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_: &Metadata) -> bool {
    false
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    /// A folder with a pair in it; `year` is the last one of its certificate.
    pub(crate) fn folder(year: i32) -> (TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files {
            cert: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
        };
        write(&files, year);
        (folder, files)
    }

    /// Writes a new pair.
    pub(crate) fn write(files: &Files, year: i32) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 2);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        allow(&files.key, 0o600);
    }

    #[cfg(unix)]
    pub(crate) fn allow(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    pub(crate) fn allow(_: &Path, _: u32) {}

    fn faults(files: &Files) -> Vec<(Part, String)> {
        let faults = files.check().unwrap_err();
        let parts = faults.into_iter().map(|fault| (fault.part, fault.reason));
        parts.collect()
    }

    #[test]
    fn a_pair_is_read_with_the_day_on_which_it_ends() {
        let (_folder, files) = folder(2040);
        let pair = files.read().unwrap();
        assert_eq!(pair.not_after, Some(2_209_075_200));
        assert_eq!(pair.config.alpn_protocols, [HTTP_1_1]);
    }

    #[test]
    fn everything_that_is_wrong_is_said_of_both() {
        let nowhere = Files {
            cert: "/nonexistent/a".into(),
            key: "/nonexistent/b".into(),
        };
        let found = faults(&nowhere);
        assert_eq!((found[0].0, found[1].0), (Part::Cert, Part::Key));
        assert!(
            found
                .iter()
                .all(|(_, reason)| reason.starts_with("cannot be read: "))
        );

        let (_folder, files) = folder(2040);
        let swapped = Files {
            cert: files.key.clone(),
            key: files.cert.clone(),
        };
        allow(&files.cert, 0o600);
        let found = faults(&swapped);
        assert_eq!(
            found[0],
            (Part::Cert, "has no PEM certificate in it".to_owned())
        );
        assert!(
            found[1].1.starts_with("has no PEM private key"),
            "{found:?}"
        );
    }

    #[test]
    fn files_that_are_no_pair_are_refused() {
        let (_folder, files) = folder(2040);
        let (_other, others) = folder(2041);
        let mixed = Files {
            key: others.key,
            ..files.clone()
        };
        let found = faults(&mixed);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Part::Key);
        assert!(found[0].1.starts_with("is not the key of"), "{found:?}");

        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fs::write(&files.cert, garbage).unwrap();
        assert_eq!(faults(&files)[0].0, Part::Cert);
        fs::write(&files.cert, "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
        assert_eq!(faults(&files)[0], (Part::Cert, "is not PEM".to_owned()));
        fs::write(&files.cert, vec![b'a'; 2 << 20]).unwrap();
        assert!(faults(&files)[0].1.starts_with("is too large"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_everybody_reads_is_no_secret() {
        let (_folder, files) = folder(2040);
        allow(&files.key, 0o640);
        assert!(files.check().is_ok());
        allow(&files.key, 0o644);
        let found = faults(&files);
        assert_eq!(found[0].0, Part::Key);
        assert!(found[0].1.contains("chmod o-r"), "{found:?}");
    }
}
