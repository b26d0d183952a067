//! JFrog Runtime, simulated.

use super::super::*;

#[tokio::test]
async fn runtime_is_walked_by_key_and_its_detail_path_can_be_either() {
    let sandbox = sandbox(25).await;
    let vendor = sandbox.vendor(Vendor::JfrogRuntime);
    let (mut found, mut key) = (Vec::new(), Value::Null);
    loop {
        let (_, body) = post(
            vendor,
            "/runtime/api/v1/clusters",
            json!({"limit": 10, "next_key": key}),
        )
        .await;
        assert!(body["clusters"][0].get("nodes").is_none());
        found.extend(ids(&body["clusters"]));
        match body["pagination"].get("next_key") {
            Some(next) => key = next.clone(),
            None => break,
        }
    }
    assert_eq!(found.len(), 25);
    assert_eq!(
        found.into_iter().collect::<BTreeSet<_>>(),
        expected(&vendor.truth())
    );
    for limit in [json!("50"), json!(0), json!(101)] {
        let (status, body) =
            post(vendor, "/runtime/api/v1/clusters", json!({"limit": limit})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body["error"].is_string());
    }
    let cluster = &vendor.truth()[0];
    let (_, body) = get(vendor, &format!("/runtime/api/v1/cluster/{}", cluster.id)).await;
    assert_eq!(
        body["cluster"]["nodes"].as_array().unwrap().len() as u64,
        cluster.nodes.unwrap()
    );
    vendor.set_feature("clusters_slash", true);
    assert_eq!(
        get(vendor, &format!("/runtime/api/v1/cluster/{}", cluster.id))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(vendor, &format!("/runtime/api/v1/clusters/{}/", cluster.id))
            .await
            .0,
        StatusCode::OK
    );
}
