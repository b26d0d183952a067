//! Keepers of several gateways, in paused time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::super::tasks::{Script, answer, page, schedule, stack};
use super::*;
use crate::inventory::keeper::{Event, Message};
use crate::inventory::{
    Cause, Change, ChangeKind, Control as _, Freshness, Inventory, Keeper, Mark, Moment, Schedule,
    Source,
};
use crate::provider::Provider;

/// Gateways over one vendor.
struct Stage {
    shared: Shared,
    script: Arc<Script>,
    members: Vec<Arc<Member>>,
    gateways: Vec<(Arc<Inventory>, Keeper)>,
}

impl Stage {
    async fn of(count: usize, script: Script) -> Self {
        let shared = Shared::default();
        // Somebody has been there.
        shared.tables.lock().unwrap().generation = 1;
        let mut stage = Self {
            shared,
            script: Arc::new(script),
            members: Vec::new(),
            gateways: Vec::new(),
        };
        for _ in 0..count {
            stage.add().await;
        }
        stage
    }

    async fn add(&mut self) {
        self.add_with(schedule()).await;
    }

    async fn add_with(&mut self, schedule: Schedule) {
        let member = Member::new(self.members.len(), &self.shared, &["s"]);
        let source = Source {
            name: source("s"),
            provider: Arc::clone(&self.script) as Arc<dyn Provider>,
            stack: stack(),
            schedule,
        };
        let first = member.join().await.ok();
        let commons = Arc::clone(&member) as Arc<dyn Commons>;
        let gateway = Keeper::join(vec![source], first, commons, &Handle::current());
        self.members.push(member);
        self.gateways.push(gateway);
    }

    fn inventory(&self, place: usize) -> &Inventory {
        &self.gateways[place].0
    }

    fn tables<T>(&self, look: impl FnOnce(&mut Tables) -> T) -> T {
        look(&mut self.shared.tables.lock().unwrap())
    }

    /// All show the same.
    fn is_same(&self) -> u64 {
        let mut shown = self.gateways.iter().map(|(inventory, _)| {
            let current = inventory.current();
            let ids: Vec<String> = current
                .shelf(&source("s"))
                .content
                .entries
                .iter()
                .map(|entry| format!("{} {:?}", entry.row.id, entry.presence))
                .collect();
            (current.generation, current.as_of, current.edition(), ids)
        });
        let first = shown.next().unwrap();
        for other in shown {
            assert_eq!(other, first);
        }
        first.0
    }
}

async fn soon() {
    sleep(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn who_has_the_lease_reads_and_the_others_show_it() {
    let stage = Stage::of(3, Script::new(|_| answer(page(3)))).await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(stage.script.count(), 0, "nobody has a lease");
    stage.members[1].lend("s", 90);
    soon().await;
    assert_eq!(stage.script.count(), 1);
    let first = stage.is_same();
    assert_eq!(stage.inventory(2).current().len(), 3);
    // What changed is told by all of them alike.
    let told = |place: usize| {
        let feed = stage.inventory(place).feed();
        let moments = feed.since(Mark::after(1), first, 10, false).unwrap();
        let moments = moments
            .iter()
            .map(|moment| (moment.generation(), moment.at(), moment.len()));
        moments.collect::<Vec<_>>()
    };
    assert_eq!(told(0), told(1));
    assert_eq!(told(0)[0].2, 4);
    // At its period, until the lease ends.
    sleep(Duration::from_mins(10)).await;
    assert_eq!(stage.script.count(), 2);
    stage.is_same();
    // Another one goes on when it is due, and not before. Of the times that are told, which no test can pause, no more passes than
    // a moment.
    stage.members[0].lend("s", 600);
    sleep(Duration::from_secs(58)).await;
    assert_eq!(stage.script.count(), 2);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.script.count(), 3);
    stage.members[2].lend("s", 600);
    stage.members[0].desks[&source("s")].revoke();
    sleep(Duration::from_secs(58)).await;
    assert_eq!(stage.script.count(), 3);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.script.count(), 4);
    stage.is_same();
}

#[tokio::test(start_paused = true)]
async fn what_a_gateway_finds_after_its_lease_is_refused() {
    let slow = Script::new(|call| {
        let wait = if call == 0 { 20 } else { 0 };
        async move {
            sleep(Duration::from_secs(wait)).await;
            Ok(page(if call == 0 { 1 } else { 2 }))
        }
        .boxed()
    });
    let stage = Stage::of(2, slow).await;
    stage.members[0].lend("s", 60);
    soon().await;
    // The others think that it is gone; it does not know yet.
    stage.members[1].lend("s", 600);
    soon().await;
    assert_eq!(stage.is_same(), stage.tables(|tables| tables.generation));
    assert_eq!(stage.inventory(0).current().len(), 2);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(stage.tables(|tables| tables.fenced), 1);
    assert_eq!(stage.inventory(0).current().len(), 2);
    stage.is_same();
    // It stops at once.
    assert_eq!(stage.members[0].desks[&source("s")].lease(), None);
    sleep(Duration::from_secs(35)).await;
    assert_eq!(stage.script.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_wanted_of_whoever_reads() {
    let stage = Stage::of(2, Script::new(|_| answer(page(1)))).await;
    stage.members[0].lend("s", 600);
    soon().await;
    let (_, keeper) = &stage.gateways[1];
    let asked = keeper.refresh(&source("s")).unwrap();
    assert!(!asked.joined);
    assert!(keeper.refresh(&source("s")).unwrap().joined);
    soon().await;
    assert_eq!(stage.script.count(), 1, "it was told to nobody yet");
    assert!(stage.members[1].desks[&source("s")].take_wanted());
    stage.members[0].desks[&source("s")].activate();
    soon().await;
    assert_eq!(stage.script.count(), 2);
    // It has been done.
    assert!(!keeper.refresh(&source("s")).unwrap().joined);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_wanted_while_a_lease_is_given_back_is_not_lost() {
    let stage = Stage::of(2, Script::new(|_| answer(page(1)))).await;
    stage.members[0].lend("s", 600);
    soon().await;
    let desk = &stage.members[0].desks[&source("s")];
    desk.close();
    soon().await;
    let (_, keeper) = &stage.gateways[0];
    keeper.refresh(&source("s")).unwrap();
    soon().await;
    assert_eq!(stage.script.count(), 1, "nothing begins here any more");
    assert!(desk.take_wanted(), "whoever reads it next is told");
    desk.revoke();
    stage.members[1].lend("s", 600);
    stage.members[1].desks[&source("s")].activate();
    soon().await;
    assert_eq!(stage.script.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_seemed_to_fail_is_not_made_twice() {
    for (end, commits) in [(End::Refused, 2), (End::Unsure, 1)] {
        // The second listing is empty: made twice, it would remove what the first one had.
        let script = Script::new(|call| answer(page(if call == 0 { 3 } else { 0 })));
        let stage = Stage::of(2, script).await;
        stage.members[0].lend("s", 600);
        soon().await;
        stage.tables(|tables| {
            tables.ends.push_back(end);
            tables.commits = 0;
        });
        sleep(Duration::from_secs(65)).await;
        assert_eq!(stage.script.count(), 2);
        assert_eq!(stage.tables(|tables| tables.commits), commits, "{end:?}");
        stage.is_same();
        assert_eq!(stage.inventory(1).current().len(), 3, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_published_is_not_forgotten_for_a_census() {
    let script = Script::new(|call| answer(page(if call == 0 { 3 } else { 5 })));
    let stage = Stage::of(1, script).await;
    stage.members[0].lend("s", 600);
    soon().await;
    assert_eq!(stage.inventory(0).current().len(), 3);
    // The next turn has something else to tell first.
    stage.tables(|tables| tables.ends.push_back(End::RefusedAndLeft));
    sleep(Duration::from_secs(65)).await;
    assert!(stage.tables(|tables| tables.ends.is_empty()));
    assert!(stage.tables(|tables| tables.left.is_empty()));
    assert_eq!(stage.script.count(), 2);
    assert_eq!(stage.inventory(0).current().len(), 5);
    stage.is_same();
}

#[tokio::test(start_paused = true)]
async fn what_any_gateway_has_shown_is_made_on_top_of_what_there_is() {
    let slow = Script::new(|_| {
        async {
            sleep(Duration::from_secs(10)).await;
            Ok(page(2))
        }
        .boxed()
    });
    let stage = Stage::of(2, slow).await;
    stage.members[0].lend("s", 600);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(stage.inventory(1).current().len(), 2);
    // While the list is read again, a follower is told of a cluster that is not in it.
    sleep(Duration::from_secs(47)).await;
    let created = Shown::Listed(Box::new(listed(cluster("s", "created"))));
    stage.gateways[1].1.record(&source("s"), created).await;
    soon().await;
    assert_eq!(stage.inventory(0).current().len(), 3);
    sleep(Duration::from_secs(12)).await;
    assert_eq!(stage.script.count(), 2);
    assert_eq!(
        stage.inventory(0).current().len(),
        3,
        "the list began before"
    );
    stage.is_same();
}

#[tokio::test(start_paused = true)]
async fn without_what_is_shared_all_serve_and_say_how_old_it_is() {
    let reads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reads);
    let script = Script::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        answer(page(2))
    });
    let stage = Stage::of(2, script).await;
    stage.members[0].lend("s", 65);
    soon().await;
    let generation = stage.is_same();
    stage.tables(|tables| tables.is_away = true);
    // A call that has shown something is not held up, and what it has shown is not lost.
    let gone = Shown::Gone(ClusterId::new(&source("s"), "0000"));
    let begun = Instant::now();
    stage.gateways[1].1.record(&source("s"), gone).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    sleep(Duration::from_mins(10)).await;
    assert_eq!(reads.load(Ordering::Relaxed), 2, "the lease has ended");
    for (inventory, _) in &stage.gateways {
        let current = inventory.current();
        assert_eq!((current.generation, current.len()), (generation, 2));
        assert_eq!(current.variant(), 0);
    }
    // The ages of a test do not grow by themselves, and it is enough that the writer goes on.
    stage.tables(|tables| tables.is_away = false);
    let later = async {
        while stage.inventory(0).current().len() > 1 {
            soon().await;
        }
    };
    timeout(Duration::from_mins(1), later).await.unwrap();
    soon().await;
    assert!(stage.is_same() > generation);
    // What was read and could not be published came of a lease that nobody has taken over.
    assert_eq!(stage.tables(|tables| tables.fenced), 0);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_begins_alone_waits_until_it_can_take_part() {
    let shared = Shared::default();
    shared.tables.lock().unwrap().is_away = true;
    let mut stage = Stage {
        shared,
        script: Arc::new(Script::new(|_| answer(page(2)))),
        members: Vec::new(),
        gateways: Vec::new(),
    };
    stage.add().await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(stage.inventory(0).current().generation, 0);
    stage.tables(|tables| {
        tables.is_away = false;
        tables.generation = 70;
    });
    stage.members[0].lend("s", 600);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.inventory(0).current().len(), 2);
    assert!(stage.inventory(0).current().generation > 70);
}

#[tokio::test(start_paused = true)]
async fn what_gets_too_old_while_nobody_can_publish_is_shown_as_stale() {
    let mut stage = Stage::of(0, Script::new(|_| answer(page(2)))).await;
    for _ in 0..2 {
        let schedule = Schedule {
            // By a clock that no test can pause, and longer than it takes to get there.
            staleness_limit: Duration::from_millis(500),
            ..schedule()
        };
        stage.add_with(schedule).await;
    }
    stage.members[0].lend("s", 20);
    soon().await;
    let generation = stage.is_same();
    stage.tables(|tables| tables.is_away = true);
    let until = async |is_so: &dyn Fn() -> bool| {
        let waiting = async {
            while !is_so() {
                soon().await;
            }
        };
        timeout(Duration::from_hours(1_000), waiting).await.unwrap();
    };
    until(&|| {
        stage
            .gateways
            .iter()
            .all(|(inventory, _)| inventory.current().variant() > 0)
    })
    .await;
    let fresh = format!("{generation}");
    for (inventory, _) in &stage.gateways {
        let current = inventory.current();
        assert_eq!(current.generation, generation);
        assert_ne!(current.edition(), fresh);
        assert_eq!(current.source("s").unwrap().state, Freshness::Stale);
    }
    stage.tables(|tables| tables.is_away = false);
    until(&|| stage.inventory(1).current().variant() == 0).await;
    // Whoever reads the source says it to all.
    stage.members[1].lend("s", 20);
    until(&|| stage.inventory(0).current().generation > generation).await;
    soon().await;
    stage.is_same();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_looked_at_is_shown_as_it_was_left_at_once_and_told_as_soon_as_it_can_be() {
    let mut stage = Stage::of(1, Script::new(|_| answer(page(2)))).await;
    stage.members[0].lend("s", 600);
    soon().await;
    let last = stage.is_same();
    let state = |inventory: &Inventory| inventory.current().sources()[0].state;
    assert_eq!(state(stage.inventory(0)), Freshness::Fresh);
    // All gateways end, and one begins over what they left; it can read what there is, and publish nothing yet.
    stage.gateways.clear();
    stage.tables(|tables| {
        tables.left = vec![source("s")];
        tables.ends.extend([End::Refused; 3]);
    });
    stage.add().await;
    soon().await;
    let shown = stage.gateways[0].0.current();
    assert_eq!(
        (shown.generation, shown.sources()[0].state),
        (last, Freshness::Stale)
    );
    assert_ne!(shown.variant(), 0, "it is not what that generation says");
    sleep(Duration::from_secs(30)).await;
    let inventory = stage.inventory(0);
    let shown = inventory.current();
    assert!(shown.generation > last);
    assert_eq!((state(inventory), shown.variant()), (Freshness::Stale, 0));
    let moments = inventory
        .feed()
        .since(Mark::after(last), shown.generation, 10, false);
    let moments = moments.unwrap();
    let told: Vec<&Change> = moments.iter().flat_map(Moment::changes).collect();
    let [change] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (change.kind, change.cause),
        (ChangeKind::SourceState, Cause::Outage)
    );
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_writer_failed_says_so_and_keeps_no_lease() {
    let stage = Stage::of(1, Script::new(|_| answer(page(2)))).await;
    let (member, keeper) = (&stage.members[0], &stage.gateways[0].1);
    member.lend("s", 600);
    soon().await;
    let desk = member.desk(&source("s")).unwrap();
    assert!(desk.lease().is_some() && !desk.is_abandoned());
    assert!(!keeper.has_failed());
    // Nothing is ready for a source that is not there.
    let (published, _) = tokio::sync::oneshot::channel();
    let message = Message {
        source: 7,
        event: Event::Detailed(Vec::new()),
        fence: None,
        published,
    };
    keeper.hand(message).await;
    soon().await;
    assert!(keeper.has_failed());
    assert!(desk.is_abandoned() && desk.lease().is_none());
    member.lend("s", 600);
    assert!(desk.lease().is_none(), "nobody would use it");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_failed_reads_its_source_again() {
    let stage = Stage::of(
        1,
        Script::new(|call| {
            assert!(call != 0, "nobody has thought of this");
            answer(page(2))
        }),
    )
    .await;
    stage.members[0].lend("s", 600);
    soon().await;
    assert_eq!(stage.inventory(0).current().len(), 0);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(stage.inventory(0).current().len(), 2);
}
