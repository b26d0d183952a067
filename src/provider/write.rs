//! What writing to a vendor, and reading its secrets, gives.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

use super::page::Listed;
use crate::domain::Operation;

/// The access file of one cluster, as its vendor made it: a credential, never logged, stored or kept after the answer.
pub struct Kubeconfig(SecretString);

impl Kubeconfig {
    /// Takes the vendor's text.
    pub fn new(yaml: String) -> Self {
        Self(yaml.into())
    }

    /// The text, for the one who may have it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kubeconfig(..)")
    }
}

/// What a vendor answered to a write that it accepted.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The cluster as it is now, where the answer tells.
    pub cluster: Option<Listed>,
    /// The vendor's operation, where the work goes on and the vendor gives one.
    pub operation: Option<Operation>,
    /// Whether the work goes on after the answer.
    pub is_pending: bool,
}

/// Whether a cluster's infrastructure may exist, which forgetting its record would leave running and unwatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Infrastructure {
    /// There is none: never built, or destroyed.
    None,
    /// There is, or there may be.
    Possible,
}
