//! The `[store]` table: where the inventory is kept, and for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Table;

use super::env::Strings;
use super::raw::Section;
use super::resolve::read;
use super::source::{Context, unset};
use super::{Mistake, Mistakes};
use crate::store::{Address, Settings, Sharing};

const HOUR: Duration = Duration::from_hours(1);
const LEAST_BYTES: u64 = 16 << 20;
const MOST_BYTES: u64 = 1 << 50;
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
    let written = section
        .text("data_dir")
        .map(|folder| context.folder.join(folder));
    let address = address(&mut section, context, enabled);
    let is_wrong = section.mistakes() > had;
    let keep_changes = section.duration("keep_changes", HOUR..=MOST);
    let keep_attempts = section.duration("keep_attempts", HOUR..=MOST);
    let keep_hours = section.duration("keep_hours", 24 * HOUR..=MOST);
    let keep_audit = section.duration("keep_audit", HOUR..=MOST);
    let keep_operations = section.duration("keep_operations", HOUR..=MOST);
    let most_changes = section.count("max_changes", 1_000..=1_000_000_000);
    let most_bytes = section.size("max_size", LEAST_BYTES..=MOST_BYTES);
    let shared = section.flag("shared");
    let lease = section.duration("lease", Duration::from_secs(2)..=Duration::from_mins(5));
    let folder = written.or_else(|| data_dir(context.strings));
    // Who says nothing of a store and has no folder for data does without.
    if is_asked_for && enabled && !is_wrong && address.is_none() && folder.is_none() {
        section.reject(
            "data_dir",
            "is not set, and there is no folder for data: set it or CLUSTERGATE_DATA_DIR, or write enabled = false to keep nothing",
        );
    }
    let is_server = matches!(address, Some(Address::Server(_)));
    if shared == Some(true) && !is_server && enabled && !is_wrong {
        section.reject("shared", "only a PostgreSQL database can be shared");
    }
    if lease.is_some() && enabled && !is_wrong && !(is_server && shared.unwrap_or(true)) {
        section.reject("lease", "is of a PostgreSQL database that is shared");
    }
    section.finish();
    if !enabled {
        return None;
    }
    let defaults = Settings::at(address.or_else(|| Some(Address::within(&folder?)))?);
    let shared = defaults.shared.filter(|_| shared.unwrap_or(true));
    Some(Settings {
        shared: shared.map(|shared| Sharing {
            lease: lease.unwrap_or(shared.lease),
        }),
        keep_changes: keep_changes.unwrap_or(defaults.keep_changes),
        keep_attempts: keep_attempts.unwrap_or(defaults.keep_attempts),
        keep_hours: keep_hours.unwrap_or(defaults.keep_hours),
        keep_audit: keep_audit.unwrap_or(defaults.keep_audit),
        keep_operations: keep_operations.unwrap_or(defaults.keep_operations),
        most_changes: most_changes.unwrap_or(defaults.most_changes),
        most_bytes: most_bytes.unwrap_or(defaults.most_bytes),
        ..defaults
    })
}

/// Where the store of a configuration is; whatever else is wrong with the configuration is left alone.
pub fn store_address(config: Option<&Path>, strings: &dyn Strings) -> Result<Address, Mistakes> {
    let one = |key: &str, reason: &str| Mistakes(vec![Mistake::new(key, reason)]);
    let mut table = Table::new();
    let mut folder = Path::new("");
    if let Some(path) = config {
        let shown = path.display().to_string();
        let text = super::resolve::read(path)
            .map_err(|error| one(&shown, &format!("cannot be read: {error}")))?;
        let whole: Table = text
            .parse()
            .map_err(|_| Mistakes(super::resolve::syntax(&text)))?;
        if let Some(found) = whole.get("store").and_then(toml::Value::as_table) {
            table = found.clone();
        }
        folder = path.parent().unwrap_or(folder);
    }
    let context = Context {
        strings,
        catalog: &[],
        folder,
    };
    let mut mistakes = Vec::new();
    let settings = resolve(table, context, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    let settings = settings.ok_or_else(|| {
        one(
            "store",
            "is switched off, or there is no folder for data: name the store with --store",
        )
    })?;
    Ok(settings.address)
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
        (None, Some(_), None) | (None, None, Some(_)) if !enabled => return None,
        (None, Some(variable), None) => match context.strings.get(&variable) {
            Some(value) if !value.trim().is_empty() => ("url_env", value.trim().to_owned()),
            value => {
                section.reject("url_env", unset(&variable, value.is_some(), "address"));
                return None;
            }
        },
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What these lines of `[store]` mean with these variables, and what is wrong with them.
    fn read(lines: &str, variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
        let strings: BTreeMap<String, String> = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let context = Context {
            strings: &strings,
            catalog: &[],
            folder: Path::new("/etc/clustergate"),
        };
        let mut mistakes = Vec::new();
        let settings = resolve(lines.parse().unwrap(), context, &mut mistakes);
        let mistakes = mistakes.iter();
        (
            settings,
            mistakes
                .map(|mistake| format!("{}: {}", mistake.key, mistake.reason))
                .collect(),
        )
    }

    fn file(lines: &str, variables: &[(&str, &str)]) -> PathBuf {
        match read(lines, variables) {
            (Some(settings), mistakes) if mistakes.is_empty() => match settings.address {
                Address::File(file) => file,
                Address::Server(_) => panic!("{lines} is a server"),
            },
            (_, mistakes) => panic!("{lines}: {mistakes:?}"),
        }
    }

    #[test]
    fn the_file_is_in_the_folder_of_data_unless_told_otherwise() {
        let home = ("HOME", "/home/me");
        let state = ("XDG_STATE_HOME", "/state");
        let data = ("CLUSTERGATE_DATA_DIR", "/data");
        for (lines, variables, expected) in [
            (
                "",
                &[home][..],
                "/home/me/.local/state/clustergate/clustergate.db",
            ),
            ("", &[home, state], "/state/clustergate/clustergate.db"),
            ("", &[home, state, data], "/data/clustergate.db"),
            (
                "",
                &[home, ("CLUSTERGATE_DATA_DIR", "")],
                "/home/me/.local/state/clustergate/clustergate.db",
            ),
            (
                "data_dir = 'here'",
                &[data],
                "/etc/clustergate/here/clustergate.db",
            ),
            ("url = 'sqlite:/x/y.db'", &[data], "/x/y.db"),
            (
                "url_env = 'STORE_URL'",
                &[("STORE_URL", "sqlite:z.db")],
                "/etc/clustergate/z.db",
            ),
        ] {
            assert_eq!(file(lines, variables), Path::new(expected), "{lines}");
        }
        assert!(
            read("", &[]).0.is_none(),
            "nothing is asked for and there is no place"
        );
        assert!(read("enabled = false", &[home]).0.is_none());
        let (off, mistakes) = read("enabled = false\nurl_env = 'NOT_YET'", &[]);
        assert!(off.is_none() && mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn every_mistake_is_told_at_once_and_no_address_is_shown() {
        let (_, mistakes) = read(
            "url = 'mysql://user:hunter2@db/x'\nkeep_changes = '1s'\nkeep_attempts = 3\nkeep_hours = '1h'\nmax_changes = 1\nmax_size = '1KiB'\nurI = 'x'",
            &[],
        );
        let keys: Vec<&str> = mistakes
            .iter()
            .map(|text| text.split(": ").next().unwrap())
            .collect();
        let expected = [
            "url",
            "keep_changes",
            "keep_attempts",
            "keep_hours",
            "max_changes",
            "max_size",
            "urI",
        ];
        assert_eq!(keys, expected.map(|key| format!("store.{key}")));
        assert!(!mistakes.join("\n").contains("hunter2"), "{mistakes:?}");
        for (lines, key) in [
            ("enabled = true", "store.data_dir"),
            ("url = 'sqlite:x'\nurl_env = 'A_B'", "store.url"),
            ("url_env = 'NOT_SET'", "store.url_env"),
            ("url_file = '/there/is/none'", "store.url_file"),
        ] {
            let (_, mistakes) = read(lines, &[]);
            assert!(
                mistakes.len() == 1 && mistakes[0].starts_with(key),
                "{lines}: {mistakes:?}"
            );
        }
    }

    #[test]
    fn what_is_kept_and_for_how_long_can_be_chosen() {
        let (settings, mistakes) = read(
            "url = 'postgres://u:hunter2@h/d'\nkeep_changes = '7d'\nkeep_attempts = '24h'\nkeep_hours = '800d'\nmax_changes = 5000\nmax_size = '64MiB'\nkeep_operations = '48h'\nkeep_audit = '30d'",
            &[],
        );
        let settings = settings.unwrap();
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(settings.keep_changes, 7 * 24 * HOUR);
        assert_eq!(settings.keep_attempts, 24 * HOUR);
        assert_eq!(settings.keep_hours, 800 * 24 * HOUR);
        assert_eq!(settings.most_changes, 5_000);
        assert_eq!(settings.most_bytes, 64 << 20);
        assert_eq!(settings.keep_operations, 48 * HOUR);
        assert_eq!(settings.keep_audit, 30 * 24 * HOUR);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
