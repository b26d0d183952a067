use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;

/// Keeps what is written, and may refuse it.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<(Vec<u8>, bool)>>);

impl Lines {
    pub(super) fn write(&self, lines: &[u8]) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        if inner.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.0.extend_from_slice(lines);
        Ok(())
    }

    fn refuse(&self, refuse: bool) {
        self.0.lock().unwrap().1 = refuse;
    }

    fn read(&self) -> Vec<Value> {
        parse(&String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap())
    }
}

fn parse(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn event(number: u64) -> Event {
    let mut event = Event::new(
        Action::Refresh,
        Timestamp::from_second(1_900_000_000).unwrap(),
    );
    event.request_id = format!("r-{number}");
    event
}

fn failure(address: u32, seconds: i64) -> Event {
    let time = Timestamp::from_second(1_900_000_000 + seconds).unwrap();
    let mut event = Event::new(Action::AuthenticationFailed, time);
    event.remote = Some(Ipv4Addr::from(address).into());
    event.detail = Some("wrong secret");
    event
}

const GRACE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_event_is_one_line_that_says_who_did_what() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::start(&Destination::File(path.clone()), None).unwrap();
    let mut event = event(1);
    event.actor = Some(Actor::from(&*Principal::open()));
    event.remote = Some(Ipv4Addr::LOCALHOST.into());
    event.method = "POST".to_owned();
    event.route = "/sources/{name}/refresh";
    event.target = Some("main".to_owned());
    event.outcome = Some(Outcome {
        status: 404,
        code: Some("SOURCE_NOT_FOUND"),
    });
    audit.record(event);
    audit.close(GRACE).await;
    let lines = parse(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(
        lines,
        [json!({
            "time": "2030-03-17T17:46:40Z", "event": "refresh",
            "actor": { "kind": "open", "id": "open", "name": "no access control" },
            "remote": "127.0.0.1", "request_id": "r-1", "method": "POST",
            "route": "/sources/{name}/refresh", "target": "main",
            "outcome": { "status": 404, "code": "SOURCE_NOT_FOUND" },
        })]
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn everything_handed_over_is_written_at_the_end() {
    let lines = Lines::default();
    let audit = Audit::over(Sink::Test(lines.clone())).unwrap();
    for number in 0..3_000 {
        audit.record(event(number));
    }
    audit.close(GRACE).await;
    let ids: Vec<Value> = lines
        .read()
        .iter()
        .map(|line| line["request_id"].clone())
        .collect();
    let expected: Vec<Value> = (0..3_000)
        .map(|number| json!(format!("r-{number}")))
        .collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_and_the_count_is_written() {
    let lines = Lines::default();
    let audit = Audit::over(Sink::Test(lines.clone())).unwrap();
    lines.refuse(true);
    for number in 0..20_000 {
        audit.record(event(number));
    }
    let accounted = async {
        // Every event was either refused by the full queue or by the sink.
        while audit.shared.lost.load(Ordering::Relaxed) < 20_000 {
            sleep(POLL).await;
        }
    };
    tokio::time::timeout(GRACE, accounted).await.unwrap();
    assert!(audit.is_failing());
    assert_eq!(audit.lost(), 20_000);
    lines.refuse(false);
    audit.record(event(1));
    audit.close(GRACE).await;
    assert!(!audit.is_failing());
    assert_eq!(audit.lost(), 20_000);
    let written = lines.read();
    assert!(
        written.contains(&json!({
            "time": written[written.len() - 1]["time"], "event": "events_lost", "count": 20_000,
        })),
        "{written:?}"
    );
    assert_eq!(
        written
            .iter()
            .filter(|line| line["event"] == "refresh")
            .count(),
        1
    );
}

#[test]
fn a_file_that_could_not_be_written_is_noticed_before() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &str| Destination::File(folder.path().join(path)).check();
    assert!(check("audit.jsonl").is_ok());
    assert!(!folder.path().join("audit.jsonl").exists());
    std::fs::write(folder.path().join("old.jsonl"), "{}\n").unwrap();
    assert!(check("old.jsonl").is_ok());
    let kept = std::fs::read_to_string(folder.path().join("old.jsonl")).unwrap();
    assert_eq!(kept, "{}\n");
    assert!(check("").is_err(), "a folder is no file");
    assert!(check("nowhere/audit.jsonl").is_err());
    assert!(check("old.jsonl/audit.jsonl").is_err());
    assert!(Destination::Stdout.check().is_ok());
}

#[test]
fn many_failures_from_one_address_are_one_line_and_a_count() {
    let mut failures = Failures::default();
    let kind = DeniedKind::Invalid;
    let first = failures.note(kind, failure(1, 0)).unwrap();
    assert_eq!(first.count, None);
    for seconds in 0..59 {
        assert_eq!(failures.note(kind, failure(1, seconds)), None);
    }
    assert!(failures.note(DeniedKind::Expired, failure(1, 0)).is_some());
    assert!(failures.note(kind, failure(2, 0)).is_some());
    let at = |seconds: i64| Timestamp::from_second(1_900_000_000 + seconds).unwrap();
    assert_eq!(failures.take(at(59), false), []);
    let counts = failures.take(at(60), false);
    let [count] = counts.as_slice() else {
        panic!("one address failed more than once: {counts:?}");
    };
    assert_eq!(
        (count.count, count.remote),
        (Some(59), failure(1, 0).remote)
    );
    assert!(
        failures.note(kind, failure(1, 61)).is_some(),
        "counted anew"
    );
    assert_eq!(failures.note(kind, failure(1, 62)), None);
    assert_eq!(
        failures.take(at(62), true).len(),
        1,
        "nothing is left at the end"
    );
}

#[test]
fn failures_from_everywhere_are_not_told_apart_without_end() {
    let mut failures = Failures::default();
    let kind = DeniedKind::Missing;
    let written =
        (0..100_000).filter(|address| failures.note(kind, failure(*address, 0)).is_some());
    assert_eq!(written.count(), 1025);
    let at = Timestamp::from_second(1_900_000_060).unwrap();
    let counts = failures.take(at, false);
    assert_eq!(counts.len(), 1);
    assert_eq!(
        (counts[0].remote, counts[0].count),
        (None, Some(100_000 - 1025))
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_moved_away_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut sink = Sink::open(&Destination::File(path.clone()), None).unwrap();
    sink.write(&[], b"{}\n").unwrap();
    std::fs::rename(&path, folder.path().join("audit.1")).unwrap();
    sink.write(&[], b"[]\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[]\n");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("audit.1")).unwrap(),
        "{}\n"
    );
}

#[test]
fn each_action_is_named_as_it_is_written() {
    for action in Action::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        assert_eq!(Action::parse(action.as_str()), Some(action));
    }
    assert_eq!(Action::parse("Write"), None);
}
