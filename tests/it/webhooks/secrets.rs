//! Neither a secret nor the rest of a URL comes out anywhere.

use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::secrets::{check, logged};
use crate::store::store_in;

#[test]
fn secrets_and_urls_are_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = SECRETS;
    let mut secrets = vec![old.to_owned(), new.to_owned(), TOKEN.to_owned()];
    for secret in SECRETS {
        let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
        secrets.push(secret["whsec_".len()..].to_owned());
        secrets.push(String::from_utf8(key).unwrap());
    }
    let ((), log) = logged(async {
        let plan = Plan {
            clusters: 2,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let receiver = Receiver::start().await;
        let nobody = Receiver::start().await;
        let mut hooks = vec![receiver.webhook("ops", ""), nobody.webhook("nobody", "")];
        hooks[1].settings.max_attempts = Some(2);
        // A file that is not there is no secret, and says so.
        let mut broken = receiver.webhook("broken", "");
        broken.settings.secrets = vec![SecretSource::File(folder.path().join("none"))];
        hooks.push(broken);
        check("a webhook", &format!("{hooks:?} {hooks:#?}"), &secrets);
        nobody.task.abort();
        receiver.refuse(&[500, 429, 302]);
        let rig = telling(&sandbox, &plan, &store_in(folder.path()), hooks).await;
        rig.settled().await;
        begun(&rig).await;
        for name in ["ops", "nobody", "broken"] {
            let request = http::Request::post(format!("/webhooks/{name}/test"));
            let reply = rig
                .send(request.body(axum::body::Body::empty()).unwrap())
                .await;
            assert_eq!(reply.status, 202, "{}", reply.text);
        }
        until("some are refused", || async {
            let webhooks = rig.get("/webhooks").await.json();
            let failed = |at: usize| webhooks["items"][at]["last_failure"]["code"].clone();
            failed(0).is_string() && failed(1).is_string() && failed(2) == "SECRET_UNUSABLE"
        })
        .await;
        for target in [
            "/webhooks",
            "/webhooks/ops/deliveries",
            "/webhooks/nobody/deliveries",
            "/metrics",
            "/webhooks/x/deliveries",
        ] {
            let reply = rig.get(target).await;
            check(target, &reply.text, &secrets);
        }
        rig.stop().await;
    });
    assert!(log.contains("not delivered"), "the log was read");
    check("the log", &log, &secrets);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        check(&path.display().to_string(), &text, &secrets);
    }
}
