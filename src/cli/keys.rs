//! `clustergate keys`: the keys of a file or of the store, for those who may write it. Running gateways follow within two seconds.
//!
//! A key is printed once, alone on standard output, so that it can be piped to where it is kept.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::get::Form;
use super::printer::Printer;
use super::table::{Style, Tone, known, number, render, toned};
use super::text::{brief, clean};
use crate::access::{Entry, KeyId, KeysError, KeysFile, Made, NewKey, Scope, is_misleading};
use crate::app::KeptKeys;
use crate::config::{Process, keys_place, read_duration};
use crate::domain::SourceName;

/// Longest name of a key.
const MAX_NAME: usize = 100;

/// Make, list, rotate and revoke API keys.
#[derive(Debug, Clone, Args)]
pub struct Keys {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make a key and print it, this once
    New(New),
    /// List keys, also revoked and expired ones
    #[command(visible_alias = "ls")]
    List(List),
    /// Give a key another secret and print it; the old one counts until the overlap ends
    Rotate(Rotate),
    /// Make a key open nothing any more
    Revoke(Revoke),
    /// Take keys of a file over into the store; those that are there already stay as they are
    Import(Import),
}

/// Where keys are kept.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// File of API keys [default: that of the configuration, else keys.json in the folder of data]
    #[arg(long, env = "CLUSTERGATE_KEYS_FILE", value_name = "FILE")]
    pub keys_file: Option<PathBuf>,
    /// Configuration
    #[arg(long, env = "CLUSTERGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Make a key and print it, this once.
#[derive(Debug, Clone, Args)]
pub struct New {
    /// What people call it, such as the program that will hold it
    #[arg(long, value_parser = name)]
    pub name: String,
    /// What it may do: clusters:read, clusters:write, kubeconfig:read, kubeconfig:embed, sources:refresh, metrics:read, webhooks:read, webhooks:write, audit:read, admin
    #[arg(long, value_delimiter = ',', required = true, value_name = "SCOPES")]
    pub scopes: Vec<Scope>,
    /// Sources that it sees [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = source)]
    pub sources: Vec<SourceName>,
    /// Projects that it sees, by id or name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "PROJECTS")]
    pub projects: Vec<String>,
    /// When it ends: a duration such as 90d, or a time such as 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "WHEN", value_parser = End::read)]
    pub expires: Option<End>,
    /// Where keys are kept.
    #[command(flatten)]
    pub place: Place,
}

/// List keys.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Form,
    /// Where keys are kept.
    #[command(flatten)]
    pub place: Place,
}

/// Give a key another secret.
#[derive(Debug, Clone, Args)]
pub struct Rotate {
    /// The key's id, which stands between `cg_` and the next `_`
    #[arg(value_parser = id)]
    pub id: KeyId,
    /// How long the old secret still counts
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    pub overlap: Duration,
    /// Where keys are kept.
    #[command(flatten)]
    pub place: Place,
}

/// Make a key open nothing any more.
#[derive(Debug, Clone, Args)]
pub struct Revoke {
    /// The key's id, which stands between `cg_` and the next `_`
    #[arg(value_parser = id)]
    pub id: KeyId,
    /// Where keys are kept.
    #[command(flatten)]
    pub place: Place,
}

/// Take keys of a file over into the store.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The keys file
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
    /// Where keys are kept.
    #[command(flatten)]
    pub place: Place,
}

/// When a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After some time.
    After(Duration),
    /// At a time.
    At(Timestamp),
}

impl End {
    fn read(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        let time = duration(text)?;
        if Timestamp::now().checked_add(time).is_err() {
            return Err("ends too late: the last day that can be written is 9999-12-30".to_owned());
        }
        Ok(Self::After(time))
    }

    fn from(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::After(duration) => now.checked_add(duration).ok(),
            Self::At(time) => Some(time),
        }
        .filter(|end| *end > now)
    }
}

impl Keys {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let now = Timestamp::now();
        match &self.command {
            Command::New(new) => new.run(printer, now).await,
            Command::List(list) => list.run(printer, now).await,
            Command::Rotate(rotate) => rotate.run(printer, now).await,
            Command::Revoke(revoke) => revoke.run(printer, now).await,
            Command::Import(import) => import.run(printer).await,
        }
    }
}

impl Place {
    async fn keys(&self) -> Result<KeptKeys, Failure> {
        let place = keys_place(self.keys_file.as_deref(), self.config.as_deref(), &Process)?;
        let keys = KeptKeys::at(place).await;
        keys.map_err(|(file, error)| Failure::Keys { file, error })
    }
}

impl New {
    async fn run(&self, printer: Printer, now: Timestamp) -> Result<Exit, Failure> {
        let expires_at = match self.expires {
            None => None,
            Some(end) => Some(
                end.from(now)
                    .ok_or_else(|| Failure::Usage("--expires must be in the future".into()))?,
            ),
        };
        let file = self.place.keys().await?;
        let new = NewKey {
            name: self.name.clone(),
            scopes: self.scopes.iter().copied().collect(),
            sources: limited(&self.sources),
            projects: limited(&self.projects),
            expires_at,
        };
        let made = file.create(new, now).await.map_err(failed(&file))?;
        let remark = format!(
            "key {} ({}) may {}; it is kept as a hash in {} and cannot be shown again",
            made.entry.id,
            clean(&made.entry.name),
            made.entry.scopes,
            file.shown()
        );
        show(&file, &made, printer, &remark).await
    }
}

impl List {
    async fn run(&self, printer: Printer, now: Timestamp) -> Result<Exit, Failure> {
        let file = self.place.keys().await?;
        let held = file.list().await.map_err(failed(&file))?;
        let keys = held.entries;
        match self.output {
            Form::Json => printer.json(&document(&keys, now))?,
            Form::Table => printer.print(&table(&keys, now, printer.style()))?,
        }
        for id in held.unreadable {
            printer.remark(&format!(
                "key {} cannot be read by this version, and opens nothing at gateways of this version",
                clean(&id)
            ));
        }
        Ok(Exit::Ok)
    }
}

impl Rotate {
    async fn run(&self, printer: Printer, now: Timestamp) -> Result<Exit, Failure> {
        let file = self.place.keys().await?;
        let made = file
            .rotate(&self.id, self.overlap, now)
            .await
            .map_err(failed(&file))?;
        let old = match made.entry.overlaps_until(now) {
            Some(until) => format!("the old secret counts until {until:.0}"),
            None => "the old secret counts no longer".to_owned(),
        };
        let remark = format!(
            "key {} ({}) has a new secret, which cannot be shown again; {old}",
            made.entry.id,
            clean(&made.entry.name)
        );
        show(&file, &made, printer, &remark).await
    }
}

impl Revoke {
    async fn run(&self, printer: Printer, now: Timestamp) -> Result<Exit, Failure> {
        let file = self.place.keys().await?;
        let entry = file.revoke(&self.id, now).await.map_err(failed(&file))?;
        let since = entry.revoked_at.unwrap_or(now);
        printer.remark(&format!(
            "key {} ({}) opens nothing since {since:.0}; running gateways follow within two seconds",
            entry.id,
            clean(&entry.name)
        ));
        Ok(Exit::Ok)
    }
}

impl Import {
    async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let keys = self.place.keys().await?;
        let entries = KeysFile::at(&self.from).list().map_err(|error| {
            let file = self.from.display().to_string();
            Failure::Keys { file, error }
        })?;
        let taken = keys
            .import(&entries)
            .await
            .ok_or_else(|| Failure::Usage("keys are kept in a file: write keys = \"store\" in [access] of the configuration".into()))?
            .map_err(failed(&keys))?;
        printer.remark(&format!(
            "{taken} of {} keys were taken over into {}",
            entries.len(),
            keys.shown()
        ));
        Ok(Exit::Ok)
    }
}

/// Prints the key alone, and everything else beside it. A key that nobody can have read must not open anything.
async fn show(
    file: &KeptKeys,
    made: &Made,
    printer: Printer,
    remark: &str,
) -> Result<Exit, Failure> {
    if let Err(error) = printer.print(made.text.expose_secret()) {
        file.take_back(made).await.map_err(failed(file))?;
        return Err(Failure::Unprinted(error));
    }
    printer.remark(remark);
    Ok(Exit::Ok)
}

fn failed(file: &KeptKeys) -> impl Fn(KeysError) -> Failure {
    let file = file.shown().to_owned();
    move |error| Failure::Keys {
        file: file.clone(),
        error,
    }
}

fn limited<T: Ord + Clone>(named: &[T]) -> Option<BTreeSet<T>> {
    (!named.is_empty()).then(|| named.iter().cloned().collect())
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_NAME || text.chars().any(is_misleading) {
        return Err(format!(
            "must have 1 to {MAX_NAME} signs, all of them printable"
        ));
    }
    Ok(text.to_owned())
}

fn source(text: &str) -> Result<SourceName, String> {
    SourceName::new(text).map_err(|_| "must be the name of a source".to_owned())
}

fn id(text: &str) -> Result<KeyId, String> {
    KeyId::new(text).ok_or_else(|| {
        "must be the id of a key: the 8 to 10 letters and digits between `cg_` and the next `_`"
            .to_owned()
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    read_duration(text).map_err(str::to_owned)
}

/// What a key is good for now.
fn state(key: &Entry, now: Timestamp) -> (&'static str, Tone) {
    if key.revoked_at.is_some() {
        ("revoked", Tone::Faint)
    } else if key.expires_at.is_some_and(|end| end <= now) {
        ("expired", Tone::Bad)
    } else if key.overlaps_until(now).is_some() {
        ("rotating", Tone::Uneasy)
    } else {
        ("active", Tone::Good)
    }
}

fn table(keys: &[Entry], now: Timestamp, style: Style) -> String {
    let header = [
        "ID", "NAME", "STATE", "SCOPES", "SOURCES", "PROJECTS", "CREATED", "USED", "EXPIRES",
    ];
    render(&header, keys.iter().map(|key| row(key, now)), style)
}

fn row(key: &Entry, now: Timestamp) -> Vec<Cell> {
    let (state, tone) = state(key, now);
    let ago = |time: Timestamp| brief(now.duration_since(time).unsigned_abs());
    let end = key.expires_at.map(|end| {
        if end > now {
            format!("in {}", ago(end))
        } else {
            format!("{} ago", ago(end))
        }
    });
    let projects = key.projects.as_ref().map(|projects| {
        let names: Vec<String> = projects.iter().map(|name| clean(name)).collect();
        names.join(",")
    });
    let sources = key.sources.as_ref().map(|sources| {
        let names: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
        names.join(",")
    });
    let all = || toned("all", Tone::Plain);
    vec![
        toned(key.id.as_str(), Tone::Plain),
        toned(clean(&key.name), Tone::Plain),
        toned(state, tone),
        toned(key.scopes.to_string(), Tone::Plain),
        sources.map_or_else(all, |names| toned(names, Tone::Plain)),
        projects.map_or_else(all, |names| toned(names, Tone::Plain)),
        number(Some(ago(key.created_at))),
        number(key.last_used_at.map(ago)),
        known(end.or_else(|| Some("never".to_owned()))),
    ]
}

fn document(keys: &[Entry], now: Timestamp) -> Value {
    let items: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id.as_str(),
                "name": key.name,
                "state": state(key, now).0,
                "scopes": key.scopes,
                "sources": key.sources,
                "projects": key.projects,
                "created_at": key.created_at,
                "last_used_at": key.last_used_at,
                "expires_at": key.expires_at,
                "overlaps_until": key.overlaps_until(now),
                "revoked_at": key.revoked_at,
            })
        })
        .collect();
    json!({ "items": items })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn keys() -> (tempfile::TempDir, KeysFile, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::at(folder.path().join("keys.json"));
        let mut secrets = String::new();
        for (name, expires_at) in [
            ("ci", None),
            ("dashboard \u{1b}[31m", Some(at(24))),
            ("old laptop", Some(at(1))),
            ("partner", None),
        ] {
            let new = NewKey {
                name: name.to_owned(),
                scopes: [Scope::ClustersRead, Scope::MetricsRead]
                    .into_iter()
                    .collect(),
                sources: (name == "partner")
                    .then(|| BTreeSet::from([SourceName::new("main").unwrap()])),
                projects: None,
                expires_at,
            };
            let made = file.create(new, at(0)).unwrap();
            secrets.push_str(made.text.expose_secret());
            if name == "ci" {
                let made = file
                    .rotate(&made.entry.id, Duration::from_hours(48), at(1))
                    .unwrap();
                secrets.push_str(made.text.expose_secret());
            }
            if name == "partner" {
                file.revoke(&made.entry.id, at(2)).unwrap();
            }
        }
        (folder, file, secrets)
    }

    /// Ids are random, and of one length.
    fn settled(mut text: String, keys: &[Entry]) -> String {
        for (number, key) in keys.iter().enumerate() {
            text = text.replace(key.id.as_str(), &format!("aaaaaaaaa{number}"));
        }
        text
    }

    #[test]
    fn keys_are_listed_with_what_they_are_good_for_and_without_their_secrets() {
        let (_folder, file, secrets) = keys();
        let keys = file.list().unwrap();
        let drawn = table(&keys, at(3), Style::default());
        assert!(!drawn.contains('\u{1b}'));
        insta::assert_snapshot!(settled(drawn, &keys));
        let written = document(&keys, at(3)).to_string();
        let hash = blake3::hash(&secrets.as_bytes()[..57]).to_hex();
        assert!(!written.contains("hash") && !written.contains(&hash[..8]));
        let items: Value = serde_json::from_str(&settled(written, &keys)).unwrap();
        insta::assert_json_snapshot!(items["items"][0]);
    }

    #[test]
    fn what_cannot_be_a_name_an_id_or_an_end_is_refused() {
        assert_eq!(name(" ci "), Ok("ci".to_owned()));
        for text in [
            "",
            " ",
            "a\nb",
            "a\u{202e}b",
            "a\u{2028}b",
            &"x".repeat(101),
        ] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert!(id("abcdefgh12").is_ok());
        for text in ["", "cg_abcdefgh12", "abc", "abcdefgh12_"] {
            assert!(id(text).is_err(), "{text:?}");
        }
        let after = |text: &str| End::read(text).map(|end| end.from(at(0)));
        assert_eq!(after("2h"), Ok(Some(at(2))));
        assert_eq!(after(&at(5).to_string()), Ok(Some(at(5))));
        assert_eq!(after(&at(-5).to_string()), Ok(None));
        assert_eq!(after("0s"), Ok(None));
        for late in ["99999999d", "99999999999d"] {
            assert!(after(late).unwrap_err().contains("too late"), "{late}");
        }
        assert!(after("tomorrow").is_err());
    }
}
