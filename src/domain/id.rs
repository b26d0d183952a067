//! Names of providers, sources and clusters.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// What stays as it is in the native half of a [`ClusterId`]; everything else is percent-encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'-');

/// A kind of upstream, such as `latitude`: open, so that the domain does not change when a provider is added.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// Names a provider at compile time.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name as it appears in configuration, identifiers and answers.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One configured account of a provider: lower-case letters, digits and hyphens, at most 63 of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(Arc<str>);

/// A source name that breaks the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a source name: use 1 to 63 lower-case letters, digits and inner hyphens")]
pub struct InvalidName(pub String);

impl SourceName {
    /// Checks and keeps a name.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        let shaped = (1..=63).contains(&name.len())
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if shaped {
            Ok(Self(name.into()))
        } else {
            Err(InvalidName(name))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SourceName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<source>:<native id>`: unique, stable and safe in a URL path without further encoding.
///
/// Whatever of the vendor's id is not `A-Z a-z 0-9 . _ ~ -` is percent-encoded once, inside the id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(Arc<str>);

impl ClusterId {
    /// Joins a source and the vendor's own id.
    pub fn new(source: &SourceName, native_id: &str) -> Self {
        Self(joined(source, native_id))
    }

    /// Reads an id back from text; `None` when no id can look like that.
    pub fn parse(text: &str) -> Option<Self> {
        is_joined(text).then(|| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `<source>:<native id>` of an operation, made as a [`ClusterId`] is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(Arc<str>);

impl OperationId {
    /// Joins a source and the vendor's own id.
    pub fn new(source: &SourceName, native_id: &str) -> Self {
        Self(joined(source, native_id))
    }

    /// Reads an id back from text; `None` when no id can look like that.
    pub fn parse(text: &str) -> Option<Self> {
        let id = is_joined(text).then(|| Self(text.into()))?;
        // In an address either is a step to somewhere else.
        let is_step = matches!(id.native().as_deref(), Some("." | ".."));
        (!is_step).then_some(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The source, as text.
    pub fn source(&self) -> &str {
        self.0.split_once(':').map_or("", |(source, _)| source)
    }

    /// The vendor's own id; `None` when its escapes are not of UTF-8, which no vendor's id becomes.
    pub fn native(&self) -> Option<String> {
        let (_, native) = self.0.split_once(':')?;
        let decoded = percent_decode_str(native).decode_utf8().ok()?;
        Some(decoded.into_owned())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn joined(source: &SourceName, native_id: &str) -> Arc<str> {
    format!("{source}:{}", utf8_percent_encode(native_id, UNRESERVED)).into()
}

fn is_joined(text: &str) -> bool {
    text.len() <= 1024
        && text.split_once(':').is_some_and(|(source, native)| {
            SourceName::new(source).is_ok()
                && !native.is_empty()
                && native
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b".%_~-".contains(&b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_encoded_once_and_parses_back() {
        let source = SourceName::new("jfrog-eu").unwrap();
        let id = ClusterId::new(&source, "a/b c%20@é");
        assert_eq!(id.as_str(), "jfrog-eu:a%2Fb%20c%2520%40%C3%A9");
        assert_eq!(ClusterId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn an_operation_is_taken_apart_again() {
        let source = SourceName::new("lakesail-eu").unwrap();
        let id = OperationId::new(&source, "op/1 %é");
        assert_eq!(OperationId::parse(id.as_str()), Some(id.clone()));
        assert_eq!(id.source(), "lakesail-eu");
        assert_eq!(id.native().as_deref(), Some("op/1 %é"));
        assert_eq!(OperationId::parse("lakesail-eu:a/b"), None);
        assert_eq!(OperationId::parse("a:%ff").unwrap().native(), None);
        for step in ["a:.", "a:..", "a:%2E", "a:.%2e"] {
            assert_eq!(OperationId::parse(step), None, "{step}");
        }
        assert!(OperationId::parse("a:...").is_some());
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        for text in [
            "",
            "x",
            "x:",
            "X:1",
            "x:a b",
            "x:a/b",
            "x:../../etc",
            "-x:1",
        ] {
            assert_eq!(ClusterId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_source_name_is_short_and_lower_case() {
        assert!(SourceName::new("latitude-main").is_ok());
        for name in ["", "Main", "a_b", "-a", "a-", &"a".repeat(64)] {
            assert!(SourceName::new(name).is_err(), "{name:?}");
        }
    }
}
