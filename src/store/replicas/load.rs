//! What is newer than a generation, read from the database.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use sqlx::PgConnection;

use super::super::StoreError;
use super::super::past::{Row, kept};
use super::super::write::print;
use crate::domain::{Kind, SourceName};
use crate::inventory::past::Kept;
use crate::inventory::replicas::{Newer, NewerSource, Record};

/// Changes that are read at once. Where there are more, whoever watches has to begin anew.
const CHANGES: i64 = 10_000;
/// Changes that a replica remembers when it begins.
const REMEMBERED: i64 = 2_000;

/// Sources of which nothing is newer than this generation nobody looked at since.
pub(super) const LEFT: &str = "left";

const META: &str = "SELECT name, value FROM meta";
const SOURCES: &str = "SELECT name, provider, account, clusters, print, generation, \
    EXISTS (SELECT 1 FROM unseen WHERE unseen.source = source.name) FROM source WHERE generation > $1";
const GONE: &str = "SELECT id, generation FROM gone WHERE source = $1 AND generation > $2";
const RECORDS: &str =
    "SELECT id, generation, record FROM cluster WHERE source = $1 AND generation > $2";
const NEWER_CHANGES: &str = "SELECT generation, number, at, body, document, was FROM change \
    WHERE generation > $1 ORDER BY generation, number LIMIT $2";
const LAST_CHANGES: &str = "SELECT generation, number, at, body, document, was FROM change \
    ORDER BY generation DESC, number DESC LIMIT $1";

type SourceRow = (String, String, String, i64, Vec<u8>, i64, bool);

/// What was read.
pub(super) struct Loaded {
    pub(super) newer: Newer,
    /// Sources of which the database has what another provider or nobody wrote: all of them has to be written.
    pub(super) foreign: HashSet<SourceName>,
    /// The generation up to which the past is the one that is known here, where it is another one since.
    pub(super) lost: Option<u64>,
}

/// The last generation that a gateway has made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    /// As it knows itself; 0 where it has made none.
    pub(super) committed: u64,
    /// As the database has it.
    pub(super) kept: Option<u64>,
}

/// The numbers that belong to no source.
#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<String, i64>);

impl Numbers {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(META).fetch_all(connection).await?;
        Ok(Self(rows.into_iter().collect()))
    }

    fn number(&self, name: &str) -> u64 {
        let number = self.0.get(name).copied().unwrap_or_default();
        u64::try_from(number).unwrap_or_default()
    }

    /// The last generation.
    pub(super) fn generation(&self) -> u64 {
        self.number("generation")
    }

    /// What there was when somebody began where nobody was.
    pub(super) fn left(&self) -> u64 {
        self.number(LEFT)
    }

    /// Whether it is known from where on all changes are kept.
    pub(super) fn has_changes(&self) -> bool {
        self.0.contains_key("changes_whole_from")
    }

    /// When it was published.
    pub(super) fn published_at(&self) -> Timestamp {
        self.time("published_at").unwrap_or_default()
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.0.get(name).copied()?).ok()
    }
}

/// Reads all that is newer than what was applied. The connection must see one state of the database throughout.
pub(super) async fn newer(
    connection: &mut PgConnection,
    wanted: &[(SourceName, Kind)],
    own: Own,
    applied: u64,
) -> Result<Loaded, StoreError> {
    let numbers = Numbers::read(connection).await?;
    let generation = numbers.generation();
    let lost = lost(&numbers, own, applied);
    // What was removed before is not known any more, or the database has another past.
    let is_anew = applied == 0 || applied < numbers.number("gone_from") || lost.is_some();
    let since = if is_anew { 0 } else { number(applied) };
    let rows: Vec<SourceRow> = sqlx::query_as(SOURCES)
        .bind(since)
        .fetch_all(&mut *connection)
        .await?;
    let mut rows: HashMap<String, SourceRow> =
        rows.into_iter().map(|row| (row.0.clone(), row)).collect();
    let (mut sources, mut foreign, mut left) = (Vec::new(), HashSet::new(), Vec::new());
    for (name, provider) in wanted {
        let Some((_, kind, account, count, expected, written, is_unseen)) =
            rows.remove(name.as_str())
        else {
            if lost.is_some() {
                left.push(name.clone());
                sources.push(NewerSource::nothing(name.clone()));
            }
            continue;
        };
        let count = u64::try_from(count).unwrap_or(0);
        let is_written = print(name, &kind, &account, count)[..] == expected[..];
        if is_written && kind != provider.as_str() {
            foreign.insert(name.clone());
            continue;
        }
        let account = if is_written { account } else { String::new() };
        if !is_written {
            foreign.insert(name.clone());
        }
        if is_unseen || u64::try_from(written).unwrap_or(0) <= numbers.left() {
            left.push(name.clone());
        }
        let mut newer = source(connection, name, account, since, is_anew).await?;
        newer.clusters = is_written.then(|| usize::try_from(count).unwrap_or(0));
        sources.push(newer);
    }
    let (changes, floor) = if is_anew {
        last_changes(connection, &numbers).await?
    } else {
        newer_changes(connection, &numbers, since).await?
    };
    // Who watches knows of what never was.
    let floor = floor.map(|(floor, at)| (lost.map_or(floor, |_| floor.max(applied)), at));
    let newer = Newer {
        generation,
        previous: numbers.number("previous"),
        at: numbers.published_at(),
        sources,
        changes,
        anew: floor,
        left,
    };
    Ok(Loaded {
        newer,
        foreign,
        lost,
    })
}

/// The generation up to which the past of the database is that of a gateway, where it is another one since: what that gateway has
/// applied was made durable once and is not there any more.
fn lost(numbers: &Numbers, own: Own, applied: u64) -> Option<u64> {
    let (generation, previous) = (numbers.generation(), numbers.number("previous"));
    if applied == 0 {
        return None;
    }
    if generation < applied {
        return Some(generation);
    }
    // Generations follow each other without a gap.
    if previous < applied && applied < generation {
        return Some(previous);
    }
    own.kept
        .filter(|kept| *kept < own.committed && own.committed <= applied)
}

async fn source(
    connection: &mut PgConnection,
    name: &SourceName,
    account: String,
    since: i64,
    is_anew: bool,
) -> Result<NewerSource, StoreError> {
    let gone: Vec<(String, i64)> = if is_anew {
        Vec::new()
    } else {
        sqlx::query_as(GONE)
            .bind(name.as_str())
            .bind(since)
            .fetch_all(&mut *connection)
            .await?
    };
    let is_whole = is_anew || gone.iter().any(|(id, _)| id.is_empty());
    let records: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(RECORDS)
        .bind(name.as_str())
        .bind(if is_whole { -1 } else { since })
        .fetch_all(&mut *connection)
        .await?;
    let records = records.into_iter().map(|(id, generation, bytes)| Record {
        id,
        generation: u64::try_from(generation).unwrap_or_default(),
        bytes,
    });
    let gone = gone.into_iter();
    Ok(NewerSource {
        name: name.clone(),
        account,
        records: records.collect(),
        gone: gone
            .map(|(id, generation)| (id, u64::try_from(generation).unwrap_or_default()))
            .collect(),
        is_whole,
        clusters: None,
    })
}

/// Where the memory of changes begins anew.
type Floor = Option<(u64, Timestamp)>;

async fn newer_changes(
    connection: &mut PgConnection,
    numbers: &Numbers,
    since: i64,
) -> Result<(Vec<Kept>, Floor), StoreError> {
    let rows: Vec<Row> = sqlx::query_as(NEWER_CHANGES)
        .bind(since)
        .bind(CHANGES + 1)
        .fetch_all(connection)
        .await?;
    let last = (numbers.generation(), numbers.published_at());
    if rows.len() > usize::try_from(CHANGES).unwrap_or(usize::MAX) {
        return Ok((Vec::new(), Some(last)));
    }
    let mut changes: Vec<Kept> = rows.into_iter().map(kept).collect();
    // What was deleted since may be newer than what is known here: whoever watches begins behind it.
    let whole = numbers.number("changes_whole_from").saturating_sub(1);
    if whole <= u64::try_from(since).unwrap_or(0) {
        return Ok((changes, None));
    }
    changes.retain(|one| one.generation > whole);
    let at = numbers.time("changes_whole_at").unwrap_or(last.1);
    Ok((changes, Some((whole.min(last.0), at.min(last.1)))))
}

async fn last_changes(
    connection: &mut PgConnection,
    numbers: &Numbers,
) -> Result<(Vec<Kept>, Floor), StoreError> {
    let rows: Vec<Row> = sqlx::query_as(LAST_CHANGES)
        .bind(REMEMBERED)
        .fetch_all(connection)
        .await?;
    let mut changes: Vec<Kept> = rows.into_iter().rev().map(kept).collect();
    // Of the oldest generation there may be more; those that were lost may lie before.
    let oldest = changes.first().map(|first| (first.generation, first.at));
    let last = (numbers.generation(), numbers.published_at());
    let mut floor = oldest.unwrap_or(last);
    let whole = numbers.number("changes_whole_from").saturating_sub(1);
    if whole > floor.0 {
        let before = changes.iter().rev().find(|one| one.generation <= whole);
        floor = (whole, before.map_or(last.1, |one| one.at));
    }
    changes.retain(|one| one.generation > floor.0);
    Ok((changes, Some(floor)))
}

/// A generation as the database has it.
pub(super) fn number(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(i64::MAX)
}
