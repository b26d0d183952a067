//! Prime Intellect, simulated.

use super::super::*;

#[tokio::test]
async fn prime_is_walked_by_offset_and_only_its_details_are_rich() {
    let sandbox = sandbox(25).await;
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    let mut found = BTreeSet::new();
    for offset in [0, 10, 20, 30] {
        let (_, body) = get(
            vendor,
            &format!("/api/admin/clusters?limit=10&offset={offset}"),
        )
        .await;
        assert_eq!(body["total_count"], json!(25));
        assert!(
            body["data"]
                .as_array()
                .unwrap()
                .iter()
                .all(|row| row.get("gpuName").is_none())
        );
        found.extend(ids(&body["data"]));
    }
    assert_eq!(found, expected(&vendor.truth()));
    let (status, body) = get(vendor, "/api/admin/clusters?limit=101").await;
    assert_eq!(
        (status, &body["errors"][0]["param"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("limit"))
    );
    let (_, body) = get(
        vendor,
        &format!("/api/admin/clusters/{}", vendor.truth()[0].id),
    )
    .await;
    assert!(body["data"]["gpuCount"].is_number() && body.to_string().contains("SECRET-CANARY"));
    assert_eq!(
        get(vendor, "/api/admin/clusters/unknown").await,
        (StatusCode::OK, json!({"data": null, "status": "error"}))
    );
    assert_eq!(
        get(vendor, "/api/admin/inventory/clusters").await.0,
        StatusCode::NOT_FOUND
    );
    vendor.set_feature("inventory-prefix", true);
    vendor.set_feature("admin-prefix", false);
    assert_eq!(
        get(vendor, "/api/admin/inventory/clusters").await.0,
        StatusCode::OK
    );
    assert_eq!(
        get(vendor, "/api/admin/clusters").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn prime_shows_a_team_its_fleet_without_ids() {
    let sandbox = sandbox(20).await;
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    let team = vendor
        .truth()
        .into_iter()
        .find_map(|cluster| cluster.parent)
        .unwrap();
    let (_, body) = get(vendor, &format!("/api/v1/factory/nodes?team_id={team}")).await;
    assert_eq!(
        body["clusters"].as_array().unwrap().len(),
        body["sources"].as_array().unwrap().len()
    );
    assert!(body["clusters"][0].get("id").is_none());
    assert_eq!(
        get(vendor, "/api/v1/factory/status").await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        get(vendor, "/api/v1/slurm-clusters/unknown").await.0,
        StatusCode::NOT_FOUND
    );
    assert!(
        get(vendor, &format!("/api/v1/slurm-clusters/{team}"))
            .await
            .1["data"]
            .is_array()
    );
}
