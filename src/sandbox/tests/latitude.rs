//! The life of clusters at Latitude.sh, of both families, and what it refuses.

use http::Method;

use super::*;

const LEGACY: &str = "/kubernetes_clusters";
const LKS: &str = "/lks/clusters";

async fn send(
    vendor: &Simulated,
    method: Method,
    path: &str,
    attributes: Value,
) -> (StatusCode, Value) {
    let kind = if path.starts_with(LKS) {
        "lks_clusters"
    } else {
        "kubernetes_clusters"
    };
    let mut request = client()
        .request(method.clone(), format!("{}{path}", vendor.api_url()))
        .bearer_auth(vendor.token());
    if method != Method::DELETE {
        let body = json!({"data": {"type": kind, "attributes": attributes}});
        request = request
            .header("content-type", "application/vnd.api+json")
            .body(body.to_string());
    }
    let response = request.send().await.unwrap();
    (
        response.status(),
        response.json().await.unwrap_or(Value::Null),
    )
}

/// A sandbox in which work moves by hand, and a project that has no legacy cluster.
async fn quiet() -> (Sandbox, String) {
    let sandbox = sandbox(6).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    vendor.set_pace(None);
    let (_, projects) = get(vendor, "/projects").await;
    let project = projects["data"][0]["id"].as_str().unwrap().to_owned();
    let (_, list) = get(vendor, &format!("{LEGACY}?project_id={project}")).await;
    let old = list["data"][0]["id"].as_str().unwrap();
    assert!(vendor.remove(old));
    (sandbox, project)
}

fn legacy(project: &str) -> Value {
    json!({"name": "edge-new", "project_id": project, "site": "SAN3", "plan": "c3-small-x86",
        "kubernetes_version": "v1.34.3+rke2r1", "worker_count": 2, "ssh_keys": ["ssh_1"]})
}

fn lks(project: &str) -> Value {
    json!({"name": "Edge new", "project_id": project, "site": "LAX2", "kubernetes_version": "1.35.1"})
}

fn with(body: &Value, key: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[key] = value;
    body
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["code"].as_str().unwrap_or_default()
}

async fn shown(vendor: &Simulated, path: &str) -> Value {
    let (status, body) = get(vendor, path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["data"]["attributes"].clone()
}

#[tokio::test]
async fn a_legacy_cluster_goes_through_its_phases() {
    let (sandbox, project) = quiet().await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let (status, made) = send(vendor, Method::POST, LEGACY, legacy(&project)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["data"]["attributes"]["status"], json!("provisioning"));
    let path = format!("{LEGACY}/{}", made["data"]["id"].as_str().unwrap());
    let (_, again) = send(vendor, Method::POST, LEGACY, legacy(&project)).await;
    assert_eq!(code(&again), "CLUSTER_LIMIT_EXCEEDED");

    for (phase, step) in [
        ("Pending", "in_progress"),
        ("Provisioning", "completed"),
        ("Provisioning", "completed"),
    ] {
        let cluster = shown(vendor, &path).await;
        assert_eq!(
            (&cluster["phase"], &cluster["steps"][0]["status"]),
            (&json!(phase), &json!(step))
        );
        let (status, refused) = get(vendor, &format!("{path}/kubeconfig")).await;
        assert_eq!(
            (status, code(&refused)),
            (StatusCode::NOT_FOUND, "NOT_FOUND")
        );
        let (status, _) = send(vendor, Method::PATCH, &path, json!({"worker_count": 3})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        vendor.advance();
    }
    let cluster = shown(vendor, &path).await;
    assert_eq!(
        (&cluster["phase"], &cluster["ready"], &cluster["location"]),
        (&json!("Provisioned"), &json!(true), &json!("SAN3"))
    );
    assert_eq!(cluster["nodes"].as_array().unwrap().len(), 3);
    let truth = vendor.truth();
    assert!(
        truth
            .iter()
            .any(|truth| truth.name == "edge-new" && truth.nodes == Some(3))
    );

    let (status, answer) = send(vendor, Method::PATCH, &path, json!({"worker_count": 4})).await;
    assert_eq!(
        (status, &answer["data"]["attributes"]["status"]),
        (StatusCode::ACCEPTED, &json!("scaling"))
    );
    assert_eq!(
        shown(vendor, &path).await["worker_status"],
        json!("scaling")
    );
    vendor.finish();
    assert_eq!(shown(vendor, &path).await["worker_count"], json!(4));
    let (status, _) = send(vendor, Method::PATCH, &path, json!({"worker_count": 4})).await;
    assert_eq!(status, StatusCode::OK);

    let upgrade = json!({"kubernetes_version": "v1.35.3+rke2r1"});
    send(vendor, Method::PATCH, &path, upgrade).await;
    assert_eq!(shown(vendor, &path).await["phase"], json!("Upgrading"));
    vendor.finish();
    assert_eq!(
        shown(vendor, &path).await["kubernetes_version"],
        json!("v1.35.3+rke2r1")
    );

    let (status, _) = send(vendor, Method::DELETE, &path, Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(shown(vendor, &path).await["phase"], json!("Deleting"));
    vendor.finish();
    assert_eq!(get(vendor, &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(vendor.len(), 5);
    let (status, _) = send(vendor, Method::POST, LEGACY, legacy(&project)).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_lks_cluster_goes_through_its_states() {
    let (sandbox, project) = quiet().await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let (status, made) = send(vendor, Method::POST, LKS, lks(&project)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let path = format!("{LKS}/{}", made["data"]["id"].as_str().unwrap());
    assert_eq!(made["data"]["attributes"]["status"], json!("provisioning"));
    let (status, refused) = get(vendor, &format!("{path}/kubeconfig")).await;
    assert_eq!(
        (status, code(&refused)),
        (StatusCode::CONFLICT, "NOT_READY")
    );
    let (status, _) = send(vendor, Method::PATCH, &path, json!({"name": "b"})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    vendor.finish();
    assert_eq!(shown(vendor, &path).await["status"], json!("ready"));
    let (_, list) = get(vendor, &format!("{LKS}?project_id={project}")).await;
    assert!(list.to_string().contains("Edge new"));
    let (_, pools) = get(vendor, &format!("{path}/nodepools")).await;
    assert_eq!(pools["data"], json!([]));

    let rename = json!({"name": "b", "description": "later"});
    let (status, answer) = send(vendor, Method::PATCH, &path, rename).await;
    let cluster = &answer["data"]["attributes"];
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&cluster["name"], &cluster["status"]),
        (&json!("b"), &json!("ready"))
    );
    let upgrade = json!({"kubernetes_version": "1.36.1"});
    let (_, answer) = send(vendor, Method::PATCH, &path, upgrade).await;
    assert_eq!(answer["data"]["attributes"]["status"], json!("upgrading"));
    vendor.finish();
    let cluster = shown(vendor, &path).await;
    assert_eq!(
        (&cluster["kubernetes_version"], &cluster["description"]),
        (&json!("1.36.1"), &json!("later"))
    );

    for (method, expected) in [
        (Method::DELETE, StatusCode::NO_CONTENT),
        (Method::DELETE, StatusCode::CONFLICT),
    ] {
        assert_eq!(send(vendor, method, &path, Value::Null).await.0, expected);
    }
    vendor.finish();
    assert_eq!(get(vendor, &path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn work_at_latitude_ends_by_itself() {
    let (sandbox, project) = quiet().await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    vendor.set_pace(Some(Duration::ZERO));
    let (_, made) = send(vendor, Method::POST, LKS, lks(&project)).await;
    let path = format!("{LKS}/{}", made["data"]["id"].as_str().unwrap());
    assert_eq!(shown(vendor, &path).await["status"], json!("ready"));
    send(vendor, Method::DELETE, &path, Value::Null).await;
    get(vendor, "/projects").await;
    assert_eq!(get(vendor, &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(vendor.len(), 5);
}

#[tokio::test]
async fn latitude_refuses_creations_with_its_documented_codes() {
    let (sandbox, project) = quiet().await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let (old, new) = (legacy(&project), lks(&project));
    for (path, body, expected) in [
        (
            LEGACY,
            with(&old, "project_id", Value::Null),
            "VALIDATION_ERROR",
        ),
        (
            LEGACY,
            with(&old, "project_id", json!("proj_0")),
            "not_found",
        ),
        (
            LEGACY,
            with(&old, "ssh_keys", json!(["x"])),
            "VALIDATION_ERROR",
        ),
        (LEGACY, with(&old, "site", json!("XXX")), "INVALID_SITE"),
        (
            LEGACY,
            with(&old, "site", json!("CHI")),
            "SITE_NOT_SUPPORTED",
        ),
        (
            LEGACY,
            with(&old, "name", json!("-x")),
            "INVALID_CLUSTER_NAME",
        ),
        (LEGACY, with(&old, "plan", json!("x")), "PLAN_NOT_FOUND"),
        (
            LEGACY,
            with(&old, "worker_plan", json!("x")),
            "PLAN_NOT_FOUND",
        ),
        (
            LEGACY,
            with(&old, "worker_count", json!(99)),
            "INSUFFICIENT_STOCK",
        ),
        (
            LKS,
            with(&new, "kubernetes_version", json!("1.33.1")),
            "VALIDATION_ERROR",
        ),
        (LKS, with(&new, "name", json!("")), "VALIDATION_ERROR"),
        (LKS, with(&new, "project_id", json!("proj_0")), "not_found"),
    ] {
        let (status, answer) = send(vendor, Method::POST, path, body.clone()).await;
        assert!(status.is_client_error(), "{status} {body}");
        assert_eq!(code(&answer), expected, "{body}");
    }
    assert_eq!(vendor.len(), 5);
    for (feature, on, expected) in [
        ("kubernetes", false, "FEATURE_NOT_ENABLED"),
        ("read-only-key", true, "FORBIDDEN"),
        ("management-plane", false, "MANAGEMENT_CLUSTER_ERROR"),
        ("stock", false, "INSUFFICIENT_STOCK"),
    ] {
        vendor.set_feature(feature, on);
        let (_, answer) = send(vendor, Method::POST, LEGACY, old.clone()).await;
        assert_eq!(code(&answer), expected);
        vendor.set_feature(feature, !on);
    }
}

#[tokio::test]
async fn latitude_refuses_changes_with_its_documented_codes() {
    let (sandbox, project) = quiet().await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let (old, new) = (legacy(&project), lks(&project));
    let (_, made) = send(
        vendor,
        Method::POST,
        LEGACY,
        with(&old, "worker_count", json!(0)),
    )
    .await;
    let path = format!("{LEGACY}/{}", made["data"]["id"].as_str().unwrap());
    vendor.finish();
    for (body, expected) in [
        (json!({}), "VALIDATION_ERROR"),
        (
            json!({"worker_count": 1, "control_plane_count": 1}),
            "VALIDATION_ERROR",
        ),
        (json!({"worker_count": "1"}), "VALIDATION_ERROR"),
        (json!({"worker_count": 11}), "INVALID_WORKER_COUNT"),
        (json!({"worker_count": 1}), "WORKER_PLAN_REQUIRED"),
        (json!({"control_plane_count": 0}), "VALIDATION_ERROR"),
        (
            json!({"kubernetes_version": "v1.33.3+rke2r1"}),
            "VERSION_DOWNGRADE",
        ),
        (
            json!({"kubernetes_version": "v1.36.3+rke2r1"}),
            "MINOR_VERSION_SKIP",
        ),
        (
            json!({"kubernetes_version": "v1.35.9+rke2r1"}),
            "VERSION_NOT_AVAILABLE",
        ),
    ] {
        let (_, answer) = send(vendor, Method::PATCH, &path, body.clone()).await;
        assert_eq!(code(&answer), expected, "{body}");
    }
    let (_, made) = send(vendor, Method::POST, LKS, new).await;
    let path = format!("{LKS}/{}", made["data"]["id"].as_str().unwrap());
    vendor.finish();
    for (body, expected) in [
        (json!({}), "VALIDATION_ERROR"),
        (
            json!({"kubernetes_version": "1.34.1"}),
            "DOWNGRADE_NOT_ALLOWED",
        ),
        (json!({"kubernetes_version": "1.37.1"}), "VALIDATION_ERROR"),
    ] {
        let (_, answer) = send(vendor, Method::PATCH, &path, body.clone()).await;
        assert_eq!(code(&answer), expected, "{body}");
    }
    let oldest =
        json!({"name": "b", "project_id": project, "site": "LAX2", "kubernetes_version": "1.34.1"});
    let (_, made) = send(vendor, Method::POST, LKS, oldest).await;
    let path = format!("{LKS}/{}", made["data"]["id"].as_str().unwrap());
    vendor.finish();
    let skip = json!({"kubernetes_version": "1.36.1"});
    let (_, answer) = send(vendor, Method::PATCH, &path, skip).await;
    assert_eq!(code(&answer), "VERSION_SKEW");
    let stats = vendor.stats();
    assert_eq!(stats.write_calls, stats.secret_calls);
}

#[tokio::test]
async fn a_kubeconfig_of_latitude_holds_a_key() {
    let (sandbox, project) = quiet().await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    vendor.set_pace(Some(Duration::ZERO));
    for (path, body) in [(LEGACY, legacy(&project)), (LKS, lks(&project))] {
        let (_, made) = send(vendor, Method::POST, path, body).await;
        let path = format!("{path}/{}", made["data"]["id"].as_str().unwrap());
        let cluster = shown(vendor, &path).await;
        let kubeconfig = shown(vendor, &format!("{path}/kubeconfig")).await;
        let text = kubeconfig["kubeconfig"].as_str().unwrap();
        let server = cluster["control_plane_endpoint"].as_str().unwrap();
        assert!(text.contains(&format!("server: {server}\n")), "{text}");
        for field in ["client-certificate-data: ", "client-key-data: U0VDUkVU"] {
            assert!(text.contains(field), "{text}");
        }
        assert_eq!(
            cluster["kubeconfig_url"],
            json!(format!("{path}/kubeconfig"))
        );
    }
    vendor.set_feature("read-only-key", true);
    let (_, list) = get(vendor, &format!("{LEGACY}?project_id={project}")).await;
    let id = list["data"][0]["id"].as_str().unwrap();
    let (status, _) = get(vendor, &format!("{LEGACY}/{id}/kubeconfig")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(vendor.stats().by_kind["kubeconfig"], 3);
}
