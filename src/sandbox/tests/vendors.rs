//! Each vendor by itself: its walk, its refusals, its switches.

use super::*;

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
