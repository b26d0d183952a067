//! From a source's configuration to its provider. Nothing here opens a connection.

use std::sync::Arc;

use toml::Table;

use super::mistake::nearest;
use super::raw::printable;
use super::{Mistake, SourceConfig};
use crate::domain::SourceName;
use crate::provider::{ConfigError, Entry, Provider};
use crate::upstream::{Stack, StackError};

/// A source that is ready to be read.
pub struct Connected {
    /// Reads clusters.
    pub provider: Arc<dyn Provider>,
    /// The way to the vendor, for its vitals; the provider holds a clone of it.
    pub stack: Stack,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected")
            .field("provider", &self.provider.kind())
            .finish_non_exhaustive()
    }
}

/// Makes a source's stack and provider; says everything that is wrong with its settings otherwise.
pub fn connect(source: &SourceConfig) -> Result<Connected, Vec<Mistake>> {
    let path = format!("sources[{}]", source.name);
    let stack = Stack::connect(
        source.stack.clone(),
        source.credential.clone(),
        source.entry.dialect,
    )
    .map_err(|error| vec![stack_mistake(&path, &error)])?;
    match (source.entry.connect)(source.name.clone(), source.settings.clone(), stack.clone()) {
        Ok(provider) => Ok(Connected { provider, stack }),
        Err(_) => Err(settings_mistakes(
            &path,
            source.entry,
            &source.name,
            &source.settings,
            &stack,
            &[],
        )),
    }
}

/// What is wrong with a stack's settings, at the key that an operator can change.
pub(super) fn stack_mistake(path: &str, error: &StackError) -> Mistake {
    let (key, reason) = match error {
        StackError::PlainHttp => (
            "base_url",
            "must begin with https:// (plain http is allowed to this machine only, since it would send the token in clear)"
                .to_owned(),
        ),
        StackError::BaseUrl => (
            "base_url",
            "must be an absolute URL with a host and without user, query or fragment".to_owned(),
        ),
        // An I/O error names its cause and not the file's content.
        StackError::CaFile(cause) => ("ca_file", format!("cannot be used: {cause}")),
        StackError::Client(_) => ("base_url", error.to_string()),
    };
    Mistake::new(format!("{path}.{key}"), reason)
}

/// Everything that is wrong with a provider's own settings.
///
/// A provider names one mistake at a time. The key it names is taken out and it is asked again, at most once for each
/// key. `common` are the keys that every source knows, for the suggestion of what a misspelt one was meant to be.
pub(super) fn settings_mistakes(
    path: &str,
    entry: &Entry,
    name: &SourceName,
    settings: &Table,
    stack: &Stack,
    common: &[&'static str],
) -> Vec<Mistake> {
    let attempt =
        |settings: &Table| (entry.connect)(name.clone(), settings.clone(), stack.clone()).err();
    let mut settings = settings.clone();
    let mut mistakes = Vec::new();
    while let Some(error) = attempt(&settings) {
        let named = settings.contains_key(&error.key).then(|| error.key.clone());
        // Types and values are told without their key: it is the one that alone gives the same complaint.
        let key = named.or_else(|| {
            settings.iter().find_map(|(key, value)| {
                let alone = Table::from_iter([(key.clone(), value.clone())]);
                let same = attempt(&alone).is_some_and(|other| other.reason == error.reason);
                same.then(|| key.clone())
            })
        });
        let shown = printable(key.as_deref().unwrap_or_else(|| absent_key(&error)));
        let reason = reason(&error, &shown, common);
        mistakes.push(Mistake::new(format!("{path}.{shown}"), reason));
        if key.and_then(|key| settings.remove(&key)).is_none() {
            break;
        }
    }
    mistakes
}

/// The key of an error about something that is not there. What may have been cut out of a value is not shown.
fn absent_key(error: &ConfigError) -> &str {
    if error.reason.starts_with("missing field") || !error.reason.contains('`') {
        &error.key
    } else {
        "settings"
    }
}

fn reason(error: &ConfigError, key: &str, common: &[&'static str]) -> String {
    let unknown = error.reason.strip_prefix("unknown field `");
    let Some((_, expected)) = unknown.map(|rest| rest.split_once("expected ").unwrap_or_default())
    else {
        // A provider's own words are constants; serde's may repeat a value.
        let own_words = error.key == key && !is_of_serde(&error.reason);
        return if own_words {
            error.reason.clone()
        } else {
            conceal(&error.reason)
        };
    };
    let own: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let known = common.iter().copied().chain(own.iter().copied());
    match nearest(key, known) {
        Some(meant) => format!("unknown key; did you mean {meant}?"),
        None if own.is_empty() => "unknown key; this provider has none of its own".to_owned(),
        None => format!("unknown key; this provider's own are {}", own.join(", ")),
    }
}

fn is_of_serde(reason: &str) -> bool {
    ["invalid ", "unknown ", "missing ", "duplicate "]
        .iter()
        .any(|start| reason.starts_with(start))
}

/// Takes the values out of serde's messages, such as `invalid type: string "…", expected u32`.
fn conceal(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let expected = rest
            .rsplit_once("`, expected ")
            .map_or("another word", |(_, rest)| rest);
        return format!("must be {}", expected.replace('`', "\""));
    }
    let Some(start) = message.find('"') else {
        return message.to_owned();
    };
    // The value may hold quotes itself, so everything up to the last one goes.
    let end = message.rfind('"').map_or(message.len(), |end| end + 1);
    format!("{}{}", message[..start].trim_end(), &message[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_message_is_concealed() {
        assert_eq!(
            conceal(r#"invalid type: string "s3cr\"et", expected u32"#),
            "invalid type: string, expected u32"
        );
        assert_eq!(
            conceal("unknown variant `s3cret`, expected one of `a`, `b`"),
            r#"must be one of "a", "b""#
        );
        assert_eq!(conceal("missing field `a`"), "missing field `a`");
        assert_eq!(conceal("odd \" quote"), "odd quote");
    }
}
