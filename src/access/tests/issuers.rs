//! Reading an issuer's keys: seldom, together, and for as long as they can be used.

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::discovery::{FRESH, INTERVAL, STALE};
use super::*;

fn kind(told: Result<Arc<Principal>, Denied>) -> Result<(), DeniedKind> {
    told.map(drop).map_err(|denied| denied.kind)
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_read_once_for_everybody_and_not_too_often() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let (access, script) = one_issuer(&[&old]);
    show(&access, &old.token(&claims()), at(0)).await.unwrap();
    assert_eq!(script.readings(), 1);

    // Too early for another reading: refused at once, whatever the issuer has by now.
    script.say(&format!("{ISSUER}/keys"), &jwks(&[&old, &new]));
    let token = new.token(&claims());
    for _ in 0..100 {
        assert_eq!(
            kind(show(&access, &token, at(0)).await),
            Err(DeniedKind::Invalid)
        );
    }
    assert_eq!(script.readings(), 1);

    sleep(INTERVAL).await;
    let shown = (0..50).map(|_| show(&access, &token, at(0)));
    for told in join_all(shown).await {
        assert_eq!(kind(told), Ok(()));
    }
    assert_eq!(script.readings(), 2);

    // Names that do not exist cost the issuer one reading in each interval.
    let unknown = Signer::ed("invented").token(&claims());
    for _ in 0..4 {
        sleep(INTERVAL).await;
        let shown = (0..20).map(|_| show(&access, &unknown, at(0)));
        for told in join_all(shown).await {
            assert_eq!(kind(told), Err(DeniedKind::Invalid));
        }
    }
    assert_eq!(script.readings(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_takes_the_reading_from_nobody() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let (access, script) = one_issuer(&[&old]);
    show(&access, &old.token(&claims()), at(0)).await.unwrap();
    script.say(&format!("{ISSUER}/keys"), &jwks(&[&old, &new]));
    sleep(INTERVAL).await;
    let token = new.token(&claims());
    let gone = timeout(Duration::from_millis(10), show(&access, &token, at(0))).await;
    assert!(gone.is_err());
    assert_eq!(kind(show(&access, &token, at(0)).await), Ok(()));
    assert_eq!(script.readings(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait_for_an_issuer_and_the_others_are_answered_at_once() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let (access, script) = one_issuer(&[&old]);
    show(&access, &old.token(&claims()), at(0)).await.unwrap();
    script.say(&format!("{ISSUER}/keys"), &jwks(&[&old, &new]));
    sleep(INTERVAL).await;
    let token = new.token(&claims());
    let told = join_all((0..1_000).map(|_| show(&access, &token, at(0)))).await;
    let let_in = told.iter().filter(|told| told.is_ok()).count();
    assert_eq!(let_in, WAITING);
    for denied in told.into_iter().filter_map(Result::err) {
        assert_eq!(denied.kind, DeniedKind::Unavailable);
    }
    assert_eq!(kind(show(&access, &token, at(0)).await), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_one_issuer_leave_room_at_another() {
    let (mallory, ada) = (Signer::ed("invented"), Signer::ed("key-1"));
    let (slow, other) = (ISSUER, "https://other.example");
    let script = Script::default();
    script.say(&format!("{other}/keys"), &jwks(&[&ada]));
    let access = start(vec![issuer(slow), issuer(other)], &script);
    let guess = mallory.token(&claims());
    let good = ada.token(&claims_with("iss", json!(other)));
    let guesses = join_all((0..1_000).map(|_| show(&access, &guess, at(0))));
    let (_, told) = tokio::join!(guesses, show(&access, &good, at(0)));
    assert_eq!(kind(told), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn keys_of_an_issuer_that_is_down_are_used_for_some_hours() {
    let signer = Signer::ed("key-1");
    let (access, script) = one_issuer(&[&signer]);
    let token = |sub: &str| signer.token(&claims_with("sub", json!(sub)));
    show(&access, &token("a"), at(0)).await.unwrap();
    script.fall_silent();

    sleep(FRESH * 2).await;
    assert_eq!(kind(show(&access, &token("b"), at(0)).await), Ok(()));
    let before = script.readings();
    sleep(Duration::from_mins(10)).await;
    assert_eq!(
        script.readings() - before,
        20,
        "twice a minute until it is back"
    );
    sleep(STALE).await;
    for _ in 0..3 {
        let told = show(&access, &token("c"), at(0)).await;
        assert_eq!(kind(told), Err(DeniedKind::Unavailable));
    }
    script.say(&format!("{ISSUER}/keys"), &jwks(&[&signer]));
    sleep(INTERVAL * 2).await;
    assert_eq!(kind(show(&access, &token("d"), at(0)).await), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn without_any_keys_it_cannot_be_told() {
    let script = Script::default();
    let access = start(vec![issuer(ISSUER)], &script);
    let signer = Signer::ed("key-1");
    for nonsense in [json!("<html>"), json!({ "keys": 7 }), json!([])] {
        script.say(&format!("{ISSUER}/keys"), &nonsense);
        let told = show(&access, &signer.token(&claims()), at(0)).await;
        assert_eq!(kind(told), Err(DeniedKind::Unavailable), "{nonsense}");
        sleep(INTERVAL).await;
    }
    // An issuer that publishes a good set without keys has taken them back.
    script.say(&format!("{ISSUER}/keys"), &jwks(&[]));
    sleep(INTERVAL).await;
    let told = show(&access, &signer.token(&claims()), at(0)).await;
    assert_eq!(kind(told), Err(DeniedKind::Invalid));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_says_itself_where_its_keys_are() {
    let signer = Signer::ed("key-1");
    let told = async |issuer: &str, metadata: Value| {
        let script = Script::default();
        script.say(
            &format!(
                "{}/.well-known/openid-configuration",
                issuer.trim_end_matches('/')
            ),
            &metadata,
        );
        for keys in [
            "https://keys.example/set?v=1",
            "http://keys.example/set",
            "http://127.0.0.1:1/set",
            "https://u:p@keys.example/set",
        ] {
            script.say(keys, &jwks(&[&signer]));
        }
        let access = start(vec![IssuerSettings::new(issuer, AUDIENCE)], &script);
        let token = signer.token(&claims_with("iss", json!(issuer)));
        kind(show(&access, &token, at(0)).await)
    };
    let at = |issuer: &str, keys: &str| json!({ "issuer": issuer, "jwks_uri": keys });
    let good = "https://keys.example/set?v=1";
    for issuer in [
        ISSUER,
        "https://id.example/realms/one",
        "https://id.example/",
    ] {
        assert_eq!(told(issuer, at(issuer, good)).await, Ok(()), "{issuer}");
    }
    let home = "http://127.0.0.1:2/realm";
    assert_eq!(told(home, at(home, "http://127.0.0.1:1/set")).await, Ok(()));
    let unavailable = Err(DeniedKind::Unavailable);
    for metadata in [
        at("https://id.example/", good),
        at("https://eve.example", good),
        at(ISSUER, "http://keys.example/set"),
        at(ISSUER, "http://127.0.0.1:1/set"),
        at(ISSUER, "https://u:p@keys.example/set"),
        at(ISSUER, "file:///etc/passwd"),
        json!({ "issuer": ISSUER }),
        json!("<html>"),
    ] {
        assert_eq!(
            told(ISSUER, metadata.clone()).await,
            unavailable,
            "{metadata}"
        );
    }
}

/// Answers each request with what belongs to its path.
async fn serve(listener: TcpListener, answers: Vec<(&'static str, String)>) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = socket.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        assert!(!request.to_lowercase().contains("authorization"));
        let found = (answers.iter())
            .find(|(path, _)| request.starts_with(&format!("GET {path} HTTP/1.1\r\n")));
        let answer = match found {
            Some((_, answer)) => answer.clone(),
            None => {
                "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
            }
        };
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn keys_are_read_over_a_socket_and_no_redirect_is_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = format!("http://{}", listener.local_addr().unwrap());
    let signer = Signer::ed("key-1");
    let metadata = json!({ "issuer": home, "jwks_uri": format!("{home}/keys") });
    let keys = jwks(&[&signer]).to_string();
    let huge = format!("{{\"keys\":[],\"padding\":\"{}\"}}", "x".repeat(600 << 10));
    let server = tokio::spawn(serve(
        listener,
        vec![
            ("/.well-known/openid-configuration", ok(&metadata.to_string())),
            ("/keys", ok(&keys)),
            ("/huge", ok(&huge)),
            (
                "/moved",
                "HTTP/1.1 302 Found\r\nlocation: /keys\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into(),
            ),
        ],
    ));
    let token = signer.token(&claims_with("iss", json!(home)));
    for (path, expected) in [
        (None, Ok(())),
        (Some("/keys"), Ok(())),
        (Some("/moved"), Err(DeniedKind::Unavailable)),
        (Some("/huge"), Err(DeniedKind::Unavailable)),
        (Some("/missing"), Err(DeniedKind::Unavailable)),
    ] {
        let mut settings = Settings::default();
        let mut issuer = IssuerSettings::new(home.clone(), AUDIENCE);
        issuer.jwks_uri = path.map(|path| format!("{home}{path}").parse().unwrap());
        settings.issuers.push(issuer);
        let access = Access::start(&settings, &Handle::current())
            .unwrap()
            .unwrap();
        assert_eq!(
            kind(show(&access, &token, at(0)).await),
            expected,
            "{path:?}"
        );
        access.stop(Duration::from_secs(5)).await;
    }
    server.abort();
}
