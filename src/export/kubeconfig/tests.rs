use std::fmt::Write as _;

use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::*;
use crate::domain::{ClusterId, SourceName};

/// PEM of the right form; nobody checks what it certifies before a connection is made.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A vendor's file with these lines in its cluster and its user.
fn vendor(cluster: &str, user: &str) -> String {
    let indented = |lines: &str| {
        lines.lines().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "    {line}");
            text
        })
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: https://k8s.example:6443\n{}contexts:\n- name: x\n  context: {{cluster: c, user: u}}\ncurrent-context: x\nusers:\n- name: u\n  user:\n    ignored: 1\n{}",
        indented(cluster),
        indented(user)
    )
}

fn read(cluster: &str, user: &str) -> Result<Access, Refused> {
    Access::read(&vendor(cluster, user))
}

fn with_certificate() -> String {
    format!(
        "client-certificate-data: {}\nclient-key-data: {}",
        encoded(CERTIFICATE),
        encoded(KEY)
    )
}

fn entry(source: &str, native: &str, name: &str, access: Result<Access, Refused>) -> Entry {
    let source = SourceName::new(source).unwrap();
    Entry {
        id: ClusterId::new(&source, native),
        source,
        name: name.to_owned(),
        access: access.map_err(|_| Refused::CODE),
    }
}

fn gone(native: &str) -> Entry {
    Entry {
        access: Err("UPSTREAM_TIMEOUT"),
        ..entry("eu", native, "gone", read("", ""))
    }
}

#[test]
fn what_is_known_is_taken() {
    let cluster = format!(
        "certificate-authority-data: {}\ntls-server-name: k8s.internal\nproxy-url: http://proxy.example:3128",
        encoded(CERTIFICATE)
    );
    let access = read(&cluster, &with_certificate()).unwrap();
    assert_eq!(access.server.url.as_str(), "https://k8s.example:6443/");
    assert_eq!(access.server.authorities.as_deref(), Some(CERTIFICATE));
    assert_eq!(access.server.tls_name.as_deref(), Some("k8s.internal"));
    assert!(access.server.proxy.is_some() && !access.server.is_insecure);
    let certificate = access.user.certificate.unwrap();
    assert_eq!(certificate.chain, CERTIFICATE);
    assert_eq!(certificate.key.expose_secret(), KEY);

    let token = read("insecure-skip-tls-verify: true", "token: 12345").unwrap();
    assert!(token.server.is_insecure);
    let Authorization::Token(token) = token.user.authorization else {
        panic!("it has a token")
    };
    assert_eq!(token.expose_secret(), "12345");

    let both = format!(
        "certificate-authority-data: {}\ninsecure-skip-tls-verify: true",
        encoded(CERTIFICATE)
    );
    assert!(!read(&both, "token: t").unwrap().server.is_insecure);

    let usual = vendor("", "token: yes").replace(
        "current-context",
        "preferences: {}\nextensions: null\ncurrent-context",
    );
    let usual = Access::read(&format!("---\n# A remark\n{usual}...\n")).unwrap();
    assert!(matches!(usual.user.authorization, Authorization::Token(_)));

    let json = r#"{"clusters":[{"name":"c","cluster":{"server":"https://a/k8s/1"}}],"users":null,
        "contexts":[{"name":"x","context":{"cluster":"c","user":"","namespace":"web"}}]}"#;
    let open = Access::read(json).unwrap();
    assert_eq!(open.namespace.as_deref(), Some("web"));
    assert!(matches!(open.user.authorization, Authorization::None));
}

#[test]
fn what_names_a_file_or_is_not_understood_is_refused() {
    let basic = "username: a\npassword: b";
    let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}";
    for (cluster, user, refused) in [
        (
            "certificate-authority: /etc/ca.pem",
            "token: t",
            Refused::File("certificate-authority"),
        ),
        ("", "tokenFile: /run/secret", Refused::File("tokenFile")),
        ("", "client-key: key.pem", Refused::File("client-key")),
        (
            "",
            "client-certificate: c.pem",
            Refused::File("client-certificate"),
        ),
        (
            "certificate-authority-data: '%'",
            "token: t",
            Refused::Certificate("certificate-authority-data"),
        ),
        (
            "certificate-authority-data: aGVsbG8=",
            "token: t",
            Refused::Certificate("certificate-authority-data"),
        ),
        (
            "",
            "client-key-data: aGVsbG8=",
            Refused::Certificate("client-certificate-data"),
        ),
        (
            "proxy-url: socks5://proxy.example",
            "token: t",
            Refused::Proxy,
        ),
        (
            "proxy-url: http://user:pass@proxy.example",
            "token: t",
            Refused::Proxy,
        ),
        (
            "tls-server-name: 'a b'",
            "token: t",
            Refused::Text("tls-server-name"),
        ),
        ("", "token: 'a b'", Refused::Text("token")),
        ("", "token: \"a\\nb\"", Refused::Text("token")),
        (
            "",
            "token: t\nas: root",
            Refused::Unsupported("an impersonation"),
        ),
        (
            "",
            "token: t\nas-groups: [a]",
            Refused::Unsupported("an impersonation"),
        ),
        (
            "",
            "auth-provider: {name: gcp}",
            Refused::Unsupported("an auth-provider"),
        ),
        (
            "",
            "username: a",
            Refused::Unsupported("half a name and password"),
        ),
        (
            "",
            "exec: {command: aws}",
            Refused::Unsupported("a command of another protocol"),
        ),
        ("", &format!("{basic}\n{exec}"), Refused::Ambiguous),
        ("", &format!("token: t\n{exec}"), Refused::Ambiguous),
        ("", "token: t\ntoken: u", Refused::Malformed),
    ] {
        assert_eq!(
            read(cluster, user).err(),
            Some(refused),
            "{cluster:?} {user:?}"
        );
    }
    let with_key = format!(
        "certificate-authority-data: {}",
        encoded(&format!("{CERTIFICATE}{KEY}"))
    );
    assert!(matches!(read(&with_key, ""), Err(Refused::Certificate(_))));
    let long = CERTIFICATE.repeat(6_000);
    let long = format!("certificate-authority-data: {}", encoded(&long));
    assert!(matches!(read(&long, ""), Err(Refused::Certificate(_))));
    for server in [
        "http://a",
        "https://",
        "https://u:p@a",
        "https://a/?q",
        "file:///etc",
        "a:6443",
    ] {
        let text = vendor("", "token: t").replace("https://k8s.example:6443", server);
        assert_eq!(Access::read(&text).err(), Some(Refused::Server), "{server}");
    }
}

#[test]
fn a_file_must_say_which_context_is_meant() {
    let good = vendor("", "token: t");
    let without = good.replace("current-context: x\n", "");
    assert!(Access::read(&without).is_ok(), "it is the only one");
    let two = without.replace(
        "contexts:\n",
        "contexts:\n- {name: y, context: {cluster: c}}\n",
    );
    assert_eq!(Access::read(&two).err(), Some(Refused::NoContext));
    let gone = good.replace("current-context: x", "current-context: z");
    assert_eq!(Access::read(&gone).err(), Some(Refused::NoContext));
    let dangling = good.replace("user: u}", "user: v}");
    assert_eq!(Access::read(&dangling).err(), Some(Refused::Dangling));
    for text in [
        "",
        "[]",
        "<html>",
        "a: &a [*a]",
        "\0",
        "kind: Config",
        "---\n---\n",
    ] {
        assert!(Access::read(text).is_err(), "{text:?}");
    }
    assert_eq!(
        Access::read(&format!("{good}# {}", "x".repeat(MAX_BYTES))).err(),
        Some(Refused::TooLarge)
    );
}

#[test]
fn aliases_do_not_multiply() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 8].join(", ");
        let _ = writeln!(bomb, "a{level}: &a{level} [{aliases}]");
    }
    bomb.push_str(&vendor("", "token: t"));
    assert_eq!(Access::read(&bomb).err(), Some(Refused::Malformed));
    let modest = vendor("", "token: &t abc")
        .replace("current-context: x", "current-context: &c x\nagain: *c");
    assert!(Access::read(&modest).is_ok());
}

#[test]
fn one_file_for_all_asks_for_credentials_and_names_what_is_missing() {
    let command =
        "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws, args: [eks]}";
    let entries = [
        entry("main", "kc_1", "edge", read("", &with_certificate())),
        entry(
            "eu",
            "2",
            "edge",
            read("insecure-skip-tls-verify: true", "token: s3cret"),
        ),
        entry("eu", "3", "eks", read("", command)),
        gone("4"),
        entry("eu", "5", "open", read("", "")),
    ];
    let gateway = Some("https://gate.example/inventory".parse().unwrap());
    let file = merged(&entries, &UserMode::Ask { gateway });
    insta::assert_snapshot!(file.yaml.expose_secret());
    assert_eq!(file.included, 3);
    assert_eq!(
        file.header().as_deref(),
        Some("eu:3;KUBECONFIG_NEEDS_EMBED, eu:4;UPSTREAM_TIMEOUT")
    );
}

#[test]
fn an_embedding_file_holds_what_the_vendor_gave() {
    let command = "exec:\n  apiVersion: client.authentication.k8s.io/v1\n  command: aws\n  args: [eks, 'get\ttoken']\n  env: [{name: AWS_PROFILE, value: prod}]\n  installHint: 'x'";
    let entries = [
        entry("eu", "2", "token", read("", "token: s3cret")),
        entry("eu", "3", "command", read("", command)),
        entry(
            "eu",
            "4",
            "basic",
            read("", "username: é\npassword: 'p: #'"),
        ),
    ];
    let file = merged(&entries, &UserMode::Embed);
    insta::assert_snapshot!(file.yaml.expose_secret());
    assert_eq!((file.included, file.header()), (3, None));
}

#[test]
fn only_a_file_of_one_cluster_has_a_current_context() {
    let ask = UserMode::Ask { gateway: None };
    let one = [entry("a", "1", "x", read("", "token: t"))];
    let text = |entries: &[Entry]| merged(entries, &ask).yaml.expose_secret().to_owned();
    assert!(text(&one).ends_with("current-context: a/x\n"));
    assert_eq!(
        Access::read(&text(&one)).unwrap().server.url.as_str(),
        "https://k8s.example:6443/"
    );
    let two = [
        entry("a", "1", "x", read("", "token: t")),
        entry("a", "2", "y", read("", "token: t")),
    ];
    assert!(text(&two).ends_with("current-context: \"\"\n"));
    let half = [entry("a", "1", "x", read("", "token: t")), gone("2")];
    assert!(text(&half).ends_with("current-context: \"\"\n"));
    assert!(text(&[]).ends_with("clusters: []\nusers: []\ncontexts: []\ncurrent-context: \"\"\n"));
}

#[test]
fn a_header_is_bounded_and_says_how_many_it_leaves_out() {
    let entries: Vec<Entry> = (0..500)
        .map(|at| gone(&format!("cluster-{at:03}")))
        .collect();
    let header = merged(&entries, &UserMode::Embed).header().unwrap();
    assert!(header.len() < 2_100, "{}", header.len());
    let named = header.matches(';').count();
    assert!(header.ends_with(&format!(", +{}", 500 - named)), "{header}");
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let command = "exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [s3cret], env: [{name: A, value: s3cret}]}";
    for user in ["token: s3cret", "username: a\npassword: s3cret", command] {
        let access = read("", user).unwrap();
        assert!(!format!("{access:?}").contains("s3cret"), "{user}");
        let file = merged(&[entry("a", "1", "x", Ok(access))], &UserMode::Embed);
        assert!(file.yaml.expose_secret().contains("s3cret"));
        assert!(!format!("{file:?}").contains("s3cret"), "{user}");
    }
    assert!(!format!("{:?}", read("", &with_certificate()).unwrap()).contains("PRIVATE"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), at in 0_usize..400, cut in 0_usize..40) {
        let _ = Access::read(&text);
        let good = vendor("tls-server-name: a", &with_certificate());
        let mut mangled: Vec<char> = good.chars().collect();
        let at = at.min(mangled.len());
        let end = (at + cut).min(mangled.len());
        mangled.splice(at..end, text.chars());
        let _ = Access::read(&mangled.into_iter().collect::<String>());
    }

    #[test]
    fn what_is_written_reads_back(
        token in "[!-~]{1,40}",
        namespace in "[^\\pC]{0,20}",
        names in proptest::collection::vec(any::<String>(), 1..6),
        is_embedding in any::<bool>(),
    ) {
        let mut access = read("", "token: t").unwrap();
        access.user.authorization = Authorization::Token(token.clone().into());
        access.namespace = (!namespace.is_empty()).then_some(namespace);
        let mode = if is_embedding { UserMode::Embed } else { UserMode::Ask { gateway: None } };
        let entries: Vec<Entry> = names.iter().enumerate()
            .map(|(at, name)| entry("s", &at.to_string(), name, Ok(access.clone())))
            .collect();
        let file = merged(&entries, &mode);
        let read: serde_json::Value = serde_saphyr::from_str(file.yaml.expose_secret()).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for list in ["clusters", "users", "contexts"] {
            let list = read[list].as_array().unwrap();
            prop_assert_eq!(list.len(), names.len());
            seen.extend(list.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        }
        prop_assert_eq!(seen.len(), names.len(), "the same unique names in all three");
        if is_embedding {
            prop_assert_eq!(&read["users"][0]["user"]["token"], &token);
            let alone = merged(&entries[..1], &mode);
            let back = Access::read(alone.yaml.expose_secret()).unwrap();
            prop_assert_eq!(back.namespace, access.namespace);
        } else {
            prop_assert_eq!(&read["users"][0]["user"]["exec"]["command"], "clustergate");
        }
    }
}
