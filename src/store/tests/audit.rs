//! The audit in a store: what was handed over is there when it is closed, and a store that is away loses events and says so.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::files::places;
use crate::access::audit::{Action, Audit, Destination, Event, Outcome, Shelf};
use crate::store::Settings;
use crate::store::audit_log::AuditLog;
use crate::store::durable::Durable;

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
