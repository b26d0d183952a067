//! Reads: one call for all who come together, a short memory, and what is answered when the vendor fails.

use tokio::task::JoinSet;
use tokio::time::{Instant, advance, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn callers_that_come_together_share_one_call_and_none_ends_it_for_the_others() {
    let rig = rig(Script {
        nodes: Box::new(|_| after(3, vec![Node::default()])),
        ..Script::default()
    });
    let mut callers = JoinSet::new();
    for number in 0..50 {
        let live = rig.live.clone();
        callers.spawn(async move {
            // The one that begins the call is among those that go away.
            let patience = if number % 2 == 0 { 1 } else { 10 };
            let of = target();
            let answer = timeout(Duration::from_secs(patience), live.nodes(&of, false));
            answer.await.map(|answer| answer.unwrap().value.len())
        });
    }
    let answers = callers.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 25);
    assert_eq!(rig.script.count("nodes"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_for_a_few_seconds() {
    let rig = rig(Script::default());
    let first = rig.live.nodes(&target(), false).await.unwrap();
    advance(Duration::from_millis(4_900)).await;
    let again = rig.live.nodes(&target(), false).await.unwrap();
    assert!(Arc::ptr_eq(&first.value, &again.value));
    assert_eq!((first.at, again.failed.is_none()), (again.at, true));
    assert_eq!(rig.script.count("nodes"), 1);
    // Another cluster is another matter.
    rig.live.nodes(&target_of("d"), false).await.unwrap();
    assert_eq!(rig.script.count("nodes"), 2);
    advance(Duration::from_millis(200)).await;
    rig.live.nodes(&target(), false).await.unwrap();
    assert_eq!(rig.script.count("nodes"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_does_not_answer_is_given_up_at_the_deadline() {
    let rig = rig(Script {
        nodes: Box::new(|_| pending().boxed()),
        ..Script::default()
    });
    let began = Instant::now();
    let outcome = rig.live.nodes(&target(), false).await;
    assert_eq!(code(&outcome), "deadline");
    assert_eq!(began.elapsed(), Bounds::default().deadline);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_fails_leaves_the_last_answer_with_its_true_time() {
    let rig = rig(Script {
        nodes: Box::new(|call| match call {
            0 => fine(vec![Node::default(); 3]),
            1 => fail(TIMEOUT),
            2 => pending().boxed(),
            _ => fail(ErrorKind::NotFound),
        }),
        ..Script::default()
    });
    let first = rig.live.nodes(&target(), false).await.unwrap();
    for call in 1..=2 {
        advance(Duration::from_secs(6)).await;
        let stale = rig.live.nodes(&target(), false).await.unwrap();
        assert_eq!((stale.at, stale.value.len()), (first.at, 3));
        assert!(stale.failed.is_some());
        assert_eq!(rig.script.count("nodes"), call + 1);
    }
    // A vendor that says that the cluster is gone has not failed.
    advance(Duration::from_secs(6)).await;
    assert_eq!(
        code(&rig.live.nodes(&target(), false).await),
        "CLUSTER_NOT_FOUND"
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_not_the_last_for_ever() {
    let rig = rig(Script {
        nodes: Box::new(|call| match call {
            0 => fine(Vec::new()),
            _ => fail(TIMEOUT),
        }),
        ..Script::default()
    });
    rig.live.nodes(&target(), false).await.unwrap();
    advance(Duration::from_mins(61)).await;
    // Another answer makes room.
    let _ = rig.live.nodes(&target_of("d"), false).await;
    assert_eq!(
        code(&rig.live.nodes(&target(), false).await),
        "UPSTREAM_TIMEOUT"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_answered_again_for_a_moment_only() {
    let rig = rig(Script {
        nodes: Box::new(|_| fail(TIMEOUT)),
        ..Script::default()
    });
    for _ in 0..10 {
        assert_eq!(
            code(&rig.live.nodes(&target(), false).await),
            "UPSTREAM_TIMEOUT"
        );
    }
    assert_eq!(rig.script.count("nodes"), 1);
    advance(Duration::from_millis(1_100)).await;
    let _ = rig.live.nodes(&target(), false).await;
    assert_eq!(rig.script.count("nodes"), 2);
}

#[tokio::test(start_paused = true)]
async fn who_wants_it_fresh_gets_a_call_that_began_later_and_shares_it() {
    let rig = rig(Script {
        nodes: Box::new(|call| after(5, vec![Node::default(); call + 1])),
        ..Script::default()
    });
    let ask = |fresh| {
        let live = rig.live.clone();
        tokio::spawn(async move { live.nodes(&target(), fresh).await.unwrap().value.len() })
    };
    let old = ask(false);
    sleep(Duration::from_secs(1)).await;
    let fresh: Vec<_> = (0..5).map(|_| ask(true)).collect();
    let plain = ask(false);
    assert_eq!((old.await.unwrap(), plain.await.unwrap()), (1, 1));
    for one in fresh {
        assert_eq!(one.await.unwrap(), 2);
    }
    assert_eq!(rig.script.count("nodes"), 2);
    // Memory is bypassed.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(false).await.unwrap(), 2);
    assert_eq!(ask(true).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_forces_more_than_one_call_a_second() {
    let rig = rig(Script {
        nodes: Box::new(|call| match call {
            0 => fine(vec![Node::default()]),
            1 => fail(TIMEOUT),
            _ => fine(Vec::new()),
        }),
        ..Script::default()
    });
    for _ in 0..20 {
        let answer = rig.live.nodes(&target(), true).await.unwrap();
        assert_eq!((answer.value.len(), answer.failed.is_none()), (1, true));
    }
    assert_eq!(rig.script.count("nodes"), 1);
    // Each cluster by itself.
    advance(Duration::from_millis(1_010)).await;
    for _ in 0..20 {
        let answer = rig.live.nodes(&target(), true).await.unwrap();
        assert!(answer.failed.is_some());
    }
    assert_eq!(rig.script.count("nodes"), 2);
    advance(Duration::from_millis(1_010)).await;
    assert_eq!(
        rig.live.nodes(&target(), true).await.unwrap().value.len(),
        0
    );
    assert_eq!(rig.script.count("nodes"), 3);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_in_number_and_in_bytes() {
    let many = |weight: usize| Script {
        nodes: Box::new(move |_| fine(vec![Node::default(); weight])),
        ..Script::default()
    };
    let few = Bounds {
        entries: 4,
        ..Bounds::default()
    };
    let small = Bounds {
        bytes: 40 << 10,
        ..Bounds::default()
    };
    for (rig, most) in [
        (rig_within(many(1), few), 4),
        (rig_within(many(10), small), 3),
    ] {
        for number in 0..20 {
            let target = target_of(&number.to_string());
            rig.live.nodes(&target, false).await.unwrap();
            assert!(rig.live.0.nodes.len() <= most);
        }
        assert_eq!(rig.live.0.nodes.len(), most);
        // What was asked for last is still there.
        rig.live.nodes(&target_of("19"), false).await.unwrap();
        assert_eq!(rig.script.count("nodes"), 20);
        rig.live.nodes(&target_of("0"), false).await.unwrap();
        assert_eq!(rig.script.count("nodes"), 21);
    }
}

#[tokio::test(start_paused = true)]
async fn one_source_has_so_many_calls_under_way_and_no_more() {
    let bounds = Bounds {
        flights: 2,
        ..Bounds::default()
    };
    let script = Script {
        nodes: Box::new(|_| after(3, Vec::new())),
        ..Script::default()
    };
    let rig = rig_within(script, bounds);
    let mut callers = JoinSet::new();
    for number in 0..5 {
        let live = rig.live.clone();
        callers.spawn(async move {
            live.nodes(&target_of(&number.to_string()), false)
                .await
                .is_ok()
        });
    }
    let served = callers
        .join_all()
        .await
        .into_iter()
        .filter(|is_ok| *is_ok)
        .count();
    assert_eq!((served, rig.script.count("nodes")), (2, 2));
    advance(Duration::from_secs(2)).await;
    assert!(rig.live.nodes(&target_of("4"), false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_breaks_no_other() {
    let rig = rig(Script {
        nodes: Box::new(|call| match call {
            0 => async { panic!("on purpose") }.boxed(),
            _ => fine(Vec::new()),
        }),
        ..Script::default()
    });
    assert_eq!(code(&rig.live.nodes(&target(), false).await), "broken");
    assert!(rig.live.nodes(&target(), false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_detail_is_in_the_inventory_before_it_is_answered() {
    let rig = rig(Script::default());
    rig.live.detail(&target(), true).await.unwrap();
    assert_eq!(rig.notes.all(), ["described s:c running"]);
}

#[tokio::test(start_paused = true)]
async fn a_detail_of_another_cluster_is_an_error_and_reaches_no_inventory() {
    let rig = rig(Script::default());
    let outcome = rig.live.detail(&target_of("other"), true).await;
    assert_eq!(code(&outcome), "UPSTREAM_UNEXPECTED_SHAPE");
    assert!(rig.notes.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_reads_up() {
    let rig = rig(Script {
        nodes: Box::new(|_| pending().boxed()),
        ..Script::default()
    });
    let live = rig.live.clone();
    let waiting = tokio::spawn(async move { live.nodes(&target(), false).await.map(|_| ()) });
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    rig.live.stop(Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(code(&waiting.await.unwrap()), "stopping");
}
