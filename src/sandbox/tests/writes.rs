//! What changes something: the life of a cluster at LakeSail, and answers that are lost after the work was begun.

use http::Method;

use super::*;

async fn send(vendor: &Simulated, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let mut request = client()
        .request(method, format!("{}{path}", vendor.api_url()))
        .bearer_auth(vendor.token())
        .timeout(LONG);
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let response = request.send().await.unwrap();
    (
        response.status(),
        response.json().await.unwrap_or(Value::Null),
    )
}

/// A creation in the vendor's words, at its first connection.
fn creation(vendor: &Simulated, name: &str) -> (String, Value) {
    let spec = vendor.example(name).unwrap().spec;
    let connection = spec["options"]["connection_id"].as_str().unwrap();
    let body = json!({"connectionId": connection, "networkId": spec["options"]["network_id"], "name": name,
        "region": "us-east-1", "config": {"kubernetesVersion": "1.35", "publicAccessCidrs": [],
            "systemNodeGroup": {"name": "system", "instanceTypes": ["m7g.large"], "minSize": 1, "maxSize": 3,
                "desiredSize": 2, "diskSizeGb": 100}}});
    (format!("/infra/connections/{connection}/clusters"), body)
}

/// A cluster that was made, and its path.
async fn made(vendor: &Simulated, name: &str) -> (String, Value) {
    let (path, body) = creation(vendor, name);
    let (status, cluster) = send(vendor, Method::POST, &path, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{cluster}");
    let id = cluster["id"].as_str().unwrap();
    (format!("{path}/{id}"), cluster)
}

async fn status(vendor: &Simulated, path: &str) -> String {
    let (_, body) = get(vendor, &format!("/api/v1{path}")).await;
    let cluster = &body["included"]["clusters"][0];
    cluster["status"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_cluster_is_made_built_changed_destroyed_and_forgotten() {
    let sandbox = sandbox(6).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    vendor.set_pace(None);
    let (path, cluster) = made(vendor, "lake-new").await;
    let id = cluster["id"].as_str().unwrap();
    assert_eq!(cluster["status"], json!("pending"));
    assert!(
        vendor
            .truth()
            .iter()
            .any(|truth| truth.id == id && truth.name == "lake-new")
    );
    let (_, mine) = get(vendor, "/api/v1/me/clusters").await;
    assert!(mine["items"].to_string().contains(id));
    let record = format!("/infra/clusters/{id}");

    let (code, work) = send(
        vendor,
        Method::POST,
        &format!("{path}/provision"),
        &Value::Null,
    )
    .await;
    assert_eq!(
        (code, &work["status"]),
        (StatusCode::ACCEPTED, &json!("pending"))
    );
    assert_eq!(status(vendor, &path).await, "provisioning");
    let operation = format!("/api/v1/operations/{}", work["id"].as_str().unwrap());
    for (stage, succeeded) in [("network", 1), ("control-plane", 3), ("node-groups", 4)] {
        assert_eq!(vendor.advance(), 1);
        let (_, work) = get(vendor, &operation).await;
        assert_eq!(
            (
                &work["status"],
                &work["progress"]["stage"],
                &work["progress"]["summary"]["succeeded"]
            ),
            (&json!("running"), &json!(stage), &json!(succeeded))
        );
        assert!(work["completedAt"].is_null());
    }
    assert_eq!(vendor.advance(), 0);
    let (_, work) = get(vendor, &operation).await;
    assert!(work["completedAt"].is_string() && work["error"].is_null());
    assert_eq!(status(vendor, &path).await, "active");
    let (_, health) = get(vendor, &format!("/api/v1{path}/health")).await;
    assert_eq!(health["totalNodes"], json!(2));
    let (code, _) = send(
        vendor,
        Method::POST,
        &format!("{path}/provision"),
        &Value::Null,
    )
    .await;
    assert_eq!(code, StatusCode::CONFLICT);

    let mut config = cluster["config"].clone();
    config["systemNodeGroup"]["desiredSize"] = json!(3);
    let body = json!({"name": "lake-renamed", "config": config});
    let (code, changed) = send(vendor, Method::POST, &path, &body).await;
    assert_eq!(
        (code, &changed["status"]),
        (StatusCode::OK, &json!("updating"))
    );
    let (_, item) = get(vendor, &format!("/api/v1{path}")).await;
    assert_eq!(item["included"]["operations"].as_array().unwrap().len(), 2);
    vendor.finish();
    let (_, health) = get(vendor, &format!("/api/v1{path}/health")).await;
    assert_eq!(health["totalNodes"], json!(3));

    let (code, _) = send(vendor, Method::DELETE, &record, &Value::Null).await;
    assert_eq!(code, StatusCode::CONFLICT);
    let (code, _) = send(vendor, Method::DELETE, &path, &Value::Null).await;
    assert_eq!(code, StatusCode::ACCEPTED);
    vendor.finish();
    assert_eq!(status(vendor, &path).await, "destroyed");
    let (code, _) = send(vendor, Method::DELETE, &record, &Value::Null).await;
    assert_eq!(code, StatusCode::NO_CONTENT);
    assert_eq!(
        get(vendor, &format!("/api/v1{path}")).await.0,
        StatusCode::NOT_FOUND
    );
    let stats = vendor.stats();
    assert_eq!((stats.by_kind["create"], stats.by_kind["forget"]), (1, 2));
    assert_eq!((stats.write_calls, stats.secret_calls), (7, 7));
}

#[tokio::test]
async fn work_ends_by_itself_and_can_end_badly() {
    let sandbox = sandbox(6).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    vendor.set_pace(Some(Duration::ZERO));
    vendor.set_feature("failing-work", true);
    let (path, _) = made(vendor, "lake-new").await;
    let (_, work) = send(
        vendor,
        Method::POST,
        &format!("{path}/provision"),
        &Value::Null,
    )
    .await;
    let operation = format!("/api/v1/operations/{}", work["id"].as_str().unwrap());
    let (_, work) = get(vendor, &operation).await;
    assert_eq!(
        (
            &work["status"],
            &work["error"]["code"],
            &work["progress"]["summary"]["failed"]
        ),
        (&json!("failed"), &json!("quota_exceeded"), &json!(1))
    );
    assert_eq!(status(vendor, &path).await, "failed");
    let (code, _) = send(vendor, Method::DELETE, &path, &Value::Null).await;
    assert_eq!(code, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_creation_that_is_not_right_makes_nothing() {
    let sandbox = sandbox(20).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    let (path, good) = creation(vendor, "lake-new");
    let inactive = async |list: &str, of: &str| {
        let (_, body) = get(vendor, &format!("/api/v1/infra/{list}")).await;
        let mut rows = body["items"].as_array().unwrap().iter();
        let row = rows.find(|row| row["status"] != "active" && row.to_string().contains(of));
        row.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let connection = inactive("connections", "").await;
    let other = format!("/infra/connections/{connection}/clusters");
    let of_other = inactive("networks", &connection).await;
    let asleep = inactive("networks", good["connectionId"].as_str().unwrap()).await;
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let mut elsewhere = with("/networkId", json!(of_other));
    elsewhere["connectionId"] = json!(connection);
    for (path, body, expected) in [
        (&path, with("/connectionId", json!("CN0")), 400),
        (&path, with("/networkId", json!(of_other)), 400),
        (&path, with("/networkId", json!(asleep)), 409),
        (&path, with("/name", json!("")), 400),
        (
            &path,
            with("/config/systemNodeGroup/desiredSize", json!(9)),
            400,
        ),
        (
            &path,
            with("/config/systemNodeGroup/instanceTypes", json!([["a"]])),
            400,
        ),
        (&other, elsewhere, 409),
        (
            &"/infra/connections/CN0/clusters".to_owned(),
            good.clone(),
            404,
        ),
    ] {
        let (status, answer) = send(vendor, Method::POST, path, &body).await;
        assert_eq!(status.as_u16(), expected, "{answer}");
    }
    assert_eq!(vendor.len(), 20);
}

#[tokio::test]
async fn a_write_can_be_done_and_its_answer_lost() {
    let sandbox = sandbox(6).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    let (path, body) = creation(vendor, "lake-new");
    for (fault, late, made) in [
        (Fault::Reset, false, 0),
        (Fault::Http500, false, 0),
        (Fault::Reset, true, 1),
        (Fault::Http500, true, 2),
        (Fault::ResetBody, false, 3),
        (Fault::TruncatedJson, true, 4),
    ] {
        vendor.set_fault_aim(Aim {
            kinds: vec!["create".to_owned()],
            late,
            ..Aim::default()
        });
        vendor.set_fault(Some(fault));
        let url = format!("{}{path}", vendor.api_url());
        let request = client().post(url).bearer_auth(vendor.token());
        let answer = request.body(body.to_string()).send().await;
        if let Ok(answer) = answer {
            assert!(answer.json::<Value>().await.is_err() || fault == Fault::Http500);
        }
        assert_eq!(vendor.len(), 6 + made, "{fault}");
        assert_eq!(
            get(vendor, "/api/v1/infra/clusters").await.0,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_kubeconfig_holds_what_is_asked_for() {
    let sandbox = sandbox(6).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    let (path, _) = made(vendor, "lake-new").await;
    let kubeconfig = format!("/api/v1{path}/kubeconfig");
    assert_eq!(get(vendor, &kubeconfig).await.0, StatusCode::CONFLICT);
    vendor.set_pace(Some(Duration::ZERO));
    send(
        vendor,
        Method::POST,
        &format!("{path}/provision"),
        &Value::Null,
    )
    .await;
    for (feature, held) in [
        ("dpop", "token: SECRET-CANARY"),
        ("kubeconfig-certificate", "client-key-data: "),
        ("kubeconfig-exec", "- get-token"),
    ] {
        vendor.set_feature(feature, feature != "dpop");
        let (_, body) = get(vendor, &kubeconfig).await;
        let text = body["kubeconfig"].as_str().unwrap();
        assert!(
            text.contains(held) && text.contains("certificate-authority-data: "),
            "{text}"
        );
        assert!(text.contains(body["clusterEndpoint"].as_str().unwrap()));
    }
    let (_, metrics) = get(vendor, &format!("/api/v1{path}/metrics?period=7d")).await;
    assert_eq!(metrics["cpuUtilization"].as_array().unwrap().len(), 12);
    let wrong = format!("/api/v1{path}/metrics?period=soon");
    assert_eq!(get(vendor, &wrong).await.0, StatusCode::BAD_REQUEST);
}
