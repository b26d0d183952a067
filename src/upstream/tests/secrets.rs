use std::io::Write;

use super::*;

const CANARY: &str = "canary-5c1f";

fn file_credential(path: &std::path::Path) -> Credential {
    Credential {
        token: Arc::new(TokenSource::File(path.to_owned())),
        scheme: Scheme::Raw,
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_is_in_the_request_and_nowhere_else() {
    let dialect = Dialect {
        refusal: |answer, _| Refusal {
            text: Some(String::from_utf8_lossy(&answer.body).into_owned()),
            ..Refusal::default()
        },
        ..Dialect::PLAIN
    };
    let (stack, witness) = stack_with(settings(), credential(CANARY), dialect, |_| {
        Reply::status(401).body("bad token canary-5c1f, yes canary-5c1f!")
    });
    let error = stack.send(read()).await.unwrap_err();
    assert_eq!(
        error.text.as_deref(),
        Some("bad token [redacted], yes [redacted]!")
    );
    let request = witness.request(0);
    assert_eq!(request.headers()["authorization"], "Bearer canary-5c1f");
    for text in [
        format!("{request:?}"),
        format!("{stack:?}"),
        format!("{error:?} {error}"),
        format!("{:?}", stack.vitals()),
        format!("{:?}", credential(CANARY)),
    ] {
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[cfg(unix)]
fn restrict(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_token_file_is_read_anew_when_it_changes() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "first").unwrap();
    restrict(file.path(), 0o600);
    let (stack, witness) = stack_with(
        settings(),
        file_credential(file.path()),
        Dialect::PLAIN,
        |_| Reply::ok(),
    );
    stack.send(read()).await.unwrap();
    writeln!(file, "more").unwrap();
    // Two lines are no token.
    let error = stack.send(read()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (FailureKind::Credential, 0));
    std::fs::write(file.path(), "second-one\r\n").unwrap();
    stack.send(read()).await.unwrap();
    assert_eq!(witness.request(0).headers()["authorization"], "first");
    assert_eq!(witness.request(1).headers()["authorization"], "second-one");
    assert_eq!(stack.vitals().requests, 2);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_401_has_the_token_file_read_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "aaaa").unwrap();
    restrict(file.path(), 0o600);
    let modified = file.as_file().metadata().unwrap().modified().unwrap();
    let (stack, witness) = stack_with(
        settings(),
        file_credential(file.path()),
        Dialect::PLAIN,
        |n| Reply::status(if n == 1 { 401 } else { 200 }),
    );
    stack.send(read()).await.unwrap();
    // Same length and time: by itself such a change cannot be seen.
    std::fs::write(file.path(), "bbbb").unwrap();
    file.as_file().set_modified(modified).unwrap();
    stack.send(read()).await.unwrap_err();
    stack.send(read()).await.unwrap();
    let sent: Vec<_> = (0..3)
        .map(|n| witness.request(n).headers()["authorization"].clone())
        .collect();
    assert_eq!(sent, ["aaaa", "aaaa", "bbbb"]);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn an_unusable_token_file_is_named_but_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    std::fs::write(&open, CANARY).unwrap();
    restrict(&open, 0o644);
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    restrict(&empty, 0o600);
    let control = folder.path().join("control");
    std::fs::write(&control, format!("{CANARY}\n{CANARY}\n")).unwrap();
    restrict(&control, 0o600);
    for (path, part) in [
        (open, "readable by everyone"),
        (empty, "empty"),
        (control, "characters"),
        (folder.path().join("absent"), "not found"),
        (folder.path().to_owned(), "not a regular file"),
    ] {
        if part == "not a regular file" {
            restrict(&path, 0o700);
        }
        let (stack, witness) =
            stack_with(settings(), file_credential(&path), Dialect::PLAIN, |_| {
                Reply::ok()
            });
        let error = stack.send(read()).await.unwrap_err();
        assert_eq!((error.kind, error.attempts), (FailureKind::Credential, 0));
        let text = error.text.unwrap();
        assert!(text.contains(part), "{text}");
        assert!(!text.contains(CANARY), "{text}");
        assert_eq!(witness.count(), 0);
    }
}
