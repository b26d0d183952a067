//! Writes: sent once, read back where the answer is lost, and the outcome known to the key whoever waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{Instant, timeout};

use super::*;

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

pub(super) fn destroy() -> Write {
    Write::Destroy {
        target: target(),
        before: Some(Box::new(cluster(State::Running))),
    }
}

fn provision() -> Write {
    Write::Provision {
        target: target(),
        before: Some(Box::new(cluster(State::Pending))),
    }
}

fn forget(force: bool) -> Write {
    Write::Forget {
        target: target(),
        before: Some(Box::new(cluster(State::Deleted))),
        force,
    }
}

pub(super) fn create(namesakes: Vec<ClusterId>) -> Write {
    Write::Create {
        source: source(),
        spec: Box::new(ClusterSpec {
            name: "one".into(),
            ..ClusterSpec::default()
        }),
        namesakes,
    }
}

pub(super) fn lost(script: Script) -> Rig {
    rig(Script {
        write: Box::new(|_| fail(TIMEOUT)),
        ..script
    })
}

pub(super) fn unknown(outcome: Result<Done, WriteFailure>) -> Lookback {
    match outcome {
        Err(WriteFailure::Unknown(lookback)) => lookback,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_in_the_inventory_before_it_is_answered() {
    let rig = rig(Script {
        write: Box::new(|_| {
            fine(Written {
                cluster: Some(listed(State::Updating)),
                ..Written::default()
            })
        }),
        ..Script::default()
    });
    let done = rig.live.write(update()).await.unwrap();
    assert!(!done.is_pending && !done.was_read_back && done.operation.is_none());
    assert_eq!(rig.notes.all(), ["listed c updating", "refresh s"]);
    assert_eq!(rig.script.count("describe"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_the_cluster_is_followed_by_a_read() {
    let rig = rig(Script::default());
    rig.live.write(destroy()).await.unwrap();
    assert_eq!(rig.notes.all(), ["described s:c running", "refresh s"]);
    let created = rig.live.write(create(Vec::new())).await.unwrap();
    // The vendor said yes and shows nothing yet: something goes on.
    assert!(created.is_pending && created.cluster.is_none());
    assert!(created.operation.unwrap().id.as_str().starts_with("s:gw-"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_a_refusal_and_nothing_is_read() {
    for kind in [
        ErrorKind::Conflict,
        ErrorKind::InvalidValues,
        ErrorKind::Call(FailureKind::Rejected),
        ErrorKind::Call(FailureKind::RateLimited),
        ErrorKind::Call(FailureKind::Unreachable),
    ] {
        let rig = rig(Script {
            write: Box::new(move |_| fail(kind)),
            ..Script::default()
        });
        let outcome = rig.live.write(update()).await;
        assert!(matches!(outcome, Err(WriteFailure::Refused(_))), "{kind:?}");
        assert_eq!(*rig.script.asked.lock().unwrap(), ["write"], "{kind:?}");
        assert!(rig.notes.all().is_empty());
    }
}

/// A write, the cluster as it is read afterwards, whether the work goes on, and what readers are shown.
type LostCase = (Write, Reply<Described>, bool, &'static str);

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_by_reading_back() {
    let renamed = || {
        let mut after = described(State::Running);
        after.cluster.name = "two".into();
        after
    };
    let cases: [LostCase; 5] = [
        (
            update(),
            Box::new(move |_| fine(renamed())),
            false,
            "described s:c running",
        ),
        (
            destroy(),
            Box::new(|_| fine(described(State::Deleting))),
            true,
            "described s:c deleting",
        ),
        (
            destroy(),
            Box::new(|_| fine(described(State::Deleted))),
            false,
            "described s:c deleted",
        ),
        (
            provision(),
            Box::new(|_| fine(described(State::Provisioning))),
            true,
            "described s:c provisioning",
        ),
        (
            forget(true),
            Box::new(|_| fail(ErrorKind::NotFound)),
            false,
            "gone s:c",
        ),
    ];
    for (write, describe, is_pending, note) in cases {
        let kind = write.kind();
        let rig = lost(Script {
            describe,
            ..Script::default()
        });
        let done = rig.live.write(write).await.unwrap();
        assert!(done.was_read_back, "{kind:?}");
        assert_eq!(done.is_pending, is_pending, "{kind:?}");
        assert_eq!(done.operation.is_some(), is_pending, "{kind:?}");
        assert_eq!(rig.notes.all(), [note, "refresh s"], "{kind:?}");
        assert_eq!(rig.script.count("write"), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_takes_a_moment_is_seen() {
    let rig = lost(Script {
        describe: Box::new(|call| {
            let state = if call < 2 {
                State::Running
            } else {
                State::Deleting
            };
            fine(described(state))
        }),
        ..Script::default()
    });
    let done = rig.live.write(destroy()).await.unwrap();
    assert!(done.was_read_back && done.is_pending);
    assert_eq!(
        (rig.script.count("write"), rig.script.count("describe")),
        (1, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn an_operation_of_the_vendor_is_evidence() {
    let rig = lost(Script {
        operations: Box::new(|_| {
            fine(vec![Operation {
                native_id: "op1".into(),
                kind: OperationKind::Destroy,
                created_at: Some(Timestamp::now()),
                ..Operation::default()
            }])
        }),
        ..Script::default()
    });
    let done = rig.live.write(destroy()).await.unwrap();
    assert_eq!(done.operation.unwrap().id.as_str(), "s:op1");
    assert!(done.is_pending);
}

#[tokio::test(start_paused = true)]
async fn without_evidence_nothing_is_claimed() {
    let rig = lost(Script::default());
    for write in [update(), destroy(), forget(true)] {
        let kind = write.kind();
        let lookback = unknown(rig.live.write(write).await);
        assert_eq!(
            (lookback.cause, lookback.timed_out),
            ("UPSTREAM_TIMEOUT", true)
        );
        assert_eq!(lookback.state, Some(State::Running), "{kind:?}");
        assert!(
            lookback.text.contains("its state is running"),
            "{}",
            lookback.text
        );
    }
    assert_eq!(rig.script.count("write"), 3);
    // What was read is shown, and the list is asked for.
    assert_eq!(rig.notes.count("described s:c running"), 9);
    assert_eq!(rig.notes.count("refresh s"), 3);
    let blind = lost(Script {
        describe: Box::new(|_| fail(TIMEOUT)),
        operations: Box::new(|_| fail(TIMEOUT)),
        ..Script::default()
    });
    let lookback = unknown(blind.live.write(destroy()).await);
    assert_eq!(lookback.state, None);
    assert!(
        lookback.text.contains("nothing is known of its effect"),
        "{}",
        lookback.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_found_by_its_name_unless_the_name_was_there_before() {
    let found = || Script {
        find_created: Box::new(|_| fine(Some(listed(State::Provisioning)))),
        ..Script::default()
    };
    let rig = lost(found());
    let done = rig.live.write(create(Vec::new())).await.unwrap();
    assert!(done.was_read_back && done.is_pending);
    assert_eq!(done.cluster, Some(target().id));
    assert_eq!(rig.notes.all(), ["listed c provisioning", "refresh s"]);
    let rig = lost(found());
    let lookback = unknown(rig.live.write(create(vec![target().id])).await);
    assert!(
        lookback.text.contains("no new cluster"),
        "{}",
        lookback.text
    );
    assert_eq!(
        (rig.script.count("write"), rig.script.count("find_created")),
        (1, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_never_answered_is_given_up_and_read_back() {
    let rig = rig(Script {
        write: Box::new(|_| pending().boxed()),
        describe: Box::new(|_| fine(described(State::Deleting))),
        ..Script::default()
    });
    let began = Instant::now();
    let done = rig.live.write(destroy()).await.unwrap();
    assert!(done.was_read_back);
    assert_eq!(began.elapsed(), Bounds::default().write_deadline);
}

#[tokio::test(start_paused = true)]
async fn one_cluster_has_one_write_at_a_time() {
    let rig = rig(Script {
        write: Box::new(|_| after(5, Written::default())),
        ..Script::default()
    });
    let live = rig.live.clone();
    let first = tokio::spawn(async move { live.write(update()).await.is_ok() });
    sleep(Duration::from_secs(1)).await;
    for write in [update(), destroy(), forget(true)] {
        assert!(matches!(
            rig.live.write(write).await,
            Err(WriteFailure::Busy)
        ));
    }
    // A cluster that is to be made has only its name.
    let live = rig.live.clone();
    let other = tokio::spawn(async move { live.write(create(Vec::new())).await.is_ok() });
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        rig.live.write(create(Vec::new())).await,
        Err(WriteFailure::Busy)
    ));
    assert!(first.await.unwrap() && other.await.unwrap());
    assert_eq!(rig.script.count("write"), 2);
    assert!(rig.live.write(destroy()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_not_told_from_outside_of_its_project() {
    let rig = rig(Script {
        write: Box::new(|_| after(5, Written::default())),
        ..Script::default()
    });
    let within = |project: &str| {
        let mut write = create(Vec::new());
        if let Write::Create { spec, .. } = &mut write {
            spec.project = Some(project.to_owned());
        }
        write
    };
    let (live, write) = (rig.live.clone(), within("hidden"));
    let hidden = tokio::spawn(async move { live.write(write).await.is_ok() });
    sleep(Duration::from_secs(1)).await;
    let again = rig.live.write(within("hidden")).await;
    assert!(matches!(again, Err(WriteFailure::Busy)));
    assert!(rig.live.write(within("own")).await.is_ok());
    assert!(hidden.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_a_write_depends_on_is_looked_at_when_no_other_one_is_running() {
    let rig = rig(Script {
        write: Box::new(|_| after(5, Written::default())),
        ..Script::default()
    });
    let live = rig.live.clone();
    let first = tokio::spawn(async move { live.write(update()).await.is_ok() });
    sleep(Duration::from_secs(1)).await;
    let never = || panic!("looked at while another write is running");
    let busy = rig.live.write_if(update(), never).await;
    assert!(matches!(busy, Err(WriteFailure::Busy)));
    assert!(first.await.unwrap());
    let changed = rig.live.write_if(update(), || false).await;
    assert!(matches!(changed, Err(WriteFailure::Changed)));
    assert_eq!(rig.script.count("write"), 1);
    assert!(rig.live.write_if(update(), || true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_outlasts_the_grace_is_logged_with_its_cluster() {
    let heard = crate::telemetry::testing::listen();
    let rig = rig(Script {
        write: Box::new(|_| pending().boxed()),
        ..Script::default()
    });
    let live = rig.live.clone();
    let work = async move {
        let _ = live.write(destroy()).await;
        keys_end()
    };
    let live = rig.live.clone();
    let _caller = tokio::spawn(async move { live.once("", None, work, never).await });
    sleep(Duration::from_secs(1)).await;
    rig.live.stop(Duration::from_secs(1)).await;
    let log = heard.text();
    let line = log.lines().find(|line| line.contains("write abandoned"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    for part in [
        "source.name=s",
        "cluster.id=\"s:c\"",
        "write.kind=\"destroy\"",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

/// What a write came to that nobody looks at.
fn keys_end() -> Finished {
    Finished {
        outcome: Outcome {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
            reach: 0,
        },
        ending: Ending::Final,
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_goes_only_when_no_infrastructure_is_left_or_by_force() {
    let possible = || Script {
        infrastructure: Infrastructure::Possible,
        ..Script::default()
    };
    let rig = rig(possible());
    let outcome = rig.live.write(forget(false)).await;
    assert!(matches!(
        outcome,
        Err(WriteFailure::InfrastructureMayExist(State::Running))
    ));
    assert_eq!(*rig.script.asked.lock().unwrap(), ["describe"]);
    rig.live.write(forget(true)).await.unwrap();
    assert_eq!(*rig.script.asked.lock().unwrap(), ["describe", "write"]);
    let last_two = rig.notes.all().split_off(1);
    assert_eq!(last_two, ["gone s:c", "refresh s"]);

    let rig = super::rig(Script::default());
    assert!(!rig.live.write(forget(false)).await.unwrap().is_pending);
    let blind = super::rig(Script {
        describe: Box::new(|_| fail(TIMEOUT)),
        ..Script::default()
    });
    let outcome = blind.live.write(forget(false)).await;
    assert!(matches!(outcome, Err(WriteFailure::Unread(_))));
    assert_eq!(blind.script.count("write"), 0);
    let gone = super::rig(Script {
        describe: Box::new(|_| fail(ErrorKind::NotFound)),
        ..Script::default()
    });
    let outcome = gone.live.write(forget(false)).await;
    assert!(matches!(outcome, Err(WriteFailure::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn answers_from_before_a_write_are_not_given_after_it() {
    let rig = rig(Script {
        write: Box::new(|_| after(2, Written::default())),
        nodes: Box::new(|call| after(3, vec![Node::default(); call])),
        ..Script::default()
    });
    rig.live.nodes(&target(), false).await.unwrap();
    sleep(Duration::from_secs(6)).await;
    // This read begins before the write ends, and ends after it.
    let live = rig.live.clone();
    let early =
        tokio::spawn(async move { live.nodes(&target(), false).await.unwrap().value.len() });
    rig.live.write(update()).await.unwrap();
    assert_eq!(
        rig.live.nodes(&target(), false).await.unwrap().value.len(),
        2
    );
    assert_eq!(early.await.unwrap(), 1);
    assert_eq!(
        rig.live.nodes(&target(), false).await.unwrap().value.len(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_detail_from_before_a_write_does_not_reach_the_inventory_after_it() {
    let rig = rig(Script {
        write: Box::new(|_| {
            let written = Written {
                cluster: Some(listed(State::Deleting)),
                ..Written::default()
            };
            after(2, written)
        }),
        describe: Box::new(|_| after(3, described(State::Running))),
        ..Script::default()
    });
    let live = rig.live.clone();
    let early = tokio::spawn(async move { live.detail(&target(), true).await.is_ok() });
    rig.live.write(destroy()).await.unwrap();
    assert!(early.await.unwrap());
    assert_eq!(rig.notes.all(), ["listed c deleting", "refresh s"]);
    rig.live.detail(&target(), true).await.unwrap();
    assert_eq!(rig.notes.count("described s:c running"), 1);
}

fn key() -> (Key, Print) {
    let key = Key {
        caller: String::new(),
        target: "POST /clusters".into(),
        key: "k".into(),
    };
    (key, [7; 32])
}

/// Nothing is recalled: no process was there before.
fn never(_: Result<Done, WriteFailure>, _: &SourceName, _: &Kind) -> Finished {
    panic!("nothing was left")
}

/// Work that counts, takes a while and ends so.
fn work(count: &Arc<AtomicUsize>, is_final: bool) -> BoxFuture<'static, Finished> {
    let count = Arc::clone(count);
    async move {
        let number = count.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(3)).await;
        Finished {
            outcome: Outcome {
                status: 201,
                headers: Vec::new(),
                body: number.to_string().into_bytes(),
                reach: 0,
            },
            ending: if is_final {
                Ending::Final
            } else {
                Ending::Free
            },
        }
    }
    .boxed()
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_end_its_write() {
    let (rig, count) = (rig(Script::default()), Arc::default());
    let gone = timeout(
        Duration::from_secs(1),
        rig.live.once("", Some(key()), work(&count, true), never),
    );
    assert!(gone.await.is_err());
    // The same request again meets the running one, then its answer.
    let running = rig
        .live
        .once("", Some(key()), work(&count, true), never)
        .await;
    assert_eq!(running.unwrap_err(), Refusal::Running);
    sleep(Duration::from_secs(3)).await;
    let replayed = rig
        .live
        .once("", Some(key()), work(&count, true), never)
        .await
        .unwrap();
    assert_eq!(
        (replayed.is_replayed, replayed.outcome.body),
        (true, b"0".to_vec())
    );
    let other = Some((key().0, [8; 32]));
    let other = rig.live.once("", other, work(&count, true), never).await;
    assert_eq!(other.unwrap_err(), Refusal::OtherRequest);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_did_nothing_may_be_tried_again_under_its_key() {
    let (rig, count) = (rig(Script::default()), Arc::default());
    for number in 0..3_u8 {
        let once = rig
            .live
            .once("", Some(key()), work(&count, false), never)
            .await
            .unwrap();
        assert_eq!(
            (once.is_replayed, once.outcome.body),
            (false, vec![b'0' + number])
        );
    }
    rig.live
        .once("", None, work(&count, true), never)
        .await
        .unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn work_that_breaks_leaves_its_key_taken() {
    let rig = rig(Script::default());
    let broken = rig
        .live
        .once("", Some(key()), async { panic!("on purpose") }, never)
        .await;
    assert_eq!(broken.unwrap_err(), Refusal::Broken);
    let again = rig
        .live
        .once("", Some(key()), work(&Arc::default(), true), never)
        .await;
    assert_eq!(again.unwrap_err(), Refusal::Running);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_writes_within_the_grace() {
    let (rig, count) = (rig(Script::default()), Arc::default());
    let (live, first) = (rig.live.clone(), work(&count, true));
    let running = tokio::spawn(async move { live.once("", Some(key()), first, never).await });
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    rig.live.stop(Duration::from_secs(10)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert!(running.await.unwrap().is_ok());
    let late = rig
        .live
        .once("", Some(key()), work(&count, true), never)
        .await;
    assert_eq!(late.unwrap_err(), Refusal::Stopping);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_read_back_also_while_the_program_stops() {
    let rig = rig(Script {
        write: Box::new(|_| {
            async {
                sleep(Duration::from_secs(2)).await;
                Err(error(TIMEOUT))
            }
            .boxed()
        }),
        describe: Box::new(|_| fine(described(State::Deleting))),
        ..Script::default()
    });
    let live = rig.live.clone();
    let writing = live.clone();
    let once = rig.live.once(
        "",
        Some(key()),
        async move {
            let is_seen = writing.write(destroy()).await.is_ok();
            Finished {
                outcome: Outcome {
                    status: if is_seen { 200 } else { 500 },
                    headers: Vec::new(),
                    body: Vec::new(),
                    reach: 0,
                },
                ending: Ending::Final,
            }
        },
        never,
    );
    let (once, ()) = tokio::join!(once, async {
        sleep(Duration::from_secs(1)).await;
        live.stop(Duration::from_secs(10)).await;
    });
    assert_eq!(once.unwrap().outcome.status, 200);
}
