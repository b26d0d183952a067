//! Operations: the vendor's, and those that only the gateway tracks.

use tokio::time::advance;

use OperationState::{Failed, Running, Succeeded};

use super::*;

fn operation(native_id: &str, state: OperationState, done: bool) -> Operation {
    Operation {
        native_id: native_id.into(),
        kind: OperationKind::Provision,
        state,
        done,
        ..Operation::default()
    }
}

fn id(native_id: &str) -> OperationId {
    OperationId::new(&source(), native_id)
}

fn pending_write() -> Reply<Written> {
    Box::new(|_| {
        fine(Written {
            is_pending: true,
            ..Written::default()
        })
    })
}

fn update() -> Write {
    Write::Update {
        target: target(),
        before: Some(Box::new(cluster(State::Running))),
        patch: Box::new(ClusterPatch {
            name: Some("two".into()),
            ..ClusterPatch::default()
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_is_asked_until_its_operation_has_ended_and_then_no_more() {
    let rig = rig(Script {
        operation: Box::new(|call| match call {
            0 => fine(operation("op", OperationState::Running, false)),
            1 => fail(TIMEOUT),
            _ => fine(operation("op", OperationState::Succeeded, true)),
        }),
        ..Script::default()
    });
    let running = rig.live.operation(&id("op"), false).await.unwrap();
    assert!(!running.value.operation.done);
    rig.live.operation(&id("op"), false).await.unwrap();
    assert_eq!(rig.script.count("operation"), 1);
    advance(Duration::from_secs(6)).await;
    let stale = rig.live.operation(&id("op"), false).await.unwrap();
    assert!(stale.failed.is_some() && !stale.value.operation.done);
    assert_eq!(rig.notes.count("refresh s"), 0);
    advance(Duration::from_secs(6)).await;
    for _ in 0..3 {
        let ended = rig.live.operation(&id("op"), true).await.unwrap();
        assert_eq!(ended.value.operation.state, OperationState::Succeeded);
        advance(Duration::from_secs(6)).await;
    }
    assert_eq!(rig.script.count("operation"), 3);
    // Its cluster is read again, once.
    assert_eq!(rig.notes.count("refresh s"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_not_found() {
    let rig = rig(Script::default());
    assert_eq!(
        code(&rig.live.operation(&id("nothing"), false).await),
        "CLUSTER_NOT_FOUND"
    );
    // What looks like one of ours is not asked of the vendor.
    assert_eq!(
        code(&rig.live.operation(&id("gw-00"), false).await),
        "CLUSTER_NOT_FOUND"
    );
    assert_eq!(rig.script.count("operation"), 1);
    let foreign = OperationId::parse("t:1").unwrap();
    assert_eq!(
        code(&rig.live.operation(&foreign, false).await),
        "no source"
    );
    let silent = super::rig(Script {
        capabilities: &SILENT,
        ..Script::default()
    });
    assert_eq!(
        code(&silent.live.operation(&id("1"), false).await),
        "CLUSTER_NOT_FOUND"
    );
    assert_eq!(silent.script.count("operation"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_no_vendor_tracks_follows_from_the_cluster() {
    let rig = rig(Script {
        capabilities: &SILENT,
        write: pending_write(),
        // Read once after the write and once by each look.
        describe: Box::new(|call| {
            let mut read = described(match call {
                2 => State::Updating,
                _ => State::Running,
            });
            // Somebody else's work shows first.
            if call > 3 {
                read.cluster.name = "two".into();
            }
            fine(read)
        }),
        ..Script::default()
    });
    let done = rig.live.write(update()).await.unwrap();
    let id = done.operation.unwrap().id;
    let mut states = Vec::new();
    for _ in 0..5 {
        let known = rig.live.operation(&id, true).await.unwrap();
        assert_eq!(
            (known.value.origin, known.value.cluster.clone()),
            (Origin::Gateway, Some(target().id))
        );
        states.push(known.value.operation.state);
        advance(Duration::from_secs(6)).await;
    }
    // Neither the state from before the work has begun nor the end of any work is a sign of its end.
    assert_eq!(states, [Running, Running, Running, Succeeded, Succeeded]);
    assert_eq!(rig.script.count("describe"), 5);
    assert_eq!(rig.notes.count("refresh s"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_change_without_a_trace_is_not_known_after_a_while() {
    let rig = rig(Script {
        capabilities: &SILENT,
        write: pending_write(),
        ..Script::default()
    });
    let id = rig
        .live
        .write(update())
        .await
        .unwrap()
        .operation
        .unwrap()
        .id;
    let state = || async {
        let known = rig.live.operation(&id, true).await.unwrap();
        let operation = &known.value.operation;
        (operation.state, operation.done)
    };
    assert_eq!(state().await, (Running, false));
    advance(Duration::from_secs(125)).await;
    assert_eq!(state().await, (OperationState::Unknown, true));
}

#[tokio::test(start_paused = true)]
async fn each_kind_has_its_own_end() {
    type Case = (Write, Reply<Described>, OperationState);
    let destroy = || Write::Destroy {
        target: target(),
        before: Some(Box::new(cluster(State::Running))),
    };
    let provision = |before| Write::Provision {
        target: target(),
        before: Some(Box::new(cluster(before))),
    };
    let cases: [Case; 9] = [
        (
            destroy(),
            Box::new(|_| fine(described(State::Deleting))),
            Running,
        ),
        (
            destroy(),
            Box::new(|_| fine(described(State::Deleted))),
            Succeeded,
        ),
        (
            destroy(),
            Box::new(|_| fail(ErrorKind::NotFound)),
            Succeeded,
        ),
        (
            destroy(),
            Box::new(|_| fine(described(State::Failed))),
            Failed,
        ),
        (
            provision(State::Pending),
            Box::new(|_| fine(described(State::Running))),
            Succeeded,
        ),
        (
            provision(State::Pending),
            Box::new(|_| fine(described(State::Provisioning))),
            Running,
        ),
        (
            provision(State::Pending),
            Box::new(|_| fine(described(State::Failed))),
            Failed,
        ),
        (
            provision(State::Failed),
            Box::new(|_| fine(described(State::Failed))),
            Running,
        ),
        (
            provision(State::Pending),
            Box::new(|_| fail(ErrorKind::NotFound)),
            Failed,
        ),
    ];
    for (number, (write, describe, expected)) in cases.into_iter().enumerate() {
        let rig = rig(Script {
            write: pending_write(),
            describe,
            ..Script::default()
        });
        let id = rig.live.write(write).await.unwrap().operation.unwrap().id;
        let known = rig.live.operation(&id, true).await.unwrap();
        assert_eq!(known.value.operation.state, expected, "{number}");
        assert_eq!(known.value.operation.done, expected != Running, "{number}");
        assert_eq!(
            known.value.operation.completed_at.is_some(),
            expected != Running
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_without_a_cluster_is_followed_by_its_name() {
    let rig = rig(Script {
        capabilities: &SILENT,
        write: pending_write(),
        find_created: Box::new(|call| match call {
            0 | 1 => fine(None),
            _ => fine(Some(listed(State::Provisioning))),
        }),
        ..Script::default()
    });
    let write = Write::Create {
        source: source(),
        spec: Box::new(ClusterSpec {
            name: "one".into(),
            ..ClusterSpec::default()
        }),
        namesakes: Vec::new(),
    };
    let id = rig.live.write(write).await.unwrap().operation.unwrap().id;
    let known = rig.live.operation(&id, true).await.unwrap();
    assert_eq!(
        (known.value.cluster.clone(), known.value.operation.done),
        (None, false)
    );
    let known = rig.live.operation(&id, true).await.unwrap();
    assert_eq!(known.value.cluster, Some(target().id));
    assert_eq!(rig.notes.count("listed c provisioning"), 1);
    let known = rig.live.operation(&id, true).await.unwrap();
    assert_eq!(known.value.operation.state, OperationState::Succeeded);
    assert_eq!(rig.script.count("find_created"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_never_somebody_elses_cluster() {
    let hour = jiff::SignedDuration::from_hours(1);
    for (namesakes, made_at) in [
        (vec![target().id], None),
        (Vec::new(), Some(Timestamp::now() - hour)),
    ] {
        let rig = rig(Script {
            capabilities: &SILENT,
            write: pending_write(),
            find_created: Box::new(move |_| {
                let mut found = listed(State::Running);
                found.cluster.created_at = made_at;
                fine(Some(found))
            }),
            ..Script::default()
        });
        let done = rig
            .live
            .write(super::writes::create(namesakes))
            .await
            .unwrap();
        assert!(done.is_pending && done.cluster.is_none());
        let id = done.operation.unwrap().id;
        let known = rig.live.operation(&id, true).await.unwrap();
        assert!(known.value.cluster.is_none() && !known.value.operation.done);
        // Looked for after the write and by the look.
        assert_eq!(rig.script.count("find_created"), 2);
        assert_eq!(rig.notes.count("listed c running"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_operations_of_a_cluster_are_the_vendors_and_ours() {
    let rig = rig(Script {
        write: pending_write(),
        operations: Box::new(|_| {
            let mut old = operation("old", OperationState::Succeeded, true);
            old.created_at = Timestamp::from_second(1).ok();
            fine(vec![
                operation("untimed", OperationState::Unknown, false),
                old,
            ])
        }),
        ..Script::default()
    });
    let own = rig
        .live
        .write(update())
        .await
        .unwrap()
        .operation
        .unwrap()
        .id;
    let read = rig.live.operations_of(&target(), false).await.unwrap();
    let ids: Vec<OperationId> = read.value.iter().map(|known| known.id.clone()).collect();
    assert_eq!(ids, [own.clone(), id("old"), id("untimed")]);
    assert!(
        read.value
            .iter()
            .all(|known| known.cluster == Some(target().id))
    );
    // They are known from now on.
    let all = Selection {
        limit: 10,
        ..Selection::default()
    };
    assert_eq!(
        rig.live
            .known_operations(&all, &|_| true)
            .await
            .unwrap()
            .0
            .len(),
        3
    );
    let ended = Selection {
        states: vec![OperationState::Succeeded],
        ..all.clone()
    };
    assert_eq!(
        rig.live
            .known_operations(&ended, &|_| true)
            .await
            .unwrap()
            .0[0]
            .id,
        id("old")
    );
    let foreign = Selection {
        cluster: Some(target_of("d").id),
        ..all
    };
    assert!(
        rig.live
            .known_operations(&foreign, &|_| true)
            .await
            .unwrap()
            .0
            .is_empty()
    );
    assert_eq!(
        rig.live
            .operation(&id("old"), true)
            .await
            .unwrap()
            .value
            .cluster,
        Some(target().id)
    );
    assert_eq!(rig.script.count("operation"), 0);
}
