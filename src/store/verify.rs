//! Whether a store holds what was written.

use std::collections::BTreeMap;

use serde::Serialize;

use super::StoreError;
use super::open::{Store, newest};
use super::past::{Row, kept};
use super::pool::{Pool, Transaction, Value};
use super::restore::SourceRow;
use crate::domain::SourceName;

/// Changes that are looked at in one go.
const ROWS: usize = 500;
/// What is said of one kind of fault, at most.
const MOST: usize = 20;

const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM source), (SELECT COUNT(*) FROM cluster), \
    (SELECT COUNT(*) FROM change), (SELECT COUNT(*) FROM sync)";
const META: &str = "SELECT name, value FROM meta";
const LAST: &str = "SELECT MAX(generation) FROM (SELECT MAX(generation) AS generation FROM source \
    UNION ALL SELECT MAX(generation) FROM cluster UNION ALL SELECT MAX(generation) FROM change) AS every";
const NOBODYS: &str = "SELECT source, COUNT(*) FROM cluster WHERE source NOT IN (SELECT name FROM source) \
    AND source NOT IN (SELECT source FROM unseen) GROUP BY source ORDER BY source";
const BROKEN: &str = "SELECT generation, COUNT(*) FROM change WHERE generation >= $1 \
    GROUP BY generation HAVING COUNT(*) <> MAX(number) + 1 ORDER BY generation";
const CHANGES: &str = "SELECT generation, number, at, body, document, was FROM change \
    WHERE (generation, number) > ($1, $2) ORDER BY generation, number LIMIT $3";
const SQLITE: &str = "PRAGMA integrity_check(10)";

/// What was found in a store.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Verified {
    /// The version of its tables.
    pub version: i64,
    /// The newest version that this program knows.
    pub newest: i64,
    /// The last generation that is durable.
    pub generation: Option<u64>,
    /// All that changed after this generation is kept.
    pub complete_since: Option<u64>,
    /// Sources.
    pub sources: u64,
    /// Clusters.
    pub clusters: u64,
    /// Changes.
    pub changes: u64,
    /// Attempts to read sources.
    pub attempts: u64,
    /// Bytes that are in use.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl Store {
    /// Looks at everything that is kept, and changes nothing.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        let mut found = Verified {
            version: self.version().await?,
            newest: newest(),
            ..Verified::default()
        };
        if let Pool::Sqlite(_) = &self.reads {
            let told: Vec<(String,)> = self.reads.fetch(SQLITE, vec![]).await?;
            let faults = told
                .into_iter()
                .map(|row| row.0)
                .filter(|told| told != "ok");
            found.say(faults.map(|fault| format!("the file: {fault}")));
        }
        if found.version > found.newest {
            found
                .problems
                .push("a later version of clustergate wrote it".to_owned());
            return Ok(found);
        }
        if found.version < found.newest {
            found.problems.push(format!(
                "its tables are of version {} and the newest is {}: `clustergate store migrate` brings them up to date",
                found.version, found.newest
            ));
            return Ok(found);
        }
        found.bytes = self.size(u64::MAX).await?;
        let mut transaction = self.reads.look().await?;
        found.count(&mut transaction).await?;
        found.look_at_generations(&mut transaction).await?;
        found.look_at_changes(&mut transaction).await?;
        drop(transaction);
        self.look_at_sources(&mut found).await?;
        Ok(found)
    }

    async fn look_at_sources(&self, found: &mut Verified) -> Result<(), StoreError> {
        let rows: Vec<SourceRow> = self.source_rows().await?;
        let mut faults = Vec::new();
        for row in rows {
            let Ok(name) = SourceName::new(row.0.clone()) else {
                faults.push("a source has a name that is none".to_owned());
                continue;
            };
            let (source, kind) = self.whole_source(&name, &row, 0).await?;
            if kind.is_none() {
                faults.push(format!("{name}: its own row is not what was written"));
            } else if source.refused > 0 {
                faults.push(format!(
                    "{name}: {} of {} records are missing or not what was written",
                    source.refused, row.3
                ));
            } else if i64::try_from(source.len()).ok() != Some(row.3) {
                faults.push(format!(
                    "{name}: there are {} records and {} were written",
                    source.len(),
                    row.3
                ));
            }
        }
        found.say(faults);
        Ok(())
    }
}

impl Verified {
    fn say(&mut self, faults: impl IntoIterator<Item = String>) {
        let mut faults = faults.into_iter();
        self.problems.extend(faults.by_ref().take(MOST));
        let more = faults.count();
        if more > 0 {
            self.problems.push(format!("and {more} more of the kind"));
        }
    }

    async fn count(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        let rows: Vec<(i64, i64, i64, i64)> = transaction.fetch(COUNTS, vec![]).await?;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        if let Some((sources, clusters, changes, attempts)) = rows.first().copied() {
            (self.sources, self.clusters) = (number(sources), number(clusters));
            (self.changes, self.attempts) = (number(changes), number(attempts));
        }
        let nobodys: Vec<(String, i64)> = transaction.fetch(NOBODYS, vec![]).await?;
        self.say(nobodys.into_iter().map(|(source, count)| {
            format!("{source}: {count} clusters are of no source that is there")
        }));
        Ok(())
    }

    async fn look_at_generations(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<(), StoreError> {
        let meta: Vec<(String, i64)> = transaction.fetch(META, vec![]).await?;
        let meta: BTreeMap<String, i64> = meta.into_iter().collect();
        let number = |name: &str| u64::try_from(*meta.get(name)?).ok();
        self.generation = number("generation");
        self.complete_since = number("changes_whole_from").map(|from| from.saturating_sub(1));
        let last: Vec<(Option<i64>,)> = transaction.fetch(LAST, vec![]).await?;
        let last = last.first().and_then(|row| u64::try_from(row.0?).ok());
        if let Some(last) = last.filter(|last| self.generation.is_none_or(|known| known < *last)) {
            self.problems.push(format!(
                "something is of generation {last}, which is later than the last one that was written"
            ));
        }
        if let (Some(since), Some(generation)) = (self.complete_since, self.generation)
            && since > generation
        {
            self.problems.push(format!(
                "changes are complete since generation {since}, which is later than the last one, {generation}"
            ));
        }
        let from = self.complete_since.map_or(0, |since| since + 1);
        let broken: Vec<(i64, i64)> = transaction.fetch(BROKEN, vec![Value::count(from)]).await?;
        self.say(broken.into_iter().map(|(generation, count)| {
            format!("generation {generation}: only {count} of its changes are there")
        }));
        Ok(())
    }

    async fn look_at_changes(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        let (mut last, mut faults) = ((0, -1), Vec::new());
        loop {
            let values = vec![
                Value::Number(Some(last.0)),
                Value::Number(Some(last.1)),
                Value::count(ROWS),
            ];
            let rows: Vec<Row> = transaction.fetch(CHANGES, values).await?;
            let is_end = rows.len() < ROWS;
            for row in rows {
                last = (row.0, row.1);
                let is_packed = row.4.is_some();
                let kept = kept(row);
                let is_lost = is_packed && kept.document.is_none();
                if is_lost || !kept.is_readable() {
                    faults.push(format!(
                        "generation {}: change {} cannot be read back",
                        last.0, last.1
                    ));
                }
            }
            if is_end {
                self.say(faults);
                return Ok(());
            }
        }
    }
}
