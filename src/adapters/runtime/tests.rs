//! The mapping over the fixtures, and over anything else.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::State;
use crate::provider::Warnings;
use crate::provider::testing::any_json;

fn source() -> SourceName {
    SourceName::new("jfrog-main").unwrap()
}

fn page_at(place: Option<&map::Place>, limit: u16, body: &str) -> Result<Page, ProviderError> {
    map::page(
        &source(),
        place,
        limit,
        &Bytes::copy_from_slice(body.as_bytes()),
    )
}

fn page(body: &str) -> Result<Page, ProviderError> {
    page_at(None, 100, body)
}

fn detail(id: &str, body: &str) -> Result<Described, ProviderError> {
    map::detail(&source(), id, &Bytes::copy_from_slice(body.as_bytes()))
}

fn warnings(warnings: &Warnings) -> Vec<(&'static str, u64)> {
    warnings.iter().collect()
}

const LIST: &str = include_str!("../../../fixtures/runtime/list.json");
const LAST: &str = include_str!("../../../fixtures/runtime/list-last.json");
const QUIRKS: &str = include_str!("../../../fixtures/runtime/quirks.json");
const DETAIL: &str = include_str!("../../../fixtures/runtime/detail.json");

#[test]
fn a_walk_over_the_documented_pages_reaches_its_end() {
    let first = page_at(None, 1, LIST).unwrap();
    insta::assert_json_snapshot!("list", first.clusters[0].cluster);
    let place = map::Place::read(&first.next.unwrap()).unwrap();
    assert_eq!((place.seen, place.key.as_str()), (1, "3"));
    let last = page_at(Some(&place), 1, LAST).unwrap();
    insta::assert_json_snapshot!("list-last", last.clusters[0].cluster);
    assert_eq!((last.next, last.warnings.total()), (None, 0));
}

#[test]
fn a_failed_node_degrades_and_a_silent_controller_is_lost_contact() {
    let state = |body| {
        let cluster = page(body).unwrap().clusters.remove(0).cluster;
        (cluster.status.state, cluster.contact_lost)
    };
    assert_eq!(state(LIST), (State::Degraded, false));
    assert_eq!(state(LAST), (State::Unreachable, true));
}

#[test]
fn what_cannot_be_true_is_null_and_counted_and_spoils_nothing_else() {
    let page = page(QUIRKS).unwrap();
    let clusters: Vec<_> = page.clusters.iter().map(|listed| &listed.cluster).collect();
    insta::assert_json_snapshot!("quirks", clusters);
    insta::assert_json_snapshot!("quirks-warnings", warnings(&page.warnings));
    assert_eq!(page.rejected.len(), 5);
    assert!(page.rejected.iter().all(|row| row.native_id.is_none()));
}

#[test]
fn rows_of_nonsense_are_rejected_and_never_one_cluster() {
    let row = json!({"id": "12,5 units", "name": ["prod-eu"], "nodes_count": "12,5 units"});
    let page = page(&json!({"clusters": [row, row, {"id": "null"}]}).to_string()).unwrap();
    assert_eq!((page.clusters.len(), page.rejected.len()), (0, 3));
}

#[test]
fn raw_keeps_an_id_as_it_was_written_and_nothing_undeclared() {
    let page = page(QUIRKS).unwrap();
    let raw: Vec<_> = page
        .clusters
        .iter()
        .map(|listed| listed.raw.as_ref().unwrap().get())
        .collect();
    assert!(
        raw[0].contains(r#""id":18446744073709551616"#),
        "{}",
        raw[0]
    );
    assert!(raw[1].contains(r#""id":"b/../c""#), "{}", raw[1]);
    assert!(raw.iter().all(|raw| !raw.contains("canary")));
    assert_eq!(
        page.clusters[1].cluster.id.as_str(),
        "jfrog-main:b%2F..%2Fc"
    );
}

#[test]
fn the_end_of_the_list_is_where_the_key_and_the_rows_say() {
    let place = map::Place {
        seen: 1,
        key: "k1".into(),
    };
    let next_of = |limit: u16, body: Value| {
        page_at(Some(&place), limit, &body.to_string())
            .map(|page| {
                (
                    page.next.map(|next| next.as_str().to_owned()),
                    page.warnings.total(),
                )
            })
            .map_err(|error| error.kind)
    };
    let next = |body: Value| next_of(1, body);
    let row = json!({"id": 1});
    let more = |key: Value| json!({"clusters": [row], "pagination": {"next_key": key}});
    assert_eq!(next(more(json!("k2"))), Ok((Some("2:k2".into()), 0)));
    assert_eq!(next(more(json!(7))), Ok((Some("2:7".into()), 0)));
    for end in [json!(null), json!("")] {
        assert_eq!(next(more(end)), Ok((None, 0)));
    }
    assert_eq!(next(more(json!("k1"))), Err(ErrorKind::PaginationLoop));
    assert_eq!(next(more(json!({}))), Err(ErrorKind::UnexpectedShape));
    // An empty page ends the list whatever key it carries, but not before the total.
    let empty = |total: u64| json!({"clusters": [], "total_count": total, "pagination": {"next_key": "k2"}});
    assert_eq!(next(empty(1)), Ok((None, 0)));
    assert_eq!(next(empty(2)), Err(ErrorKind::Truncated));
    // After a short page without a key a larger total is worth a count, no more: clusters register meanwhile.
    let keyless = json!({"clusters": [row], "pagination": {"total_count": 9}});
    assert_eq!(next_of(2, keyless.clone()), Ok((None, 1)));
    assert_eq!(next_of(1, keyless), Err(ErrorKind::Truncated));
}

#[test]
fn other_shapes_are_never_an_empty_list() {
    let empty = include_str!("../../../fixtures/runtime/list-empty.json");
    assert_eq!(page(empty).unwrap().clusters.len(), 0);
    for other in [
        json!({}),
        json!({"clusters": null}),
        json!({"clusters": {}}),
        json!({"clusters": [], "pagination": []}),
        json!([]),
        json!({"error": "error message"}),
    ] {
        let kind = page(&other.to_string()).unwrap_err().kind;
        assert_eq!(kind, ErrorKind::UnexpectedShape, "{other}");
    }
    let full = json!({"clusters": [{"id": 1}]}).to_string();
    assert_eq!(
        page_at(None, 1, &full).unwrap_err().kind,
        ErrorKind::UnexpectedShape
    );
    assert!(page_at(None, 2, &full).is_ok());
}

#[test]
fn a_cursor_that_is_not_ours_is_refused() {
    for text in ["", "3", ":k", "3:", "-1:k", "x:k"] {
        assert_eq!(map::Place::read(&PageCursor::new(text)), None, "{text}");
    }
    let place = map::Place::read(&PageCursor::new("3:a:b")).unwrap();
    assert_eq!(place.key, "a:b");
}

#[test]
fn a_detail_counts_the_nodes_that_it_names() {
    let described = detail("3", DETAIL).unwrap();
    insta::assert_json_snapshot!("detail", described.cluster);
    insta::assert_json_snapshot!("nodes", described.nodes);
    assert_eq!(described.cluster.status.state, State::Degraded);
    assert_eq!(
        detail("4", DETAIL).unwrap_err().kind,
        ErrorKind::UnexpectedShape
    );
    assert_eq!(
        detail("3", r#"{"cluster":null}"#).unwrap_err().kind,
        ErrorKind::UnexpectedShape
    );
}

#[test]
fn settings_are_checked() {
    let settings = |text: &str| toml::from_str::<Settings>(text);
    let check = |text: &str| settings(text).unwrap().check().map_err(|error| error.key);
    assert_eq!(check(""), Ok(()));
    assert_eq!(
        check("prefix = '/proxy/runtime/api/v1/'\ndetail_path = 'clusters_slash'"),
        Ok(())
    );
    for prefix in ["runtime", "", "/a?b", "//evil.example", "/a/../b", "/a b"] {
        assert_eq!(
            check(&format!("prefix = '{prefix}'")),
            Err("prefix".into()),
            "{prefix}"
        );
    }
    assert_eq!(check("page_size = 101"), Err("page_size".into()));
    assert!(settings("prefx = '/a'").is_err());
}

const KEYS: &[&str] = &[
    "clusters",
    "cluster",
    "pagination",
    "next_key",
    "total_count",
    "id",
    "name",
    "provider",
    "regions",
    "controller_status",
    "nodes_count",
    "failed_nodes_count",
    "nodes",
    "status",
    "controller_last_updated",
    "sensor_last_updated",
];

proptest! {
    #[test]
    fn any_body_is_mapped_or_refused(value in any_json(KEYS, "running"), seen in any::<u64>()) {
        let place = map::Place { seen, key: "k".into() };
        let whole = value.to_string();
        let rows = json!({"clusters": [value]}).to_string();
        let cluster = json!({"cluster": value}).to_string();
        for body in [whole, rows, cluster] {
            let _ = page_at(Some(&place), 100, &body);
            let _ = detail("a", &body);
        }
    }
}
