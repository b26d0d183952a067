//! Latitude.sh, simulated.

use super::super::*;

#[tokio::test]
async fn latitude_is_walked_to_its_end_by_project() {
    let sandbox = sandbox(50).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let mut projects = Vec::new();
    for page in 1.. {
        let (_, body) = get(
            vendor,
            &format!("/projects?page%5Bnumber%5D={page}&page[size]=3"),
        )
        .await;
        let rows = ids(&body["data"]);
        projects.extend(rows.clone());
        if rows.len() < 3 {
            break;
        }
    }
    assert_eq!(projects.len(), 7);
    let mut found = BTreeSet::new();
    for project in &projects {
        let (_, legacy) = get(
            vendor,
            &format!("/kubernetes_clusters?project_id={project}"),
        )
        .await;
        assert!(legacy["data"].as_array().unwrap().len() <= 1);
        assert!(
            legacy["data"][0]["attributes"]
                .get("kubernetes_version")
                .is_none()
        );
        found.extend(ids(&legacy["data"]));
        let (_, lks) = get(vendor, &format!("/lks/clusters?project_id={project}")).await;
        assert_eq!(
            lks["meta"]["total"],
            json!(lks["data"].as_array().unwrap().len())
        );
        found.extend(ids(&lks["data"]));
    }
    assert_eq!(found, expected(&vendor.truth()));
}

#[tokio::test]
async fn latitude_tells_nodes_by_detail_and_by_pool() {
    let sandbox = sandbox(30).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    for cluster in vendor.truth() {
        if cluster.family == "kubernetes" {
            let (_, body) = get(vendor, &format!("/kubernetes_clusters/{}", cluster.id)).await;
            let attributes = &body["data"]["attributes"];
            assert_eq!(
                attributes["nodes"].as_array().unwrap().len() as u64,
                cluster.nodes.unwrap()
            );
            assert_eq!(attributes["project"]["id"], json!(cluster.parent));
            assert_eq!(
                attributes["kubernetes_version"].as_str(),
                cluster.version.as_deref()
            );
        } else {
            let base = format!("/lks/clusters/{}/nodepools", cluster.id);
            let (_, pools) = get(vendor, &base).await;
            let mut nodes = 0;
            for pool in ids(&pools["data"]) {
                nodes += get(vendor, &format!("{base}/{pool}/nodes")).await.1["meta"]["total"]
                    .as_u64()
                    .unwrap();
            }
            assert_eq!(Some(nodes), cluster.nodes);
        }
    }
}

#[tokio::test]
async fn latitude_wants_a_project_takes_a_raw_key_and_may_lack_the_feature() {
    let sandbox = sandbox(9).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let (status, body) = get(vendor, "/kubernetes_clusters").await;
    assert_eq!(
        (status, &body["errors"][0]["code"]),
        (StatusCode::BAD_REQUEST, &json!("VALIDATION_ERROR"))
    );
    let raw = client()
        .get(format!("{}/projects", vendor.base_url()))
        .header("authorization", vendor.token());
    assert_eq!(raw.send().await.unwrap().status(), StatusCode::OK);
    let project = vendor.truth()[0].parent.clone().unwrap();
    assert!(vendor.set_feature("kubernetes", false));
    assert!(!vendor.set_feature("no-such-feature", false));
    let (status, body) = get(
        vendor,
        &format!("/kubernetes_clusters?project_id={project}"),
    )
    .await;
    assert_eq!(
        (status, &body["errors"][0]["code"]),
        (StatusCode::FORBIDDEN, &json!("FEATURE_NOT_ENABLED"))
    );
}

#[tokio::test]
async fn latitude_can_lose_a_project_between_two_calls() {
    let sandbox = sandbox(20).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let (_, body) = get(vendor, "/projects").await;
    let last = ids(&body["data"]).pop().unwrap();
    for list in ["/kubernetes_clusters", "/lks/clusters"] {
        vendor.set_feature("vanishing-project", false);
        assert_eq!(
            get(vendor, &format!("{list}?project_id={last}")).await.0,
            StatusCode::OK
        );
        vendor.set_feature("vanishing-project", true);
        assert_eq!(
            get(vendor, &format!("{list}?project_id={last}")).await.0,
            StatusCode::NOT_FOUND
        );
    }
}
