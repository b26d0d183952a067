//! API keys in a store: every gateway that shares it lets their holders in, and none after they are revoked.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use super::files::places;
use crate::access::{
    Access, Authentication, DeniedKind, KeysError, KeysFile, Made, NewKey, Scope, Scopes,
    Settings as AccessSettings, Shared, SharedKeys, Vault,
};
use crate::store::api_keys::ApiKeys;
use crate::store::durable::Durable;
use crate::store::pool::Value;
use crate::store::{Address, Settings};

fn wish(name: &str) -> NewKey {
    NewKey {
        name: name.to_owned(),
        scopes: Scopes::NONE.with(Scope::ClustersRead),
        sources: None,
        projects: None,
        expires_at: None,
    }
}

/// A gateway over a store; its keys are read when a test says so.
fn gateway(durable: &Arc<Durable>) -> Arc<Access> {
    let settings = AccessSettings {
        keys_in_store: true,
        ..AccessSettings::default()
    };
    let vault: Arc<dyn Vault> = Arc::new(ApiKeys::of(Arc::clone(durable)));
    let shared = Shared {
        keys: Some(vault),
        audit: None,
    };
    let access = Access::sharing(&settings, shared, &Handle::current());
    access.unwrap().unwrap()
}

/// Shows a key to a gateway that has just looked for new ones; says who it is, or why it is not let in.
async fn shown(access: &Access, made: &Made) -> Result<String, (DeniedKind, &'static str)> {
    access.load().await;
    let mut headers = HeaderMap::new();
    let text = format!("Bearer {}", made.text.expose_secret());
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&text).unwrap());
    match access.authenticate(&headers, Timestamp::now()) {
        Authentication::Done(Ok(principal)) => Ok(principal.name.clone()),
        Authentication::Done(Err(denied)) => Err((denied.kind, denied.reason)),
        Authentication::Ask(_) => panic!("nobody is to be asked"),
    }
}

async fn keys_are_shared(settings: &Settings) -> Vec<Made> {
    let durable = Arc::new(Durable::new(settings.clone()));
    let (first, second) = (gateway(&durable), gateway(&durable));
    let stranger = SharedKeys::over(Arc::new(ApiKeys::of(Arc::clone(&durable))));
    let away = stranger.create(wish("early"), Timestamp::now()).await;
    assert!(matches!(away, Err(KeysError::Away("STORE_LATE"))));

    assert!(durable.restore(&[]).await.error.is_none());
    let beside = ApiKeys::beside(settings).await.unwrap();
    let keys = SharedKeys::over(Arc::new(beside));
    let made = keys.create(wish("ci"), Timestamp::now()).await.unwrap();
    for access in [&first, &second] {
        assert_eq!(shown(access, &made).await, Ok("ci".to_owned()));
    }
    // A new text counts at once, and the old one until the overlap ends.
    let id = made.entry.id.clone();
    let day = Duration::from_hours(24);
    let rotated = keys.rotate(&id, day, Timestamp::now()).await.unwrap();
    for text in [&made, &rotated] {
        assert_eq!(shown(&second, text).await, Ok("ci".to_owned()));
    }
    keys.take_back(&rotated).await.unwrap();
    let invalid = |reason| Err((DeniedKind::Invalid, reason));
    assert_eq!(shown(&second, &rotated).await, invalid("wrong secret"));
    assert_eq!(shown(&second, &made).await, Ok("ci".to_owned()));
    // Nobody has read it: it is gone.
    let unread = keys.create(wish("unread"), Timestamp::now()).await.unwrap();
    keys.take_back(&unread).await.unwrap();
    assert_eq!(shown(&first, &unread).await, invalid("unknown key"));
    assert_eq!(keys.list().await.unwrap().entries.len(), 1);

    // What was used is noted, and is no change that anybody reads keys for.
    let vault = ApiKeys::of(Arc::clone(&durable));
    let count = vault.count().await.unwrap();
    let used = [(id.clone(), Timestamp::from_second(77).unwrap())].into();
    vault.note_used(&used).await.unwrap();
    assert_eq!(vault.count().await.unwrap(), count);
    let listed = keys.list().await.unwrap();
    assert_eq!(
        listed.entries[0].last_used_at,
        Timestamp::from_second(77).ok()
    );

    // The keys of a file are taken over once.
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    let old = file.create(wish("old"), Timestamp::now()).unwrap();
    let entries = file.list().unwrap();
    assert_eq!(keys.import(&entries).await.unwrap(), 1);
    assert_eq!(keys.import(&entries).await.unwrap(), 0);
    assert_eq!(shown(&first, &old).await, Ok("old".to_owned()));

    keys.revoke(&id, Timestamp::now()).await.unwrap();
    for access in [&first, &second] {
        assert_eq!(shown(access, &made).await, invalid("revoked key"));
    }
    // Without the store the known keys go on, and nobody is told of a key that it is none.
    durable.close().await;
    assert_eq!(shown(&first, &old).await, Ok("old".to_owned()));
    assert_eq!(shown(&first, &made).await, invalid("revoked key"));
    let unavailable = Err((DeniedKind::Unavailable, "keys cannot be read"));
    assert_eq!(shown(&first, &unread).await, unavailable);
    vec![made, rotated, unread, old]
}

#[tokio::test]
async fn gateways_share_keys_and_no_key_is_in_their_store() {
    for place in places("api_keys").await {
        let settings = Settings::at(place.address.clone());
        let made = keys_are_shared(&settings).await;
        let Address::File(file) = &place.address else {
            continue;
        };
        let mut looked_at = 0;
        for file in std::fs::read_dir(file.parent().unwrap()).unwrap() {
            // The log goes when the last connection is closed, which may be now.
            let Ok(bytes) = std::fs::read(file.unwrap().path()) else {
                continue;
            };
            looked_at += bytes.len();
            for made in &made {
                let text = made.text.expose_secret();
                let secret = &text[text.len() - 20..];
                let mut parts = bytes.windows(secret.len());
                assert!(!parts.any(|part| part == secret.as_bytes()));
            }
        }
        assert!(looked_at > 10_000, "{looked_at}");
    }
}

/// Damages a key as nobody does who counts changes.
const DAMAGE: &str = "UPDATE api_key SET entry = REPLACE(entry, $2, $3) WHERE id = $1";

#[tokio::test]
async fn a_key_that_cannot_be_read_keeps_no_other_from_being_made_or_revoked() {
    for place in places("api_keys_unreadable").await {
        let settings = Settings::at(place.address.clone());
        let durable = Arc::new(Durable::new(settings));
        assert!(durable.restore(&[]).await.error.is_none());
        let access = gateway(&durable);
        let keys = SharedKeys::over(Arc::new(ApiKeys::of(Arc::clone(&durable))));
        let mut made = Vec::new();
        for name in ["torn", "newer", "swapped", "good", "revoked"] {
            let key = keys.create(wish(name), Timestamp::now()).await.unwrap();
            assert_eq!(shown(&access, &key).await, Ok(name.to_owned()));
            made.push(key);
        }
        assert_eq!(access.unreadable_keys(), Some(0));
        let [torn, newer, swapped, good, revoked] = &made[..] else {
            panic!("not all keys were made");
        };
        // Whoever did this counted no change.
        let store = durable.store().unwrap();
        for (key, from, to) in [
            (torn, "\"scopes\"", "\"sco"),
            (newer, "\"scopes\"", "\"limits\":7,\"scopes\""),
            (swapped, swapped.entry.id.as_str(), good.entry.id.as_str()),
        ] {
            let values = [key.entry.id.as_str(), from, to].map(Value::text).into();
            assert_eq!(store.pool.execute(DAMAGE, values).await.unwrap(), 1);
        }
        let id = &revoked.entry.id;
        keys.revoke(id, Timestamp::now()).await.unwrap();
        let added = keys.create(wish("added"), Timestamp::now()).await.unwrap();

        let invalid = |reason| Err((DeniedKind::Invalid, reason));
        assert_eq!(shown(&access, revoked).await, invalid("revoked key"));
        assert_eq!(shown(&access, &added).await, Ok("added".to_owned()));
        assert_eq!(shown(&access, good).await, Ok("good".to_owned()));
        for key in [torn, newer, swapped] {
            assert_eq!(shown(&access, key).await, invalid("unreadable key"));
            let refused = keys.revoke(&key.entry.id, Timestamp::now()).await;
            assert!(matches!(refused, Err(KeysError::Unreadable(_))));
        }
        assert_eq!(access.unreadable_keys(), Some(3));
        let listed = keys.list().await.unwrap();
        assert_eq!((listed.entries.len(), listed.unreadable.len()), (3, 3));
        durable.close().await;
    }
}
