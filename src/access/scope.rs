//! What a caller may do.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Read clusters, sources, providers and what is counted of them.
    ClustersRead,
    /// Create, change and delete clusters.
    ClustersWrite,
    /// Read kubeconfigs that hold no credential of their own.
    KubeconfigRead,
    /// Read kubeconfigs with the credential in them.
    KubeconfigEmbed,
    /// Ask for a refresh of a source.
    SourcesRefresh,
    /// Read the metrics.
    MetricsRead,
    /// Read webhooks and their deliveries.
    WebhooksRead,
    /// Have webhooks tried and events delivered once more.
    WebhooksWrite,
    /// Read who did what, where that is kept in the store.
    AuditRead,
    /// Everything, also what is added later.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 10] = [
        Self::ClustersRead,
        Self::ClustersWrite,
        Self::KubeconfigRead,
        Self::KubeconfigEmbed,
        Self::SourcesRefresh,
        Self::MetricsRead,
        Self::WebhooksRead,
        Self::WebhooksWrite,
        Self::AuditRead,
        Self::Admin,
    ];

    /// Its name in key files, tokens and configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClustersRead => "clusters:read",
            Self::ClustersWrite => "clusters:write",
            Self::KubeconfigRead => "kubeconfig:read",
            Self::KubeconfigEmbed => "kubeconfig:embed",
            Self::SourcesRefresh => "sources:refresh",
            Self::MetricsRead => "metrics:read",
            Self::WebhooksRead => "webhooks:read",
            Self::WebhooksWrite => "webhooks:write",
            Self::AuditRead => "audit:read",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no scope. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one of clusters:read, clusters:write, kubeconfig:read, kubeconfig:embed, sources:refresh, metrics:read, webhooks:read, webhooks:write, audit:read, admin"
)]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(UnknownScope)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ADMIN: Self = Self(Scope::Admin.bit());

    /// Whether a scope is granted, by itself or by [`Scope::Admin`].
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether nothing is granted.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This and more.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The scopes as they were granted.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The names, with a comma between each two.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::as_str))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Scopes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of scopes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Scopes, A::Error> {
                let mut scopes = Scopes::NONE;
                while let Some(name) = names.next_element::<String>()? {
                    // A name that is not known is refused, not dropped: the file is of a newer program, or mistyped.
                    scopes = scopes.with(name.parse().map_err(A::Error::custom)?);
                }
                Ok(scopes)
            }
        }

        deserializer.deserialize_seq(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_is_one_bit_and_one_name() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            let only = Scopes::NONE.with(scope);
            let allowed = Scope::ALL.into_iter().filter(|other| only.allow(*other));
            let expected = if scope == Scope::Admin {
                Scope::ALL.len()
            } else {
                1
            };
            assert_eq!(allowed.count(), expected, "{scope}");
            assert!(UnknownScope.to_string().contains(scope.as_str()));
        }
        assert_eq!("clusters:*".parse::<Scope>(), Err(UnknownScope));
        assert!(Scope::ALL.iter().all(|scope| !Scopes::NONE.allow(*scope)));
    }

    #[test]
    fn scopes_are_written_and_read_as_names() {
        let scopes: Scopes = [Scope::MetricsRead, Scope::ClustersRead]
            .into_iter()
            .collect();
        let text = serde_json::to_string(&scopes).unwrap();
        assert_eq!(text, r#"["clusters:read","metrics:read"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(&text).unwrap(), scopes);
        assert_eq!(scopes.to_string(), "clusters:read,metrics:read");
        assert!(serde_json::from_str::<Scopes>(r#"["everything"]"#).is_err());
    }
}
