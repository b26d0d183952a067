//! The architecture's rules, read from the code: who may name whom, and what is written in which file only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clustergate::adapters::CATALOG;

/// What each module may name besides itself.
///
/// Acyclic: every arrow points at something that changes less often.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("domain", &[]),
    ("upstream", &[]),
    ("telemetry", &[]),
    ("tls", &[]),
    // The simulated vendors must not share a type with the adapters that they check.
    ("sandbox", &[]),
    // Clusters' JSON and vendors' files come in, texts go out; contexts are named by ids: `domain`.
    ("export", &["domain"]),
    ("provider", &["domain", "upstream"]),
    // Issuers' keys are read with the plain client: `upstream`.
    ("access", &["domain", "upstream"]),
    ("adapters", &["domain", "provider", "upstream"]),
    // Vitals of a source's outbound stack are shown as they are, and its published rate paces details: `upstream`.
    ("inventory", &["domain", "provider", "upstream"]),
    // What calls have shown goes to a trait that the composition root joins to the inventory.
    ("live", &["domain", "provider"]),
    // Changes are handed to guarded clients: `upstream`.
    ("hooks", &["domain", "inventory", "upstream"]),
    // Deliveries, operations, idempotency keys and API keys are kept there as well: `hooks`, `live`, `access`.
    ("store", &["access", "domain", "hooks", "inventory", "live"]),
    // Where the inventory is kept is configured: `store`. The log format and filter are configured: `telemetry`; issuers and the keys file: `access`. A certificate that cannot be
    // shown is a mistake: `tls`.
    (
        "config",
        &[
            "access",
            "domain",
            "hooks",
            "provider",
            "store",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
    // Vitals and failure kinds become answers: `upstream`. Requests are counted: `telemetry`. The listener shows one: `tls`.
    (
        "api",
        &[
            "access",
            "domain",
            "export",
            "hooks",
            "inventory",
            "live",
            "provider",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
    (
        "app",
        &[
            "access",
            "adapters",
            "api",
            "config",
            "domain",
            "export",
            "hooks",
            "inventory",
            "live",
            "provider",
            "sandbox",
            "store",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
    // Commands print the catalog, read the configuration, change the keys file, choose exit codes by kind of failure, set up the
    // log, and ask a running gateway over the guarded client: all but `app` are plain values and functions of these modules. Files
    // that they may replace are known by how `export` begins them.
    (
        "cli",
        &[
            "access",
            "adapters",
            "app",
            "config",
            "domain",
            "export",
            "hooks",
            "provider",
            "telemetry",
            "tls",
            "upstream",
        ],
    ),
];

/// A line of code: where it is, and what it says.
struct Line {
    file: PathBuf,
    number: usize,
    text: String,
}

impl Line {
    fn show(&self) -> String {
        format!(
            "{}:{}: {}",
            self.file.display(),
            self.number,
            self.text.trim()
        )
    }

    fn module(&self) -> String {
        let first = self.file.components().next().unwrap();
        let name = Path::new(&first).file_stem().unwrap().to_str().unwrap();
        name.to_owned()
    }

    /// How many modules lie between this file's and the crate's root.
    fn depth(&self) -> usize {
        let is_folder = ["mod.rs", "lib.rs", "main.rs"].contains(&self.name());
        self.file.components().count() - usize::from(is_folder)
    }

    fn name(&self) -> &str {
        self.file.file_name().unwrap().to_str().unwrap()
    }

    fn is(&self, file: &str) -> bool {
        self.file == Path::new(file)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every line of production code: no comments, no tests.
fn code() -> Vec<Line> {
    let src = root().join("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    paths.sort();
    let mut lines = Vec::new();
    for path in paths {
        let file = path.strip_prefix(&src).unwrap().to_owned();
        let is_test = file.components().any(|part| {
            ["tests", "tests.rs", "testing.rs"].contains(&part.as_os_str().to_str().unwrap())
        });
        if is_test {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (at, line) in production.lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                lines.push(Line {
                    file: file.clone(),
                    number: at + 1,
                    text: line.to_owned(),
                });
            }
        }
    }
    assert!(
        lines.len() > 10_000,
        "only {} lines were found",
        lines.len()
    );
    lines
}

/// The names that follow a prefix in a line.
fn named_after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter_map(move |(at, _)| {
        let before = line[..at].chars().next_back();
        let is_path_start = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        let rest = &line[at + prefix.len()..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        is_path_start.then_some(&rest[..end])
    })
}

/// The modules of the crate that a line names, and the siblings that an adapter names.
fn named(line: &Line) -> Vec<String> {
    let mut found: Vec<String> = named_after(&line.text, "crate::")
        .map(str::to_owned)
        .collect();
    let depth = line.depth();
    found.extend(named_after(&line.text, &"super::".repeat(depth)).map(str::to_owned));
    found
}

fn none(rule: &str, offending: &[String]) {
    assert!(offending.is_empty(), "{rule}:\n{}", offending.join("\n"));
}

#[test]
fn every_module_names_only_what_it_may() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut offending = Vec::new();
    for line in code() {
        let module = line.module();
        if module == "lib" {
            continue;
        }
        if module == "main" {
            if named_after(&line.text, "clustergate::").any(|name| name != "cli") {
                offending.push(line.show());
            }
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            offending.push(format!("{} is of a module without a rule", line.show()));
            continue;
        };
        for name in named(&line) {
            // An import of several modules at once, which this test could not read.
            let is_readable = !name.is_empty();
            if !is_readable || (name != module && !allowed.contains(&name.as_str())) {
                offending.push(line.show());
            }
        }
    }
    none("a module names what it must not", &offending);
}

#[test]
fn the_rules_have_no_cycle() {
    let mut left: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    while !left.is_empty() {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, named)| named.iter().all(|name| !left.contains_key(name)))
            .map(|(module, _)| *module)
            .collect();
        assert!(!free.is_empty(), "a cycle among {:?}", left.keys());
        for module in free {
            left.remove(module);
        }
    }
}

#[test]
fn adapters_do_not_know_each_other() {
    let mut offending = Vec::new();
    for line in code() {
        let mut parts = line
            .file
            .components()
            .map(|part| part.as_os_str().to_str().unwrap());
        let (Some("adapters"), Some(own)) = (parts.next(), parts.next()) else {
            continue;
        };
        if own == "mod.rs" {
            continue;
        }
        let to_siblings = "super::".repeat(line.depth() - 1);
        let is_foreign = line.text.contains("crate::adapters")
            || named_after(&line.text, &to_siblings).any(|name| name != own && name != "super");
        if is_foreign {
            offending.push(line.show());
        }
    }
    none("an adapter names its siblings", &offending);
}

#[test]
fn each_foreign_thing_is_named_where_it_belongs() {
    type Rule = (
        &'static str,
        fn(&str) -> bool,
        fn(&Line, &dyn Fn(&Line, &[&str]) -> bool) -> bool,
    );

    let is_in = |line: &Line, modules: &[&str]| modules.contains(&line.module().as_str());
    let rules: [Rule; 8] = [
        (
            "reqwest",
            |text| text.contains("reqwest::"),
            |line, _| {
                ["transport", "fetch", "post"]
                    .iter()
                    .any(|name| line.is(&format!("upstream/{name}.rs")))
            },
        ),
        (
            "axum",
            |text| text.contains("axum::") || text.contains("use axum"),
            |line, is_in| is_in(line, &["api", "app", "sandbox"]),
        ),
        (
            "SQL",
            |text| text.contains("sqlx::") || text.contains("use sqlx"),
            |line, is_in| is_in(line, &["store"]),
        ),
        (
            "clap",
            |text| text.contains("clap::") || text.contains("use clap"),
            |line, is_in| is_in(line, &["cli"]),
        ),
        (
            "the catalog's adapters",
            |text| text.contains("adapters::CATALOG"),
            |line, is_in| is_in(line, &["app", "cli"]),
        ),
        (
            // What no viewer has looked at may hold what the caller must not see.
            "the whole inventory",
            |text| text.contains("whole()"),
            |line, is_in| {
                line.is("api/viewer.rs") || line.is("api/state.rs") || !is_in(line, &["api"])
            },
        ),
        (
            // Changes are selected for whoever asks, and a viewer alone knows how far that sees.
            "a reach",
            |text| text.contains("Reach::") || text.contains("Reach {"),
            |line, is_in| line.is("api/viewer.rs") || !is_in(line, &["api"]),
        ),
        (
            "the environment",
            |text| text.contains("env::var"),
            |line, is_in| line.is("config/env.rs") || is_in(line, &["cli", "telemetry"]),
        ),
    ];
    let mut offending = Vec::new();
    for line in code() {
        for (what, is_named, may) in &rules {
            if is_named(&line.text) && !may(&line, &is_in) {
                offending.push(format!("{what}: {}", line.show()));
            }
        }
    }
    none("something is named outside its place", &offending);
}

#[test]
fn what_maps_and_decides_has_no_clock_and_waits_for_nothing() {
    let pure = |line: &Line| {
        line.name() == "map.rs"
            || line.module() == "domain"
            || [
                "query.rs",
                "select.rs",
                "snapshot.rs",
                "completeness.rs",
                "index.rs",
            ]
            .iter()
            .any(|name| line.is(&format!("inventory/{name}")))
    };
    let clocks = ["Timestamp::now", "Instant::now", "SystemTime::now"];
    let mut offending = Vec::new();
    for line in code() {
        let has = |words: &[&str]| words.iter().any(|word| line.text.contains(word));
        let is_bad = (pure(&line) && (has(&clocks) || has(&["async fn", ".await"])))
            || (line.module() == "adapters" && (has(&clocks) || has(&["sleep(", "spawn("])));
        if is_bad {
            offending.push(line.show());
        }
    }
    none("a pure file has an effect", &offending);
}

#[test]
fn every_task_has_an_owner() {
    let mut offending = Vec::new();
    for line in code() {
        let text = line.text.trim();
        let is_loose = text.starts_with("tokio::spawn(")
            || text.starts_with("let _ = tokio::spawn(")
            || text.starts_with("std::thread::spawn(")
            || text.starts_with("thread::spawn(");
        if is_loose {
            offending.push(line.show());
        }
    }
    none("a task belongs to nobody", &offending);
}

#[test]
fn no_code_is_unsafe() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    let mut offending = Vec::new();
    for line in code() {
        if ["unsafe {", "unsafe fn", "unsafe impl"]
            .iter()
            .any(|word| line.text.contains(word))
        {
            offending.push(line.show());
        }
    }
    none("unsafe code", &offending);
}

#[test]
fn every_adapter_is_in_the_catalog_and_has_fixtures() {
    let mut folders: Vec<String> = fs::read_dir(root().join("src/adapters"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .replace('_', "-")
        })
        .collect();
    folders.sort();
    let mut kinds: Vec<&str> = CATALOG.iter().map(|entry| entry.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(folders, kinds);
    for folder in folders {
        let fixtures = root().join("fixtures").join(&folder);
        assert!(
            fixtures.join("README.md").is_file(),
            "{}",
            fixtures.display()
        );
        let answers = fs::read_dir(&fixtures)
            .unwrap()
            .filter(|entry| {
                let path = entry.as_ref().unwrap().path();
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .count();
        assert!(answers >= 3, "{} has {answers} answers", fixtures.display());
    }
}
