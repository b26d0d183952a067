//! Who may do what: keys, tokens of issuers, scopes, and the audit.
//!
//! A caller shows an API key or a token of a configured issuer as `Authorization: Bearer …`, and nothing else is looked at.
//! [`Access::authenticate`] makes a [`Principal`] of it: what it may do ([`Scopes`]) and how far it sees
//! ([`Reach`](crate::domain::Reach)). Telling a key is a hash; telling a token that was seen in the last minute is one as
//! well, and any other a signature. Only a token whose key is not known waits for its issuer, together with everybody else
//! who does, and at most once in half a minute.
//!
//! Where neither a keys file nor an issuer is configured there is no [`Access`] at all.
//!
//! This module knows nothing of HTTP but headers, and nothing of clusters but names of sources.

pub mod audit;
mod discovery;
mod entry;
mod file;
mod issuer;
mod jwks;
mod key;
mod keyring;
mod manage;
mod principal;
mod scope;
mod token;
mod vault;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use audit::{Audit, Destination, Shelf};
use discovery::{Keys, Network, Read, Reader};
use key::PREFIX;
use keyring::Keyring;
use token::{Token, seconds};

pub use discovery::may_be_asked;
pub use entry::{Entry, KeysError};
pub use issuer::IssuerSettings;
pub use jwks::Algorithm;
pub use key::KeyId;
pub use manage::{KeysFile, Made, NewKey};
pub use principal::{Denied, DeniedKind, Principal, PrincipalKind, is_misleading};
pub use scope::{Scope, Scopes, UnknownScope};
pub use vault::{Held, SharedKeys, Vault};

/// Requests that may wait for one issuer at once: callers nobody knows must not take every place.
const WAITING: usize = 64;
/// Tokens that are remembered as checked.
const REMEMBERED: usize = 4096;
/// How long they are.
const MEMORY: Duration = Duration::from_mins(1);

/// What controls access; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The keys file.
    pub keys_file: Option<PathBuf>,
    /// Whether keys are in the store, for all gateways that share it; then there is no file.
    pub keys_in_store: bool,
    /// Whose tokens are taken.
    pub issuers: Vec<IssuerSettings>,
    /// Where it is written who did what.
    pub audit: Option<Destination>,
    /// Whether what the audit must be told of is refused while it cannot be written.
    pub audit_required: bool,
}

impl Settings {
    /// Whether callers have to show who they are.
    pub fn is_guarded(&self) -> bool {
        self.keys_file.is_some() || self.keys_in_store || !self.issuers.is_empty()
    }
}

/// What of access control is in the store, for all gateways that share it.
#[derive(Clone, Default)]
pub struct Shared {
    /// Keys.
    pub keys: Option<Arc<dyn Vault>>,
    /// The audit.
    pub audit: Option<Arc<dyn Shelf>>,
}

/// Why access control cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The keys file cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Keys are to be in the store, and there is none.
    #[error("keys are to be in the store, and there is none")]
    NoStore,
    /// An issuer cannot be asked.
    #[error("no client for {issuer}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// Why.
        #[source]
        error: crate::upstream::FetchError,
    },
    /// The name of an issuer is no address.
    #[error("{0} is no address of an issuer")]
    Address(String),
    /// The audit cannot be written.
    #[error("the audit cannot be written")]
    Audit(#[source] std::io::Error),
}

/// Lets callers in, or not.
pub struct Access {
    keyring: Option<Arc<Keyring>>,
    issuers: Vec<Issuer>,
    checked: Cache<[u8; 32], Remembered>,
    audit: Option<Audit>,
    audit_required: bool,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Issuer {
    settings: Arc<IssuerSettings>,
    keys: Keys,
    /// Places of its own: tokens that name one issuer must not keep those of another waiting.
    waiting: Semaphore,
}

#[derive(Clone)]
struct Remembered {
    principal: Arc<Principal>,
    /// Until when the token is good, in seconds of the epoch.
    until: f64,
    since: Instant,
}

/// What became of a caller's wish to be let in.
pub enum Authentication {
    /// It is decided.
    Done(Result<Arc<Principal>, Denied>),
    /// The issuer has to be asked first; see [`Access::ask`].
    Ask(Question),
}

/// A token of which the key is not known.
pub struct Question {
    token: String,
    issuer: usize,
}

impl Access {
    /// Starts access control; `None` where nothing is configured.
    pub fn start(settings: &Settings, runtime: &Handle) -> Result<Option<Arc<Self>>, AccessError> {
        Self::sharing(settings, Shared::default(), runtime)
    }

    /// The same, with what is in the store; keys are read by [`Access::load`], and followed within a second.
    pub fn sharing(
        settings: &Settings,
        shared: Shared,
        runtime: &Handle,
    ) -> Result<Option<Arc<Self>>, AccessError> {
        let network = |settings: &IssuerSettings| -> Result<Box<dyn Read>, AccessError> {
            let base = match &settings.jwks_uri {
                Some(uri) => uri.clone(),
                None => Url::parse(&settings.issuer)
                    .map_err(|_| AccessError::Address(settings.issuer.clone()))?,
            };
            let network = Network::new(settings, &base).map_err(|error| AccessError::Issuer {
                issuer: settings.issuer.clone(),
                error,
            })?;
            Ok(Box::new(network))
        };
        Self::start_over(settings, shared, runtime, network)
    }

    /// Reads the keys that are in the store. Where it is away, unknown keys are told so until it is back.
    pub async fn load(&self) {
        if let Some(keyring) = &self.keyring {
            keyring.load().await;
        }
    }

    fn start_over(
        settings: &Settings,
        shared: Shared,
        runtime: &Handle,
        mut network: impl FnMut(&IssuerSettings) -> Result<Box<dyn Read>, AccessError>,
    ) -> Result<Option<Arc<Self>>, AccessError> {
        if !settings.is_guarded() && settings.audit.is_none() {
            return Ok(None);
        }
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let vault = shared.keys.filter(|_| settings.keys_in_store);
        let keyring = match (&settings.keys_file, vault) {
            (_, Some(vault)) => Some(Arc::new(Keyring::shared(vault))),
            (_, None) if settings.keys_in_store => return Err(AccessError::NoStore),
            (Some(path), None) => Some(Arc::new(Keyring::open(path.clone())?)),
            (None, None) => None,
        };
        let mut readers = Vec::new();
        let mut issuers = Vec::new();
        for settings in &settings.issuers {
            let settings = Arc::new(settings.clone());
            let (reader, keys) = Reader::new(Arc::clone(&settings), network(&settings)?);
            readers.push(reader);
            issuers.push(Issuer {
                settings,
                keys,
                waiting: Semaphore::new(WAITING),
            });
        }
        let audit =
            (settings.audit.as_ref()).map(|destination| Audit::start(destination, shared.audit));
        let audit = audit.transpose().map_err(AccessError::Audit)?;
        for reader in readers {
            tasks.spawn_on(reader.run(stop.clone()), runtime);
        }
        if let Some(keyring) = &keyring {
            let usable = keyring.usable(Timestamp::now());
            if settings.keys_in_store {
                tracing::info!("keys are in the store");
            } else {
                tracing::info!(keys.usable = usable, "keys file read");
            }
            if usable == 0 && issuers.is_empty() && !settings.keys_in_store {
                tracing::warn!("no key opens anything: make one with `clustergate keys new`");
            }
            tasks.spawn_on(Arc::clone(keyring).keep(stop.clone()), runtime);
        }
        tasks.close();
        Ok(Some(Arc::new(Self {
            keyring,
            issuers,
            checked: Cache::new(REMEMBERED),
            audit,
            audit_required: settings.audit_required,
            tasks,
            stop,
        })))
    }

    /// Whether callers have to show who they are.
    pub fn is_guarded(&self) -> bool {
        self.keyring.is_some() || !self.issuers.is_empty()
    }

    /// Where it is recorded who did what.
    pub fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// Whether what the audit must be told of has to wait until it can be written again.
    pub fn lacks_audit(&self) -> bool {
        self.audit_required && self.audit.as_ref().is_some_and(Audit::is_failing)
    }

    /// How often the keys file had changed and could not be used; `None` without one.
    pub fn refused_keys_files(&self) -> Option<u64> {
        self.keyring.as_ref().map(|keyring| keyring.refusals())
    }

    /// Keys of the store that cannot be read and open nothing; `None` where keys are not in the store.
    pub fn unreadable_keys(&self) -> Option<u64> {
        self.keyring.as_ref()?.unreadable()
    }

    /// Says who a caller is, unless its issuer has to be asked first.
    pub fn authenticate(&self, headers: &HeaderMap, now: Timestamp) -> Authentication {
        if !self.is_guarded() {
            return Authentication::Done(Ok(Principal::open()));
        }
        let shown = match bearer(headers) {
            Ok(shown) => shown,
            Err(denied) => return Authentication::Done(Err(denied)),
        };
        if shown.starts_with(PREFIX) {
            let told = match &self.keyring {
                Some(keyring) => keyring.tell(shown, now),
                None => Err(Denied::invalid("keys are not taken here")),
            };
            return Authentication::Done(told);
        }
        let hash = *blake3::hash(shown.as_bytes()).as_bytes();
        if let Some(known) = self.checked.get(&hash)
            && known.since.elapsed() < MEMORY
            && known.until > seconds(now)
        {
            return Authentication::Done(Ok(known.principal));
        }
        self.tell(shown, hash, now, true)
    }

    /// Asks the issuer, and says who the caller is.
    pub async fn ask(&self, question: Question, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let Question { token, issuer } = question;
        let asked = &self.issuers[issuer];
        let Ok(_place) = asked.waiting.try_acquire() else {
            return Err(Denied::unavailable("too many wait for the issuer"));
        };
        asked.keys.clone().ask().await;
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        match self.tell(&token, hash, now, false) {
            Authentication::Done(told) => told,
            Authentication::Ask(_) => Err(Denied::unavailable("the issuer was asked already")),
        }
    }

    /// Tells a token by the keys at hand.
    fn tell(&self, text: &str, hash: [u8; 32], now: Timestamp, may_ask: bool) -> Authentication {
        let token = match Token::read(text) {
            Ok(token) => token,
            Err(denied) => return Authentication::Done(Err(denied)),
        };
        // Each issuer has its own keys: a name of a key means nothing outside of them.
        let found = (self.issuers.iter()).position(|issuer| issuer.settings.issuer == token.issuer);
        let Some(at) = found else {
            return Authentication::Done(Err(Denied::invalid("unknown issuer")));
        };
        let Issuer { settings, keys, .. } = &self.issuers[at];
        if !settings.algorithms.contains(&token.algorithm) {
            let denied = Denied::invalid("token is signed in a way that is not taken");
            return Authentication::Done(Err(denied));
        }
        let set = keys.known().keys();
        let fitting = set
            .as_ref()
            .map(|set| set.fitting(token.key_id.as_deref(), token.algorithm))
            .unwrap_or_default();
        if fitting.is_empty() {
            // A token without a key's name would not be told by more keys either, once there are some.
            let may_help = token.key_id.is_some() || set.is_none();
            if may_ask && may_help && keys.may_ask() {
                return Authentication::Ask(Question {
                    token: text.to_owned(),
                    issuer: at,
                });
            }
            return Authentication::Done(Err(if set.is_none() {
                Denied::unavailable("the issuer's keys cannot be read")
            } else {
                Denied::invalid("unknown key of the issuer")
            }));
        }
        let told = token.check(&fitting, settings, now).and_then(|checked| {
            let principal = settings.principal(&checked.claims)?;
            let remembered = Remembered {
                principal: Arc::clone(&principal),
                until: checked.until,
                since: Instant::now(),
            };
            self.checked.insert(hash, remembered);
            Ok(principal)
        });
        Authentication::Done(told)
    }

    /// Writes down what is to be, and waits for it at most so long.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!("when keys were used was not written down in time");
        }
        if let Some(audit) = &self.audit {
            audit.close(grace).await;
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The text behind `Bearer`; exactly one.
fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(Denied::missing("nothing shown"));
    };
    if values.next().is_some() {
        return Err(Denied::invalid("Authorization given more than once"));
    }
    let value = value
        .to_str()
        .map_err(|_| Denied::invalid("Authorization is no text"))?;
    let (scheme, shown) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::missing("another scheme than Bearer"));
    }
    let shown = shown.trim();
    if shown.is_empty() {
        return Err(Denied::missing("nothing behind Bearer"));
    }
    Ok(shown)
}

#[cfg(test)]
mod tests;
