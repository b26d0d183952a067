//! The mapping over the fixtures, and over anything else.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::State;
use crate::provider::Warnings;
use crate::provider::testing::any_json;

fn context() -> map::Context {
    map::Context {
        source: SourceName::new("prime-main").unwrap(),
        price_currency: "USD".to_owned(),
        expose_endpoint: false,
    }
}

const START: map::Place = map::Place {
    family: Family::Admin,
    offset: 0,
};

fn page_at(offset: u64, limit: u16, body: &str) -> Result<Page, ProviderError> {
    let place = map::Place { offset, ..START };
    map::page(
        &context(),
        place,
        limit,
        &Bytes::copy_from_slice(body.as_bytes()),
    )
}

fn detail_with(context: &map::Context, id: &str, body: &str) -> Result<Described, ProviderError> {
    map::detail(context, id, &Bytes::copy_from_slice(body.as_bytes()))
}

fn detail(id: &str, body: &str) -> Result<Described, ProviderError> {
    detail_with(&context(), id, body)
}

fn warnings(warnings: &Warnings) -> Vec<(&'static str, u64)> {
    warnings.iter().collect()
}

const LIST: &str = include_str!("../../../fixtures/prime-intellect/list.json");
const LIST_QUIRKS: &str = include_str!("../../../fixtures/prime-intellect/list-quirks.json");
const DETAIL: &str = include_str!("../../../fixtures/prime-intellect/detail.json");
const QUIRKS: &str = include_str!("../../../fixtures/prime-intellect/detail-quirks.json");
const SECRETS: &str = include_str!("../../../fixtures/prime-intellect/detail-secrets.json");

#[test]
fn a_documented_row_is_mapped_as_a_whole() {
    let page = page_at(0, 1, LIST).unwrap();
    assert_eq!(page.next, Some(PageCursor::new("admin:1")));
    assert_eq!(warnings(&page.warnings), []);
    insta::assert_json_snapshot!("list", page.clusters[0].cluster);
}

#[test]
fn a_documented_detail_is_mapped_as_a_whole() {
    let described = detail("cmb1x0001", DETAIL).unwrap();
    assert_eq!(warnings(&described.warnings), []);
    insta::assert_json_snapshot!("detail", described.cluster);
    insta::assert_json_snapshot!("nodes", described.nodes);
}

#[test]
fn what_cannot_be_true_is_null_and_counted_and_spoils_nothing_else() {
    let described = detail("cmb1x0002", QUIRKS).unwrap();
    insta::assert_json_snapshot!("quirks", described.cluster);
    insta::assert_json_snapshot!("quirks-nodes", described.nodes);
    insta::assert_json_snapshot!("quirks-warnings", warnings(&described.warnings));
}

#[test]
fn rows_without_a_usable_id_are_rejected() {
    let page = page_at(0, 100, LIST_QUIRKS).unwrap();
    assert_eq!((page.clusters.len(), page.rejected.len()), (1, 6));
    let cluster = &page.clusters[0].cluster;
    assert_eq!(
        (cluster.name.as_str(), cluster.status.state),
        ("cmb1x0003", State::Running)
    );
    assert_eq!((&cluster.nodes, &page.clusters[0].nodes), (&None, &None));
    assert_eq!(warnings(&page.warnings), []);
}

#[test]
fn what_is_held_back_gets_through_nowhere() {
    let described = detail("cmb1x0001", SECRETS).unwrap();
    let listed = page_at(0, 100, LIST_QUIRKS).unwrap().clusters.remove(0);
    for (cluster, raw, nodes) in [
        (described.cluster, described.raw, described.nodes),
        (listed.cluster, listed.raw, listed.nodes),
    ] {
        let everything = format!("{} {nodes:?} {}", json!(cluster), raw.unwrap());
        assert!(!everything.contains("canary"), "{everything}");
        assert!(everything.contains("nebius"));
    }
}

#[test]
fn the_endpoint_is_shown_only_where_it_was_asked_for() {
    let open = map::Context {
        expose_endpoint: true,
        ..context()
    };
    let endpoint = |context: &map::Context| {
        let described = detail_with(context, "cmb1x0001", SECRETS).unwrap();
        assert!(!described.raw.unwrap().get().contains("canary"));
        described.cluster.orchestrator.endpoint
    };
    assert_eq!(endpoint(&context()), None);
    assert_eq!(
        endpoint(&open).as_deref(),
        Some("https://canary-endpoint.example:6443")
    );
}

#[test]
fn a_price_is_read_from_its_text() {
    let hourly = |price: &str| {
        let body = format!(r#"{{"data":{{"id":"a","priceHr":{price}}}}}"#);
        let cost = detail("a", &body).unwrap().cluster.cost;
        cost.map(|cost| cost.hourly.amount.to_string())
    };
    for (price, amount) in [
        ("38.4", "38.4"),
        ("0.1000000000000000055", "0.1000000000000000055"),
        ("2", "2"),
        ("0.0", "0.0"),
        ("-0.0", "0.0"),
        ("1.25e-2", "0.0125"),
        ("3e2", "300"),
    ] {
        assert_eq!(hourly(price).as_deref(), Some(amount), "{price}");
    }
    for price in [
        "-1.5",
        "1e400",
        "1e-40",
        "\"38.4\"",
        "{}",
        "null",
        "9".repeat(40).as_str(),
    ] {
        assert_eq!(hourly(price), None, "{price}");
    }
}

#[test]
fn the_list_ends_where_its_rows_and_a_total_that_can_be_true_say() {
    let next = |offset, rows: usize, total: Value| {
        let data: Vec<_> = (0..rows)
            .map(|row| json!({"id": row.to_string()}))
            .collect();
        page_at(
            offset,
            2,
            &json!({"data": data, "total_count": total}).to_string(),
        )
        .map(|page| page.next.map(|next| next.as_str().to_owned()))
        .map_err(|error| error.kind)
    };
    let at = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(next(0, 2, json!(5)), at("admin:2"));
    assert_eq!(next(4, 1, json!(5)), Ok(None));
    // A page shorter than was asked for does not end a list whose total says that there is more.
    assert_eq!(next(0, 1, json!(5)), at("admin:1"));
    assert_eq!(next(2, 0, json!(5)), Err(ErrorKind::Truncated));
    // A row that comes twice is one step.
    let twice = json!({"data": [{"id": "a"}, {"id": "a"}], "total_count": 5});
    let page = page_at(0, 2, &twice.to_string()).unwrap();
    assert_eq!(page.next.unwrap().as_str(), "admin:1");
    // The model's default total of 0 does not end a list.
    assert_eq!(next(0, 2, json!(0)), at("admin:2"));
    assert_eq!(next(2, 2, json!(1)), at("admin:4"));
    assert_eq!(next(0, 1, json!(0)), Ok(None));
    for unusable in [json!(null), json!(-1), json!("many")] {
        assert_eq!(next(0, 2, unusable.clone()), at("admin:2"));
        assert_eq!(next(2, 0, unusable), Ok(None));
    }
}

#[test]
fn other_shapes_are_never_an_empty_list() {
    let minimal = include_str!("../../../fixtures/prime-intellect/list-minimal.json");
    let page = page_at(0, 100, minimal).unwrap();
    assert_eq!((page.clusters.len(), page.next), (0, None));
    for other in [
        json!({}),
        json!({"data": null}),
        json!({"data": {}}),
        json!({"clusters": []}),
        json!([]),
        json!({"detail": "no"}),
    ] {
        let kind = page_at(0, 100, &other.to_string()).unwrap_err().kind;
        assert_eq!(kind, ErrorKind::UnexpectedShape, "{other}");
    }
}

#[test]
fn a_detail_without_data_is_not_found_and_one_of_another_cluster_is_refused() {
    let kind = |id: &str, body: &str| detail(id, body).unwrap_err().kind;
    let null = include_str!("../../../fixtures/prime-intellect/detail-null.json");
    assert_eq!(kind("cmb1x0001", null), ErrorKind::NotFound);
    assert_eq!(kind("cmb1x0001", "{}"), ErrorKind::UnexpectedShape);
    assert_eq!(
        kind("cmb1x0001", r#"{"data":[]}"#),
        ErrorKind::UnexpectedShape
    );
    assert_eq!(kind("other", DETAIL), ErrorKind::UnexpectedShape);
}

#[test]
fn a_cursor_that_is_not_ours_is_refused() {
    for text in [
        "", "100", "admin", "admin:", "admin:-1", "admin:x", "user:3",
    ] {
        assert_eq!(map::Place::read(&PageCursor::new(text)), None, "{text}");
    }
    let place = map::Place::read(&PageCursor::new("inventory:100")).unwrap();
    assert_eq!((place.family, place.offset), (Family::Inventory, 100));
}

#[test]
fn settings_are_checked() {
    let settings = |text: &str| toml::from_str::<Settings>(text);
    let check = |text: &str| settings(text).unwrap().check().map_err(|error| error.key);
    assert_eq!(check(""), Ok(()));
    assert_eq!(
        check("prefix = 'inventory'\nprice_currency = 'EUR'"),
        Ok(())
    );
    assert_eq!(check("page_size = 0"), Err("page_size".into()));
    assert_eq!(
        check("price_currency = 'dollars'"),
        Err("price_currency".into())
    );
    assert!(settings("prefix = 'user'").is_err());
    assert!(settings("expose = true").is_err());
}

const KEYS: &[&str] = &[
    "data",
    "total_count",
    "id",
    "name",
    "status",
    "providerType",
    "gpuName",
    "gpuCount",
    "socket",
    "priceHr",
    "orchestratorType",
    "orchestratorVersion",
    "orchestratorEndpoint",
    "nodes",
    "createdAt",
    "isDetached",
];

proptest! {
    #[test]
    fn any_body_is_mapped_or_refused(value in any_json(KEYS, "ACTIVE"), offset in any::<u64>()) {
        let whole = value.to_string();
        let rows = json!({"data": [value]}).to_string();
        let cluster = json!({"data": value}).to_string();
        for body in [whole, rows, cluster] {
            let _ = page_at(offset, 100, &body);
            let _ = detail("a", &body);
        }
    }
}
