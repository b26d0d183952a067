//! JFrog Runtime's shapes, in its own words. Only what is declared here can get through to `raw`.

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::Loose;

/// The body of the list request. The vendor's own example sends `limit` as a text and names the key `last_key`; its table
/// says what stands here.
#[derive(Debug, Serialize)]
pub(super) struct ListRequest<'a> {
    pub(super) limit: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_key: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct List<'a> {
    #[serde(borrow)]
    pub(super) clusters: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) pagination: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) total_count: Loose<i128>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pagination {
    pub(super) next_key: Loose<Key>,
    /// Where a draft of the documentation has it.
    pub(super) total_count: Loose<i128>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Detail<'a> {
    #[serde(borrow)]
    pub(super) cluster: &'a RawValue,
}

/// The id alone, for a row of which nothing else can be read.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    #[serde(default)]
    pub(super) id: Loose<Key>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Cluster {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<Key>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provider: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) regions: Loose<Vec<Loose<String>>>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) controller_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) controller_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) controller_last_updated: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) monitored_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) nodes_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) running_nodes_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) failed_nodes_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) failed_to_install_nodes_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) disabled_nodes_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) nodes: Loose<Vec<Loose<Node>>>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Node {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<Key>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) hostname: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) architecture: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) internal_dns: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) internal_ip: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) region: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) monitored_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) sensor_installed: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) sensor_last_updated: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) sensor_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
}

/// An id or a page key: a whole number at one tenant and a text at another. Opaque, and kept as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Number(String),
    Text(String),
}

impl Key {
    /// The key as text, which is how it goes into paths and requests.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Number(text) | Self::Text(text) => text,
        }
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        match self {
            Self::Number(text) | Self::Text(text) => text,
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self::Number(text.to_owned()));
        }
        serde_json::from_str(text)
            .map(Self::Text)
            .map_err(|_| D::Error::custom("neither a whole number nor a text"))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(digits) => RawValue::from_string(digits.clone())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}
