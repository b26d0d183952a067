//! Adapters through the whole outbound stack, over a vendor that answers from a function: which calls they make, in which
//! order, and what they make of a refusal.

use std::sync::Mutex;

use clustergate::provider::{Described, ErrorKind, Listing};
use clustergate::upstream::FailureKind;

use crate::support::scripted::{Scripted, answer, ids, target};

/// One provider and the calls that it made: method, path with query, body.
struct Vendor(Scripted);

impl Vendor {
    /// A provider whose vendor answers each call as `script` says, by its line.
    fn new(
        kind: &str,
        settings: &str,
        script: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let vendor = Scripted::connect(kind, settings, move |request| {
            let body = String::from_utf8_lossy(request.body());
            let line = format!("{} {} {body}", request.method(), target(request));
            let line = line.trim_end().to_owned();
            let (status, body) = script(&line);
            (line, answer(status, &[], body))
        });
        Self(vendor.unwrap())
    }

    async fn list(&self) -> Result<Listing, ErrorKind> {
        self.0.list().await.map_err(|error| error.kind)
    }

    async fn describe(&self, id: &str) -> Result<Described, ErrorKind> {
        self.0.describe(id).await.map_err(|error| error.kind)
    }

    /// The calls since this was last asked.
    fn calls(&self) -> Vec<String> {
        self.0.calls()
    }
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

/// A row that cannot be told from others is counted, and is no cluster.
#[tokio::test(start_paused = true)]
async fn ids_of_every_vendor_are_held_to_one_rule() {
    const ROWS: &str = r#"{"id":"good"},{"id":"12,5 units"},{"id":"null"},{"id":" "},{"id":-1},{"id":["a"]},["b"]"#;
    for (kind, settings, before, after) in [
        (
            "kubeadapt",
            "",
            r#"{"data":["#,
            r#"],"meta":{"pagination":{"has_more":false}}}"#,
        ),
        ("lakesail", "listings = ['infra']", r#"{"items":["#, "]}"),
        (
            "latitude",
            "projects = ['p']\nfamilies = ['legacy']",
            r#"{"data":["#,
            "]}",
        ),
        ("prime-intellect", "", r#"{"data":["#, "]}"),
        (
            "runtime",
            "",
            r#"{"clusters":["#,
            r#"],"pagination":{"limit":100}}"#,
        ),
    ] {
        let vendor = Vendor::new(kind, settings, move |_| {
            (200, format!("{before}{ROWS}{after}"))
        });
        let listing = vendor.list().await.unwrap();
        assert_eq!(ids(&listing), ["good"], "{kind}");
        assert_eq!(listing.rejected.len(), 6, "{kind}");
    }
}

mod kubeadapt {
    use super::*;

    const EXPIRED: &str =
        r#"{"data":null,"meta":{},"error":{"code":"CURSOR_EXPIRED","message":"gone"}}"#;

    fn list(id: &str, pagination: &str) -> (u16, String) {
        ok(&format!(
            r#"{{"data":[{{"id":"{id}"}}],"meta":{{"pagination":{{{pagination}}}}}}}"#
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_is_read_by_cursor_and_an_expired_one_restarts_it_once() {
        let vendor = Vendor::new("kubeadapt", "", |call| match call {
            "GET /v1/clusters?limit=500" => list("a", r#""has_more":true,"next_cursor":"x/y=""#),
            _ => list("b", r#""has_more":false"#),
        });
        assert_eq!(ids(&vendor.list().await.unwrap()), ["a", "b"]);
        let calls = [
            "GET /v1/clusters?limit=500",
            "GET /v1/clusters?limit=500&cursor=x%2Fy%3D",
        ];
        assert_eq!(vendor.calls(), calls);

        let vendor = Vendor::new("kubeadapt", "", |call| match call {
            "GET /v1/clusters?limit=500" => list("a", r#""has_more":true,"next_cursor":"x""#),
            _ => (410, EXPIRED.to_owned()),
        });
        assert_eq!(vendor.list().await.unwrap_err(), ErrorKind::CursorExpired);
        assert_eq!(vendor.calls().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_older_generation_is_refused() {
        for answer in [
            (401, r#"{"detail":"Invalid API key"}"#),
            (200, r#"{"clusters":[{"id":"cls-abc123"}],"total":3}"#),
        ] {
            let vendor = Vendor::new("kubeadapt", "", move |_| (answer.0, answer.1.to_owned()));
            let error = vendor.list().await.unwrap_err();
            assert_eq!(error, ErrorKind::UnsupportedGeneration);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_detail_is_read_with_all_its_nodes_and_without_them_where_the_key_may_not() {
        let vendor = Vendor::new("kubeadapt", "page_size = 2", |call| match call {
            "GET /v1/clusters/a" => ok(r#"{"data":{"id":"a"},"meta":{}}"#),
            "GET /v1/clusters/a/nodes?limit=2" => {
                list("n1", r#""has_more":true,"next_cursor":"x""#)
            }
            "GET /v1/clusters/a/nodes?limit=2&cursor=x" => list("n2", r#""has_more":false"#),
            "GET /v1/clusters/b" => ok(r#"{"data":{"id":"b"},"meta":{}}"#),
            "GET /v1/clusters/b/nodes?limit=2" => {
                (403, r#"{"error":{"code":"FORBIDDEN"}}"#.to_owned())
            }
            _ => (404, r#"{"error":{"code":"CLUSTER_NOT_FOUND"}}"#.to_owned()),
        });
        assert_eq!(vendor.describe("a").await.unwrap().nodes.unwrap().len(), 2);
        let described = vendor.describe("b").await.unwrap();
        assert_eq!((described.nodes, described.warnings.total()), (None, 1));
        assert_eq!(vendor.describe("c").await.unwrap_err(), ErrorKind::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_without_end_meet_the_cap() {
        let next = Mutex::new(0);
        let vendor = Vendor::new("kubeadapt", "", move |call| {
            let mut next = next.lock().unwrap();
            *next += 1;
            match call {
                "GET /v1/clusters/a" => ok(r#"{"data":{"id":"a"},"meta":{}}"#),
                _ => list("n", &format!(r#""has_more":true,"next_cursor":"{next}""#)),
            }
        });
        assert_eq!(
            vendor.describe("a").await.unwrap_err(),
            ErrorKind::PageLimit
        );
        assert_eq!(vendor.calls().len(), 21);
    }
}

mod runtime {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_list_is_a_post_that_sends_the_key_back_as_text() {
        let vendor = Vendor::new("runtime", "", |call| match call {
            r#"POST /runtime/api/v1/clusters {"limit":100}"# => {
                ok(r#"{"clusters":[{"id":1}],"pagination":{"next_key":7}}"#)
            }
            r#"POST /runtime/api/v1/clusters {"limit":100,"next_key":"7"}"# => {
                ok(r#"{"clusters":[{"id":"two"}],"pagination":{"limit":100}}"#)
            }
            _ => (500, String::new()),
        });
        assert_eq!(ids(&vendor.list().await.unwrap()), ["1", "two"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_comes_again_ends_the_walk() {
        let vendor = Vendor::new("runtime", "", |_| {
            ok(r#"{"clusters":[{"id":1}],"pagination":{"next_key":"k"}}"#)
        });
        assert_eq!(vendor.list().await.unwrap_err(), ErrorKind::PaginationLoop);
        assert_eq!(vendor.calls().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_without_the_product_is_not_an_empty_list() {
        let vendor = Vendor::new("runtime", "", |_| (404, "<html>".to_owned()));
        assert_eq!(vendor.list().await.unwrap_err(), ErrorKind::NotEnabled);
    }

    #[tokio::test(start_paused = true)]
    async fn the_path_that_answers_is_remembered() {
        let vendor = Vendor::new("runtime", "", |call| match call {
            "GET /runtime/api/v1/clusters/3/" => ok(r#"{"cluster":{"id":3}}"#),
            _ => (404, r#"{"error":"not found"}"#.to_owned()),
        });
        assert!(vendor.describe("3").await.is_ok());
        let both = [
            "GET /runtime/api/v1/cluster/3",
            "GET /runtime/api/v1/clusters/3/",
        ];
        assert_eq!(vendor.calls(), both);
        assert!(vendor.describe("3").await.is_ok());
        assert_eq!(vendor.calls(), both[1..]);
        assert_eq!(vendor.describe("4").await.unwrap_err(), ErrorKind::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn a_configured_path_is_the_only_one() {
        let settings = "detail_path = 'cluster'\nprefix = '/proxy/runtime/'";
        let vendor = Vendor::new("runtime", settings, |_| (404, String::new()));
        assert_eq!(vendor.describe("3").await.unwrap_err(), ErrorKind::NotFound);
        assert_eq!(vendor.calls(), ["GET /proxy/runtime/cluster/3"]);
    }
}

mod prime_intellect {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_family_that_answers_is_remembered() {
        let vendor = Vendor::new("prime-intellect", "page_size = 1", |call| match call {
            "GET /api/admin/inventory/clusters?offset=0&limit=1" => {
                ok(r#"{"total_count":2,"data":[{"id":"a"}]}"#)
            }
            "GET /api/admin/inventory/clusters?offset=1&limit=1" => {
                ok(r#"{"total_count":2,"data":[{"id":"b"}]}"#)
            }
            "GET /api/admin/inventory/clusters/a" => ok(r#"{"data":{"id":"a"}}"#),
            _ => (404, String::new()),
        });
        assert_eq!(ids(&vendor.list().await.unwrap()), ["a", "b"]);
        assert_eq!(vendor.calls().len(), 3);
        assert!(vendor.describe("a").await.is_ok());
        assert_eq!(vendor.calls(), ["GET /api/admin/inventory/clusters/a"]);
        assert_eq!(vendor.describe("c").await.unwrap_err(), ErrorKind::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_is_not_granted_does_not_hide_that_a_cluster_is_gone() {
        let vendor = Vendor::new("prime-intellect", "", |call| {
            let is_inventory = call.contains("/inventory/");
            (if is_inventory { 403 } else { 404 }, String::new())
        });
        assert_eq!(vendor.describe("a").await.unwrap_err(), ErrorKind::NotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn a_configured_family_is_the_only_one() {
        let vendor = Vendor::new("prime-intellect", "prefix = 'admin'", |_| {
            (404, String::new())
        });
        let not_found = ErrorKind::Call(FailureKind::NotFound);
        assert_eq!(vendor.list().await.unwrap_err(), not_found);
        assert_eq!(
            vendor.calls(),
            ["GET /api/admin/clusters?offset=0&limit=100"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_vendor_that_ignores_the_offset_is_recognised() {
        let vendor = Vendor::new("prime-intellect", "page_size = 1", |_| {
            ok(r#"{"data":[{"id":"a"}]}"#)
        });
        assert_eq!(vendor.list().await.unwrap_err(), ErrorKind::PaginationLoop);
    }
}
