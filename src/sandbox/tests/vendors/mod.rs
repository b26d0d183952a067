//! Each vendor by itself: its walk, its refusals, its switches.

mod kubeadapt;
mod lakesail;
mod latitude;
mod prime;
mod runtime;

use super::*;

#[tokio::test]
async fn nobody_is_let_in_without_the_credential() {
    let sandbox = sandbox(3).await;
    for vendor in sandbox.vendors() {
        let url = format!("{}{}", vendor.base_url(), first_list(vendor.vendor()).0);
        for token in [None, Some("wrong")] {
            let mut request = client().get(&url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            assert_eq!(
                request.send().await.unwrap().status(),
                StatusCode::UNAUTHORIZED,
                "{vendor:?}"
            );
        }
        assert_eq!(vendor.stats().unauthorized, 2);
        assert_eq!(
            request(vendor).send().await.unwrap().status(),
            StatusCode::OK,
            "{vendor:?}"
        );
    }
    assert!(
        sandbox
            .vendor(Vendor::Kubeadapt)
            .token()
            .starts_with("ka_live_")
    );
}

#[tokio::test]
async fn a_quota_is_refused_in_the_vendors_own_way() {
    let sandbox = sandbox(3).await;
    for vendor in sandbox.vendors() {
        vendor.set_quota(Some(Quota {
            calls: 2,
            per: Duration::from_secs(30),
        }));
        for _ in 0..2 {
            assert_eq!(
                request(vendor).send().await.unwrap().status(),
                StatusCode::OK
            );
        }
        let response = request(vendor).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let headers = response.headers().clone();
        let body: Value = response.json().await.unwrap();
        match vendor.vendor() {
            Vendor::Latitude => {
                assert!(body["errors"][0]["meta"]["retry_after"].as_u64().unwrap() <= 30);
            }
            Vendor::Kubeadapt => {
                assert_eq!(headers["retry-after"], "60");
                assert_eq!(headers["x-ratelimit-remaining"], "0");
            }
            Vendor::JfrogRuntime => assert!(
                body["reset_at"]
                    .as_str()
                    .unwrap()
                    .parse::<Timestamp>()
                    .is_ok()
            ),
            Vendor::LakeSail | Vendor::PrimeIntellect => {
                assert!(
                    headers["retry-after"]
                        .to_str()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                        <= 30
                );
            }
        }
        assert_eq!(vendor.stats().throttled, 1);
    }
}
