//! How to reach one cluster, and as whom.

use std::fmt;

use secrecy::SecretString;
use url::Url;

/// How to reach one cluster, and as whom: all that is taken from a vendor's kubeconfig.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where the cluster's API is.
    pub server: Server,
    /// What the vendor gives to get in with.
    pub user: User,
    /// The namespace that commands use unless they name one.
    pub namespace: Option<String>,
}

/// Where a cluster's API is, and how it proves who it is.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address: https, with a host, without user, query and fragment.
    pub url: Url,
    /// Certificate authorities, as PEM; `None` leaves it to the user's system.
    pub authorities: Option<String>,
    /// The name that its certificate has, where that is not the address's host.
    pub tls_name: Option<String>,
    /// Whether the vendor says not to check its certificate. Never together with authorities.
    pub is_insecure: bool,
    /// A proxy on the way.
    pub proxy: Option<Url>,
}

/// What a vendor gives to get in with.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// A certificate for the connection.
    pub certificate: Option<ClientCertificate>,
    /// What is sent with each request.
    pub authorization: Authorization,
}

/// A client certificate and its key, both PEM. Its `Debug` shows neither.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, with its intermediates.
    pub chain: String,
    /// The key.
    pub key: SecretString,
}

/// What is sent with each request.
#[derive(Debug, Clone, Default)]
pub enum Authorization {
    /// Nothing.
    #[default]
    None,
    /// A bearer token.
    Token(SecretString),
    /// A user's name and password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// What a command of the vendor's prints.
    Command(Command),
}

/// A command that a vendor wants run on the user's machine.
#[derive(Clone)]
pub struct Command {
    /// The protocol, as `kubectl` names it.
    pub api_version: &'static str,
    /// The program.
    pub program: String,
    /// Its arguments; they may hold secrets.
    pub arguments: Vec<SecretString>,
    /// Variables that it gets besides the user's own; their values may be secret.
    pub variables: Vec<(String, SecretString)>,
    /// Whether it may ask the user: one of the protocol's words.
    pub interactive: &'static str,
    /// Whether it is told which cluster it is for.
    pub wants_cluster: bool,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// Why a vendor's kubeconfig is not used. The texts are ours and say nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than [`MAX_BYTES`](super::MAX_BYTES), or with more entries than any cluster needs.
    #[error("it is larger than any kubeconfig of one cluster")]
    TooLarge,
    /// Not YAML, or not of a kubeconfig's shape.
    #[error("it is no kubeconfig")]
    Malformed,
    /// No context is current, and there are none or several.
    #[error("it does not say which of its contexts is meant")]
    NoContext,
    /// The context names a cluster or user that is not there.
    #[error("its context names a cluster or a user that it does not have")]
    Dangling,
    /// The server's address is not https, or has parts that an address of a server does not have.
    #[error("its server is no plain https address")]
    Server,
    /// It names a file, which would be one of the user's machine.
    #[error("its {0} names a file, which would be one of the machine that uses it")]
    File(&'static str),
    /// A certificate or key that is no PEM, or one without the other.
    #[error("its {0} cannot be used")]
    Certificate(&'static str),
    /// A proxy that is not http or https, or one that needs a password.
    #[error("its proxy is no plain http or https address")]
    Proxy,
    /// Ways to get in that exclude each other.
    #[error("its user has several ways to get in that exclude each other")]
    Ambiguous,
    /// A user that acts as another, or a mechanism that `kubectl` no longer has.
    #[error("its user has {0}, which is not supported")]
    Unsupported(&'static str),
    /// A text that is too long or has control characters.
    #[error("its {0} has characters or a length that it cannot have")]
    Text(&'static str),
}

impl Refused {
    /// The code that stands for any of them where one code must do.
    pub const CODE: &'static str = "KUBECONFIG_UNUSABLE";
}
