//! What keeps operations fails for a moment, or at the worst moment: no write is sent twice, and what is known of one is kept later.

use OperationState::{Running, Succeeded};

use super::restarts::{Shared, beat, key, operation, shared, silent, told};
use super::writes::destroy;
use super::*;
use crate::live::tend::{BEAT, PART, PARTS};
use crate::live::testing::{Process, Table, UNREADABLE};

fn two(script: &Arc<Script>) -> (Shared, Shared) {
    let table: Arc<Mutex<Table>> = Arc::default();
    (shared(&table, 1, script), shared(&table, 2, script))
}

/// Has everything fail, or go well.
fn away(shared: &Shared, is_away: bool) -> impl FnOnce() + Send + 'static {
    let all = Arc::clone(&shared.process.is_away);
    move || *all.lock().unwrap() = is_away
}

fn accepted() -> Arc<Script> {
    Arc::new(Script {
        write: Box::new(|_| {
            fine(Written {
                operation: Some(operation()),
                is_pending: true,
                ..Written::default()
            })
        }),
        operation: Box::new(|_| fine(operation())),
        ..Script::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_one_used_meanwhile_gets_its_answer_and_nothing_is_sent() {
    let script = accepted();
    let (first, second) = two(&script);
    assert_eq!(first.once(destroy()).await, Ok((202, false)));
    // Begun from memory, since the store was away for a moment.
    away(&second, true)();
    let again = second.once_if(destroy(), away(&second, false)).await;
    assert_eq!(again, Ok((202, true)));
    assert_eq!(script.count("write"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_under_which_another_one_sends_is_running() {
    let script = silent(Script::default());
    let (first, second) = two(&script);
    let live = first.live.clone();
    assert_eq!(
        Keys::begin(&first.process, key(), [7; 32]).await,
        Begun::New
    );
    let sent =
        tokio::spawn(async move { live.write_under(Some(&key()), destroy(), || true).await });
    sleep(Duration::from_secs(1)).await;
    away(&second, true)();
    let again = second.once_if(destroy(), away(&second, false)).await;
    assert_eq!(again, Err(Refusal::Running));
    // Without the key it is another write of the same cluster.
    let other = second.live.write(destroy()).await;
    assert!(matches!(other, Err(WriteFailure::Busy)), "{other:?}");
    assert_eq!(script.count("write"), 1);
    sent.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_and_cannot_be_kept_is_not_sent() {
    let script = accepted();
    let (first, second) = two(&script);
    let refused = first.once_if(destroy(), away(&first, true)).await;
    assert_eq!(refused, Ok((503, false)));
    assert_eq!(script.count("write"), 0);
    // Who has no key acts all the same.
    let done = first.live.write(destroy()).await.unwrap();
    assert!(!done.operation.unwrap().durable);
    assert_eq!(script.count("write"), 1);
    // Dead, it has left nothing that another one could not do.
    first.kill();
    assert_eq!(second.once(destroy()).await, Ok((202, false)));
    assert_eq!(script.count("write"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_could_not_be_kept_is_kept_later() {
    let script = Arc::new(Script {
        write: Box::new(|_| fail(ErrorKind::Conflict)),
        // What somebody else does to the cluster afterwards.
        operations: Box::new(|_| fine(vec![operation()])),
        operation: Box::new(|_| fine(operation())),
        ..Script::default()
    });
    let (first, second) = two(&script);
    *first.process.refuses.lock().unwrap() = 1;
    assert_eq!(first.once(destroy()).await, Ok((503, false)));
    assert_eq!(first.live.standing().unwrap().unkept, 1);
    beat().await;
    assert_eq!(first.live.standing().unwrap().unkept, 0);
    first.kill();
    beat().await;
    assert!(second.all().await.is_empty(), "nothing was carried out");
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_write_is_kept_later_as_it_is_by_then() {
    let script = Arc::new(Script {
        operation: Box::new(|_| {
            fine(Operation {
                state: Succeeded,
                done: true,
                ..operation()
            })
        }),
        ..Arc::into_inner(accepted()).unwrap()
    });
    let (first, second) = two(&script);
    // Neither the vendor's yes nor what came of it.
    *first.process.refuses.lock().unwrap() = 2;
    let done = first.live.write(destroy()).await.unwrap();
    let known = done.operation.unwrap();
    assert!(!known.durable);
    assert_eq!(known.operation.state, Running);
    // It ends before it is kept for the first time.
    *first.process.refuses.lock().unwrap() = 1;
    first.live.operation(&known.id, true).await.unwrap();
    beat().await;
    assert_eq!(first.live.standing().unwrap().unkept, 0);
    assert_eq!(second.all().await, [(known.id.to_string(), Succeeded)]);
    first.kill();
    beat().await;
    assert_eq!(second.all().await, [(known.id.to_string(), Succeeded)]);
    assert_eq!(script.count("describe"), 1, "nobody looks for it again");
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_tells_what_it_knows() {
    let script = Arc::new(Script {
        write: Box::new(|_| fail(ErrorKind::Conflict)),
        operations: Box::new(|_| fine(vec![operation()])),
        operation: Box::new(|_| fine(operation())),
        ..Script::default()
    });
    let (first, second) = two(&script);
    *first.process.refuses.lock().unwrap() = 1;
    assert_eq!(first.once(destroy()).await, Ok((503, false)));
    first.live.stop(Duration::from_secs(1)).await;
    beat().await;
    assert!(second.all().await.is_empty(), "nothing was carried out");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_at_is_left_again_however_long_that_takes() {
    let script = silent(Script {
        describe: Box::new(|call| {
            if call < 3 {
                fail(TIMEOUT)
            } else {
                fine(described(State::Deleted))
            }
        }),
        operations: Box::new(|_| fail(TIMEOUT)),
        ..Script::default()
    });
    let (first, second) = two(&script);
    let live = first.live.clone();
    let sent = tokio::spawn(async move { live.write(destroy()).await });
    sleep(Duration::from_secs(1)).await;
    first.kill();
    sent.abort();
    // That it leaves the write again is refused once.
    *second.process.refuses.lock().unwrap() = 1;
    for _ in 0..4 {
        beat().await;
    }
    assert!(second.all().await.is_empty(), "it is known to have ended");
    assert_eq!(script.count("describe"), 4);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_much_to_keep_says_in_time_that_it_is_alive() {
    let script = accepted();
    let (first, _second) = two(&script);
    *first.process.slow.lock().unwrap() = Duration::from_secs(30);
    *first.process.refuses.lock().unwrap() = 2;
    first.live.write(destroy()).await.unwrap();
    let before = *first.process.beats.lock().unwrap();
    sleep(BEAT * 10).await;
    let beats = *first.process.beats.lock().unwrap() - before;
    assert!(beats >= 10, "{beats}");
}

#[tokio::test(start_paused = true)]
async fn what_holds_itself_up_is_withdrawn() {
    for mistaken in [Intended::Busy, Intended::Taken, Intended::Unsafe] {
        let script = accepted();
        let (first, second) = two(&script);
        // Its intent is kept after all, and that was not heard of.
        *first.process.mistaken.lock().unwrap() = Some(mistaken);
        assert!(first.live.write(destroy()).await.is_err());
        assert_eq!(script.count("write"), 0);
        assert!(second.live.write(destroy()).await.is_ok(), "{mistaken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_takes_no_longer_than_it_may() {
    let script = Arc::new(Script {
        describe: Box::new(|_| pending().boxed()),
        ..Arc::into_inner(accepted()).unwrap()
    });
    let (first, _second) = two(&script);
    // That the vendor has said yes is not kept, and takes long to keep later.
    *first.process.refuses.lock().unwrap() = 1;
    let live = first.live.clone();
    let write = async move { told(&live.write(destroy()).await) };
    let live = first.live.clone();
    let recall = |outcome: Result<Done, WriteFailure>, _: &SourceName, _: &Kind| told(&outcome);
    let sent = tokio::spawn(async move { live.once("me", None, write, recall).await.is_ok() });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(first.live.standing().unwrap().unkept, 1);
    *first.process.slow.lock().unwrap() = Duration::from_mins(1);
    let began = Instant::now();
    first.live.stop(Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(7));
    sent.abort();
}

/// Puts so many operations into what is kept, the last the newest.
async fn filled(process: &Process, count: usize, native: impl Fn(usize) -> String) {
    for number in 0..count {
        let mut one = operation();
        one.native_id = native(number);
        let at = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
        let record = Record {
            known: Known {
                id: OperationId::new(&source(), &one.native_id),
                source: source(),
                provider: Kind::new("script"),
                cluster: None,
                origin: Origin::Vendor,
                operation: one,
                since: at,
                at,
                durable: true,
            },
            stage: Stage::Settled,
            task: None,
            is_shown: true,
        };
        process.put(&record).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_to_its_end_is_none() {
    let (first, second) = two(&Arc::new(Script::default()));
    filled(&first.process, 3, |number| number.to_string()).await;
    let mut selection = Selection {
        limit: 2,
        ..Selection::default()
    };
    let page = second.live.known_operations(&selection, &|_| true).await;
    let (found, next) = page.unwrap();
    assert_eq!(found.len(), 2);
    selection.after = next;
    assert!(selection.after.is_some());
    away(&second, true)();
    for after in [selection.after.clone(), None] {
        selection.after = after;
        let page = second.live.known_operations(&selection, &|_| true).await;
        assert!(matches!(page, Err(Failure::Away)), "{page:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_ends_no_list() {
    let (first, second) = two(&Arc::new(Script::default()));
    let native = |number| match number {
        0 => "oldest".to_owned(),
        1 => UNREADABLE.to_owned(),
        number => number.to_string(),
    };
    filled(&first.process, PART + 1, native).await;
    let selection = Selection {
        limit: PART + 1,
        ..Selection::default()
    };
    let page = second.live.known_operations(&selection, &|_| true).await;
    let (found, next) = page.unwrap();
    assert_eq!((found.len(), next), (PART, None));
    assert_eq!(found[PART - 1].operation.native_id, "oldest");
}

#[tokio::test(start_paused = true)]
async fn no_page_names_what_is_hidden_and_all_pages_meet() {
    let (first, second) = two(&Arc::new(Script::default()));
    let count = PART * PARTS + 100;
    let native = |number| match number {
        50 | 40 => format!("seen-{number}"),
        number => format!("hidden-{number}"),
    };
    filled(&first.process, count, native).await;
    let sees = |known: &Known| known.operation.native_id.starts_with("seen");
    let mut selection = Selection {
        limit: 1,
        ..Selection::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = second.live.known_operations(&selection, &sees).await;
        let (found, next) = page.unwrap();
        let names = found.into_iter().map(|known| known.operation.native_id);
        pages.push(names.collect::<Vec<_>>());
        let Some(next) = next else { break };
        assert!(!next.1.contains("hidden"), "{next:?}");
        selection.after = Some(next);
    }
    assert_eq!(pages, [vec![], vec!["seen-50"], vec!["seen-40"]]);
}
