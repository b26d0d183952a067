//! The `[store]` table: where the inventory is kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use toml::Table;

use super::Mistake;
use super::env::Strings;
use super::raw::Section;
use super::resolve::read;
use super::source::{Context, unset};
use crate::store::{Address, Settings};

const HOUR: Duration = Duration::from_hours(1);
const MOST: Duration = Duration::from_hours(3650 * 24);

/// Reads the table; whatever is wrong with it goes to `mistakes`. `None` where nothing is to be kept.
pub(super) fn resolve(
    table: Table,
    context: Context<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Settings> {
    let is_asked_for = !table.is_empty();
    let mut section = Section::new("store", table, mistakes);
    let enabled = section.flag("enabled").unwrap_or(true);
    let had = section.mistakes();
    let written = section.text("data_dir").map(|folder| context.folder.join(folder));
    let address = address(&mut section, context, enabled);
    let is_wrong = section.mistakes() > had;
    let keep_changes = section.duration("keep_changes", HOUR..=MOST);
    let keep_attempts = section.duration("keep_attempts", HOUR..=MOST);
    let most_changes = section.count("max_changes", 1_000..=1_000_000_000);
    let folder = written.or_else(|| data_dir(context.strings));
    // Who says nothing of a store and has no folder for data does without.
    if is_asked_for && enabled && !is_wrong && address.is_none() && folder.is_none() {
        section.reject(
            "data_dir",
            "is not set, and there is no folder for data: set it or CLUSTERGATE_DATA_DIR, or write enabled = false to keep nothing",
        );
    }
    section.finish();
    if !enabled {
        return None;
    }
    let defaults = Settings::at(address.or_else(|| Some(Address::within(&folder?)))?);
    Some(Settings {
        keep_changes: keep_changes.unwrap_or(defaults.keep_changes),
        keep_attempts: keep_attempts.unwrap_or(defaults.keep_attempts),
        most_changes: most_changes.unwrap_or(defaults.most_changes),
        ..defaults
    })
}

/// The address, if one is given. No message shows it: it may hold a password.
fn address(section: &mut Section<'_>, context: Context<'_>, enabled: bool) -> Option<Address> {
    let had = section.mistakes();
    let (url, variable, file) = (
        section.text("url"),
        section.text("url_env"),
        section.text("url_file"),
    );
    if section.mistakes() > had {
        return None;
    }
    let (key, text) = match (url, variable, file) {
        (None, None, None) => return None,
        (Some(url), None, None) => ("url", url),
        // A store that is switched off may wait for its address.
        (None, Some(_), None) if !enabled => return None,
        (None, Some(variable), None) => match context.strings.get(&variable) {
            Some(value) if !value.trim().is_empty() => ("url_env", value.trim().to_owned()),
            value => {
                section.reject("url_env", unset(&variable, value.is_some(), "address"));
                return None;
            }
        },
        (None, None, Some(_)) if !enabled => return None,
        (None, None, Some(file)) => match read(&context.folder.join(file)) {
            Ok(text) => ("url_file", text.trim().to_owned()),
            Err(error) => {
                section.reject("url_file", format!("cannot be read: {error}"));
                return None;
            }
        },
        _ => {
            section.reject("url", "give only one of url, url_env and url_file");
            return None;
        }
    };
    match Address::parse(&text, context.folder) {
        Ok(address) => Some(address),
        Err(error) => {
            section.reject(key, error.to_string());
            None
        }
    }
}

/// The folder of data, unless configured.
fn data_dir(strings: &dyn Strings) -> Option<PathBuf> {
    let folder = |key: &str| {
        let folder = PathBuf::from(strings.get(key)?);
        folder.is_absolute().then_some(folder)
    };
    folder("CLUSTERGATE_DATA_DIR")
        .or_else(|| folder("XDG_STATE_HOME").map(|state| state.join("clustergate")))
        .or_else(|| folder("HOME").map(|home| home.join(".local/state/clustergate")))
}
