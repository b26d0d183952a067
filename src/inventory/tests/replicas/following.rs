//! What a follower shows is what was published, byte by byte.

use proptest::prelude::*;

use super::*;
use crate::inventory::batch::Batch;
use crate::inventory::change::Cause;
use crate::inventory::diff::difference;
use crate::inventory::journal::Delta;

/// Something that happens to a source. Clusters are told apart by small numbers.
#[derive(Debug, Clone)]
enum Step {
    /// A listing of these, each in one of two versions, and whether a row of it could not be read.
    List(Vec<(u8, bool)>, Option<u8>),
    Fail,
    Describe(u8, bool),
    Show(u8, bool),
    Gone(u8),
    Look(u8),
    Age(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let one = || 0..14_u8;
    prop_oneof![
        4 => (prop::collection::btree_map(one(), any::<bool>(), 0..14), prop::option::of(one()))
            .prop_map(|(rows, unread)| Step::List(rows.into_iter().collect(), unread)),
        1 => Just(Step::Fail),
        2 => (one(), any::<bool>()).prop_map(|(id, version)| Step::Describe(id, version)),
        2 => (one(), any::<bool>()).prop_map(|(id, version)| Step::Show(id, version)),
        1 => one().prop_map(Step::Gone),
        1 => one().prop_map(Step::Look),
        2 => (0..7_200_i64).prop_map(Step::Age),
    ]
}

fn version(id: u8, is_second: bool) -> Cluster {
    let mut cluster = cluster("s", &format!("{id:02}"));
    if is_second {
        cluster.environment = Some("another".to_owned());
    }
    cluster
}

fn take(bench: &mut Bench, step: Step) -> (Cause, bool) {
    let id = |id: u8| ClusterId::new(&source("s"), &format!("{id:02}"));
    match step {
        Step::List(rows, unread) => {
            let rows = rows.into_iter().filter(|(id, _)| Some(*id) != unread);
            let rows = rows.map(|(id, is_second)| {
                let mut row = listed(version(id, is_second));
                row.raw = is_second.then(|| raw("{\"a\":[1.50,null]}"));
                row
            });
            let rejected = unread.map(|id| Rejected {
                native_id: (id % 2 == 0).then(|| format!("{id:02}")),
                reason: "not read",
            });
            bench.list_with(rows.collect(), rejected.into_iter().collect());
            (Cause::Vendor, true)
        }
        Step::Fail => {
            bench.fail(ErrorKind::Deadline);
            (Cause::Outage, true)
        }
        Step::Describe(one, is_second) => {
            let mut cluster = version(one, is_second);
            cluster.orchestrator.native_version = Some("v1".to_owned());
            bench.describe(cluster);
            (Cause::Vendor, false)
        }
        Step::Show(one, is_second) => {
            bench.change(Shown::Listed(Box::new(listed(version(one, is_second)))));
            (Cause::Operator, false)
        }
        Step::Gone(one) => {
            bench.change(Shown::Gone(id(one)));
            (Cause::Operator, false)
        }
        Step::Look(one) => {
            bench.change(Shown::Described(Box::new(Detailed {
                id: id(one),
                described: described(version(one, true)),
                at: at(bench.clock),
                based_on: u64::MAX,
            })));
            (Cause::Vendor, false)
        }
        Step::Age(seconds) => {
            bench.age(seconds);
            (Cause::Outage, false)
        }
    }
}

/// Everything that answers show of a source, and what entity tags are of.
fn shown(shelf: &Arc<Shelf>) -> (String, Vec<String>, String) {
    let snapshot = Snapshot::new(1, at(0), vec![Arc::clone(shelf)]);
    let ids = shelf.content.entries.iter().map(|entry| &entry.row.id);
    let places: Vec<_> = ids.map(|id| snapshot.find(id).unwrap()).collect();
    let mut body = Vec::new();
    snapshot.append(&places, true, true, &mut body);
    let tags = places
        .iter()
        .map(|place| snapshot.tag(*place, None))
        .collect();
    let mut report = SourceReport::clone(&shelf.report);
    for attempt in &mut report.attempts {
        attempt.took = Duration::from_millis(u64::try_from(attempt.took.as_millis()).unwrap());
    }
    let summary = serde_json::to_string(&format!("{:?}", shelf.content.totals)).unwrap();
    (
        String::from_utf8(body).unwrap() + &summary,
        tags,
        format!("{report:?} {} {:?}", shelf.overdue, shelf.outdated),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_follower_shows_what_the_writer_shows(
        steps in prop::collection::vec((step(), any::<bool>()), 1..24),
    ) {
        let mut writer = Bench::new("s", "test");
        let mut follower = Bench::new("s", "test").shelf;
        let mut late = Arc::clone(&follower);
        let mut texts = Interner::default();
        let mut tables = Tables {
            generation: 1,
            ..Tables::default()
        };
        let mut applied = 1;
        for (number, (step, is_seen)) in (2_u64..).zip(steps) {
            let before = Arc::clone(&writer.shelf);
            let (cause, is_attempted) = take(&mut writer, step);
            writer.generation = writer.generation.max(number);
            let after = Arc::clone(&writer.shelf);
            let found = difference(&before, &after, cause);
            let removed = found.removed.iter().map(|entry| entry.row.id.clone());
            tables.write(&Publication {
                generation: number,
                at: at(writer.clock),
                deltas: vec![Delta {
                    report: Arc::clone(&after.report),
                    attempt: is_attempted.then(|| after.report.attempts[0].clone()),
                    cause,
                    upserts: found.upserts,
                    removed: removed.collect(),
                    shelf: Arc::clone(&after),
                }],
                batch: Batch::new(number, at(writer.clock), found.changes).map(Arc::new),
            });
            if !is_seen {
                continue;
            }
            // One that follows step by step, or over several of them, and one that begins now.
            for newer in tables.newer(applied).sources {
                follower = Arc::new(follower.followed(newer, &mut texts).shelf);
            }
            for newer in tables.newer(0).sources {
                late = Arc::new(Bench::new("s", "test").shelf.followed(newer, &mut texts).shelf);
            }
            applied = number;
            prop_assert_eq!(shown(&follower), shown(&after));
            prop_assert_eq!(shown(&late), shown(&after));
            // What a listing that began before may not undo is held here as well.
            for id in after.held.keys().filter(|id| after.entry(id).is_some()) {
                prop_assert!(follower.held.contains_key(id), "{}", id);
            }
        }
    }
}

#[test]
fn records_that_are_not_found_are_lost_like_those_that_cannot_be_read() {
    let mut texts = Interner::default();
    let empty = Bench::new("s", "test").shelf;
    let missing = NewerSource {
        clusters: Some(2),
        ..NewerSource::nothing(source("s"))
    };
    let followed = empty.followed(missing, &mut texts);
    assert_eq!((followed.refused, followed.shelf.report.omitted), (2, 2));
}
