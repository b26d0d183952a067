//! Fields that a vendor may leave out, send as null, or send in another type than documented.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::Warnings;

/// A field that never fails the item it belongs to.
///
/// Absent and null are both [`Loose::Absent`]; a value of another type is [`Loose::Wrong`], which mapping turns into a null
/// and a counted warning.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Loose<T> {
    /// Not sent, or null.
    #[default]
    Absent,
    /// Sent as documented.
    Known(T),
    /// Sent in another type, or out of the type's range.
    Wrong,
}

impl<T> Loose<T> {
    /// The value, counting a warning for `field` where it was of the wrong type.
    pub fn take(self, field: &'static str, warnings: &mut Warnings) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Known(value) => Some(value),
            Self::Wrong => {
                warnings.count(field);
                None
            }
        }
    }

    /// The value converted, counting a warning where it was of the wrong type or the conversion refuses it.
    pub fn and_then<U>(
        self,
        field: &'static str,
        warnings: &mut Warnings,
        convert: impl FnOnce(T) -> Option<U>,
    ) -> Option<U> {
        let value = convert(self.take(field, warnings)?);
        if value.is_none() {
            warnings.count(field);
        }
        value
    }

    /// The value, where there is one, without counting.
    pub const fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// The value, where there is one, given away without counting.
    pub fn into_known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// Whether the field was not sent, or null. Meant for `skip_serializing_if`.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A field that is lent is copied, so that readers take both.
impl<T: Clone> From<&Self> for Loose<T> {
    fn from(lent: &Self) -> Self {
        lent.clone()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(match serde_json::from_str::<Option<T>>(raw.get()) {
            Ok(Some(value)) => Self::Known(value),
            Ok(None) => Self::Absent,
            Err(_) => Self::Wrong,
        })
    }
}

impl<T: Serialize> Serialize for Loose<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Item {
        #[serde(default)]
        count: Loose<i128>,
        #[serde(default)]
        name: Loose<String>,
    }

    #[test]
    fn a_wrong_type_spoils_its_field_and_nothing_else() {
        let item: Item = serde_json::from_str(r#"{"count":"many","name":"a"}"#).unwrap();
        let mut warnings = Warnings::default();
        assert_eq!(item.count.take("count", &mut warnings), None);
        assert_eq!(item.name.take("name", &mut warnings).as_deref(), Some("a"));
        assert_eq!(warnings.iter().collect::<Vec<_>>(), [("count", 1)]);
    }

    #[test]
    fn null_and_absent_are_alike_and_no_warning() {
        let item: Item = serde_json::from_str(r#"{"count":null}"#).unwrap();
        let mut warnings = Warnings::default();
        assert_eq!(item.count.take("count", &mut warnings), None);
        assert_eq!(item.name.take("name", &mut warnings), None);
        assert_eq!(warnings.total(), 0);
    }
}
