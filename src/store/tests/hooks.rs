//! The outbox over real stores.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::files::{Place, places};
use crate::hooks::{
    Asked, DeliveryState, Ended, EventKind, HookName, NewEvent, Outbox, Page, Put, Settled,
};
use crate::inventory::{ChangeKind, Mark};
use crate::store::{Recorder, Settings};

const GRACE: Duration = Duration::from_secs(20);

fn name() -> HookName {
    HookName::new("ops").unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn event(number: u64, subject: &str) -> NewEvent {
    NewEvent {
        number: i64::try_from(number).unwrap(),
        id: format!("evt_{number}"),
        kind: EventKind::Change(ChangeKind::Updated),
        subject: Some(subject.to_owned()),
        generation: number,
        body: format!("{{\"n\":{number}}}").into_bytes(),
    }
}

fn put(from: u64, to: u64, events: Vec<NewEvent>, now: Timestamp) -> Put {
    Put {
        from: Mark::after(from),
        to: Mark::after(to),
        events,
        max_pending: 100,
        give_up_at: now + SignedDuration::from_hours(24),
        now,
    }
}

const WELL: Settled = Settled {
    ended: Ended {
        status: Some(200),
        code: None,
    },
    again_at: None,
};

fn badly(again_at: Option<Timestamp>) -> Settled {
    Settled {
        ended: Ended {
            status: Some(500),
            code: Some("SERVER_ERROR"),
        },
        again_at,
    }
}

fn asked(now: Timestamp) -> Asked {
    Asked {
        max_pending: 100,
        give_up_at: now + SignedDuration::from_hours(24),
        now,
    }
}

async fn open(place: &Place) -> (Arc<Recorder>, Arc<dyn Outbox>) {
    let settings = Settings::at(place.address.clone());
    let (recorder, _) = Recorder::open(settings, Vec::new(), &Handle::current()).await;
    let outbox = recorder.outbox().unwrap();
    (recorder, outbox)
}

/// The ids of what is claimed.
async fn claim(
    outbox: &dyn Outbox,
    owner: &str,
    most: usize,
    now: Timestamp,
) -> Vec<(i64, String)> {
    let until = now + SignedDuration::from_secs(30);
    let claims = outbox
        .claim(&name(), owner, most, until, now)
        .await
        .unwrap();
    let taken = claims.taken.into_iter();
    taken.map(|one| (one.number, one.id)).collect()
}

fn ids(claimed: &[(i64, String)]) -> Vec<&str> {
    claimed.iter().map(|(_, id)| id.as_str()).collect()
}

async fn all(outbox: &dyn Outbox, state: Option<DeliveryState>) -> Vec<String> {
    let page = Page {
        state,
        before: None,
        most: 1_000,
    };
    let listed = outbox.list(&name(), &page).await.unwrap();
    listed.into_iter().map(|one| one.id).collect()
}

#[tokio::test]
async fn deliveries_and_the_place_are_written_together_and_once() {
    for place in places("hooks_put").await {
        let (recorder, outbox) = open(&place).await;
        let first = outbox.cursor(&name(), Mark::after(7), at(0)).await.unwrap();
        let again = outbox.cursor(&name(), Mark::after(9), at(1)).await.unwrap();
        assert_eq!((first, again), (Mark::after(7), Mark::after(7)));
        let one = put(7, 8, vec![event(1, "a"), event(2, "b")], at(2));
        assert!(outbox.put(&name(), &one).await.unwrap());
        assert!(
            !outbox.put(&name(), &one).await.unwrap(),
            "it was moved already"
        );
        // Another one that is there already is not added again.
        let two = put(8, 9, vec![event(2, "b"), event(3, "a")], at(3));
        assert!(outbox.put(&name(), &two).await.unwrap());
        assert_eq!(
            all(outbox.as_ref(), None).await,
            ["evt_3", "evt_2", "evt_1"]
        );
        recorder.stop(GRACE).await;
        let (recorder, outbox) = open(&place).await;
        let account = outbox.account(&name()).await.unwrap().unwrap();
        assert_eq!((account.cursor, account.pending), (Mark::after(9), 3));
        assert_eq!(account.oldest_pending, Some(at(2)));
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn too_many_that_wait_make_dead_letters_of_the_oldest() {
    for place in places("hooks_overflow").await {
        let (recorder, outbox) = open(&place).await;
        outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
        let many = (1..=300).map(|number| event(number, "a")).collect();
        outbox.put(&name(), &put(0, 1, many, at(1))).await.unwrap();
        let account = outbox.account(&name()).await.unwrap().unwrap();
        assert_eq!((account.pending, account.dead), (100, 200));
        let dead = all(outbox.as_ref(), Some(DeliveryState::Dead)).await;
        assert_eq!((dead[0].as_str(), dead[199].as_str()), ("evt_200", "evt_1"));
        let page = Page {
            state: Some(DeliveryState::Dead),
            before: None,
            most: 1,
        };
        let listed = outbox.list(&name(), &page).await.unwrap().remove(0);
        assert_eq!(listed.code.as_deref(), Some("TOO_MANY_PENDING"));
        assert_eq!(
            (listed.ended_at, listed.next_attempt_at),
            (Some(at(1)), None)
        );
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn one_about_the_same_waits_while_an_earlier_one_is_due_or_under_way() {
    for place in places("hooks_order").await {
        let (recorder, outbox) = open(&place).await;
        let outbox = outbox.as_ref();
        outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
        let events = vec![event(1, "a"), event(2, "a"), event(3, "b"), event(4, "a")];
        outbox
            .put(&name(), &put(0, 1, events, at(1)))
            .await
            .unwrap();
        let first = claim(outbox, "me", 9, at(2)).await;
        assert_eq!(ids(&first), ["evt_1", "evt_3"]);
        assert!(claim(outbox, "me", 9, at(3)).await.is_empty());
        let again_at = at(60);
        let failed = badly(Some(again_at));
        assert!(
            outbox
                .settle(&name(), first[0].0, "me", &failed, at(4))
                .await
                .unwrap()
        );
        // One that waits for another attempt is overtaken.
        let second = claim(outbox, "me", 9, at(5)).await;
        assert_eq!(ids(&second), ["evt_2"]);
        assert!(
            outbox
                .settle(&name(), second[0].0, "me", &WELL, at(6))
                .await
                .unwrap()
        );
        // What was claimed and never accounted for is due again as well.
        let third = claim(outbox, "me", 9, again_at).await;
        assert_eq!(ids(&third), ["evt_1", "evt_3"]);
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn a_claim_is_one_owners_until_it_lapses() {
    for place in places("hooks_claims").await {
        let (recorder, outbox) = open(&place).await;
        outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
        let events = vec![event(1, "a")];
        outbox
            .put(&name(), &put(0, 1, events, at(1)))
            .await
            .unwrap();
        let mine = claim(outbox.as_ref(), "me", 9, at(2)).await;
        assert!(claim(outbox.as_ref(), "other", 9, at(31)).await.is_empty());
        let theirs = claim(outbox.as_ref(), "other", 9, at(33)).await;
        assert_eq!(mine, theirs);
        let (number, other) = (mine[0].0, outbox.as_ref());
        assert!(
            !outbox
                .settle(&name(), number, "me", &WELL, at(34))
                .await
                .unwrap()
        );
        assert!(
            other
                .settle(&name(), number, "other", &badly(None), at(35))
                .await
                .unwrap()
        );
        let dead = all(outbox.as_ref(), Some(DeliveryState::Dead)).await;
        assert_eq!(dead, ["evt_1"]);
        let account = outbox.account(&name()).await.unwrap().unwrap();
        assert_eq!(account.failure_code.as_deref(), Some("SERVER_ERROR"));
        assert_eq!(
            (account.failure_status, account.failure_at),
            (Some(500), Some(at(35)))
        );
        let again = outbox
            .redeliver(&name(), "evt_1", asked(at(40)))
            .await
            .unwrap();
        let again = again.unwrap();
        assert_eq!((again.state, again.attempts), (DeliveryState::Pending, 0));
        assert_eq!(
            outbox.redeliver(&name(), "evt_2", asked(at(40))).await,
            Ok(None)
        );
        assert_eq!(claim(outbox.as_ref(), "me", 9, at(40)).await.len(), 1);
        // What is under way is left as it is.
        outbox
            .redeliver(&name(), "evt_1", asked(at(41)))
            .await
            .unwrap();
        assert!(claim(outbox.as_ref(), "me", 9, at(42)).await.is_empty());
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn a_file_is_nobodys_but_its_owners_so_claims_of_the_dead_are_free() {
    let place = places("hooks_begin").await.remove(0);
    let (recorder, outbox) = open(&place).await;
    outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
    let events = vec![event(1, "a"), event(2, "b")];
    outbox
        .put(&name(), &put(0, 1, events, at(1)))
        .await
        .unwrap();
    claim(outbox.as_ref(), "dead", 1, at(2)).await;
    assert_eq!(
        ids(&claim(outbox.as_ref(), "me", 9, at(2)).await),
        ["evt_2"]
    );
    outbox.begin("me").await.unwrap();
    let claimed = claim(outbox.as_ref(), "me", 9, at(3)).await;
    assert_eq!(ids(&claimed), ["evt_1"], "its own claims are kept");
    recorder.stop(GRACE).await;
}

#[tokio::test]
async fn many_who_claim_at_once_get_each_delivery_once() {
    for place in places("hooks_race").await {
        let (recorder, outbox) = open(&place).await;
        outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
        let many = (1..=90).map(|number| event(number, &number.to_string()));
        let many = put(0, 1, many.collect(), at(1));
        outbox.put(&name(), &many).await.unwrap();
        let mut claiming = JoinSet::new();
        for owner in 0..6 {
            let outbox = Arc::clone(&outbox);
            claiming.spawn(async move {
                let mut claimed = Vec::new();
                loop {
                    let some = claim(outbox.as_ref(), &owner.to_string(), 7, at(2)).await;
                    let left = outbox.account(&name()).await.unwrap().unwrap();
                    assert_eq!(left.pending, 90);
                    let is_end = some.is_empty();
                    claimed.extend(some);
                    if is_end {
                        return claimed;
                    }
                }
            });
        }
        let claimed: Vec<(i64, String)> = claiming.join_all().await.concat();
        let distinct: BTreeSet<&(i64, String)> = claimed.iter().collect();
        // Who found others faster each time may have ended early; nothing was claimed twice.
        assert_eq!(distinct.len(), claimed.len());
        let rest = claim(outbox.as_ref(), "last", 90, at(2)).await;
        assert_eq!(claimed.len() + rest.len(), 90);
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn what_is_kept_long_enough_goes() {
    for place in places("hooks_tidy").await {
        let (recorder, outbox) = open(&place).await;
        let outbox = outbox.as_ref();
        outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
        let events = (1..=3).map(|number| event(number, &number.to_string()));
        let events = put(0, 1, events.collect(), at(0));
        outbox.put(&name(), &events).await.unwrap();
        let claimed = claim(outbox, "me", 2, at(1)).await;
        let days = |days: i64| at(days * 24 * 60 * 60 + 10);
        outbox
            .settle(&name(), claimed[0].0, "me", &WELL, at(2))
            .await
            .unwrap();
        outbox
            .settle(&name(), claimed[1].0, "me", &badly(None), at(2))
            .await
            .unwrap();
        outbox.tidy(at(3)).await.unwrap();
        assert_eq!(all(outbox, None).await.len(), 3);
        outbox.tidy(days(1)).await.unwrap();
        let dead = all(outbox, Some(DeliveryState::Dead)).await;
        assert_eq!(dead, ["evt_3", "evt_2"], "one was never tried");
        outbox.tidy(days(7)).await.unwrap();
        assert_eq!(all(outbox, None).await, ["evt_3", "evt_2"]);
        assert!(outbox.account(&name()).await.unwrap().is_some());
        outbox.tidy(days(40)).await.unwrap();
        assert!(all(outbox, None).await.is_empty());
        assert!(
            outbox.account(&name()).await.unwrap().is_none(),
            "nobody has it any more"
        );
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn what_somebody_asks_for_takes_the_place_of_the_oldest() {
    for place in places("hooks_asked").await {
        let (recorder, outbox) = open(&place).await;
        let outbox = outbox.as_ref();
        outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
        let many = (1..=101).map(|number| event(number, &number.to_string()));
        let many = put(0, 1, many.collect(), at(1));
        outbox.put(&name(), &many).await.unwrap();
        let dead = async || all(outbox, Some(DeliveryState::Dead)).await;
        assert_eq!(dead().await, ["evt_1"]);
        let added = outbox.add(&name(), &event(7_000, "-"), asked(at(2))).await;
        assert_eq!(added.unwrap().state, DeliveryState::Pending);
        assert_eq!(dead().await, ["evt_2", "evt_1"]);
        // It is the oldest of all, and stays all the same.
        let again = outbox.redeliver(&name(), "evt_1", asked(at(3))).await;
        assert_eq!(again.unwrap().unwrap().state, DeliveryState::Pending);
        assert_eq!(dead().await, ["evt_3", "evt_2"]);
        let account = outbox.account(&name()).await.unwrap().unwrap();
        assert_eq!(account.pending, 100);
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn that_a_server_is_gone_outlives_the_process_until_somebody_asks() {
    for place in places("hooks_gone").await {
        let (recorder, outbox) = open(&place).await;
        outbox.cursor(&name(), Mark::after(0), at(0)).await.unwrap();
        let events = (1..=3).map(|number| event(number, &number.to_string()));
        let events = put(0, 1, events.collect(), at(0));
        outbox.put(&name(), &events).await.unwrap();
        let gone = Settled {
            ended: Ended {
                status: Some(410),
                code: Some("GONE"),
            },
            again_at: Some(at(10)),
        };
        let settle = async |outbox: &dyn Outbox, now| {
            let (number, _) = claim(outbox, "me", 1, now).await.remove(0);
            let settled = outbox.settle(&name(), number, "me", &gone, now).await;
            assert!(settled.unwrap());
        };
        settle(outbox.as_ref(), at(2)).await;
        recorder.stop(GRACE).await;

        let (recorder, outbox) = open(&place).await;
        let outbox = outbox.as_ref();
        let gone_at = async || outbox.account(&name()).await.unwrap().unwrap().gone_at;
        let until = at(60);
        let claims = outbox.claim(&name(), "other", 9, until, at(20)).await;
        let claims = claims.unwrap();
        assert!(claims.is_gone && claims.taken.is_empty() && claims.next.is_none());
        assert_eq!(gone_at().await, Some(at(2)));
        // Nobody is meant by that.
        let none = outbox.redeliver(&name(), "evt_none", asked(at(20))).await;
        assert_eq!((none, gone_at().await), (Ok(None), Some(at(2))));
        let again = outbox.redeliver(&name(), "evt_3", asked(at(20))).await;
        assert!(again.unwrap().is_some());
        assert_eq!(gone_at().await, None);
        settle(outbox, at(21)).await;
        assert_eq!(gone_at().await, Some(at(21)));
        let added = outbox.add(&name(), &event(9, "-"), asked(at(22))).await;
        assert!(added.is_ok());
        assert_eq!(claim(outbox, "me", 9, at(30)).await.len(), 4);
        recorder.stop(GRACE).await;
    }
}

#[tokio::test]
async fn a_webhook_that_is_looked_at_keeps_its_place_though_nothing_changes() {
    for place in places("hooks_seen").await {
        let (recorder, outbox) = open(&place).await;
        outbox.cursor(&name(), Mark::after(7), at(0)).await.unwrap();
        let days = |days: i64| at(days * 24 * 60 * 60);
        outbox.seen(&name(), days(29)).await.unwrap();
        // A clock that is behind takes nothing back.
        outbox.seen(&name(), days(1)).await.unwrap();
        outbox.tidy(days(58)).await.unwrap();
        let account = outbox.account(&name()).await.unwrap();
        assert_eq!(account.unwrap().cursor, Mark::after(7));
        outbox.tidy(days(60)).await.unwrap();
        assert!(outbox.account(&name()).await.unwrap().is_none());
        recorder.stop(GRACE).await;
    }
}
