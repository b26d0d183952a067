//! Reading a vendor's kubeconfig: what is known is taken, what is not understood is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use serde_saphyr::{budget, options};
use url::Url;

use super::MAX_BYTES;
use super::access::{Access, Authorization, ClientCertificate, Command, Refused, Server, User};
use super::wire;

/// Longest text that is no certificate, key, token or argument.
const MAX_TEXT: usize = 1_024;
/// Longest certificates or key, decoded: the authorities of a whole system fit.
const MAX_PEM: usize = 256 << 10;
/// Longest token or argument.
const MAX_SECRET: usize = 64 << 10;
/// Most arguments, and most variables, of a vendor's command.
const MAX_ARGUMENTS: usize = 64;

impl Access {
    /// Reads a vendor's kubeconfig: its current context, else its only one.
    pub fn read(yaml: &str) -> Result<Self, Refused> {
        if yaml.len() > MAX_BYTES {
            return Err(Refused::TooLarge);
        }
        // What is not known to be bounded is not expanded: a few aliases are a habit, thousands are an attack. No snippet: the
        // parser's messages would quote the file.
        let options = options! {
            budget: budget! {
                max_events: 20_000,
                max_nodes: 10_000,
                max_depth: 16,
                flow_nesting_limit: 16,
                max_documents: 1,
                max_aliases: 16,
                max_anchors: 16,
                max_merge_keys: 16,
                max_recorded_anchor_events: 1_000,
                max_recorded_anchor_bytes: MAX_BYTES,
                max_total_scalar_bytes: 2 * MAX_BYTES,
                max_inclusion_depth: 0,
            },
            with_snippet: false,
        };
        let config: wire::Config =
            serde_saphyr::from_str_with_options(yaml, options).map_err(|_| Refused::Malformed)?;
        of_config(config)
    }
}

fn of_config(config: wire::Config) -> Result<Access, Refused> {
    let mut contexts = config.contexts.unwrap_or_default();
    let wanted = config.current_context.filter(|name| !name.is_empty());
    let context = match wanted {
        Some(name) => contexts.into_iter().find(|context| context.name == name),
        None if contexts.len() == 1 => contexts.pop(),
        None => None,
    };
    let context = context.ok_or(Refused::NoContext)?.context;
    let cluster = config
        .clusters
        .unwrap_or_default()
        .into_iter()
        .find(|cluster| cluster.name == context.cluster)
        .ok_or(Refused::Dangling)?;
    let user = match context.user.filter(|name| !name.is_empty()) {
        None => wire::User::default(),
        Some(name) => {
            let named = (config.users.unwrap_or_default().into_iter())
                .find(|user| user.name == name)
                .ok_or(Refused::Dangling)?;
            named.user.unwrap_or_default()
        }
    };
    Ok(Access {
        server: server(cluster.cluster)?,
        user: of_user(user)?,
        namespace: checked("namespace", context.namespace)?,
    })
}

fn server(cluster: wire::Cluster) -> Result<Server, Refused> {
    no_file("certificate-authority", cluster.certificate_authority)?;
    let url = plain(&cluster.server, &["https"]).ok_or(Refused::Server)?;
    let authorities = match cluster.certificate_authority_data.filter(is_some_text) {
        None => None,
        Some(data) => Some(certificates("certificate-authority-data", &data)?),
    };
    let tls_name = checked("tls-server-name", cluster.tls_server_name)?;
    let is_name = |name: &String| {
        (name.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"-._:*".contains(&byte))
    };
    if !tls_name.iter().all(is_name) {
        return Err(Refused::Text("tls-server-name"));
    }
    let proxy = match cluster.proxy_url.filter(is_some_text) {
        None => None,
        Some(text) => Some(plain(&text, &["http", "https"]).ok_or(Refused::Proxy)?),
    };
    // With both, kubectl refuses the file; the check is what is kept.
    let is_insecure = cluster.insecure_skip_tls_verify == Some(true) && authorities.is_none();
    Ok(Server {
        url,
        authorities,
        tls_name,
        is_insecure,
        proxy,
    })
}

fn of_user(user: wire::User) -> Result<User, Refused> {
    no_file("client-certificate", user.client_certificate)?;
    no_file("client-key", user.client_key)?;
    no_file("tokenFile", user.token_file)?;
    // Without it the same credential could do more than the vendor meant it to.
    let impersonates = user.impersonate.is_some()
        || user.as_uid.is_some()
        || user.as_groups.is_some()
        || user.as_user_extra.is_some();
    if impersonates {
        return Err(Refused::Unsupported("an impersonation"));
    }
    if user.auth_provider.is_some() {
        return Err(Refused::Unsupported("an auth-provider"));
    }
    let certificate = match (
        user.client_certificate_data.filter(is_some_secret),
        user.client_key_data.filter(is_some_secret),
    ) {
        (None, None) => None,
        (Some(chain), Some(key)) => Some(ClientCertificate {
            chain: certificates("client-certificate-data", chain.expose_secret())?,
            key: private_key(&key)?,
        }),
        (Some(_), None) => return Err(Refused::Certificate("client-key-data")),
        (None, Some(_)) => return Err(Refused::Certificate("client-certificate-data")),
    };
    let token = user.token.filter(is_some_secret);
    let basic = match (
        checked("username", user.username)?,
        user.password.filter(is_some_secret),
    ) {
        (None, None) => None,
        (Some(username), Some(password)) => Some((username, secret("password", password)?)),
        _ => return Err(Refused::Unsupported("half a name and password")),
    };
    let authorization = match (token, basic, user.exec) {
        (None, None, None) => Authorization::None,
        (Some(token), None, None) => Authorization::Token(bearer(token)?),
        (None, Some((username, password)), None) => Authorization::Basic { username, password },
        (None, None, Some(exec)) => Authorization::Command(command(exec)?),
        _ => return Err(Refused::Ambiguous),
    };
    Ok(User {
        certificate,
        authorization,
    })
}

fn command(exec: wire::Exec) -> Result<Command, Refused> {
    let api_version = match exec.api_version.as_deref() {
        Some("client.authentication.k8s.io/v1") => "client.authentication.k8s.io/v1",
        Some("client.authentication.k8s.io/v1beta1") => "client.authentication.k8s.io/v1beta1",
        _ => return Err(Refused::Unsupported("a command of another protocol")),
    };
    let interactive = match exec.interactive_mode.as_deref() {
        Some("Never") => "Never",
        Some("Always") => "Always",
        Some("IfAvailable") | None => "IfAvailable",
        Some(_) => return Err(Refused::Unsupported("a command of another protocol")),
    };
    let program = checked("command", Some(exec.command))?.ok_or(Refused::Text("command"))?;
    let (args, env) = (exec.args.unwrap_or_default(), exec.env.unwrap_or_default());
    if args.len() > MAX_ARGUMENTS || env.len() > MAX_ARGUMENTS {
        return Err(Refused::TooLarge);
    }
    let arguments = args
        .into_iter()
        .map(|argument| secret("command", argument))
        .collect::<Result<_, _>>()?;
    let mut variables = Vec::with_capacity(env.len());
    for mut variable in env {
        let name = variable.remove("name").ok_or(Refused::Malformed)?;
        let name = checked("command", Some(name.expose_secret().to_owned()))?;
        let value = variable.remove("value").unwrap_or_default();
        variables.push((name.ok_or(Refused::Malformed)?, secret("command", value)?));
    }
    Ok(Command {
        api_version,
        program,
        arguments,
        variables,
        interactive,
        wants_cluster: exec.provide_cluster_info.unwrap_or(false),
    })
}

#[expect(clippy::ptr_arg, reason = "it filters options")]
fn is_some_text(text: &String) -> bool {
    !text.is_empty()
}

fn is_some_secret(secret: &SecretString) -> bool {
    !secret.expose_secret().is_empty()
}

fn no_file(field: &'static str, path: Option<String>) -> Result<(), Refused> {
    match path.filter(is_some_text) {
        None => Ok(()),
        Some(_) => Err(Refused::File(field)),
    }
}

/// An address with nothing that an address of a server does not have.
fn plain(text: &str, schemes: &[&str]) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = text.len() <= MAX_TEXT
        && schemes.contains(&url.scheme())
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    is_plain.then_some(url)
}

fn checked(field: &'static str, text: Option<String>) -> Result<Option<String>, Refused> {
    let text = text.filter(is_some_text);
    let is_fine = |text: &String| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    if text.iter().all(is_fine) {
        Ok(text)
    } else {
        Err(Refused::Text(field))
    }
}

fn secret(field: &'static str, secret: SecretString) -> Result<SecretString, Refused> {
    let text = secret.expose_secret();
    if text.len() > MAX_SECRET || text.contains('\0') {
        return Err(Refused::Text(field));
    }
    Ok(secret)
}

/// What can be sent in a header.
fn bearer(token: SecretString) -> Result<SecretString, Refused> {
    let text = token.expose_secret();
    if text.len() > MAX_SECRET || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::Text("token"));
    }
    Ok(token)
}

fn decoded(field: &'static str, data: &str) -> Result<String, Refused> {
    let compact: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD
        .decode(compact)
        .ok()
        .filter(|bytes| bytes.len() <= MAX_PEM)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(Refused::Certificate(field))
}

fn certificates(field: &'static str, data: &str) -> Result<String, Refused> {
    let pem = decoded(field, data)?;
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificate.map_err(|_| Refused::Certificate(field))?;
        found += 1;
    }
    // A key among what is not secret would be shown to everyone who may see the cluster's address.
    let has_key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_ok();
    if found == 0 || has_key {
        return Err(Refused::Certificate(field));
    }
    Ok(pem)
}

fn private_key(data: &SecretString) -> Result<SecretString, Refused> {
    let pem: SecretString = decoded("client-key-data", data.expose_secret())?.into();
    PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes())
        .map_err(|_| Refused::Certificate("client-key-data"))?;
    Ok(pem)
}
