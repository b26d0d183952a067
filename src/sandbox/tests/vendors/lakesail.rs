//! LakeSail, simulated.

use super::super::*;

#[tokio::test]
async fn lakesail_shows_each_cluster_in_the_lists_it_belongs_to() {
    let sandbox = sandbox(40).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    let (mut found, mut marker) = (BTreeSet::new(), String::new());
    let mut only_infra = 0;
    loop {
        let (_, body) = get(
            vendor,
            &format!("/api/v1/infra/clusters?limit=9&marker={marker}"),
        )
        .await;
        let clusters = body["included"]["clusters"].as_array().unwrap();
        only_infra += clusters
            .iter()
            .filter(|cluster| cluster["clusterId"].is_null())
            .count();
        found.extend(ids(&body["items"]));
        match body["marker"].as_str() {
            Some(next) => marker = next.to_owned(),
            None => break,
        }
    }
    let mut own = 0;
    for page in 1.. {
        let (_, body) = get(vendor, &format!("/api/v1/me/clusters?limit=9&page={page}")).await;
        let items = body["items"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        for item in items {
            if let Some(external) = item["externalClusterId"].as_str() {
                assert!(found.contains(external));
            } else {
                own += 1;
                found.insert(item["id"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(only_infra > 0 && own > 0);
    assert_eq!(found, expected(&vendor.truth()));
}

#[tokio::test]
async fn lakesail_takes_the_right_id_at_each_path_and_may_want_its_header() {
    let sandbox = sandbox(12).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    let truth = vendor.truth();
    let infra = truth
        .iter()
        .find(|cluster| cluster.family == "infra")
        .unwrap();
    let connection = infra.parent.clone().unwrap();
    let health = format!(
        "/api/v1/infra/connections/{connection}/clusters/{}/health",
        infra.id
    );
    assert_eq!(
        get(vendor, &health).await.1["totalNodes"],
        json!(infra.nodes)
    );
    assert_eq!(
        get(vendor, &format!("/api/v1/infra/clusters/{}", infra.id))
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        get(vendor, &format!("/api/v1/me/clusters/{}", infra.id))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(vendor, "/api/v1/me/clusters?limit=101").await.0,
        StatusCode::BAD_REQUEST
    );
    vendor.set_feature("organization-header", true);
    assert_eq!(get(vendor, &health).await.0, StatusCode::UNAUTHORIZED);
    let named = client()
        .get(format!("{}/me/clusters", vendor.api_url()))
        .bearer_auth(vendor.token())
        .header("LakeSail-Organization-Id", vendor.organization().unwrap());
    assert_eq!(named.send().await.unwrap().status(), StatusCode::OK);
}
