//! The audit in a store: what was handed over is there when it is closed and can be read back; a store that is away loses events, and
//! says so.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::files::places;
use super::steps::{Steps, plan};
use crate::access::Principal;
use crate::access::audit::{
    Action, Actor, Audit, Destination, Event, Outcome, Shelf, Unreadable, Wanted, Whereabouts,
};
use crate::store::audit_log::{AuditLog, statement};
use crate::store::durable::Durable;
use crate::store::pool::Value;
use crate::store::retention::OLD_AUDIT;
use crate::store::{Address, Settings, Store};

const GRACE: Duration = Duration::from_secs(10);

fn audit(durable: &Arc<Durable>) -> Audit {
    let shelf: Arc<dyn Shelf> = Arc::new(AuditLog::of(Arc::clone(durable), &Handle::current()));
    Audit::start(&Destination::Store, Some(shelf)).unwrap()
}

fn event(second: i64) -> Event {
    let mut event = Event::new(Action::Write, Timestamp::from_second(second).unwrap());
    event.target = Some("s:c".to_owned());
    event.request_id = format!("request-{second}");
    event.outcome = Some(Outcome {
        status: 202,
        code: None,
    });
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_outlives_the_process_and_goes_when_it_is_old() {
    for place in places("audit").await {
        let mut settings = Settings::at(place.address.clone());
        settings.keep_audit = Duration::from_secs(100);
        let durable = Arc::new(Durable::new(settings.clone()));
        let early = audit(&durable);
        early.record(event(1));
        early.close(GRACE).await;
        assert_eq!((early.lost(), early.is_failing()), (1, true));

        assert!(durable.restore(&[]).await.error.is_none());
        let events = audit(&durable);
        for second in [10, 200] {
            events.record(event(second));
        }
        events.close(GRACE).await;
        assert_eq!((events.lost(), events.is_failing()), (0, false));
        let store = durable.store().unwrap();
        let lines = async || {
            const ALL: &str = "SELECT line FROM audit WHERE action = 'write' AND target = 's:c' AND status = 202 \
                AND actor IS NULL ORDER BY at";
            let rows: Vec<(String,)> = store.reads.fetch(ALL, vec![]).await.unwrap();
            rows.into_iter().map(|row| row.0).collect::<Vec<_>>()
        };
        let expected = [10, 200].map(|second| serde_json::to_string(&event(second)).unwrap());
        assert_eq!(lines().await, expected);
        let now = Timestamp::from_second(250).unwrap();
        store.tidy(&settings, now).await.unwrap();
        assert_eq!(lines().await, expected[1..]);
        durable.close().await;
    }
}

/// Requests of all that is wanted, so many on a page.
async fn walk(shelf: &dyn Shelf, wanted: &Wanted, most: usize) -> Vec<String> {
    let mut wanted = Wanted {
        most,
        ..wanted.clone()
    };
    let mut found = Vec::new();
    loop {
        let page = shelf.read(wanted.clone()).await.unwrap();
        assert!(page.is_sorted_by(|one, next| one.place > next.place));
        let Some(last) = page.last() else {
            return found;
        };
        wanted.before = Some(last.place);
        found.extend(page.into_iter().filter_map(|kept| kept.request_id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_is_read_back_page_by_page() {
    for place in places("audit_read").await {
        let durable = Arc::new(Durable::new(Settings::at(place.address.clone())));
        let audit = audit(&durable);
        let Whereabouts::Shelf(shelf) = audit.whereabouts().clone() else {
            panic!("the audit is not on a shelf");
        };
        let all = Wanted {
            most: 10,
            ..Wanted::default()
        };
        assert!(matches!(shelf.read(all.clone()).await, Err(Unreadable(_))));
        assert!(durable.restore(&[]).await.error.is_none());

        let principal = Principal::open();
        for (number, second) in [5, 7, 7, 7, 9, 7].into_iter().enumerate() {
            let mut event = event(second);
            event.request_id = number.to_string();
            if number % 2 == 0 {
                event.action = Action::Refresh;
                event.actor = Some(Actor::from(&*principal));
                event.target = Some("it's".to_owned());
            }
            audit.record(event);
        }
        audit.close(GRACE).await;
        assert_eq!(audit.lost(), 0);

        // Those of one time are told from each other by which one came last.
        for most in 1..=7 {
            let found = walk(&*shelf, &all, most).await;
            assert_eq!(found.concat(), "453210", "{most}");
        }
        let second = |second| Some(Timestamp::from_second(second).unwrap());
        let text = |text: &str| Some(text.to_owned());
        for (wanted, expected) in [
            (
                Wanted {
                    since: second(7),
                    ..Wanted::default()
                },
                "45321",
            ),
            (
                Wanted {
                    since: second(6),
                    until: second(9),
                    ..Wanted::default()
                },
                "5321",
            ),
            (
                Wanted {
                    actor: text(&principal.id),
                    ..Wanted::default()
                },
                "420",
            ),
            (
                Wanted {
                    action: Some(Action::Write),
                    ..Wanted::default()
                },
                "531",
            ),
            (
                Wanted {
                    target: text("it's"),
                    until: second(9),
                    ..Wanted::default()
                },
                "20",
            ),
            (
                Wanted {
                    target: text("' OR 1=1 --"),
                    ..Wanted::default()
                },
                "",
            ),
        ] {
            let found = walk(&*shelf, &wanted, 2).await;
            assert_eq!(found.concat(), expected, "{wanted:?}");
        }
        let one = shelf.read(Wanted { most: 1, ..all }).await.unwrap();
        let mut written = event(9);
        written.action = Action::Refresh;
        written.actor = Some(Actor::from(&*principal));
        written.target = text("it's");
        written.request_id = "4".to_owned();
        assert_eq!(one[0].line, serde_json::to_string(&written).unwrap());
        assert_eq!(
            (one[0].action.as_str(), one[0].status),
            ("refresh", Some(202))
        );
        durable.close().await;
    }
}

const MANY: &str = "INSERT INTO audit (at, action, actor, target, status, request, line) WITH RECURSIVE counted(i) AS \
    (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < $1) SELECT $2 + i, $3, $4, $5, 200, 'r', 'a line' FROM counted";

/// Adds so many events that are alike.
async fn add(store: &Store, count: usize, at: i64, [action, actor, target]: [&str; 3]) {
    let values = vec![
        Value::count(count),
        Value::Number(Some(at)),
        Value::text(action),
        Value::text(actor),
        Value::text(target),
    ];
    store.pool.execute(MANY, values).await.unwrap();
}

#[tokio::test]
async fn what_is_rare_is_found_by_an_index_among_all_else() {
    for place in places("audit_index").await {
        let store = place.open().await;
        add(&store, 3, 0, ["write", "rare", "common"]).await;
        add(&store, 3, 10, ["forbidden", "busy", "common"]).await;
        add(&store, 3, 20, ["write", "busy", "rare"]).await;
        add(&store, 30_000, 100, ["write", "busy", "common"]).await;
        let steps = match place.address {
            Address::File(_) => Some(Steps::of(&store).await),
            Address::Server(_) => {
                // What a server does by itself; nobody does it for a file.
                store.pool.execute("ANALYZE audit", vec![]).await.unwrap();
                None
            }
        };
        let text = |text: &str| Some(text.to_owned());
        let wanted = |actor, action, target| Wanted {
            actor,
            action,
            target,
            most: 100,
            ..Wanted::default()
        };
        let (rare, busy, common) = (|| text("rare"), || text("busy"), || text("common"));
        let forbidden = Some(Action::Forbidden);
        let last = Some(crate::access::audit::Place { at: 150, id: 60 });
        let late = Wanted {
            before: last,
            ..wanted(None, None, None)
        };
        let early = Wanted {
            until: Timestamp::from_microsecond(30).ok(),
            ..wanted(busy(), None, None)
        };
        for (wanted, index, count) in [
            (wanted(rare(), None, None), "audit_actor", 3),
            (wanted(None, forbidden, None), "audit_action", 3),
            (wanted(None, None, rare()), "audit_target", 3),
            (wanted(busy(), None, rare()), "audit_target", 3),
            (wanted(rare(), Some(Action::Write), None), "audit_actor", 3),
            (wanted(busy(), forbidden, None), "audit_a", 3),
            (wanted(busy(), forbidden, common()), "audit_", 3),
            (wanted(None, None, None), "audit_time", 100),
            (late, "audit_time", 59),
            (early, "audit_", 6),
        ] {
            let shown = format!("{wanted:?}");
            let (sql, values) = statement(wanted);
            let plan = plan(&store, &sql, values.clone()).await;
            assert!(plan.contains(index), "{shown}\n{plan}");
            for costly in ["SCAN audit", "Seq Scan", "TEMP B-TREE"] {
                assert!(!plan.contains(costly), "{shown}\n{plan}");
            }
            if let Some(steps) = &steps {
                steps.take();
            }
            let sql = format!("SELECT COUNT(*) FROM ({sql}) AS page");
            let found: Vec<(i64,)> = store.reads.fetch(sql, values).await.unwrap();
            assert_eq!(found[0].0, count, "{shown}");
            if let Some(steps) = &steps {
                let taken = steps.take();
                // What is rare of a busy one is looked for in its part of the index, which has the action as well.
                let most = if shown.contains("Forbidden") && shown.contains("busy") {
                    300_000
                } else {
                    6_000
                };
                assert!(taken < most, "{taken} {shown}\n{plan}");
            }
        }
        // What is old goes by the index as well; nothing is old here.
        let values = vec![Value::Number(Some(0)), Value::count(500)];
        let plan = plan(&store, OLD_AUDIT, values).await;
        assert!(plan.contains("audit_time"), "{plan}");
        store.close().await;
    }
}
