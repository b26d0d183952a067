//! Processes that end in the middle of a write, and others that go on with what they left. Nothing is sent twice.

use tokio::time::advance;

use OperationState::{Pending, Running, Succeeded, Unknown};

use super::writes::{create, destroy};
use super::*;
use crate::live::tend::BEAT;
use crate::live::testing::{Process, Table};

/// A gateway over what others share.
pub(super) struct Shared {
    pub(super) live: Live,
    pub(super) process: Process,
    script: Arc<Script>,
    notes: Arc<Notes>,
}

pub(super) fn shared(table: &Arc<Mutex<Table>>, number: usize, script: &Arc<Script>) -> Shared {
    let process = Process::new(table, number);
    let notes = Arc::<Notes>::default();
    let source = Source {
        name: source(),
        provider: Arc::clone(script) as Arc<dyn Provider>,
    };
    let live = Live::keeping(
        vec![source],
        Bounds::default(),
        Arc::clone(&notes) as Arc<dyn Ledger>,
        Arc::new(process.clone()),
        Arc::new(process.clone()),
        &Handle::current(),
    );
    Shared {
        live,
        process,
        script: Arc::clone(script),
        notes,
    }
}

impl Shared {
    /// Ends as a process that is killed: what it was about is done by nobody.
    pub(super) fn kill(self) {
        self.process.die();
        *self.process.is_away.lock().unwrap() = true;
        self.live.0.stop.cancel();
        self.live.0.ended.cancel();
    }

    pub(super) async fn all(&self) -> Vec<(String, OperationState)> {
        let all = Selection {
            limit: 10,
            ..Selection::default()
        };
        let (found, _) = self.live.known_operations(&all, &|_| true).await.unwrap();
        let known = found.into_iter();
        known
            .map(|known| (known.id.to_string(), known.operation.state))
            .collect()
    }

    /// Sends a write under the one key there is; gives the status of its answer.
    pub(super) async fn once(&self, write: Write) -> Result<(u16, bool), Refusal> {
        self.once_if(write, || ()).await
    }

    /// The same, where something happens after the key is begun and before the write is kept.
    pub(super) async fn once_if(
        &self,
        write: Write,
        between: impl FnOnce() + Send + 'static,
    ) -> Result<(u16, bool), Refusal> {
        let live = self.live.clone();
        let still = || {
            between();
            true
        };
        let work = async move { told(&live.write_under(Some(&key()), write, still).await) };
        let recall = |outcome: Result<Done, WriteFailure>, _: &SourceName, _: &Kind| told(&outcome);
        let once = self.live.once("me", Some((key(), [7; 32])), work, recall);
        once.await
            .map(|once| (once.outcome.status, once.is_replayed))
    }
}

pub(super) fn key() -> Key {
    Key {
        caller: "me".to_owned(),
        target: "it".to_owned(),
        key: "k".to_owned(),
    }
}

pub(super) fn told(outcome: &Result<Done, WriteFailure>) -> Finished {
    let (status, ending) = match outcome {
        Ok(done) if done.is_pending => (202, Ending::Final),
        Ok(_) => (200, Ending::Final),
        Err(WriteFailure::Unknown(_)) => (502, Ending::Final),
        Err(WriteFailure::Taken) => (409, Ending::Taken),
        Err(WriteFailure::Busy) => (409, Ending::Free),
        Err(_) => (503, Ending::Free),
    };
    let outcome = Outcome {
        status,
        headers: Vec::new(),
        body: Vec::new(),
        reach: 0,
    };
    Finished { outcome, ending }
}

pub(super) fn operation() -> Operation {
    Operation {
        native_id: "op".into(),
        kind: OperationKind::Destroy,
        state: Running,
        created_at: Some(Timestamp::now()),
        ..Operation::default()
    }
}

/// Lets other tasks go on until nothing is left to do but wait.
pub(super) async fn beat() {
    advance(BEAT).await;
    sleep(Duration::from_secs(8)).await;
}

/// A vendor that never answers a write; what it did is read as told.
pub(super) fn silent(script: Script) -> Arc<Script> {
    Arc::new(Script {
        write: Box::new(|_| pending().boxed()),
        ..script
    })
}

/// Sends a write that is under way when its process is killed, and starts the next one.
async fn killed_at_work(script: &Arc<Script>, write: Write) -> Shared {
    let table: Arc<Mutex<Table>> = Arc::default();
    let first = shared(&table, 1, script);
    let live = first.live.clone();
    let sent = tokio::spawn(async move {
        let work =
            async move { told(&live.clone().write_under(Some(&key()), write, || true).await) };
        work.await
    });
    assert_eq!(
        Keys::begin(&first.process, key(), [7; 32]).await,
        Begun::New
    );
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.count("write"), 1);
    sent.abort();
    assert!(first.all().await.is_empty(), "its answer is waited for");
    first.kill();
    shared(&table, 2, script)
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_found_after_a_restart_and_goes_on() {
    let script = Arc::new(Script {
        write: Box::new(|_| {
            fine(Written {
                operation: Some(operation()),
                is_pending: true,
                ..Written::default()
            })
        }),
        operation: Box::new(|call| {
            let mut now = operation();
            if call > 0 {
                (now.state, now.done) = (Succeeded, true);
            }
            fine(now)
        }),
        ..Script::default()
    });
    let table: Arc<Mutex<Table>> = Arc::default();
    let first = shared(&table, 1, &script);
    assert_eq!(first.once(destroy()).await, Ok((202, false)));
    let id = OperationId::new(&source(), "op");
    let before = first.live.known_operation(&id).await.unwrap().unwrap();
    assert!(before.durable);
    first.kill();

    let second = shared(&table, 2, &script);
    assert_eq!(second.once(destroy()).await, Ok((202, true)));
    let after = second.live.known_operation(&id).await.unwrap().unwrap();
    assert_eq!(after, before);
    assert_eq!(second.all().await, [("s:op".to_owned(), Running)]);
    // Nobody asks for it: it is looked at all the same, and its end is kept.
    beat().await;
    beat().await;
    beat().await;
    let third = shared(&table, 3, &script);
    assert_eq!(third.all().await, [("s:op".to_owned(), Succeeded)]);
    assert_eq!(second.notes.count("refresh s"), 1);
    assert_eq!(script.count("write"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_vendor_did_without_an_answer_is_found_by_another_process() {
    let script = silent(Script {
        operations: Box::new(|_| fine(vec![operation()])),
        operation: Box::new(|_| fine(operation())),
        ..Script::default()
    });
    let second = killed_at_work(&script, destroy()).await;
    // Until it was looked at nobody knows.
    assert_eq!(second.once(destroy()).await, Err(Refusal::Running));
    beat().await;
    assert_eq!(second.once(destroy()).await, Ok((202, true)));
    assert_eq!(second.all().await, [("s:op".to_owned(), Running)]);
    assert_eq!(second.script.count("write"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_shows_no_effect_ends_unknown_and_is_not_sent_again() {
    let script = silent(Script::default());
    let second = killed_at_work(&script, destroy()).await;
    beat().await;
    let all = second.all().await;
    assert_eq!(all.len(), 1);
    let (id, state) = &all[0];
    assert_eq!(*state, Unknown);
    let known = second
        .live
        .known_operation(&OperationId::parse(id).unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(known.operation.done && known.durable);
    let text = known.operation.error.unwrap().message.unwrap();
    assert!(text.contains("shows no effect"), "{text}");
    for is_replayed in [true, true] {
        assert_eq!(second.once(destroy()).await, Ok((502, is_replayed)));
    }
    assert_eq!(script.count("write"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_cluster_shows_up_is_followed_under_the_id_of_its_intent() {
    let script = silent(Script {
        capabilities: &SILENT,
        find_created: Box::new(|_| fine(Some(listed(State::Provisioning)))),
        describe: Box::new(|call| {
            let state = if call < 1 {
                State::Provisioning
            } else {
                State::Running
            };
            fine(described(state))
        }),
        ..Script::default()
    });
    let second = killed_at_work(&script, create(Vec::new())).await;
    beat().await;
    let all = second.all().await;
    assert!(all[0].0.starts_with("s:gw-"), "{all:?}");
    assert_eq!(all[0].1, Running);
    assert_eq!(second.once(create(Vec::new())).await, Ok((202, true)));
    beat().await;
    beat().await;
    assert_eq!(second.all().await, [(all[0].0.clone(), Succeeded)]);
    assert_eq!(script.count("write"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_cannot_be_read_is_read_later() {
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
    let second = killed_at_work(&script, destroy()).await;
    sleep(Duration::from_millis(4_500)).await;
    assert_eq!(second.all().await[0].1, Pending);
    assert_eq!(second.once(destroy()).await, Err(Refusal::Running));
    beat().await;
    beat().await;
    // What ended at once is no operation, though who asks again is told.
    assert_eq!(second.once(destroy()).await, Ok((200, true)));
    assert!(second.all().await.is_empty());
    assert_eq!(script.count("write"), 1);
}

#[tokio::test(start_paused = true)]
async fn every_process_tells_of_what_another_one_follows() {
    let script = Arc::new(Script {
        capabilities: &SILENT,
        write: Box::new(|_| {
            fine(Written {
                is_pending: true,
                ..Written::default()
            })
        }),
        describe: Box::new(|call| {
            let state = if call < 2 {
                State::Deleting
            } else {
                State::Deleted
            };
            fine(described(state))
        }),
        ..Script::default()
    });
    let table: Arc<Mutex<Table>> = Arc::default();
    let (first, second) = (shared(&table, 1, &script), shared(&table, 2, &script));
    let done = first.live.write(destroy()).await.unwrap();
    let id = done.operation.unwrap().id;
    let told = second.live.operation(&id, true).await.unwrap();
    assert_eq!(
        (told.value.operation.state, told.value.durable),
        (Running, true)
    );
    assert_eq!(script.count("describe"), 1, "only its owner looks");
    let of_cluster = second.live.operations_of(&target(), true).await.unwrap();
    assert_eq!(of_cluster.value[0].id, id);
    for _ in 0..2 {
        first.live.operation(&id, true).await.unwrap();
        sleep(Duration::from_secs(2)).await;
    }
    let told = second.live.operation(&id, true).await.unwrap();
    assert_eq!(told.value.operation.state, Succeeded);
    assert_eq!(second.all().await, [(id.to_string(), Succeeded)]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_keeps_nobody_from_acting() {
    let script = Arc::new(Script {
        capabilities: &SILENT,
        write: Box::new(|_| {
            fine(Written {
                is_pending: true,
                ..Written::default()
            })
        }),
        describe: Box::new(|_| fine(described(State::Deleting))),
        ..Script::default()
    });
    let table: Arc<Mutex<Table>> = Arc::default();
    let (first, second) = (shared(&table, 1, &script), shared(&table, 2, &script));
    *first.process.is_away.lock().unwrap() = true;
    let done = first.live.write(destroy()).await.unwrap();
    let known = done.operation.unwrap();
    assert!(!known.durable);
    assert_eq!(first.live.standing().unwrap().unkept, 1);
    assert!(second.all().await.is_empty());
    // What can be kept later is kept later.
    *first.process.is_away.lock().unwrap() = false;
    beat().await;
    assert_eq!(first.live.standing().unwrap().unkept, 0);
    assert_eq!(second.all().await, [(known.id.to_string(), Running)]);
    let again = first.live.operation(&known.id, false).await.unwrap();
    assert!(again.value.durable);
    *second.process.is_away.lock().unwrap() = true;
    let away = second.live.operation(&known.id, false).await;
    assert_eq!(code(&away), "away");
}
