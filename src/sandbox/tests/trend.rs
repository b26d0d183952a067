//! What a cluster cost, as Kubeadapt tells it.

use super::*;

#[tokio::test]
async fn kubeadapt_draws_a_trend_as_fine_as_it_is_asked_for() {
    let sandbox = sandbox(2).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let path = format!("/v1/clusters/{}/cost-trend", vendor.truth()[0].id);
    for (query, points) in [
        ("start=1780272000&end=1780358400&granularity=hourly", 24),
        ("start=1780272000&end=1780358400", 24),
        ("start=1780272000&end=1780876800&granularity=daily", 7),
    ] {
        let (_, body) = get(vendor, &format!("{path}?{query}&type=run_rate")).await;
        let list = body["data"]["points"].as_array().unwrap();
        assert_eq!(list.len(), points, "{query}");
        assert_eq!(list[0]["cost"]["currency"], json!("USD"));
    }
    for query in [
        "",
        "start=5&end=4",
        "start=1&end=2&type=x",
        "start=1&end=2&granularity=x",
    ] {
        let (status, body) = get(vendor, &format!("{path}?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(body["error"]["code"], json!("VALIDATION_ERROR"));
    }
}
