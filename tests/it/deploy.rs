//! The examples of a deployment: they parse, and what they set is something that the program knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clustergate::adapters::CATALOG;
use clustergate::config::{Config, Overrides, parse};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::PATIENCE;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/deploy")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// What a configuration means with these variables.
fn meaning(text: &str, variables: &BTreeMap<String, String>) -> Config {
    let overrides = Overrides {
        insecure_bind: true,
        ..Overrides::default()
    };
    parse(text, &folder(), &overrides, variables, CATALOG)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn is_shared(config: &Config) {
    let store = config.store.as_ref().unwrap();
    assert!(store.shared.is_some(), "{store:?}");
    assert!(!config.sources.is_empty());
}

/// The names of variables that the program reads beside those that its configuration names.
fn variables_of_the_program() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let quoted = text
                .split('"')
                .filter(|word| word.starts_with("CLUSTERGATE_"));
            found.extend(quoted.map(str::to_owned));
        }
    }
    found
}

/// Every name that begins like a variable of the program.
fn named(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let keys = members.keys().filter(|key| key.starts_with("CLUSTERGATE_"));
            found.extend(keys.cloned());
            members.values().for_each(|inner| named(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| named(inner, found)),
        Value::String(text) if text.starts_with("CLUSTERGATE_") => {
            found.insert(text.clone());
        }
        _ => {}
    }
}

fn are_known(value: &Value, config: &str) {
    let known = variables_of_the_program();
    let mut used = BTreeSet::new();
    named(value, &mut used);
    assert!(!used.is_empty());
    for name in used {
        assert!(
            known.contains(&name) || config.contains(&format!("\"{name}\"")),
            "{name}"
        );
    }
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let members = object.as_object().unwrap().iter();
    members
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

#[test]
fn the_compose_file_runs_three_replicas_over_one_database() {
    let compose: Value = serde_saphyr::from_str(&read("compose.yaml")).unwrap();
    let service = &compose["services"]["clustergate"];
    assert_eq!(service["deploy"]["replicas"], 3);
    let text = read("clustergate.toml");
    are_known(service, &text);
    let mut variables = texts(&service["environment"]);
    for value in variables.values_mut() {
        // What compose itself fills in.
        if let (Some(begin), Some(end)) = (value.find("${"), value.find('}')) {
            value.replace_range(begin..=end, "filled-in");
        }
    }
    is_shared(&meaning(&text, &variables));
    for volume in [
        &service["volumes"][0],
        &compose["services"]["balancer"]["volumes"][0],
    ] {
        let file = volume.as_str().unwrap().split(':').next().unwrap();
        assert!(folder().join(file).is_file(), "{file}");
    }
    let service = format!("http://{}", "clustergate");
    assert!(read("nginx.conf").contains(&format!("proxy_pass {service};")));
}

async fn message(socket: &mut TcpStream) -> Vec<u8> {
    let length = usize::try_from(socket.read_u32().await.unwrap()).unwrap();
    let mut rest = vec![0; length - 4];
    socket.read_exact(&mut rest).await.unwrap();
    rest
}

/// Asks who connects for its password, as PostgreSQL does, and takes none.
async fn asked_for_its_password(listener: &TcpListener) -> Vec<u8> {
    let (mut socket, _) = listener.accept().await.unwrap();
    let start = message(&mut socket).await;
    let start = String::from_utf8_lossy(&start);
    assert!(start.contains("user\0clustergate\0"), "{start:?}");
    // In clear.
    let ask = b"R\0\0\0\x08\0\0\0\x03";
    socket.write_all(ask).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'p');
    let password = message(&mut socket).await;
    let refused = b"SFATAL\0C28P01\0Mno\0\0";
    let length = u32::try_from(refused.len() + 4).unwrap().to_be_bytes();
    let answer = [&b"E"[..], &length, refused].concat();
    socket.write_all(&answer).await.unwrap();
    password
}

#[tokio::test]
async fn the_password_of_the_compose_file_may_have_any_character() {
    const PASSWORD: &str = "p@ss/w:rd#?%41 ${HOME}\\'\"&=é";
    let compose: Value = serde_saphyr::from_str(&read("compose.yaml")).unwrap();
    let variables = texts(&compose["services"]["clustergate"]["environment"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("@{}/", listener.local_addr().unwrap());
    let (address, password) = (
        &variables["CLUSTERGATE_STORE_URL"],
        &variables["PGPASSWORD"],
    );
    assert!(address.contains("@database/") && !address.contains('$'));
    assert!(password.starts_with("${POSTGRES_PASSWORD:?"));
    let child = Command::new(env!("CARGO_BIN_EXE_clustergate"))
        .args(["store", "check", "--config"])
        .arg(folder().join("clustergate.toml"))
        .env_clear()
        .env(
            "CLUSTERGATE_STORE_URL",
            address.replace("@database/", &here),
        )
        .env("PGPASSWORD", PASSWORD)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let shown = timeout(PATIENCE, asked_for_its_password(&listener)).await;
    assert_eq!(shown.unwrap(), format!("{PASSWORD}\0").as_bytes());
    let ended = spawn_blocking(|| child.wait_with_output());
    let output = timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("p@ss"), "{said}");
}

#[test]
fn the_manifests_run_three_replicas_over_one_database() {
    let text = read("kubernetes.yaml");
    let manifests: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let find = |kind: &str, name: &str| {
        let mut found = manifests
            .iter()
            .filter(|one| one["kind"] == kind && one["metadata"]["name"] == name);
        found.next().unwrap_or_else(|| panic!("{kind} {name}"))
    };
    for kind in ["Service", "PodDisruptionBudget"] {
        let selector = &find(kind, "clustergate")["spec"]["selector"];
        assert!(selector.to_string().contains("clustergate"), "{kind}");
    }
    let deployment = find("Deployment", "clustergate");
    assert_eq!(deployment["spec"]["replicas"], 3);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
    }
    let config = find("ConfigMap", "clustergate")["data"]["clustergate.toml"]
        .as_str()
        .unwrap();
    let variables = texts(&find("Secret", "clustergate")["stringData"]);
    is_shared(&meaning(config, &variables));
    are_known(&manifests.iter().cloned().collect(), config);
    // The database is who it says it is, by a certificate that is there.
    let address = &variables["CLUSTERGATE_STORE_URL"];
    let (_, query) = address.split_once('?').unwrap();
    let query: BTreeMap<&str, &str> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .collect();
    assert_eq!(query["sslmode"], "verify-full");
    let authority = Path::new(query["sslrootcert"]);
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = mounts
        .iter()
        .find(|mount| authority.parent() == mount["mountPath"].as_str().map(Path::new));
    let volumes = pod["volumes"].as_array().unwrap();
    let mut volume = volumes
        .iter()
        .filter(|volume| volume["name"] == mount.unwrap()["name"]);
    let name = volume.next().unwrap()["configMap"]["name"]
        .as_str()
        .unwrap();
    let file = authority.file_name().unwrap().to_str().unwrap();
    assert!(find("ConfigMap", name)["data"][file].is_string());
    assert!(!variables["PGPASSWORD"].is_empty() && !address.contains(":password"));
    // What is mounted is there.
    for volume in pod["volumes"].as_array().unwrap() {
        if let Some(name) = volume["secret"]["secretName"].as_str() {
            find("Secret", name);
        }
        if let Some(name) = volume["configMap"]["name"].as_str() {
            find("ConfigMap", name);
        }
    }
    let keys = &find("Secret", "clustergate-keys")["stringData"]["keys.json"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, keys.as_str().unwrap()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).unwrap();
    }
    let keys = clustergate::access::KeysFile::at(file);
    assert_eq!(keys.list().unwrap().len(), 0);
}
