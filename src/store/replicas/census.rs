//! What nobody has told yet of the sources as such: they came or went with the configuration of the gateways, or nobody looked at
//! them while no gateway was there.
//!
//! A source that any gateway has is not gone, also where the others have another configuration by now.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;
use tracing::info;

use super::super::StoreError;
use super::super::open::Store;
use super::super::pool::{Hold, Transaction, Value};
use super::super::settings::{Settings, Sharing};
use super::super::write::{self, print};
use super::Replicas;
use super::leases::micros;
use super::load::Numbers;
use super::turns::TURN;
use crate::domain::{Kind, SourceName};
use crate::inventory::journal::RestoredSource;
use crate::inventory::replicas::Census;

/// Records that are read at once.
const PART: i64 = 2_000;

const SOURCES: &str = "SELECT name, provider, account, clusters, print, generation, \
    EXISTS (SELECT 1 FROM unseen WHERE unseen.source = source.name) FROM source ORDER BY name";
const OLD: &str = "SELECT source FROM unseen WHERE since < $1 ORDER BY since, source";
const CLUSTERS: &str = "DELETE FROM cluster WHERE (source, id) IN \
    (SELECT source, id FROM cluster WHERE source = $1 LIMIT $2)";
const SOURCE: &str = "DELETE FROM source WHERE name = $1";
const FORGOTTEN: &str = "DELETE FROM unseen WHERE source = $1";
/// Also those that could not say lately that they take part, while the database was away.
const OTHERS: &str = "SELECT sources FROM replica \
    WHERE until > clock_timestamp() - $2 * interval '1 microsecond' AND id <> $1 ORDER BY id";
const RECORDS: &str =
    "SELECT id, record FROM cluster WHERE source = $1 AND id > $2 ORDER BY id LIMIT $3";

type SourceRow = (String, String, String, i64, Vec<u8>, i64, bool);
/// A name and a provider.
type Pair = (String, String);

/// A source as the database has it.
#[derive(Debug, Clone)]
struct Row {
    name: SourceName,
    provider: String,
    account: String,
    clusters: u64,
    /// Whether it is what was written.
    is_written: bool,
    /// The generation that wrote it.
    generation: u64,
    /// Whether it is known to be gone.
    is_unseen: bool,
}

impl Row {
    fn read(row: SourceRow) -> Option<Self> {
        let (name, provider, account, clusters, expected, generation, is_unseen) = row;
        let name = SourceName::new(&name).ok()?;
        let clusters = u64::try_from(clusters).unwrap_or(0);
        let is_written = print(&name, &provider, &account, clusters)[..] == expected[..];
        Some(Self {
            name,
            provider,
            account,
            clusters,
            is_written,
            generation: u64::try_from(generation).unwrap_or(0),
            is_unseen,
        })
    }

    fn is_of(&self, name: &str, provider: &str) -> bool {
        // Of what was not written nobody knows whose it is.
        self.name.as_str() == name && (!self.is_written || self.provider == provider)
    }
}

/// What is told of the sources as such by one turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    left: Vec<SourceName>,
    come: Vec<SourceName>,
    gone: Vec<SourceName>,
    /// Those that come and of which the database has nothing.
    pub(super) absent: Vec<SourceName>,
    /// Whether it is known what was shown before.
    pub(super) is_whole: bool,
}

impl Counted {
    /// What there is to be told. `others` is what the other gateways have; `None` where one of them does not say so.
    fn of(
        own: &[(SourceName, Kind)],
        others: Option<&HashSet<Pair>>,
        rows: &[Row],
        left: u64,
    ) -> Self {
        let is_own = |row: &Row| {
            let mut own = own.iter();
            own.any(|(name, kind)| row.is_of(name.as_str(), kind.as_str()))
        };
        let is_gone = |row: &Row| {
            let of_others = |others: &HashSet<Pair>| {
                let mut others = others.iter();
                others.any(|(name, provider)| row.is_of(name, provider))
            };
            !row.is_unseen && !is_own(row) && others.is_some_and(|others| !of_others(others))
        };
        let mut counted = Self {
            is_whole: true,
            ..Self::default()
        };
        for (name, kind) in own {
            let row = rows.iter().find(|row| row.name == *name);
            match row {
                None => {
                    counted.come.push(name.clone());
                    counted.absent.push(name.clone());
                }
                Some(row) if !row.is_written => {}
                // Another provider's clusters go, and this one's come with its first listing.
                Some(row) if row.provider != kind.as_str() => {
                    if is_gone(row) {
                        counted.come.push(name.clone());
                    }
                }
                Some(row) if row.is_unseen => counted.come.push(name.clone()),
                Some(row) if row.generation <= left => counted.left.push(name.clone()),
                Some(_) => {}
            }
        }
        let gone = rows.iter().filter(|row| is_gone(row));
        counted.gone = gone.map(|row| row.name.clone()).collect();
        counted
    }

    fn is_nothing(&self) -> bool {
        self.left.is_empty() && self.come.is_empty() && self.gone.is_empty() && self.is_whole
    }

    /// Takes note of what is gone by the turn.
    pub(super) async fn write(
        &self,
        transaction: &mut Transaction,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        write::unseen(transaction, &self.gone, at).await
    }
}

/// The sources of a gateway, for the others.
pub(super) fn told(sources: &[(SourceName, Kind)]) -> String {
    // Names cannot fail.
    serde_json::to_string(sources).unwrap_or_default()
}

/// What the gateways beside one have; `None` where one of them does not say so.
async fn others(
    connection: &mut PgConnection,
    id: &str,
    lease: Duration,
) -> Result<Option<HashSet<Pair>>, StoreError> {
    let others: Vec<(Option<String>,)> = sqlx::query_as(OTHERS)
        .bind(id)
        .bind(micros(lease))
        .fetch_all(connection)
        .await?;
    let others: Option<Vec<Vec<Pair>>> = others
        .into_iter()
        .map(|(told,)| serde_json::from_str(&told?).ok())
        .collect();
    Ok(others.map(|others| others.into_iter().flatten().collect()))
}

impl Store {
    /// Deletes a little of the sources that no gateway has had for as long as changes are kept; answers with whether there may be
    /// more of it.
    pub(in super::super) async fn tidy_gone(
        &self,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(Sharing { lease }) = settings.shared else {
            return Ok(false);
        };
        let first = now.checked_sub(settings.keep_changes);
        let first = first.unwrap_or(Timestamp::MIN).as_microsecond();
        // Mostly there is nothing, and nobody has to wait for that.
        let old: Vec<(String,)> = (self.reads)
            .fetch(OLD, vec![Value::Number(Some(first))])
            .await?;
        if old.is_empty() {
            return Ok(false);
        }
        let mut transaction = super::pool(self)?.begin().await?;
        Hold::Shared.take(&mut transaction).await?;
        // Nobody takes part or publishes meanwhile.
        super::turns::last(&mut transaction, TURN).await?;
        let old: Vec<(String,)> = sqlx::query_as(OLD)
            .bind(first)
            .fetch_all(&mut *transaction)
            .await?;
        let Some(all) = others(&mut transaction, "", lease).await? else {
            return Ok(false);
        };
        let is_had = |name: &String| all.iter().any(|(source, _)| source == name);
        let mut old = old.into_iter().map(|row| row.0);
        let Some(name) = old.find(|name| !is_had(name)) else {
            return Ok(false);
        };
        let clusters = sqlx::query(CLUSTERS).bind(&name).bind(PART);
        let clusters = clusters.execute(&mut *transaction).await?.rows_affected();
        if clusters < PART.unsigned_abs() {
            info!(
                source.name = name,
                "what the store has of a source that no gateway has any more is gone"
            );
            for sql in [SOURCE, FORGOTTEN] {
                let query = sqlx::query(sql).bind(&name);
                query.execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await?;
        Ok(true)
    }
}

async fn count(
    connection: &mut PgConnection,
    replica: &Replicas,
    numbers: &Numbers,
) -> Result<(Counted, Vec<Row>), StoreError> {
    let rows: Vec<SourceRow> = sqlx::query_as(SOURCES).fetch_all(&mut *connection).await?;
    let rows: Vec<Row> = rows.into_iter().filter_map(Row::read).collect();
    let others = others(connection, &replica.id, replica.lease).await?;
    let mut counted = Counted::of(&replica.sources, others.as_ref(), &rows, numbers.left());
    counted.is_whole = numbers.has_changes();
    Ok((counted, rows))
}

/// Whether there is something to be told.
pub(super) async fn is_due(
    connection: &mut PgConnection,
    replica: &Replicas,
) -> Result<bool, StoreError> {
    let numbers = Numbers::read(connection).await?;
    let (counted, _) = count(connection, replica, &numbers).await?;
    Ok(!counted.is_nothing())
}

/// What there is to be told, where there is something. To be asked in a turn.
pub(super) async fn take(
    connection: &mut PgConnection,
    replica: &Replicas,
    numbers: &Numbers,
) -> Result<Option<(Counted, Census)>, StoreError> {
    let (mut counted, rows) = count(connection, replica, numbers).await?;
    if counted.is_nothing() {
        return Ok(None);
    }
    let mut gone = Vec::new();
    for name in &counted.gone {
        let Some(row) = rows.iter().find(|row| row.name == *name) else {
            continue;
        };
        let source = whole(connection, row).await?;
        counted.is_whole &= source.refused == 0;
        let kind = serde_json::from_value(row.provider.as_str().into()).ok();
        let kind = kind.filter(|_| row.is_written);
        gone.push((
            name.clone(),
            kind.unwrap_or_else(|| Kind::new("unknown")),
            source,
        ));
    }
    let census = Census {
        left: counted.left.clone(),
        come: counted.come.clone(),
        gone,
        is_whole: counted.is_whole,
    };
    Ok(Some((counted, census)))
}

/// A source with its records, a few at a time: the turn goes on meanwhile.
async fn whole(connection: &mut PgConnection, row: &Row) -> Result<RestoredSource, StoreError> {
    let account = if row.is_written {
        row.account.clone()
    } else {
        String::new()
    };
    let mut source = RestoredSource::read(account, std::iter::empty());
    let mut last = String::new();
    loop {
        let records: Vec<(String, Vec<u8>)> = sqlx::query_as(RECORDS)
            .bind(row.name.as_str())
            .bind(&last)
            .bind(PART)
            .fetch_all(&mut *connection)
            .await?;
        let Some((id, _)) = records.last() else { break };
        last.clone_from(id);
        let part = tokio::task::spawn_blocking(move || {
            let records = records.iter();
            let records = records.map(|(id, bytes)| (id.as_str(), bytes.as_slice()));
            RestoredSource::read(String::new(), records)
        });
        match part.await {
            Ok(part) => source.join(part),
            // What made a thread fail can be read by nobody.
            Err(_) => source.refused += 1,
        }
    }
    let read = source.len() + source.refused;
    let written = usize::try_from(row.clusters).unwrap_or(usize::MAX);
    source.refused += if row.is_written {
        written.saturating_sub(read)
    } else {
        1
    };
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> SourceName {
        SourceName::new(name).unwrap()
    }

    fn own(names: &[&str]) -> Vec<(SourceName, Kind)> {
        let names = names.iter();
        names.map(|one| (name(one), Kind::new("a"))).collect()
    }

    fn row(text: &str, generation: u64) -> Row {
        Row {
            name: name(text),
            provider: "a".to_owned(),
            account: String::new(),
            clusters: 0,
            is_written: true,
            generation,
            is_unseen: false,
        }
    }

    fn others(names: &[&str]) -> HashSet<Pair> {
        let names = names.iter();
        names
            .map(|name| ((*name).to_owned(), "a".to_owned()))
            .collect()
    }

    fn told(counted: &Counted) -> [Vec<&str>; 3] {
        [&counted.left, &counted.come, &counted.gone]
            .map(|names| names.iter().map(SourceName::as_str).collect())
    }

    #[test]
    fn what_nobody_looked_at_is_left_until_somebody_has_said_so() {
        let rows = [row("s", 5), row("t", 6)];
        let counted = Counted::of(&own(&["s", "t"]), Some(&others(&[])), &rows, 5);
        assert_eq!(told(&counted), [vec!["s"], vec![], vec![]]);
        let counted = Counted::of(&own(&["s", "t"]), Some(&others(&[])), &rows, 4);
        assert!(counted.is_nothing());
    }

    #[test]
    fn a_source_is_gone_when_nobody_has_it_any_more() {
        let rows = [row("s", 5), row("t", 5)];
        let of = |others: Option<&HashSet<Pair>>, rows: &[Row]| {
            let counted = Counted::of(&own(&["s"]), others, rows, 0);
            counted.gone
        };
        assert_eq!(of(Some(&others(&["s"])), &rows), [name("t")]);
        assert_eq!(of(Some(&others(&["s", "t"])), &rows), []);
        assert_eq!(of(None, &rows), [], "one of them does not say");
        let known = Row {
            is_unseen: true,
            ..row("t", 5)
        };
        assert_eq!(of(Some(&others(&[])), &[known]), []);
    }

    #[test]
    fn a_source_comes_where_there_was_none_and_where_it_was_gone() {
        let unseen = Row {
            is_unseen: true,
            ..row("t", 5)
        };
        let rows = [unseen, row("u", 5)];
        let counted = Counted::of(&own(&["s", "t", "u"]), None, &rows, 0);
        assert_eq!(told(&counted), [vec![], vec!["s", "t"], vec![]]);
        assert_eq!(counted.absent, [name("s")]);
    }

    #[test]
    fn a_source_of_another_provider_goes_and_comes_once_nobody_has_it_as_it_was() {
        let before = Row {
            provider: "b".to_owned(),
            ..row("s", 5)
        };
        let rows = std::slice::from_ref(&before);
        let counted = Counted::of(&own(&["s"]), Some(&others(&[])), rows, 9);
        assert_eq!(told(&counted), [vec![], vec!["s"], vec!["s"]]);
        let still = HashSet::from([("s".to_owned(), "b".to_owned())]);
        assert!(Counted::of(&own(&["s"]), Some(&still), rows, 9).is_nothing());
        let gone = Row {
            is_unseen: true,
            ..before.clone()
        };
        assert!(Counted::of(&own(&["s"]), None, &[gone], 9).is_nothing());
        // What is damaged is no source of anybody else.
        let damaged = Row {
            is_written: false,
            ..before
        };
        assert!(Counted::of(&own(&["s"]), Some(&others(&[])), &[damaged], 9).is_nothing());
    }
}
