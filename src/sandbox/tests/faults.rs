//! Faults as a client meets them.

use super::*;

/// What a fault does to a client, as far as one list call shows it.
async fn outcome(vendor: &Simulated) -> Result<(StatusCode, Vec<u8>), String> {
    let call = async {
        let response = request(vendor)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = response.status();
        let body = response
            .bytes()
            .await
            .map_err(|error| format!("{error:?}"))?;
        Ok((status, body.to_vec()))
    };
    tokio::time::timeout(LONG, call)
        .await
        .map_err(|_| "silence".to_owned())?
}

#[tokio::test]
async fn connections_hang_break_and_lie() {
    let sandbox = sandbox(12).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    for fault in [
        Fault::Hang,
        Fault::HangBody,
        Fault::SlowBody,
        Fault::SlowHeaders,
        Fault::Slow,
    ] {
        vendor.set_fault(Some(fault));
        assert!(
            tokio::time::timeout(WAIT, outcome(vendor)).await.is_err(),
            "{fault}"
        );
    }
    for fault in [
        Fault::Reset,
        Fault::ResetBody,
        Fault::CloseEarly,
        Fault::HeaderFlood,
    ] {
        vendor.set_fault(Some(fault));
        assert_ne!(outcome(vendor).await.unwrap_err(), "silence", "{fault}");
    }
    vendor.set_fault(None);
    assert_eq!(outcome(vendor).await.unwrap().0, StatusCode::OK);
    // Whoever waited in vain is gone, and nothing is kept busy on their behalf.
    let idle = async {
        while vendor.stats().inflight > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, idle)
        .await
        .expect("all requests end with their clients");
}

#[tokio::test]
async fn every_fault_is_felt_or_harmless_at_every_vendor() {
    let sandbox = sandbox(10).await;
    // These send 256 MiB; the next test looks at how they begin.
    let large = [Fault::HugeBody, Fault::HugeString, Fault::GzipBomb];
    let waiting = [
        Fault::Hang,
        Fault::HangBody,
        Fault::SlowBody,
        Fault::SlowHeaders,
        Fault::Slow,
    ];
    let broken = [
        Fault::Reset,
        Fault::ResetBody,
        Fault::CloseEarly,
        Fault::HeaderFlood,
        Fault::HugeHeader,
    ];
    for vendor in sandbox.vendors() {
        let key = first_list(vendor.vendor()).1;
        let good: Value = serde_json::from_slice(&outcome(vendor).await.unwrap().1).unwrap();
        for fault in Fault::ALL
            .into_iter()
            .filter(|fault| !large.contains(fault) && !waiting.contains(fault))
        {
            vendor.set_fault(Some(fault));
            let name = format!("{fault} at {vendor:?}");
            let Ok((status, body)) = outcome(vendor).await else {
                assert!(broken.contains(&fault), "{name}");
                continue;
            };
            let parsed = serde_json::from_slice::<Value>(&body);
            match fault {
                Fault::Http400 => assert_eq!(status.as_u16(), 400, "{name}"),
                Fault::Http401 | Fault::ExpiredToken => assert_eq!(status.as_u16(), 401, "{name}"),
                Fault::Http429 => assert_eq!(status.as_u16(), 429, "{name}"),
                Fault::Http502Html => {
                    assert_eq!((status.as_u16(), parsed.is_err()), (502, true), "{name}");
                }
                Fault::Redirect | Fault::RedirectSelf => assert_eq!(status.as_u16(), 302, "{name}"),
                Fault::TruncatedJson
                | Fault::NotJson
                | Fault::DeepNesting
                | Fault::LoneSurrogate
                | Fault::InvalidUtf8 => {
                    assert!(parsed.is_err(), "{name}");
                }
                Fault::NullData => assert!(parsed.unwrap()[key].is_null(), "{name}"),
                Fault::MissingData | Fault::LegacyGeneration | Fault::BareArray => {
                    assert_ne!(parsed.unwrap(), good, "{name}");
                }
                Fault::SuddenlyEmpty => assert_eq!(parsed.unwrap()[key], json!([]), "{name}"),
                Fault::DuplicateRows => {
                    let rows = parsed.unwrap()[key].as_array().unwrap().len();
                    assert_eq!(rows, good[key].as_array().unwrap().len() * 2, "{name}");
                }
                Fault::PartialList => {
                    let rows = parsed.unwrap()[key].as_array().unwrap().len();
                    assert_eq!(
                        rows,
                        good[key].as_array().unwrap().len().div_ceil(2),
                        "{name}"
                    );
                }
                Fault::ForeignNext => {
                    assert!(String::from_utf8_lossy(&body).contains("../"), "{name}");
                }
                Fault::BadRow => assert!(parsed.unwrap()[key][0]["id"].is_object(), "{name}"),
                Fault::WrongTypes => assert!(!parsed.unwrap()[key][0]["id"].is_string(), "{name}"),
                _ => {}
            }
        }
        vendor.set_fault(None);
        assert_eq!(
            outcome(vendor).await.unwrap().0,
            StatusCode::OK,
            "{vendor:?}"
        );
    }
    assert_eq!(sandbox.canary_hits().requests, 0);
}

#[tokio::test]
async fn huge_bodies_begin_at_once_and_end_with_the_client() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    for fault in [Fault::HugeBody, Fault::HugeString] {
        vendor.set_fault(Some(fault));
        let mut response = request(vendor).send().await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        drop(response);
    }
    vendor.set_fault(Some(Fault::GzipBomb));
    let response = request(vendor).send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert!(response.bytes().await.unwrap().len() < 1 << 21);
}

#[tokio::test]
async fn the_canary_counts_who_follows_a_redirect() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    vendor.set_fault(Some(Fault::Redirect));
    let follower = Client::builder().no_proxy().build().unwrap();
    let followed = follower
        .get(format!("{}/v1/clusters", vendor.base_url()))
        .send()
        .await
        .unwrap();
    assert!(followed.url().as_str().starts_with(&sandbox.canary_url()));
    let hits = sandbox.canary_hits();
    assert_eq!((hits.requests, hits.with_authorization), (1, 0));
}

#[tokio::test]
async fn walks_that_never_end_say_so_with_each_page() {
    let sandbox = sandbox(12).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let page = async || get(vendor, "/v1/clusters?limit=5&cursor=anything").await.1;
    vendor.set_fault(Some(Fault::CursorLoop));
    let (first, second) = (page().await, page().await);
    assert_eq!(
        first["meta"]["pagination"]["next_cursor"],
        second["meta"]["pagination"]["next_cursor"]
    );
    vendor.set_fault(Some(Fault::SamePage));
    let (first, second) = (page().await, page().await);
    assert_ne!(
        first["meta"]["pagination"]["next_cursor"],
        second["meta"]["pagination"]["next_cursor"]
    );
    assert_eq!(first["data"], second["data"]);
    vendor.set_fault(Some(Fault::MissingCursor));
    let (_, body) = get(vendor, "/v1/clusters?limit=5").await;
    assert_eq!(body["meta"]["pagination"]["has_more"], json!(true));
    assert_eq!(
        body["meta"]["pagination"]["next_cursor"]
            .as_str()
            .unwrap_or_default(),
        ""
    );
}

#[tokio::test]
async fn a_share_of_requests_fails_and_every_other_one_flickers() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    vendor.set_fault(Some(Fault::Http500));
    vendor.set_fault_probability(0.5);
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(outcome(vendor).await.unwrap().0 == StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert!((8..=32).contains(&failed), "{failed} of 40");
    vendor.set_fault_probability(1.0);
    vendor.set_fault(Some(Fault::Flaky503));
    let statuses = [
        outcome(vendor).await.unwrap().0,
        outcome(vendor).await.unwrap().0,
        outcome(vendor).await.unwrap().0,
    ];
    assert_eq!(statuses.map(|status| status.as_u16()), [503, 200, 503]);
}

#[tokio::test]
async fn a_fault_can_be_aimed_at_some_kinds_of_calls_and_at_a_few_of_them() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let detail = format!("/v1/clusters/{}", vendor.truth()[0].id);
    vendor.set_fault(Some(Fault::Http500));
    vendor.set_fault_aim(Aim {
        kinds: vec!["detail".to_owned()],
        skip: 1,
        count: Some(2),
        ..Aim::default()
    });
    let mut statuses = Vec::new();
    for _ in 0..4 {
        assert_eq!(get(vendor, "/v1/clusters").await.0, StatusCode::OK);
        statuses.push(get(vendor, &detail).await.0.as_u16());
    }
    assert_eq!(statuses, [200, 500, 500, 200]);
    assert_eq!(vendor.stats().faulted, 2);
}

#[tokio::test]
async fn every_vendor_can_send_its_walker_round_and_round() {
    let sandbox = sandbox(10).await;
    for vendor in sandbox.vendors() {
        for fault in [Fault::CursorLoop, Fault::SamePage] {
            vendor.set_fault(Some(fault));
            let body: Value = serde_json::from_slice(&outcome(vendor).await.unwrap().1).unwrap();
            let says_more = match vendor.vendor() {
                // Its walk ends at a short page, and this one is full.
                Vendor::Latitude => body["data"].as_array().unwrap().len() == 20,
                Vendor::Kubeadapt => body["meta"]["pagination"]["has_more"] == json!(true),
                Vendor::LakeSail => body["marker"].is_string(),
                Vendor::JfrogRuntime => body["pagination"]["next_key"].is_string(),
                Vendor::PrimeIntellect => body["total_count"].as_u64().unwrap() > 10,
            };
            assert!(says_more, "{fault} at {vendor:?}: {body}");
        }
        vendor.set_fault(Some(Fault::MissingCursor));
        let body: Value = serde_json::from_slice(&outcome(vendor).await.unwrap().1).unwrap();
        let next = [
            &body["marker"],
            &body["pagination"]["next_key"],
            &body["meta"]["pagination"]["next_cursor"],
        ];
        assert!(
            next.iter()
                .all(|next| next.as_str().unwrap_or_default().is_empty()),
            "{vendor:?}: {body}"
        );
    }
}

#[tokio::test]
async fn cursors_that_point_elsewhere_still_lead_on_when_sent_back() {
    let sandbox = sandbox(10).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    vendor.set_fault(Some(Fault::ForeignNext));
    let (_, body) = get(vendor, "/v1/clusters?limit=6").await;
    let cursor = body["meta"]["pagination"]["next_cursor"].as_str().unwrap();
    assert!(cursor.starts_with(&sandbox.canary_url()));
    let (status, body) = get(
        vendor,
        &format!("/v1/clusters?limit=6&cursor={}", cursor.replace('=', "%3D")),
    )
    .await;
    assert_eq!(
        (status, body["data"].as_array().unwrap().len()),
        (StatusCode::OK, 4)
    );
}
