//! Kubeadapt, simulated.

use super::super::*;

async fn walk_kubeadapt(vendor: &Simulated, path: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let (status, body) = get(vendor, &format!("{path}{join}cursor={cursor}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        found.extend(ids(&body["data"]));
        if body["meta"]["pagination"]["has_more"] == json!(false) {
            return found;
        }
        cursor = body["meta"]["pagination"]["next_cursor"]
            .as_str()
            .unwrap()
            .to_owned();
    }
}

#[tokio::test]
async fn kubeadapt_is_walked_to_its_end_in_falling_order_of_cost() {
    let sandbox = sandbox(25).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let found = walk_kubeadapt(vendor, "/v1/clusters?limit=7").await;
    assert_eq!(found.len(), 25);
    assert_eq!(
        found.iter().cloned().collect::<BTreeSet<_>>(),
        expected(&vendor.truth())
    );
    let (_, body) = get(vendor, "/v1/clusters?include_total=true&statuz=x").await;
    assert_eq!(body["meta"]["pagination"]["total_count"], json!(25));
    assert_eq!(body["meta"]["ignored_params"], json!(["statuz"]));
    let nodes: u64 = vendor
        .truth()
        .iter()
        .filter_map(|cluster| cluster.nodes)
        .sum();
    let found = walk_kubeadapt(vendor, "/v1/nodes?limit=20").await;
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len() as u64, nodes);
    assert_eq!(found.len() as u64, nodes);
    let first = &vendor.truth()[0];
    let one = walk_kubeadapt(vendor, &format!("/v1/clusters/{}/nodes?limit=1", first.id)).await;
    assert_eq!(Some(one.len() as u64), first.nodes);
}

#[tokio::test]
async fn kubeadapt_refuses_wrong_limits_cursors_modes_and_words() {
    let sandbox = sandbox(5).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let code = async |path: &str| {
        let (status, body) = get(vendor, path).await;
        (
            status.as_u16(),
            body["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    assert_eq!(
        code("/v1/clusters?limit=501").await,
        (400, "BAD_REQUEST".to_owned())
    );
    assert_eq!(
        code("/v1/clusters?cursor=broken").await,
        (400, "INVALID_CURSOR".to_owned())
    );
    assert_eq!(
        code("/v1/clusters?cost_mode=fully_loaded").await,
        (422, "INVALID_COST_MODE".to_owned())
    );
    assert_eq!(
        code("/v1/clusters?status=Active").await,
        (422, "VALIDATION_ERROR".to_owned())
    );
    assert_eq!(
        code("/v1/clusters/7").await,
        (400, "INVALID_CLUSTER_ID".to_owned())
    );
    assert_eq!(
        code("/v1/clusters/0f6d2c1e-6a0b-4f57-9a3e-5f1d7c2b8a90").await,
        (404, "CLUSTER_NOT_FOUND".to_owned())
    );
    let (_, body) = get(vendor, "/v1/clusters?limit=2").await;
    let cursor = body["meta"]["pagination"]["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        code(&format!("/v1/clusters?limit=3&cursor={cursor}")).await,
        (410, "CURSOR_EXPIRED".to_owned())
    );
    vendor.set_feature("expire-cursors", true);
    assert_eq!(
        code(&format!("/v1/clusters?limit=2&cursor={cursor}")).await,
        (410, "CURSOR_EXPIRED".to_owned())
    );
}

#[tokio::test]
async fn kubeadapt_hides_clusters_outside_the_allow_list_in_silence() {
    let sandbox = sandbox(9).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    vendor.set_feature("allow-list", true);
    let shown = walk_kubeadapt(vendor, "/v1/clusters?limit=2").await;
    assert_eq!(shown.len(), 6);
    let hidden = vendor
        .truth()
        .into_iter()
        .find(|cluster| !shown.contains(&cluster.id))
        .unwrap();
    let (status, body) = get(vendor, &format!("/v1/clusters/{}", hidden.id)).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::FORBIDDEN, &json!("CLUSTER_ACCESS_DENIED"))
    );
}

#[tokio::test]
async fn kubeadapt_finds_a_node_and_a_group_by_what_its_lists_say() {
    let sandbox = sandbox(4).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let (_, nodes) = get(vendor, "/v1/nodes").await;
    let node = &nodes["data"][0];
    let (_, one) = get(
        vendor,
        &format!("/v1/nodes/{}", node["id"].as_str().unwrap()),
    )
    .await;
    assert_eq!(&one["data"], node);
    let (_, groups) = get(vendor, "/v1/node-groups").await;
    let counted: u64 = groups["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|group| group["utilization"]["counts"]["nodes"].as_u64())
        .sum();
    assert_eq!(counted, nodes["data"].as_array().unwrap().len() as u64);
}
