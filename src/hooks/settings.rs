//! What a webhook is.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use url::{Host, Url};

use super::secret::SecretSource;
use crate::domain::{Reach, SourceName};
use crate::inventory::Interest;
use crate::upstream::{Admitted, PostSettings};

/// The name of a webhook, made like the name of a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct HookName(Arc<str>);

impl HookName {
    /// Keeps a name of 1 to 63 lower-case letters, digits and inner hyphens; `None` for any other text.
    pub fn new(text: &str) -> Option<Self> {
        SourceName::new(text).ok().map(|_| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why events are not sent to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL of a server.
    #[error(
        "must be an absolute URL with a host and without user and fragment, such as https://hooks.example.com/clusters"
    )]
    NoUrl,
    /// It is plain HTTP.
    #[error(
        "must begin with https://; plain http is for private addresses, with allow_private = true"
    )]
    Plain,
    /// Its address may not be called.
    #[error(
        "is at an address of a private network or of this machine: allow it with allow_private = true"
    )]
    Private,
    /// Its address is nobody's.
    #[error(
        "is at an address that is never called: of the link alone, where clouds answer with credentials, of many, or of none"
    )]
    Never,
}

/// Where events are sent. Its `Debug` shows the origin alone: the rest of a URL may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    admitted: Admitted,
}

impl Target {
    /// Takes https, and with `allow_private` plain http to private addresses. Where a name leads is judged when it is called.
    pub fn new(url: &str, allow_private: bool) -> Result<Self, TargetError> {
        let url = Url::parse(url).map_err(|_| TargetError::NoUrl)?;
        let address = match url.host() {
            None | Some(Host::Domain("")) => return Err(TargetError::NoUrl),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(TargetError::NoUrl);
        }
        let admitted = match (url.scheme(), allow_private) {
            ("https", true) => Admitted::PublicAndPrivate,
            ("https", false) => Admitted::Public,
            // What is said in clear stays in a private network.
            ("http", true) => Admitted::Private,
            ("http", false) => return Err(TargetError::Plain),
            _ => return Err(TargetError::NoUrl),
        };
        match address {
            Some(address) if !admitted.admits(address) => {
                Err(if Admitted::PublicAndPrivate.admits(address) {
                    if admitted == Admitted::Private {
                        TargetError::Plain
                    } else {
                        TargetError::Private
                    }
                } else {
                    TargetError::Never
                })
            }
            _ => Ok(Self { url, admitted }),
        }
    }

    /// Scheme, host and port: what may be shown of it.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.origin()).finish()
    }
}

/// A webhook as it is configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name, which its events' ids follow from.
    pub name: HookName,
    /// Where events are sent.
    pub target: Target,
    /// What signs them: one secret, two while they are changed.
    pub secrets: Vec<SecretSource>,
    /// Which changes it wants, as the query of `GET /changes` says it.
    pub filter: String,
    /// Sources that it learns of; `None` is all of them.
    pub sources: Option<BTreeSet<SourceName>>,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Attempts at one event, at most.
    pub max_attempts: Option<u32>,
    /// How long an event is tried.
    pub give_up_after: Duration,
    /// Events that are sent at once.
    pub max_in_flight: usize,
    /// Events that wait, at most; more make dead letters of the oldest.
    pub max_pending: u64,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// Time for one attempt unless told otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// How long an event is tried unless told otherwise.
    pub const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
    /// Events that are sent at once unless told otherwise.
    pub const MAX_IN_FLIGHT: usize = 4;
    /// Events that wait at most, unless told otherwise.
    pub const MAX_PENDING: u64 = 10_000;

    /// The defaults for a name, a target and a secret.
    pub fn new(name: HookName, target: Target, secret: SecretSource) -> Self {
        Self {
            name,
            target,
            secrets: vec![secret],
            filter: String::new(),
            sources: None,
            timeout: Self::TIMEOUT,
            max_attempts: None,
            give_up_after: Self::GIVE_UP_AFTER,
            max_in_flight: Self::MAX_IN_FLIGHT,
            max_pending: Self::MAX_PENDING,
            ca_file: None,
        }
    }

    /// How its client is made.
    pub fn post(&self) -> PostSettings {
        PostSettings {
            url: self.target.url.clone(),
            admitted: self.target.admitted,
            timeout: self.timeout,
            max_idle: self.max_in_flight,
            ca_file: self.ca_file.clone(),
        }
    }

    /// How far it sees.
    pub(super) fn reach(&self) -> Reach {
        Reach {
            sources: self.sources.clone(),
            projects: None,
        }
    }
}

/// A webhook with what its filter means.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its configuration.
    pub settings: Settings,
    /// Which changes it wants.
    pub interest: Arc<Interest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_https_unless_private_addresses_are_allowed() {
        for (url, public, private) in [
            ("https://hooks.example/x?y=1", Ok(()), Ok(())),
            ("https://1.1.1.1/", Ok(()), Ok(())),
            ("http://hooks.example/", Err(TargetError::Plain), Ok(())),
            (
                "http://1.1.1.1/",
                Err(TargetError::Plain),
                Err(TargetError::Plain),
            ),
            ("http://127.0.0.1:1/", Err(TargetError::Plain), Ok(())),
            ("https://127.0.0.1/", Err(TargetError::Private), Ok(())),
            ("https://2130706433/", Err(TargetError::Private), Ok(())),
            ("https://0x7f.1/", Err(TargetError::Private), Ok(())),
            (
                "https://[::ffff:10.0.0.1]/",
                Err(TargetError::Private),
                Ok(()),
            ),
            (
                "https://169.254.169.254/",
                Err(TargetError::Never),
                Err(TargetError::Never),
            ),
            (
                "http://169.254.169.254/",
                Err(TargetError::Plain),
                Err(TargetError::Never),
            ),
            (
                "https://[fe80::1]/",
                Err(TargetError::Never),
                Err(TargetError::Never),
            ),
            (
                "https://user@hooks.example/",
                Err(TargetError::NoUrl),
                Err(TargetError::NoUrl),
            ),
            (
                "https://hooks.example/#x",
                Err(TargetError::NoUrl),
                Err(TargetError::NoUrl),
            ),
            (
                "ftp://hooks.example/",
                Err(TargetError::NoUrl),
                Err(TargetError::NoUrl),
            ),
            (
                "hooks.example/x",
                Err(TargetError::NoUrl),
                Err(TargetError::NoUrl),
            ),
            ("https:///x", Ok(()), Ok(())),
            (
                "data:text/plain,x",
                Err(TargetError::NoUrl),
                Err(TargetError::NoUrl),
            ),
        ] {
            assert_eq!(Target::new(url, false).map(|_| ()), public, "{url}");
            assert_eq!(Target::new(url, true).map(|_| ()), private, "{url}");
        }
    }

    #[test]
    fn only_the_origin_is_shown() {
        let target = Target::new("https://hooks.example:444/T0KEN?key=S3CRET", false).unwrap();
        assert_eq!(target.origin(), "https://hooks.example:444");
        let name = HookName::new("ops").unwrap();
        let secret = SecretSource::Value("whsec_C4NARY".into());
        let settings = Settings::new(name, target, secret);
        let shown = format!("{settings:?} {:?}", settings.post());
        for secret in ["T0KEN", "S3CRET", "C4NARY"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_name_is_made_like_that_of_a_source() {
        assert_eq!(HookName::new("ops-1").unwrap().as_str(), "ops-1");
        for text in ["", "Ops", "a b", "-a", "a/b"] {
            assert!(HookName::new(text).is_none(), "{text}");
        }
    }
}
