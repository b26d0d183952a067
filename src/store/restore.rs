//! What a store gives back.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::StoreError;
use super::open::Store;
use super::pool::Value;
use super::write::print;
use crate::domain::{Kind, SourceName};
use crate::inventory::journal::{Restored, RestoredSource};

/// Records that are read at once.
const PART: i64 = 2_000;
/// Threads that make clusters of records.
const THREADS: usize = 2;
/// A generation beyond this is no number that was ever written: it would be milliseconds of the year 5138.
const LAST: i64 = 100_000_000_000_000;

pub(super) type SourceRow = (String, String, String, i64, Vec<u8>, i64);
type Record = (String, Vec<u8>);

const SOURCES: &str = "SELECT name, provider, account, clusters, print, generation FROM source";
const RECORDS: &str =
    "SELECT id, record FROM cluster WHERE source = $1 AND id > $2 ORDER BY id LIMIT $3";
const UNSEEN: &str = "SELECT source FROM unseen";
const META: &str =
    "SELECT name, value FROM meta WHERE name IN ('generation', 'begun', 'changes_whole_from')";

impl Store {
    /// Reads back what is known of these sources. What is there of others stays there, also of one that has the name of a source
    /// and is of another provider.
    pub async fn restore(&self, wanted: &[(SourceName, Kind)]) -> Result<Restored, StoreError> {
        let meta: Vec<(String, i64)> = self.pool.fetch(META, vec![]).await?;
        let meta: HashMap<String, i64> = meta.into_iter().collect();
        let generation = meta.get("generation").copied().unwrap_or(0);
        let known = u64::try_from(generation.min(LAST)).unwrap_or(0);
        // What the last process did not write it did not show.
        let begun = meta.get("begun").copied().unwrap_or(0);
        let mut restored = Restored::new(known);
        let unseen: Vec<(String,)> = self.pool.fetch(UNSEEN, vec![]).await?;
        let unseen: HashSet<String> = unseen.into_iter().map(|row| row.0).collect();
        let rows = self.source_rows().await?;
        let mut rows: HashMap<String, SourceRow> =
            rows.into_iter().map(|row| (row.0.clone(), row)).collect();
        let mut sorting = Vec::new();
        for (name, provider) in wanted {
            let Some(row) = rows.remove(name.as_str()) else {
                let values = vec![Value::text(name.as_str()), Value::text(""), Value::count(1)];
                let left: Vec<Record> = self.pool.fetch(RECORDS, values).await?;
                // What is left of a source that was not configured any more belongs to nobody.
                if left.is_empty() {
                    restored.add_absent(name.clone());
                }
                continue;
            };
            let (mut source, kind) = self.whole_source(name, &row, begun).await?;
            source.is_shown &= !unseen.contains(name.as_str());
            match kind {
                Some(kind) if kind != *provider => {
                    if source.is_shown {
                        restored.add_gone(name.clone(), kind, source);
                    }
                }
                // While the next one is read.
                _ => sorting.push((name.clone(), spawn_blocking(|| source.sorted()))),
            }
        }
        for (name, row) in rows {
            let Ok(name) = SourceName::new(name) else {
                continue;
            };
            if row.5 >= begun && !unseen.contains(name.as_str()) {
                let (source, kind) = self.whole_source(&name, &row, begun).await?;
                let kind = kind.unwrap_or_else(|| Kind::new("unknown"));
                restored.add_gone(name, kind, source);
            }
        }
        for (name, sorting) in sorting {
            let source = sorting.await.unwrap_or_else(|_| {
                // What made a thread fail can be read by nobody.
                let mut nothing = RestoredSource::read(String::new(), std::iter::empty());
                nothing.refused += 1;
                nothing
            });
            restored.add(name, source);
        }
        restored.is_whole =
            known > 0 && meta.contains_key("changes_whole_from") && restored.refused() == 0;
        Ok(restored)
    }

    /// The row of every source.
    pub(super) async fn source_rows(&self) -> Result<Vec<SourceRow>, StoreError> {
        self.pool.fetch(SOURCES, vec![]).await
    }

    /// A source with its records, and its provider where that can be relied on.
    pub(super) async fn whole_source(
        &self,
        name: &SourceName,
        (_, kind, account, count, expected, generation): &SourceRow,
        begun: i64,
    ) -> Result<(RestoredSource, Option<Kind>), StoreError> {
        let count = u64::try_from(*count).unwrap_or(0);
        let is_whole = print(name, kind, account, count)[..] == expected[..];
        let account = if is_whole {
            account.clone()
        } else {
            String::new()
        };
        let mut source = self.source(name, account).await?;
        if is_whole {
            let read = source.len() + source.refused;
            // Records that are not found are lost like those that cannot be read.
            let written = usize::try_from(count).unwrap_or(usize::MAX);
            source.refused += written.saturating_sub(read);
        } else {
            source.refused += 1;
        }
        source.is_shown = *generation >= begun;
        let kind = serde_json::from_value(kind.as_str().into()).ok();
        Ok((source, kind.filter(|_| is_whole)))
    }

    async fn source(
        &self,
        name: &SourceName,
        account: String,
    ) -> Result<RestoredSource, StoreError> {
        let mut source = RestoredSource::read(account, std::iter::empty());
        // Taken in the order in which they were read, so that there is little left to sort.
        let mut reading: VecDeque<JoinHandle<RestoredSource>> = VecDeque::new();
        let mut last = String::new();
        loop {
            let values = vec![
                Value::text(name.as_str()),
                Value::text(last),
                Value::count(PART),
            ];
            let records: Vec<Record> = self.pool.fetch(RECORDS, values).await?;
            let is_end = records.len() < usize::try_from(PART).unwrap_or(usize::MAX);
            last = records
                .last()
                .map(|record| record.0.clone())
                .unwrap_or_default();
            if reading.len() >= THREADS
                && let Some(part) = reading.pop_front()
            {
                join(&mut source, part.await);
            }
            reading.push_back(spawn_blocking(move || {
                let records = records.iter();
                let records = records.map(|(id, bytes)| (id.as_str(), bytes.as_slice()));
                RestoredSource::read(String::new(), records)
            }));
            if is_end {
                break;
            }
        }
        for part in reading {
            join(&mut source, part.await);
        }
        Ok(source)
    }
}

fn join(source: &mut RestoredSource, part: Result<RestoredSource, JoinError>) {
    match part {
        Ok(part) => source.join(part),
        // What made a thread fail can be read by nobody.
        Err(_) => source.refused += 1,
    }
}
