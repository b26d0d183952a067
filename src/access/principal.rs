//! Who asks, and why somebody may not.

use std::sync::{Arc, LazyLock};

use serde::Serialize;

use super::scope::{Scope, Scopes};
use crate::domain::Reach;

/// How a caller showed who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// By a key of the keys file.
    Key,
    /// By a token of a configured issuer.
    Token,
    /// Not at all: nothing controls access.
    Open,
}

/// Who asks, what it may do and how far it sees. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// How it showed who it is.
    pub kind: PrincipalKind,
    /// The key's id, or the token's subject.
    pub id: String,
    /// The key's name, or the token's issuer.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// How far it sees.
    pub reach: Arc<Reach>,
}

static OPEN: LazyLock<Arc<Principal>> = LazyLock::new(|| {
    Arc::new(Principal {
        kind: PrincipalKind::Open,
        id: "open".to_owned(),
        name: "no access control".to_owned(),
        scopes: Scopes::ADMIN,
        reach: Arc::new(Reach::ALL),
    })
});

impl Principal {
    /// Whoever asks where nothing controls access.
    pub fn open() -> Arc<Self> {
        Arc::clone(&OPEN)
    }

    /// What tells it from every other. Two issuers may give different people one subject, and a subject may be the id of a key; a
    /// key keeps its id whatever it is called. Empty where nothing controls access.
    pub fn identity(&self) -> String {
        let Self { kind, id, name, .. } = self;
        match kind {
            PrincipalKind::Token => format!("token {}:{name} {id}", name.len()),
            PrincipalKind::Key => format!("key {id}"),
            PrincipalKind::Open => String::new(),
        }
    }

    /// Whether it may do something.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }
}

/// Whether a sign of a name could make what is around it read as something else: controls, ends of lines, changes of direction.
pub fn is_misleading(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Why a caller was not let in. The reason is for the operator; the caller learns the kind alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// What the caller may know.
    pub kind: DeniedKind,
    /// What the operator may know.
    pub reason: &'static str,
}

/// What a caller may know of why it was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeniedKind {
    /// It showed nothing.
    Missing,
    /// What it showed opens nothing here.
    Invalid,
    /// What it showed was good once.
    Expired,
    /// It cannot be told: the issuer's keys are not at hand.
    Unavailable,
}

impl DeniedKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::Missing,
        Self::Invalid,
        Self::Expired,
        Self::Unavailable,
    ];

    /// Its name in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Denied {
    pub(super) const fn missing(reason: &'static str) -> Self {
        Self {
            kind: DeniedKind::Missing,
            reason,
        }
    }

    pub(super) const fn invalid(reason: &'static str) -> Self {
        Self {
            kind: DeniedKind::Invalid,
            reason,
        }
    }

    pub(super) const fn expired(reason: &'static str) -> Self {
        Self {
            kind: DeniedKind::Expired,
            reason,
        }
    }

    pub(super) const fn unavailable(reason: &'static str) -> Self {
        Self {
            kind: DeniedKind::Unavailable,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_name_is_not_one_caller() {
        let of = |kind, name: &str, id: &str| {
            Principal {
                kind,
                id: id.to_owned(),
                name: name.to_owned(),
                scopes: Scopes::NONE,
                reach: Arc::new(Reach::ALL),
            }
            .identity()
        };
        let callers = [
            of(PrincipalKind::Token, "https://a.example", "ada"),
            of(PrincipalKind::Token, "https://b.example", "ada"),
            of(PrincipalKind::Token, "https://a.example", "bob"),
            of(PrincipalKind::Token, "https://a.example ada", "x"),
            of(PrincipalKind::Token, "https://a.example", "ada x"),
            of(PrincipalKind::Key, "ci", "ada"),
            of(PrincipalKind::Key, "ci", "bob"),
            Principal::open().identity(),
        ];
        assert_eq!(BTreeSet::from(callers.clone()).len(), callers.len());
        assert_eq!(
            of(PrincipalKind::Key, "renamed", "ada"),
            of(PrincipalKind::Key, "ci", "ada")
        );
    }
}
