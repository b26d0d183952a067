//! From a file and variables to a [`Config`], or to everything that is wrong with them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::access;
use super::env::{Strings, first_of};
use super::hosts::host_names;
use super::inbound;
use super::raw::Section;
use super::source::{self, Context};
use super::store;
use super::webhooks;
use super::{Config, Log, Mistake, Mistakes, Server, SourceConfig};
use crate::domain::SourceName;
use crate::provider::Entry;
use crate::telemetry::logs::{self, Format};

/// A larger file is some other file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// What the command line and its variables say; it wins over the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Where to listen.
    pub listen: Option<SocketAddr>,
    /// Allows an address that others can reach.
    pub insecure_bind: bool,
    /// Names under which the gateway is called.
    pub hosts: Vec<String>,
    /// The certificate to show.
    pub tls_cert: Option<PathBuf>,
    /// Its private key.
    pub tls_key: Option<PathBuf>,
    /// Which events are logged.
    pub log_filter: Option<String>,
    /// The form of a log line.
    pub log_format: Option<Format>,
    /// Where keys are kept.
    pub keys_file: Option<PathBuf>,
    /// Nothing is served: nobody is let in, and the files about that are left alone.
    pub reads_only: bool,
}

/// Reads the file, or the vendors' usual variables when there is none.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides,
    strings: &dyn Strings,
    catalog: &'static [Entry],
) -> Result<Config, Mistakes> {
    let Some(path) = file else {
        return parse("", Path::new(""), overrides, strings, catalog);
    };
    let shown = path.display().to_string();
    let text = read_or_say(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder, overrides, strings, catalog).map_err(|mut mistakes| {
        for mistake in &mut mistakes.0 {
            // A place in the text is of use only together with the file's name.
            if mistake.key.starts_with("line ") {
                mistake.key = format!("{shown}, {}", mistake.key);
            }
        }
        mistakes
    })
}

/// The listening side alone, whatever else is wrong: for who asks whether it is alive.
pub fn listening_side(file: Option<&Path>, overrides: &Overrides) -> Result<Server, Mistakes> {
    let overrides = Overrides {
        reads_only: true,
        ..overrides.clone()
    };
    let (table, folder) = match file {
        Some(path) => {
            let text = read_or_say(path)?;
            let table = text.parse().map_err(|_| Mistakes(syntax(&text)))?;
            (table, path.parent().unwrap_or(Path::new("")))
        }
        None => (Table::new(), Path::new("")),
    };
    let mut others = Vec::new();
    let server = Section::new("", table, &mut others).table("server");
    Ok(resolve_server(
        server,
        folder,
        &overrides,
        false,
        &mut others,
    ))
}

/// Resolves the text of a file. `folder` is where the file's relative file names begin.
pub fn parse(
    text: &str,
    folder: &Path,
    overrides: &Overrides,
    strings: &dyn Strings,
    catalog: &'static [Entry],
) -> Result<Config, Mistakes> {
    let table: Table = text.parse().map_err(|_| Mistakes(syntax(text)))?;
    let context = Context {
        strings,
        catalog,
        folder,
    };
    let mut mistakes = Vec::new();
    let mut root = Section::new("", table, &mut mistakes);
    let (server, log) = (root.table("server"), root.table("log"));
    let (access, store) = (root.table("access"), root.table("store"));
    let written = sources_written(&mut root);
    let hooks = webhooks::written(&mut root);
    root.finish();
    let access = access::resolve(access, overrides, context, &mut mistakes);
    let server = resolve_server(server, folder, overrides, access.is_wanted, &mut mistakes);
    let log = resolve_log(log, overrides, &mut mistakes);
    let store = store::resolve(store, context, &mut mistakes);
    if store.is_none() && mistakes.is_empty() {
        access::check_store(&access.settings, &mut mistakes);
    }
    let (sources, disabled) = match written {
        Some(tables) => resolve_sources(tables, context, &mut mistakes),
        None => (from_variables(context, &mut mistakes), Vec::new()),
    };
    // What is wrong with the store is told of the store.
    let has_store = store.is_some() || mistakes.iter().any(|one| one.key.starts_with("store."));
    let webhooks = webhooks::resolve(hooks, has_store, context, &mut mistakes);
    if mistakes.is_empty() {
        let names = sources.iter().map(|source| &source.name);
        let known: BTreeSet<&SourceName> = names.chain(&disabled).collect();
        access::check_sources(&access.settings, &known, &mut mistakes);
        webhooks::check_sources(&webhooks, &known, &mut mistakes);
    }
    if mistakes.is_empty() {
        Ok(Config {
            server,
            sources,
            disabled,
            log,
            access: access.settings,
            store,
            webhooks,
        })
    } else {
        Err(Mistakes(mistakes))
    }
}

fn read_or_say(path: &Path) -> Result<String, Mistakes> {
    read(path).map_err(|error| {
        let reason = format!("cannot be read: {error}");
        Mistakes(vec![Mistake::new(path.display().to_string(), reason)])
    })
}

pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_FILE_BYTES) {
        return Err(std::io::Error::other(
            "the file is too large for a configuration",
        ));
    }
    Ok(text)
}

/// All syntax errors, by line and column. The line itself is not shown: it may hold a secret.
pub(super) fn syntax(text: &str) -> Vec<Mistake> {
    let (_, mut errors) = toml::de::DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = &text[..text.floor_char_boundary(at)];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            Mistake::new(format!("line {line}, column {column}"), error.message())
        })
        .collect();
    if mistakes.is_empty() {
        mistakes.push(Mistake::new("line 1, column 1", "is not TOML"));
    }
    mistakes
}

/// The `[[sources]]` tables with their numbers; `None` when the file has none.
fn sources_written(root: &mut Section<'_>) -> Option<Vec<(usize, Table)>> {
    let wrong = "must be a list of tables: write [[sources]] before each source";
    let Value::Array(rows) = root.take("sources")? else {
        root.reject("sources", wrong);
        return Some(Vec::new());
    };
    let mut tables = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        match row {
            Value::Table(table) => tables.push((index, table)),
            _ => root.reject(&format!("sources[{index}]"), wrong),
        }
    }
    Some(tables)
}

fn resolve_sources(
    tables: Vec<(usize, Table)>,
    context: Context<'_>,
    mistakes: &mut Vec<Mistake>,
) -> (Vec<SourceConfig>, Vec<SourceName>) {
    let before = mistakes.len();
    let mut sources = Vec::new();
    let mut disabled = Vec::new();
    let shared = shared_names(&tables);
    let mut first: HashMap<SourceName, String> = HashMap::new();
    for (index, table) in tables {
        let is_name_shared = named(&table).is_some_and(|name| shared.contains(name));
        let resolved = source::resolve(index, table, is_name_shared, context, mistakes);
        if let Some(name) = resolved.name {
            if let Some(first) = first.get(&name) {
                mistakes.push(Mistake::new(
                    format!("{}.name", resolved.path),
                    format!("must be unique: {first} has the same"),
                ));
            } else {
                first.insert(name.clone(), resolved.path);
            }
            if !resolved.enabled {
                disabled.push(name);
            }
        }
        sources.extend(resolved.config);
    }
    if sources.is_empty() && mistakes.len() == before {
        mistakes.push(Mistake::new(
            "sources",
            "no source is switched on: set enabled = true for one of them",
        ));
    }
    (sources, disabled)
}

fn named(table: &Table) -> Option<&str> {
    table.get("name")?.as_str()
}

/// Names that more than one source has.
fn shared_names(tables: &[(usize, Table)]) -> HashSet<String> {
    let mut seen = HashSet::new();
    let names = tables.iter().filter_map(|(_, table)| named(table));
    names
        .filter(|name| !seen.insert(*name))
        .map(str::to_owned)
        .collect()
}

/// A source for each provider whose usual variables are set, named like the provider.
fn from_variables(context: Context<'_>, mistakes: &mut Vec<Mistake>) -> Vec<SourceConfig> {
    let before = mistakes.len();
    let mut sources = Vec::new();
    for entry in context.catalog {
        let Some(token) = first_of(context.strings, entry.environment.token) else {
            continue;
        };
        let address = first_of(context.strings, entry.environment.base_url);
        let mut table = Table::new();
        table.insert("name".into(), entry.kind.as_str().into());
        table.insert("provider".into(), entry.kind.as_str().into());
        table.insert("token_env".into(), token.into());
        if let Some(value) = address.and_then(|variable| context.strings.get(variable)) {
            table.insert("base_url".into(), value.into());
        }
        let mut found = Vec::new();
        sources.extend(source::resolve(sources.len(), table, false, context, &mut found).config);
        mistakes.extend(
            found
                .into_iter()
                .map(|mistake| in_variables(mistake, entry, token, address)),
        );
    }
    if sources.is_empty() && mistakes.len() == before {
        mistakes.push(Mistake::new("sources", nothing_configured(context.catalog)));
    }
    sources
}

/// Says of a variable what was found out about the key that it stands for.
fn in_variables(mistake: Mistake, entry: &Entry, token: &str, address: Option<&str>) -> Mistake {
    if mistake.key.ends_with(".token_env") {
        return Mistake::new(token, mistake.reason);
    }
    if !mistake.key.ends_with(".base_url") {
        return mistake;
    }
    match (address, entry.environment.base_url.first()) {
        (Some(address), _) => Mistake::new(address, mistake.reason),
        (None, Some(usual)) => Mistake::new(
            *usual,
            format!(
                "{token} is set, but {} has an own address for every customer: set {usual} as well, or unset {token}",
                entry.title
            ),
        ),
        (None, None) => mistake,
    }
}

fn nothing_configured(catalog: &[Entry]) -> String {
    let mut text = String::from(
        "nothing is configured; write [[sources]] into a file and name it with --config or CLUSTERGATE_CONFIG, or set a vendor's variables",
    );
    for entry in catalog {
        let tokens = entry.environment.token.join(" or ");
        if tokens.is_empty() {
            continue;
        }
        let address = match (entry.base_url, entry.environment.base_url) {
            (None, [first, ..]) => format!(" and {first}"),
            _ => String::new(),
        };
        text = format!("{text}\n    {}: {tokens}{address}", entry.title);
    }
    text.push_str("\n  To look around without any account, run `clustergate demo`");
    text
}

pub(super) fn resolve_server(
    table: Table,
    folder: &Path,
    overrides: &Overrides,
    is_guarded: bool,
    mistakes: &mut Vec<Mistake>,
) -> Server {
    let second = Duration::from_secs(1);
    let mut server = Server::default();
    let mut section = Section::new("server", table, mistakes);
    if let Some(text) = section.text("listen") {
        match text.parse() {
            Ok(address) => server.listen = address,
            Err(_) => section.reject(
                "listen",
                "must be an IP address and a port, such as 127.0.0.1:8650",
            ),
        }
    }
    server.listen = overrides.listen.unwrap_or(server.listen);
    server.insecure_bind =
        section.flag("insecure_bind").unwrap_or(false) || overrides.insecure_bind;
    let written = section.texts("hosts").unwrap_or_default();
    let hosts = if overrides.hosts.is_empty() {
        written
    } else {
        overrides.hosts.clone()
    };
    match host_names(&hosts) {
        Ok(names) => server.hosts = names,
        Err(mistake) => section.reject("hosts", mistake.reason),
    }
    inbound::resolve(&mut section, folder, overrides, &mut server);
    if let Some(count) = section.count("max_connections", 16..=1_000_000) {
        server.max_connections = usize::try_from(count).unwrap_or(usize::MAX);
    }
    // Below this the runtime's own clock is too coarse to tell a queue from none.
    let least = Duration::from_millis(10);
    match section.duration("shed_above", Duration::ZERO..=10 * second) {
        Some(limit) if limit.is_zero() || limit >= least => server.shed_above = limit,
        Some(_) => section.reject(
            "shed_above",
            "must be at least 10ms, or 0s to refuse nothing",
        ),
        None => {}
    }
    for (key, most, place) in [
        ("header_timeout", 5 * 60, &mut server.header_timeout),
        ("idle_timeout", 60 * 60, &mut server.idle_timeout),
        ("request_timeout", 10 * 60, &mut server.request_timeout),
        ("shutdown_grace", 10 * 60, &mut server.shutdown_grace),
    ] {
        if let Some(duration) = section.duration(key, second..=most * second) {
            *place = duration;
        }
    }
    let is_open = !is_guarded && !server.insecure_bind && !overrides.reads_only;
    if is_open && !server.listen.ip().is_loopback() {
        section.reject(
            "listen",
            "others can reach this address and nothing controls their access: make a key with `clustergate keys new` or name an issuer of tokens with [[access.issuers]]; listen on 127.0.0.1 behind a proxy that controls access; or allow it with insecure_bind = true or --insecure-bind where the network itself is trusted",
        );
    }
    section.finish();
    server
}

fn resolve_log(table: Table, overrides: &Overrides, mistakes: &mut Vec<Mistake>) -> Log {
    let mut log = Log::default();
    let mut section = Section::new("log", table, mistakes);
    if let Some(format) = section.word("format", &[("text", Format::Text), ("json", Format::Json)])
    {
        log.format = format;
    }
    if let Some(filter) = section.text("filter") {
        log.filter = filter;
    }
    log.format = overrides.log_format.unwrap_or(log.format);
    if let Some(filter) = &overrides.log_filter {
        log.filter.clone_from(filter);
    }
    if !logs::is_filter(&log.filter) {
        section.reject(
            "filter",
            "must be a level or directives such as \"info,clustergate=debug\"",
        );
    }
    section.finish();
    log
}
