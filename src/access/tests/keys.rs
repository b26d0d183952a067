//! Keys: their file, and what they open.

use std::path::Path;

use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::keyring::Keyring;
use super::*;

fn new(name: &str) -> NewKey {
    NewKey {
        name: name.to_owned(),
        scopes: Scopes::NONE.with(Scope::ClustersRead),
        sources: None,
        projects: None,
        expires_at: None,
    }
}

fn folder() -> (TempDir, KeysFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("deep/keys.json"));
    (folder, file)
}

fn ring(file: &KeysFile) -> Keyring {
    Keyring::open(file.path().to_owned()).unwrap()
}

fn tell(ring: &Keyring, made: &Made, seconds: i64) -> Result<(), (DeniedKind, &'static str)> {
    ring.tell(made.text.expose_secret(), at(seconds))
        .map(drop)
        .map_err(|denied| (denied.kind, denied.reason))
}

#[cfg(unix)]
fn allow(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_file_holds_what_was_made_and_never_a_key() {
    let (_folder, file) = folder();
    let mut wish = new("ci");
    wish.sources = Some([crate::domain::SourceName::new("main").unwrap()].into());
    wish.projects = Some(["p1".to_owned()].into());
    wish.expires_at = Some(at(60));
    let first = file.create(wish, at(0)).unwrap();
    let second = file.create(new("ops"), at(1)).unwrap();
    let listed = file.list().unwrap();
    assert_eq!(listed, [first.entry.clone(), second.entry.clone()]);
    let text = std::fs::read_to_string(file.path()).unwrap();
    for made in [&first, &second] {
        let key = made.text.expose_secret();
        let secret = key.rsplit_once(made.entry.id.as_str()).unwrap().1;
        assert!(!text.contains(&secret[1..20]));
        assert!(!format!("{made:?}").contains(&secret[1..20]));
    }
    let principal = ring(&file).tell(first.text.expose_secret(), at(0)).unwrap();
    assert_eq!(principal.kind, PrincipalKind::Key);
    assert_eq!(principal.id, first.entry.id.as_str());
    assert_eq!(principal.name, "ci");
    assert_eq!(*principal.reach, first.entry.reach());
    assert!(!principal.reach.is_all());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
    }
}

#[test]
fn an_unknown_key_and_a_wrong_secret_are_the_same_to_the_caller() {
    let (_folder, file) = folder();
    let made = file.create(new("ci"), at(0)).unwrap();
    let ring = ring(&file);
    assert_eq!(tell(&ring, &made, 0), Ok(()));
    let key = made.text.expose_secret();
    let last = if key.ends_with('A') { 'B' } else { 'A' };
    let wrong = format!("{}{last}", &key[..key.len() - 1]);
    let unknown = key.replace(made.entry.id.as_str(), "0000000000");
    for (text, reason) in [
        (wrong.as_str(), "wrong secret"),
        (&unknown, "unknown key"),
        ("cg_", "not a key"),
        (&format!("{key}x"), "not a key"),
    ] {
        let denied = ring.tell(text, at(0)).unwrap_err();
        assert_eq!(denied, Denied::invalid(reason));
    }
    // A hash of zeroes in the file is what unknown ids are compared with; no text has it.
    assert_ne!(*blake3::hash(key.as_bytes()).as_bytes(), [0; 32]);
}

#[test]
fn an_expired_key_opens_nothing() {
    let (_folder, file) = folder();
    let mut wish = new("ci");
    wish.expires_at = Some(at(60));
    let made = file.create(wish, at(0)).unwrap();
    let ring = ring(&file);
    assert_eq!(tell(&ring, &made, 59), Ok(()));
    assert_eq!(
        tell(&ring, &made, 60),
        Err((DeniedKind::Expired, "expired key"))
    );
    assert_eq!((ring.usable(at(59)), ring.usable(at(60))), (1, 0));
    let day = Duration::from_hours(24);
    let refused = file.rotate(&made.entry.id, day, at(60)).unwrap_err();
    assert!(matches!(refused, KeysError::Dead(_, "expired")));
}

#[test]
fn a_rotated_key_has_two_texts_until_the_overlap_ends() {
    let (_folder, file) = folder();
    let old = file.create(new("ci"), at(0)).unwrap();
    let day = Duration::from_hours(24);
    let new = file.rotate(&old.entry.id, day, at(0)).unwrap();
    assert_eq!(new.entry.id, old.entry.id);
    let both = ring(&file);
    let end = 24 * 3600;
    for seconds in [0, end - 1] {
        assert_eq!(tell(&both, &old, seconds), Ok(()));
        assert_eq!(tell(&both, &new, seconds), Ok(()));
    }
    assert_eq!(
        tell(&both, &old, end),
        Err((DeniedKind::Expired, "rotated key"))
    );
    assert_eq!(tell(&both, &new, end), Ok(()));

    let third = file.rotate(&old.entry.id, Duration::ZERO, at(1)).unwrap();
    let only = ring(&file);
    for gone in [&old, &new] {
        assert_eq!(
            tell(&only, gone, 1),
            Err((DeniedKind::Invalid, "wrong secret"))
        );
    }
    assert_eq!(tell(&only, &third, 1), Ok(()));
}

#[test]
fn a_revoked_key_opens_nothing_with_any_of_its_texts() {
    let (_folder, file) = folder();
    let old = file.create(new("ci"), at(0)).unwrap();
    let day = Duration::from_hours(24);
    let new = file.rotate(&old.entry.id, day, at(0)).unwrap();
    let revoked = file.revoke(&old.entry.id, at(5)).unwrap();
    assert_eq!(revoked.revoked_at, Some(at(5)));
    let again = file.revoke(&old.entry.id, at(9)).unwrap();
    assert_eq!(again.revoked_at, Some(at(5)), "the first time counts");
    let ring = ring(&file);
    assert_eq!(
        tell(&ring, &new, 5),
        Err((DeniedKind::Invalid, "revoked key"))
    );
    assert!(tell(&ring, &old, 5).is_err());
    let refused = file.rotate(&old.entry.id, day, at(6)).unwrap_err();
    assert!(matches!(refused, KeysError::Dead(_, "revoked")));
    let unknown = KeyId::new("abcdefgh12").unwrap();
    let refused = file.revoke(&unknown, at(6)).unwrap_err();
    assert!(matches!(refused, KeysError::Unknown(id) if id == unknown));
}

#[test]
fn a_changed_file_is_read_anew_and_a_broken_one_changes_nothing() {
    let (_folder, file) = folder();
    let first = file.create(new("first"), at(0)).unwrap();
    let ring = ring(&file);
    let second = file.create(new("second"), at(0)).unwrap();
    assert!(tell(&ring, &second, 0).is_err(), "nobody has looked yet");
    ring.look();
    assert_eq!(tell(&ring, &second, 0), Ok(()));

    let good = std::fs::read(file.path()).unwrap();
    for broken in [
        "",
        "{}",
        "{\"version\":2,\"keys\":[]}",
        "{\"version\":1}",
        "[]",
    ] {
        std::fs::write(file.path(), broken).unwrap();
        ring.look();
        assert_eq!(tell(&ring, &first, 0), Ok(()), "{broken:?}");
        assert!(file.list().is_err(), "{broken:?}");
    }
    std::fs::remove_file(file.path()).unwrap();
    ring.look();
    assert_eq!(tell(&ring, &first, 0), Ok(()));
    assert!(matches!(file.list(), Err(KeysError::Missing)));

    std::fs::write(file.path(), good).unwrap();
    #[cfg(unix)]
    allow(file.path(), 0o600);
    file.revoke(&first.entry.id, at(1)).unwrap();
    ring.look();
    assert!(tell(&ring, &first, 2).is_err());
    assert_eq!(tell(&ring, &second, 2), Ok(()));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_or_change_is_refused_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_folder, file) = folder();
    file.create(new("ci"), at(0)).unwrap();
    for mode in [0o604, 0o602, 0o644, 0o620, 0o666] {
        allow(file.path(), mode);
        let refused = file.check().unwrap_err();
        assert!(
            refused.to_string().contains("chmod 600"),
            "{mode:o}: {refused}"
        );
        assert!(Keyring::open(file.path().to_owned()).is_err());
        assert!(
            file.create(new("more"), at(0)).is_err(),
            "it is not mended silently"
        );
    }
    for mode in [0o400, 0o600, 0o640] {
        allow(file.path(), mode);
        file.check().unwrap();
    }
    let made = file.create(new("more"), at(0)).unwrap();
    let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "its group goes on reading it");
    assert_eq!(tell(&ring(&file), &made, 0), Ok(()));
    assert!(matches!(
        KeysFile::at(file.path().parent().unwrap()).check(),
        Err(KeysError::NotAFile)
    ));
}

#[test]
fn uses_are_written_down_by_the_minute_beside_other_changes() {
    let (_folder, file) = folder();
    let made = file.create(new("ci"), at(0)).unwrap();
    let ring = ring(&file);
    let used = || file.list().unwrap()[0].last_used_at;
    ring.note_uses();
    assert_eq!(used(), None);
    for seconds in 0..60 {
        assert_eq!(tell(&ring, &made, seconds), Ok(()));
    }
    let other = file.create(new("other"), at(0)).unwrap();
    ring.note_uses();
    assert_eq!(used(), Some(at(0)), "once in a minute is fine enough");
    assert_eq!(
        tell(&ring, &other, 0),
        Ok(()),
        "a change on the way is kept, and read"
    );
    assert!(tell(&ring, &made, 60).is_ok());
    ring.note_uses();
    assert_eq!(used(), Some(at(60)));
    file.revoke(&made.entry.id, at(61)).unwrap();
    assert_eq!(used(), Some(at(60)));
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    let (_folder, file) = folder();
    file.create(new("first"), at(0)).unwrap();
    std::thread::scope(|scope| {
        for at_once in 0..8 {
            let file = &file;
            scope.spawn(move || file.create(new(&format!("key {at_once}")), at(0)).unwrap());
        }
    });
    assert_eq!(file.list().unwrap().len(), 9);
}

#[tokio::test]
async fn a_running_gateway_takes_a_new_key_and_writes_uses_down_at_its_end() {
    let (_folder, file) = folder();
    file.create(new("first"), at(0)).unwrap();
    let settings = Settings {
        keys_file: Some(file.path().to_owned()),
        ..Settings::default()
    };
    let access = Access::start(&settings, &Handle::current())
        .unwrap()
        .unwrap();
    let made = file.create(new("second"), at(0)).unwrap();
    let shown = headers(made.text.expose_secret());
    let is_in = || {
        matches!(
            access.authenticate(&shown, at(7)),
            Authentication::Done(Ok(_))
        )
    };
    let wait = async {
        while !is_in() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap();
    access.stop(Duration::from_secs(10)).await;
    assert_eq!(file.list().unwrap()[1].last_used_at, Some(at(7)));
}

#[tokio::test]
async fn nothing_configured_is_no_access_control() {
    let nothing = Access::start(&Settings::default(), &Handle::current()).unwrap();
    assert!(nothing.is_none());
    let settings = Settings {
        keys_file: Some("/nonexistent/keys.json".into()),
        ..Settings::default()
    };
    let refused = Access::start(&settings, &Handle::current()).err().unwrap();
    assert!(refused.to_string().contains("clustergate keys new"));
}
