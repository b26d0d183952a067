//! What counts as evidence of a write whose answer was lost, and what only looks like it.

use super::writes::{create, destroy, lost, unknown};
use super::*;

fn destruction(native_id: &str) -> Operation {
    Operation {
        native_id: native_id.into(),
        kind: OperationKind::Destroy,
        created_at: Some(Timestamp::now()),
        done: true,
        ..Operation::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_was_known_before_is_of_another_write() {
    let rig = lost(Script {
        operations: Box::new(|call| {
            fine(match call {
                // Before the first write, and after it.
                0..4 => vec![destruction("old")],
                _ => vec![destruction("old"), destruction("new")],
            })
        }),
        ..Script::default()
    });
    rig.live.operations_of(&target(), false).await.unwrap();
    let lookback = unknown(rig.live.write(destroy()).await);
    assert_eq!(lookback.state, Some(State::Running));
    let done = rig.live.write(destroy()).await.unwrap();
    assert_eq!(done.operation.unwrap().id.as_str(), "s:new");
    assert_eq!(rig.script.count("operations"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_older_than_the_write_was_not_made_by_it() {
    for (seconds, is_made) in [(3_600, false), (30, true), (-30, true)] {
        let rig = lost(Script {
            find_created: Box::new(move |_| {
                let mut found = listed(State::Running);
                let age = jiff::SignedDuration::from_secs(seconds);
                found.cluster.created_at = Some(Timestamp::now() - age);
                fine(Some(found))
            }),
            ..Script::default()
        });
        let outcome = rig.live.write(create(Vec::new())).await;
        assert_eq!(outcome.is_ok(), is_made, "{seconds}");
        assert_eq!(rig.script.count("write"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_cluster_that_waits_goes_on_unless_it_is_a_record() {
    for (state, infrastructure, is_pending) in [
        (State::Pending, Infrastructure::None, false),
        (State::Pending, Infrastructure::Possible, true),
        (State::Provisioning, Infrastructure::Possible, true),
        (State::Running, Infrastructure::Possible, false),
    ] {
        let rig = lost(Script {
            find_created: Box::new(move |_| fine(Some(listed(state)))),
            infrastructure,
            ..Script::default()
        });
        let done = rig.live.write(create(Vec::new())).await.unwrap();
        assert_eq!(done.is_pending, is_pending, "{state:?}");
        assert_eq!(done.operation.is_some(), is_pending, "{state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_gone_is_gone_for_readers_before_its_destruction_has_ended() {
    let deleting = [
        "described s:c deleting",
        "refresh s",
        "gone s:c",
        "refresh s",
    ];
    let at_once = ["gone s:c", "refresh s", "gone s:c", "refresh s"];
    for (looks, notes) in [(1, deleting), (0, at_once)] {
        let rig = rig(Script {
            capabilities: &SILENT,
            write: Box::new(|_| {
                fine(Written {
                    is_pending: true,
                    ..Written::default()
                })
            }),
            describe: Box::new(move |call| {
                if call < looks {
                    fine(described(State::Deleting))
                } else {
                    fail(ErrorKind::NotFound)
                }
            }),
            ..Script::default()
        });
        let done = rig.live.write(destroy()).await.unwrap();
        let id = done.operation.unwrap().id;
        let known = rig.live.operation(&id, true).await.unwrap();
        assert_eq!(known.value.operation.state, OperationState::Succeeded);
        assert_eq!(rig.notes.all(), notes);
    }
}
