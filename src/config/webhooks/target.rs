//! Where events of a webhook are sent, and what signs them. No message shows an address or a secret.

use super::super::raw::Section;
use super::super::source::{Context, unset};
use crate::hooks::{SecretSource, Target};

/// Secrets of one webhook, at most: two while they are changed.
const SECRETS: usize = 2;

const HOW: &str = "name the variable that holds it with secret_env, or the file with secret_file";

/// Where events are sent. No message shows it: there may be a secret in it.
pub(super) fn target(
    section: &mut Section<'_>,
    allow_private: bool,
    context: Context<'_>,
) -> Option<Target> {
    let had = section.mistakes();
    let (key, text) = match (section.text("url"), section.text("url_env")) {
        _ if section.mistakes() > had => return None,
        (Some(url), None) => ("url", url),
        (None, Some(variable)) => match context.strings.get(&variable) {
            Some(value) if !value.trim().is_empty() => ("url_env", value.trim().to_owned()),
            value => {
                section.reject("url_env", unset(&variable, value.is_some(), "URL"));
                return None;
            }
        },
        (Some(_), Some(_)) => {
            section.reject("url", "give either url or url_env, not both");
            return None;
        }
        (None, None) => {
            section.reject(
                "url",
                "is missing: where events are sent, such as https://hooks.example.com/clusters, or url_env where it holds a secret",
            );
            return None;
        }
    };
    let target = Target::new(&text, allow_private);
    target
        .map_err(|error| section.reject(key, error.to_string()))
        .ok()
}

/// What signs them; read once, so that what cannot be used is a mistake of the configuration.
pub(super) fn secrets(
    section: &mut Section<'_>,
    context: Context<'_>,
    enabled: bool,
) -> Vec<SecretSource> {
    for key in ["secret", "secrets", "token"] {
        // Not among the keys that are named as known ones.
        if section.has(key) && section.take(key).is_some() {
            section.reject(key, format!("a secret is never written in the file: {HOW}"));
        }
    }
    let had = section.mistakes();
    let variables = section.texts("secret_env").unwrap_or_default();
    let files = section.texts("secret_file").unwrap_or_default();
    let mut found = Vec::new();
    match variables.len() + files.len() {
        _ if section.mistakes() > had => {}
        0 => section.reject("secret_env", format!("is missing: {HOW}")),
        count if count > SECRETS => section.reject(
            "secret_env",
            "must be one secret, or two while they are changed",
        ),
        // A webhook that is switched off may wait for its secret.
        _ if !enabled => {}
        _ => {
            for variable in variables {
                match context.strings.get(&variable) {
                    Some(value) if !value.trim().is_empty() => {
                        let source = SecretSource::Value(value.trim().into());
                        found.extend(usable(section, "secret_env", source));
                    }
                    value => {
                        let reason = unset(&variable, value.is_some(), "secret");
                        section.reject("secret_env", reason);
                    }
                }
            }
            for file in files {
                let source = SecretSource::File(context.folder.join(file));
                found.extend(usable(section, "secret_file", source));
            }
        }
    }
    found
}

fn usable(section: &mut Section<'_>, key: &str, source: SecretSource) -> Option<SecretSource> {
    match source.key() {
        Ok(_) => Some(source),
        Err(reason) => {
            section.reject(key, reason);
            None
        }
    }
}
