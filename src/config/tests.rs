use std::collections::BTreeMap;
use std::path::Path;

use insta::assert_snapshot;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::*;
use crate::domain::{Kind, Vantage};
use crate::provider::{
    Adapter, Capabilities, Capability, ConfigError, Environment, Page, PageCursor, ProviderError,
};
use crate::upstream::{Dialect, Rate, Scheme, Stack, TokenSource};

/// Stands for any secret; it must not be seen anywhere.
const CANARY: &str = "canary-5f3a9";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    projects: Vec<String>,
    depth: u32,
    width: u32,
    unit: Unit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[default]
    Metre,
    Foot,
}

static CAPABILITIES: Capabilities = Capabilities {
    vantage: Vantage::Hosts,
    operations: &[Capability::List],
    reports: &[],
    detail_only: &[],
};

struct Alpha;

impl Adapter for Alpha {
    const KIND: Kind = Kind::new("alpha");
    const CAPABILITIES: &'static Capabilities = &CAPABILITIES;
    const DIALECT: Dialect = Dialect::PLAIN;
    type Settings = Settings;

    fn connect(_: SourceName, settings: Settings, _: Stack) -> Result<Self, ConfigError> {
        if settings.depth > 9 {
            return Err(ConfigError {
                key: "depth".to_owned(),
                reason: "must be at most 9, such as \"3\"".to_owned(),
            });
        }
        Ok(Self)
    }

    async fn list_page(&self, _: Option<&PageCursor>) -> Result<Page, ProviderError> {
        Ok(Page::default())
    }
}

const fn entry(
    kind: &'static str,
    title: &'static str,
    base_url: Option<&'static str>,
    environment: Environment,
    scheme: Scheme,
) -> Entry {
    Entry {
        kind: Kind::new(kind),
        title,
        documentation: "https://docs.example.com",
        base_url,
        environment,
        scheme,
        rate: Rate {
            calls: 60,
            per: Duration::from_mins(1),
        },
        capabilities: &CAPABILITIES,
        dialect: Dialect::PLAIN,
        connect: crate::provider::connect::<Alpha>,
    }
}

static CATALOG: [Entry; 2] = [
    entry(
        "alpha",
        "Alpha Cloud",
        Some("https://api.example.com/v1"),
        Environment {
            token: &["ALPHA_API_KEY", "ALPHA_TOKEN"],
            base_url: &["ALPHA_URL"],
        },
        Scheme::Bearer,
    ),
    entry(
        "beta-watch",
        "Beta Watch",
        None,
        Environment {
            token: &["BETA_TOKEN"],
            base_url: &["BETA_URL"],
        },
        Scheme::Raw,
    ),
];

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn resolve(text: &str, pairs: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let strings = variables(pairs);
    let folder = Path::new("/etc/clustergate");
    parse(text, folder, &Overrides::default(), &strings, &CATALOG)
}

fn mistakes(text: &str, pairs: &[(&str, &str)]) -> String {
    let text = resolve(text, pairs).unwrap_err().to_string();
    assert!(!text.contains(CANARY), "{text}");
    text
}

#[test]
fn a_full_file_is_resolved() {
    let config = resolve(
        r#"
        [server]
        listen = "[::1]:9000"
        request_timeout = "5s"
        max_connections = 20000

        [log]
        format = "json"
        filter = "warn,clustergate=debug"

        [[sources]]
        name = "main"
        provider = "alpha"
        token_env = "MAIN_TOKEN"
        refresh_interval = "5m"
        max_in_flight = 2
        max_body_bytes = "1MiB"
        rate = "10/1s"
        auth = "raw"
        details = false
        projects = ["a", "b"]
        depth = 3

        [[sources]]
        name = "watch"
        provider = "beta-watch"
        base_url = "https://beta.example.com/api"
        token_file = "secrets/beta"
        refresh_interval = "5s"

        [[sources]]
        name = "later"
        provider = "alpha"
        enabled = false
        token_env = "NOT_THERE_YET"
        "#,
        &[("MAIN_TOKEN", " abc\n")],
    )
    .unwrap();
    assert_eq!(config.server.listen, "[::1]:9000".parse().unwrap());
    assert_eq!(config.server.request_timeout, Duration::from_secs(5));
    assert_eq!(config.server.header_timeout, Duration::from_secs(10));
    assert_eq!(config.log.format, Format::Json);
    assert_eq!(config.disabled, [SourceName::new("later").unwrap()]);
    let [main, watch] = config.sources.as_slice() else {
        panic!("two sources are on: {:?}", config.sources);
    };
    assert_eq!(main.stack.base_url.as_str(), "https://api.example.com/v1");
    assert_eq!(main.stack.max_in_flight, 2);
    assert_eq!(main.stack.max_body_bytes, 1 << 20);
    assert_eq!(main.stack.rate.map(|rate| rate.calls), Some(10));
    assert_eq!(main.credential.scheme, Scheme::Raw);
    assert_eq!(main.schedule.staleness_limit, Duration::from_mins(15));
    assert!(!main.schedule.details);
    assert_eq!(main.settings.len(), 2);
    let TokenSource::Value(token) = &*main.credential.token else {
        panic!("it comes from a variable");
    };
    assert_eq!(token.expose_secret(), "abc");
    assert_eq!(watch.credential.scheme, Scheme::Raw);
    assert_eq!(watch.schedule.staleness_limit, Duration::from_secs(35));
    let TokenSource::File(file) = &*watch.credential.token else {
        panic!("it comes from a file");
    };
    assert_eq!(file, Path::new("/etc/clustergate/secrets/beta"));
}

#[test]
fn every_mistake_is_told_at_once_with_its_key() {
    let text = mistakes(
        &r#"
        wrong_top = 1

        [server]
        listen = "localhost"
        header_timeout = 5
        idle_timout = "1m"
        max_connections = 0

        [log]
        format = "xml"
        filter = "clustergate=loud"

        [[sources]]
        provider = "alfa"

        [[sources]]
        name = "Main"
        provider = "alpha"
        token_env = "MAIN_TOKEN"
        refresh_interval = "500ms"
        staleness_limit = "10s"
        max_in_flight = 9
        max_body_bytes = "7 apples"
        rate = "fast"
        auth = "basic"
        enabled = "yes"

        [[sources]]
        name = "main"
        provider = "alpha"
        token_env = "EMPTY_TOKEN"
        refresh_intervall = "5m"
        project = "x"
        regions = []
        depth = "CANARY"
        width = "CANARY"
        unit = "CANARY"
        base_url = "https://user:CANARY@example.com"

        [[sources]]
        name = "main"
        provider = "beta-watch"
        token = "CANARY"
        token_env = "CANARY"
        staleness_limit = "10s"
        ca_file = "missing.pem"

        [[sources]]
        name = "both"
        provider = "alpha"
        base_url = "http://example.com"
        token_env = "MAIN_TOKEN"
        token_file = "x"
        depth = 10

        [[sources]]
        name = "neither"
        provider = "alpha"
        "#
        .replace("CANARY", CANARY),
        &[("EMPTY_TOKEN", " "), ("MAIN_TOKEN", CANARY)],
    );
    assert_snapshot!(text);
}

#[test]
fn a_syntax_error_has_its_line_and_column_and_does_not_show_the_line() {
    let text = mistakes(
        &format!("[server]\nlisten = \"a\"\n[[sources]]\ntoken = {CANARY}\nname == 3\n"),
        &[],
    );
    assert_snapshot!(text);
}

#[test]
fn variables_alone_make_sources() {
    let config = resolve(
        "",
        &[
            ("ALPHA_API_KEY", ""),
            ("ALPHA_TOKEN", "t"),
            ("BETA_TOKEN", "u"),
            ("BETA_URL", "https://beta.example.com"),
        ],
    )
    .unwrap();
    let names: Vec<&str> = config
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    assert_eq!(names, ["alpha", "beta-watch"]);
    assert_eq!(config.server, Server::default());
}

#[test]
fn variables_do_not_add_to_the_sources_of_a_file() {
    let file = "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'ALPHA_TOKEN'";
    let config = resolve(file, &[("ALPHA_TOKEN", "t"), ("BETA_TOKEN", "u")]).unwrap();
    assert_eq!(config.sources.len(), 1);
}

#[test]
fn variables_that_cannot_make_a_source_are_named() {
    assert_snapshot!(mistakes("", &[("BETA_TOKEN", CANARY), ("ALPHA_TOKEN", CANARY), ("ALPHA_URL", CANARY)]), @r"
    the configuration has 2 mistakes
      ALPHA_URL: must be an absolute URL with a host and without user, query or fragment, such as https://api.example.com
      BETA_URL: BETA_TOKEN is set, but Beta Watch has an own address for every customer: set BETA_URL as well, or unset BETA_TOKEN
    ");
}

#[test]
fn nothing_at_all_says_what_to_do() {
    assert_snapshot!(mistakes("", &[]), @r"
    the configuration cannot be used
      sources: nothing is configured; write [[sources]] into a file and name it with --config or CLUSTERGATE_CONFIG, or set a vendor's variables
        Alpha Cloud: ALPHA_API_KEY or ALPHA_TOKEN
        Beta Watch: BETA_TOKEN and BETA_URL
      To look around without any account, run `clustergate demo`
    ");
}

#[test]
fn an_address_that_others_reach_is_refused_until_allowed() {
    let sources = "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'";
    let token = [("A_TOKEN", "t")];
    let open = format!("server.listen = '0.0.0.0:80'\n{sources}");
    assert!(mistakes(&open, &token).contains("server.listen: others can reach"));
    let allowed = format!("server.insecure_bind = true\n{open}");
    assert!(resolve(&allowed, &token).is_ok());
    let overrides = Overrides {
        listen: Some("0.0.0.0:1".parse().unwrap()),
        insecure_bind: true,
        ..Overrides::default()
    };
    let config = parse(
        sources,
        Path::new(""),
        &overrides,
        &variables(&token),
        &CATALOG,
    )
    .unwrap();
    assert_eq!(config.server.listen, "0.0.0.0:1".parse().unwrap());
}

#[test]
fn the_command_line_names_hosts_in_place_of_the_file() {
    let file = "server.hosts = ['Clusters.example.com', 'intranet']
        [[sources]]
        name = 'one'
        provider = 'alpha'
        token_env = 'A_TOKEN'";
    let token = variables(&[("A_TOKEN", "t")]);
    let hosts = |overridden: &[&str]| {
        let overrides = Overrides {
            hosts: overridden.iter().map(ToString::to_string).collect(),
            ..Overrides::default()
        };
        parse(file, Path::new(""), &overrides, &token, &CATALOG).map(|config| config.server.hosts)
    };
    assert_eq!(hosts(&[]).unwrap(), ["clusters.example.com", "intranet"]);
    assert_eq!(hosts(&["other"]).unwrap(), ["other"]);
    let wrong = hosts(&["https://other"]).unwrap_err().to_string();
    assert!(wrong.contains("server.hosts: must be names"), "{wrong}");
    let single = mistakes("server.hosts = 7", &[("ALPHA_TOKEN", "t")]);
    assert!(
        single.contains("server.hosts: must be a list of texts"),
        "{single}"
    );
}

#[test]
fn access_control_is_resolved_and_makes_an_open_address_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = crate::access::KeysFile::at(folder.path().join("keys.json"));
    let new = crate::access::NewKey {
        name: "ci".to_owned(),
        scopes: crate::access::Scopes::ADMIN,
        sources: None,
        projects: None,
        expires_at: None,
    };
    file.create(new, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let sources = "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'";
    let listen = "server.listen = '0.0.0.0:80'";
    let issuer = "
        [[access.issuers]]
        issuer = 'https://id.example/realms/one'
        audience = 'clustergate'
        algorithms = ['ES256']
        leeway = '5s'
        scope_claim = 'groups'
        scopes_map = { sre = ['admin'], dev = ['clusters:read', 'metrics:read'] }
        sources = ['one']
        projects_claim = 'projects'
    ";
    let resolve = |text: &str| {
        let strings = variables(&[("A_TOKEN", "t")]);
        parse(
            text,
            folder.path(),
            &Overrides::default(),
            &strings,
            &CATALOG,
        )
    };
    let keys = format!(
        "{listen}\naccess.keys_file = 'keys.json'\naccess.audit = 'audit.jsonl'\n{sources}"
    );
    let config = resolve(&keys).unwrap();
    assert!(config.access.is_guarded());
    assert_eq!(config.access.keys_file.as_deref(), Some(file.path()));
    let audit = crate::access::audit::Destination::File(folder.path().join("audit.jsonl"));
    assert_eq!(config.access.audit, Some(audit));

    let config = resolve(&format!(
        "{listen}\naccess.audit = 'stdout'\n{issuer}\n{sources}"
    ))
    .unwrap();
    assert!(config.access.is_guarded() && config.access.keys_file.is_none());
    let [issuer] = config.access.issuers.as_slice() else {
        panic!("there is one issuer: {:?}", config.access);
    };
    assert_eq!(issuer.audience, ["clustergate"]);
    assert_eq!(issuer.algorithms, [crate::access::Algorithm::Es256]);
    assert_eq!(
        issuer.scopes_map["dev"].to_string(),
        "clusters:read,metrics:read"
    );
    assert_eq!(issuer.sources.as_ref().unwrap().len(), 1);

    let only_audit = resolve(&format!("{listen}\naccess.audit = 'stdout'\n{sources}")).unwrap_err();
    assert_eq!(
        only_audit.0[0].key, "server.listen",
        "an audit lets nobody in, and nobody out"
    );
}

#[test]
fn requests_are_shed_above_a_lag_that_can_be_measured_or_never() {
    let shed_above = |text: &str| {
        let sources = "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'";
        let file = format!("server.shed_above = '{text}'\n{sources}");
        resolve(&file, &[("A_TOKEN", "t")]).map(|config| config.server.shed_above)
    };
    assert_eq!(shed_above("250ms").unwrap(), Duration::from_millis(250));
    assert_eq!(shed_above("0s").unwrap(), Duration::ZERO);
    for (text, expected) in [
        ("9ms", "must be at least 10ms, or 0s to refuse nothing"),
        ("11s", "must be from 0ms to 10s"),
    ] {
        let error = shed_above(text).unwrap_err().to_string();
        assert!(
            error.contains(&format!("server.shed_above: {expected}")),
            "{error}"
        );
    }
}

#[test]
fn every_mistake_about_access_is_told_at_once_with_its_key() {
    let text = mistakes(
        &r#"
        [access]
        keys_file = "missing.json"
        audit = 7
        keyz = "CANARY"

        [[access.issuers]]
        issuer = "http://id.example"
        audiance = "clustergate"

        [[access.issuers]]
        issuer = "https://id.example"
        audience = ["one", ""]
        jwks_uri = "http://id.example/CANARY"
        ca_file = "missing.pem"
        algorithms = ["RS256", "HS256"]
        leeway = "1h"
        scopes = ["CANARY"]
        scopes_map = { sre = "admin", dev = ["CANARY"] }
        sources = ["Not A Name"]

        [[access.issuers]]
        issuer = "https://id.example"
        audience = "clustergate"

        [server]
        listen = "0.0.0.0:80"

        [[sources]]
        name = "one"
        provider = "alpha"
        token_env = "A_TOKEN"
        "#
        .replace("CANARY", CANARY),
        &[("A_TOKEN", "t")],
    );
    assert_snapshot!(text);
    let text = mistakes(
        "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'\n[[access.issuers]]\nissuer = 'https://id.example'\naudience = 'x'\nsources = ['two']",
        &[("A_TOKEN", "t")],
    );
    assert!(text.contains("access.issuers[0].sources: no source is called two"));
}

#[test]
fn keys_are_kept_where_told_or_in_the_folder_of_data() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("clustergate.toml");
    std::fs::write(&config, "access.keys_file = 'my-keys.json'\nnonsense = 1").unwrap();
    let home = [("HOME", "/home/ada")];
    let at = |told: Option<&str>, config: Option<&Path>, pairs: &[(&str, &str)]| {
        keys_file(told.map(Path::new), config, &variables(pairs))
            .map(|file| file.display().to_string())
            .map_err(|mistakes| mistakes.0[0].key.clone())
    };
    assert_eq!(
        at(Some("k.json"), Some(&config), &home),
        Ok("k.json".to_owned())
    );
    let named = folder.path().join("my-keys.json").display().to_string();
    assert_eq!(at(None, Some(&config), &home), Ok(named));
    let usual = "/home/ada/.local/share/clustergate/keys.json".to_owned();
    assert_eq!(at(None, None, &home), Ok(usual));
    let xdg = [
        ("HOME", "/home/ada"),
        ("XDG_DATA_HOME", "/data"),
        ("STATE_DIRECTORY", ""),
    ];
    assert_eq!(
        at(None, None, &xdg),
        Ok("/data/clustergate/keys.json".to_owned())
    );
    let service = [
        ("HOME", "/"),
        ("STATE_DIRECTORY", "/var/lib/clustergate:/x"),
    ];
    assert_eq!(
        at(None, None, &service),
        Ok("/var/lib/clustergate/keys.json".to_owned())
    );
    assert_eq!(at(None, None, &[]), Err("access.keys_file".to_owned()));
}

#[test]
fn a_keys_file_in_the_folder_of_data_turns_access_control_on() {
    let folder = tempfile::tempdir().unwrap();
    let sources = "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'";
    let data = folder.path().display().to_string();
    let pairs = [("A_TOKEN", "t"), ("STATE_DIRECTORY", data.as_str())];
    assert!(!resolve(sources, &pairs).unwrap().access.is_guarded());
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, "{}").unwrap();
    let text = mistakes(sources, &pairs);
    assert!(
        text.contains("access.keys_file"),
        "a broken one is no reason to be open: {text}"
    );
    let overrides = Overrides {
        reads_only: true,
        ..Overrides::default()
    };
    let config = parse(
        sources,
        Path::new(""),
        &overrides,
        &variables(&pairs),
        &CATALOG,
    )
    .unwrap();
    assert!(
        !config.access.is_guarded(),
        "nobody is let in where nothing is served"
    );
}

#[test]
fn debug_shows_no_secret() {
    let config = resolve(
        &format!(
            "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'\nprojects = ['{CANARY}']"
        ),
        &[("A_TOKEN", CANARY)],
    )
    .unwrap();
    let text = format!("{config:?} {config:#?}");
    assert!(text.contains("projects"));
    assert!(!text.contains(CANARY), "{text}");
}

#[test]
fn a_resolved_source_connects() {
    let file = "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'";
    let config = resolve(file, &[("A_TOKEN", "t")]).unwrap();
    let connected = connect(&config.sources[0]).unwrap();
    assert_eq!(connected.provider.kind(), Kind::new("alpha"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let overrides = Overrides::default();
    let path = Path::new("/nonexistent/clustergate.toml");
    let error = load(Some(path), &overrides, &variables(&[]), &CATALOG).unwrap_err();
    assert!(error.0[0].key.ends_with("clustergate.toml"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clustergate.toml");
    std::fs::write(&path, "[server\n").unwrap();
    let error = load(Some(&path), &overrides, &variables(&[]), &CATALOG).unwrap_err();
    assert!(
        error.0[0].key.contains("clustergate.toml, line 1"),
        "{error}"
    );
}

#[test]
fn keys_in_the_store_need_one_and_no_file() {
    let source = "[[sources]]\nname = 'one'\nprovider = 'alpha'\ntoken_env = 'A_TOKEN'\n";
    let token = ("A_TOKEN", "t");
    for (lines, said) in [
        (
            "[access]\naudit = 'store'",
            "access.audit: is \"store\", and there is no store",
        ),
        (
            "[access]\nkeys = 'store'",
            "access.keys: is \"store\", and there is no store",
        ),
        (
            "[access]\nkeys = 'store'\nkeys_file = 'k'\n[store]\nurl = 'sqlite:x'",
            "access.keys: keys are in the store or in a file",
        ),
        (
            "[access]\nkeys = 'shelf'",
            "access.keys: must be \"store\" or \"file\"",
        ),
    ] {
        let text = mistakes(&format!("{source}{lines}"), &[token]);
        assert!(text.contains(said), "{lines}: {text}");
    }
}
