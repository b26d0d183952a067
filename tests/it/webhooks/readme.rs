//! The receiver of the README checks the published example.

use std::path::Path;
use std::process::Command;

const CHECK: &str = r#"
headers = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
           "webhook-signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
assert verify(secret, headers, body, now=1614265330 + 200)
assert not verify(secret, headers, body, now=1614265330 + 400), "too old"
assert not verify(secret, headers, b'{"test": 2432232315}', now=1614265330), "another body"
assert not verify(secret, dict(headers, **{"webhook-id": "x"}), body, now=1614265330), "another id"
print("checked")
"#;

#[test]
fn the_receiver_in_the_readme_takes_what_is_signed_and_nothing_else() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once("\n### Webhooks\n").unwrap();
    let (_, python) = section.split_once("```python\n").unwrap();
    let (python, _) = python.split_once("```").unwrap();
    let program = format!("{python}\n{CHECK}");
    let run = Command::new("python3").args(["-c", &program]).output();
    let Ok(output) = run else {
        #[expect(clippy::print_stderr, reason = "a test that was skipped must say so")]
        {
            eprintln!("SKIPPED: there is no python3 to run the README's receiver with");
        }
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "checked");
}
