//! A kubeconfig as `kubectl` reads it, as far as it matters here. No `Debug`: it is full of secrets.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Entries with names; null where other programs write an empty list.
pub(super) type List<T> = Option<Vec<T>>;

#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) clusters: List<NamedCluster>,
    pub(super) users: List<NamedUser>,
    pub(super) contexts: List<NamedContext>,
    #[serde(rename = "current-context")]
    pub(super) current_context: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NamedCluster {
    pub(super) name: String,
    pub(super) cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: String,
    pub(super) certificate_authority: Option<String>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure_skip_tls_verify: Option<bool>,
    pub(super) proxy_url: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NamedContext {
    pub(super) name: String,
    pub(super) context: Context,
}

#[derive(Deserialize)]
pub(super) struct Context {
    pub(super) cluster: String,
    pub(super) user: Option<String>,
    pub(super) namespace: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NamedUser {
    pub(super) name: String,
    pub(super) user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct User {
    pub(super) client_certificate: Option<String>,
    pub(super) client_certificate_data: Option<SecretString>,
    pub(super) client_key: Option<String>,
    pub(super) client_key_data: Option<SecretString>,
    pub(super) token: Option<SecretString>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) exec: Option<Exec>,
    pub(super) auth_provider: Option<IgnoredAny>,
    #[serde(rename = "as")]
    pub(super) impersonate: Option<IgnoredAny>,
    pub(super) as_uid: Option<IgnoredAny>,
    pub(super) as_groups: Option<IgnoredAny>,
    pub(super) as_user_extra: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exec {
    pub(super) api_version: Option<String>,
    pub(super) command: String,
    pub(super) args: List<SecretString>,
    pub(super) env: List<BTreeMap<String, SecretString>>,
    pub(super) interactive_mode: Option<String>,
    pub(super) provide_cluster_info: Option<bool>,
}
