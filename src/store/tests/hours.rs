//! Counts of hours over real files.

use jiff::Timestamp;

use super::files::{count, places};
use super::source;
use crate::domain::Kind;
use crate::inventory::Freshness;
use crate::inventory::hours::{Account, Count, Group, Hour, Tally};
use crate::store::{Settings, Store};

fn counted(name: &str, hour: i64, generation: u64, clusters: u64) -> Count {
    let tally = Tally {
        clusters,
        ..Tally::default()
    };
    Count {
        source: source(name),
        hour: Hour(hour),
        generation,
        account: Account {
            provider: Kind::new("test"),
            state: Freshness::Fresh,
            whole: true,
            told_apart: true,
            groups: vec![Group {
                projects: vec!["p".to_owned()],
                tally,
            }],
        },
    }
}

async fn told(store: &Store, from: i64, until: i64, step: i64) -> Vec<(String, i64, u64)> {
    let counts = store.hours(Hour(from), Hour(until), step).await.unwrap();
    let short = |count: Count| {
        let clusters = count.account.groups[0].tally.clusters;
        (count.source.as_str().to_owned(), count.hour.0, clusters)
    };
    counts.into_iter().map(short).collect()
}

#[tokio::test]
async fn the_last_of_each_step_is_told() {
    for place in places("hours").await {
        let store = place.open().await;
        let all: Vec<Count> = (0..10)
            .map(|hour| counted("a", hour, 1, 10 + hour.unsigned_abs()))
            .collect();
        store.note_hours(&all).await.unwrap();
        // What is of an earlier generation was counted by somebody who was behind.
        let later = [
            counted("a", 9, 3, 99),
            counted("b", 2, 1, 7),
            counted("a", 9, 2, 0),
        ];
        store.note_hours(&later).await.unwrap();
        let one = |name: &str, hour, clusters| (name.to_owned(), hour, clusters);
        assert_eq!(
            told(&store, 1, 3, 1).await,
            [one("a", 1, 11), one("a", 2, 12), one("b", 2, 7)]
        );
        assert_eq!(
            told(&store, 0, 10, 4).await,
            [
                one("b", 2, 7),
                one("a", 3, 13),
                one("a", 7, 17),
                one("a", 9, 99)
            ]
        );
        assert!(told(&store, 10, 20, 1).await.is_empty());
        store
            .pool
            .execute(
                "UPDATE hour SET account = $1 WHERE hour = 9",
                vec![crate::store::pool::Value::Bytes(Some(vec![1]))],
            )
            .await
            .unwrap();
        assert_eq!(
            told(&store, 8, 10, 1).await,
            [one("a", 8, 18)],
            "what cannot be read was never counted"
        );

        let mut settings = Settings::at(place.address.clone());
        settings.keep_hours = std::time::Duration::from_hours(5);
        let now = Timestamp::from_second(10 * 3_600).unwrap();
        assert!(!store.tidy(&settings, now).await.unwrap());
        assert_eq!(count(&store, "SELECT MIN(hour) FROM hour").await, 5);
        store.close().await;
    }
}
