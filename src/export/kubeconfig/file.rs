//! One kubeconfig for many clusters.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::access::{Access, Authorization, Command};
use super::credential::{API_VERSION, forwardable};
use super::name::{Wanted, names};
use super::yaml::Yaml;
use crate::domain::{ClusterId, SourceName};

/// How every file begins; what does not begin so is somebody else's.
pub const MARK: &str = "# Made by clustergate";
/// Said of a cluster whose credential only an embedding file can hold.
const NEEDS_EMBED: &str = "KUBECONFIG_NEEDS_EMBED";
/// Longest header that names what is missing.
const MAX_HEADER: usize = 2_048;

/// One cluster of a file.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: ClusterId,
    /// The source it comes from.
    pub source: SourceName,
    /// Its name at the vendor.
    pub name: String,
    /// How to reach it, or the code that says why that could not be had.
    pub access: Result<Access, &'static str>,
}

/// What stands for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserMode {
    /// A command that asks a gateway for the credential when it is needed.
    Ask {
        /// The gateway; without it, the variable `CLUSTERGATE_URL` of whoever runs the command decides.
        gateway: Option<Url>,
    },
    /// The vendor's own credential.
    Embed,
}

/// A kubeconfig.
#[derive(Debug)]
pub struct File {
    /// The text; a secret where credentials are embedded.
    pub yaml: SecretString,
    /// How many clusters it has.
    pub included: usize,
    /// Clusters that it does not have, with the code that says why, by id.
    pub missing: BTreeMap<ClusterId, &'static str>,
}

impl File {
    /// What is missing, for a header: `id;code, id;code`, cut to a bounded length with the number of those left out as `+n`.
    pub fn header(&self) -> Option<String> {
        if self.missing.is_empty() {
            return None;
        }
        let mut length = 0;
        let mut parts: Vec<String> = (self.missing.iter())
            .map(|(id, code)| format!("{id};{code}"))
            .take_while(|part| {
                length += part.len() + 2;
                length <= MAX_HEADER
            })
            .collect();
        if parts.len() < self.missing.len() {
            parts.push(format!("+{}", self.missing.len() - parts.len()));
        }
        Some(parts.join(", "))
    }
}

/// Writes one file for all clusters, by name. It depends on the set of entries alone, not on their order.
pub fn merged(entries: &[Entry], mode: &UserMode) -> File {
    // Names are given to what is missing too: they must not change with the luck of one call.
    let names = names(entries.iter().map(|entry| Wanted {
        id: &entry.id,
        source: &entry.source,
        name: &entry.name,
    }));
    let mut included: BTreeMap<&str, (&ClusterId, &Access)> = BTreeMap::new();
    let mut missing = BTreeMap::new();
    for entry in entries {
        match (&entry.access, names.get(&entry.id)) {
            (Ok(access), Some(name)) if is_writable(access, mode) => {
                included.insert(name, (&entry.id, access));
            }
            (Ok(_), _) => {
                missing.insert(entry.id.clone(), NEEDS_EMBED);
            }
            (Err(code), _) => {
                missing.insert(entry.id.clone(), *code);
            }
        }
    }
    let mut yaml = Yaml::default();
    head(&mut yaml, entries.len(), &missing, mode);
    yaml.line("apiVersion: v1");
    yaml.line("kind: Config");
    list(&mut yaml, "clusters", &included, write_cluster);
    list(&mut yaml, "users", &included, |yaml, id, access| {
        write_user(yaml, id, access, mode);
    });
    list(&mut yaml, "contexts", &included, |_, _, _| ());
    let current = match included.keys().next() {
        // Not where others are missing: the one that is left need not be the one that was meant.
        Some(only) if included.len() == 1 && missing.is_empty() => only,
        _ => "",
    };
    yaml.pair("", "current-context", current);
    File {
        yaml: yaml.into_text().into(),
        included: included.len(),
        missing,
    }
}

/// Where nothing is needed to get in, there is nothing to ask for.
fn is_writable(access: &Access, mode: &UserMode) -> bool {
    *mode == UserMode::Embed || has_no_credential(access) || forwardable(&access.user).is_ok()
}

const fn has_no_credential(access: &Access) -> bool {
    matches!(access.user.authorization, Authorization::None) && access.user.certificate.is_none()
}

fn head(
    yaml: &mut Yaml,
    wanted: usize,
    missing: &BTreeMap<ClusterId, &'static str>,
    mode: &UserMode,
) {
    let users = match mode {
        UserMode::Ask { .. } => "users ask the gateway for their credential when it is needed.",
        UserMode::Embed => "it holds the vendors' credentials: keep it secret.",
    };
    yaml.line(&format!("{MARK}: {users}"));
    if wanted > 1 {
        yaml.comment("No context is current: choose one with `kubectl config use-context NAME`.");
    }
    for (id, code) in missing {
        yaml.comment(&format!("not included: {id}: {code}"));
    }
}

type Included<'a> = BTreeMap<&'a str, (&'a ClusterId, &'a Access)>;

/// Writes one of the three lists: clusters, users and contexts of the same names.
fn list(
    yaml: &mut Yaml,
    key: &str,
    included: &Included<'_>,
    write: impl Fn(&mut Yaml, &ClusterId, &Access),
) {
    if included.is_empty() {
        yaml.line(&format!("{key}: []"));
        return;
    }
    yaml.open("", key);
    for (name, (id, access)) in included {
        yaml.pair("- ", "name", name);
        if key == "contexts" {
            yaml.open("  ", "context");
            yaml.pair("    ", "cluster", name);
            yaml.pair("    ", "user", name);
            if let Some(namespace) = &access.namespace {
                yaml.pair("    ", "namespace", namespace);
            }
        } else {
            write(yaml, id, access);
        }
    }
}

fn write_cluster(yaml: &mut Yaml, id: &ClusterId, access: &Access) {
    let server = &access.server;
    if server.is_insecure {
        yaml.comment(&format!(
            "{id}: the vendor says not to check who answers; whoever is on the way can read along"
        ));
    }
    if let Some(proxy) = &server.proxy {
        yaml.comment(&format!("{id}: the vendor wants the proxy {proxy} used"));
    }
    yaml.open("  ", "cluster");
    // The library ends an address without a path by a slash; kubeconfigs do not.
    yaml.pair("    ", "server", server.url.as_str().trim_end_matches('/'));
    if let Some(pem) = &server.authorities {
        yaml.pair("    ", "certificate-authority-data", &STANDARD.encode(pem));
    }
    if let Some(name) = &server.tls_name {
        yaml.pair("    ", "tls-server-name", name);
    }
    if server.is_insecure {
        yaml.line("    insecure-skip-tls-verify: true");
    }
    if let Some(proxy) = &server.proxy {
        yaml.pair("    ", "proxy-url", proxy.as_str());
    }
}

fn write_user(yaml: &mut Yaml, id: &ClusterId, access: &Access, mode: &UserMode) {
    if has_no_credential(access) {
        yaml.line("  user: {}");
        return;
    }
    match mode {
        UserMode::Ask { gateway } => {
            yaml.open("  ", "user");
            write_asking(yaml, id, gateway.as_ref());
        }
        UserMode::Embed => {
            if let Authorization::Command(command) = &access.user.authorization {
                yaml.comment(&format!(
                    "{id}: the vendor wants this command run on your machine: {}",
                    command.program
                ));
            }
            yaml.open("  ", "user");
            write_embedded(yaml, access);
        }
    }
}

fn write_asking(yaml: &mut Yaml, id: &ClusterId, gateway: Option<&Url>) {
    yaml.open("    ", "exec");
    yaml.pair("      ", "apiVersion", API_VERSION);
    yaml.pair("      ", "command", "clustergate");
    yaml.open("      ", "args");
    yaml.item("      ", "credential");
    yaml.item("      ", "--cluster");
    yaml.item("      ", id.as_str());
    if let Some(gateway) = gateway {
        yaml.item("      ", "--url");
        yaml.item("      ", gateway.as_str());
    }
    yaml.pair("      ", "interactiveMode", "Never");
    yaml.line("      provideClusterInfo: false");
    yaml.pair(
        "      ",
        "installHint",
        "The clustergate command is needed on the PATH, and an API key of the gateway in CLUSTERGATE_API_KEY where the gateway asks for one.",
    );
}

fn write_embedded(yaml: &mut Yaml, access: &Access) {
    let lead = "    ";
    if let Some(certificate) = &access.user.certificate {
        let encoded = STANDARD.encode(&certificate.chain);
        yaml.pair(lead, "client-certificate-data", &encoded);
        let encoded = STANDARD.encode(certificate.key.expose_secret());
        yaml.pair(lead, "client-key-data", &encoded);
    }
    match &access.user.authorization {
        Authorization::None => {}
        Authorization::Token(token) => yaml.pair(lead, "token", token.expose_secret()),
        Authorization::Basic { username, password } => {
            yaml.pair(lead, "username", username);
            yaml.pair(lead, "password", password.expose_secret());
        }
        Authorization::Command(command) => write_command(yaml, command),
    }
}

fn write_command(yaml: &mut Yaml, command: &Command) {
    let lead = "      ";
    yaml.open("    ", "exec");
    yaml.pair(lead, "apiVersion", command.api_version);
    yaml.pair(lead, "command", &command.program);
    if !command.arguments.is_empty() {
        yaml.open(lead, "args");
        for argument in &command.arguments {
            yaml.item(lead, argument.expose_secret());
        }
    }
    if !command.variables.is_empty() {
        yaml.open(lead, "env");
        for (name, value) in &command.variables {
            yaml.pair("      - ", "name", name);
            yaml.pair("        ", "value", value.expose_secret());
        }
    }
    yaml.pair(lead, "interactiveMode", command.interactive);
    let word = if command.wants_cluster {
        "true"
    } else {
        "false"
    };
    yaml.line(&format!("      provideClusterInfo: {word}"));
}
