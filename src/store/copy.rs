//! A whole store as lines of JSON, and back: the way from one engine to the other.
//!
//! The first line says what follows, each further one is a row, the last one says how many there were. Bytes are base64. Nothing is
//! read into what is there that would lose it: a store that has anything is refused.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use super::StoreError;
use super::open::{Store, newest};
use super::pool::{Transaction, Value};
use super::tables::{Holds, TABLES, Table};

/// The form of the lines.
/// What comes to the audit next is numbered after what was copied.
const NEXT_AUDIT: &str = "SELECT setval(pg_get_serial_sequence('audit', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM audit), false)";
const FORM: u32 = 1;
/// Rows that are read or written at once, and bytes that are written.
const ROWS: usize = 200;
const BYTES: usize = 4 << 20;
/// The longest line that is read.
const LINE: u64 = 512 << 20;

/// Why a store could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store says no.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The lines cannot be read or written.
    #[error("the copy cannot be read or written")]
    Copy(#[from] io::Error),
    /// A line is not what an export writes.
    #[error("line {line} is not of an export: {why}")]
    Line {
        /// Which one, from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The export was written by a later version.
    #[error("a later version of clustergate wrote it")]
    Newer,
    /// There is something in the store.
    #[error("the store is not empty: name a new one")]
    NotEmpty,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    clustergate_store: u32,
    /// The version of the tables.
    tables: i64,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    end: bool,
    rows: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    table: String,
    row: Map<String, Json>,
}

/// The cells of any row.
struct Cells(Vec<Value>);

macro_rules! cells {
    ($row:ty) => {
        impl FromRow<'_, $row> for Cells {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                let cell = |at: usize| {
                    if let Ok(number) = row.try_get::<Option<i64>, _>(at) {
                        return Ok(Value::Number(number));
                    }
                    if let Ok(text) = row.try_get::<Option<String>, _>(at) {
                        return Ok(Value::Text(text));
                    }
                    row.try_get::<Option<Vec<u8>>, _>(at).map(Value::Bytes)
                };
                (0..row.len()).map(cell).collect::<Result<_, _>>().map(Self)
            }
        }
    };
}

cells!(SqliteRow);
cells!(PgRow);

impl Store {
    /// Writes everything as lines; answers with how many rows there were.
    pub async fn export(
        &self,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<u64, CopyError> {
        let head = Head {
            clustergate_store: FORM,
            tables: newest(),
        };
        write(&line(&head)?)?;
        let mut transaction = self.reads.look().await?;
        let mut count = 0;
        for table in TABLES {
            count += export(&mut transaction, table, &mut write).await?;
        }
        write(&line(&End {
            end: true,
            rows: count,
        })?)?;
        Ok(count)
    }

    /// Whether nothing was ever written.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        let mut transaction = self.reads.look().await?;
        for table in TABLES {
            let values = vec![Value::count(1)];
            let rows: Vec<Cells> = transaction.fetch(table.select(true), values).await?;
            if !rows.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads lines into an empty store, all of them or none; answers with how many rows there were.
    pub async fn import(&self, lines: impl BufRead) -> Result<u64, CopyError> {
        if !self.is_empty().await? {
            return Err(CopyError::NotEmpty);
        }
        let mut lines = Lines {
            from: lines,
            number: 0,
            text: Vec::new(),
        };
        let head: Head = lines.next("there is no head")?;
        if head.clustergate_store > FORM || head.tables > newest() {
            return Err(CopyError::Newer);
        }
        let mut transaction = self.pool.begin().await?;
        let (mut count, mut rows) = (0, Rows::default());
        loop {
            let next: Json = lines.next("it ends too early")?;
            if next.get("end").is_some() {
                let end: End =
                    serde_json::from_value(next).map_err(|_| lines.wrong("a bad end"))?;
                rows.end(&mut transaction).await?;
                if end.rows != count {
                    return Err(lines.wrong("rows are missing before it"));
                }
                if matches!(transaction, Transaction::Postgres(_)) {
                    transaction.execute(NEXT_AUDIT, vec![]).await?;
                }
                transaction.commit().await?;
                return Ok(count);
            }
            let next: Line = serde_json::from_value(next).map_err(|_| lines.wrong("not a row"))?;
            let mut tables = TABLES.iter();
            let table = tables
                .find(|table| table.name == next.table)
                .ok_or_else(|| lines.wrong("a table that is not known"))?;
            let cells = read(table, next.row).ok_or_else(|| lines.wrong("a bad value"))?;
            rows.add(&mut transaction, table, cells).await?;
            count += 1;
        }
    }
}

async fn export(
    transaction: &mut Transaction,
    table: &'static Table,
    write: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, CopyError> {
    let mut key: Vec<Value> = Vec::new();
    let mut count = 0;
    loop {
        let sql = table.select(key.is_empty());
        key.push(Value::count(ROWS));
        let rows: Vec<Cells> = transaction.fetch(sql, key).await?;
        let is_end = rows.len() < ROWS;
        count += rows.len() as u64;
        key = rows
            .last()
            .map(|row| row.0[..table.key].to_vec())
            .unwrap_or_default();
        for Cells(cells) in rows {
            let names = table.columns.iter().map(|column| column.0.to_owned());
            let row = names.zip(cells.into_iter().map(json)).collect();
            let table = table.name.to_owned();
            write(&line(&Line { table, row })?)?;
        }
        if is_end {
            return Ok(count);
        }
    }
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn json(value: Value) -> Json {
    match value {
        Value::Number(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Bytes(bytes) => bytes.map(|bytes| STANDARD.encode(bytes)).into(),
    }
}

/// The cells of a row in the order of the columns; `None` where one is not what its column holds. Columns that came later are null.
fn read(table: &Table, mut row: Map<String, Json>) -> Option<Vec<Value>> {
    let cells = table.columns.iter().map(|(name, holds)| {
        Some(match (holds, row.remove(*name)) {
            (_, None | Some(Json::Null)) => holds.nothing(),
            (Holds::Number, Some(number)) => Value::Number(Some(number.as_i64()?)),
            (Holds::Text, Some(Json::String(text))) => Value::Text(Some(text)),
            (Holds::Bytes, Some(Json::String(text))) => {
                Value::Bytes(Some(STANDARD.decode(text).ok()?))
            }
            _ => return None,
        })
    });
    let cells = cells.collect::<Option<_>>()?;
    row.is_empty().then_some(cells)
}

/// Lines that are read one by one.
struct Lines<R> {
    from: R,
    number: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next<T: for<'a> Deserialize<'a>>(&mut self, why: &'static str) -> Result<T, CopyError> {
        self.number += 1;
        self.text.clear();
        let mut limited = self.from.by_ref().take(LINE);
        limited.read_until(b'\n', &mut self.text)?;
        serde_json::from_slice(&self.text).map_err(|_| self.wrong(why))
    }

    const fn wrong(&self, why: &'static str) -> CopyError {
        CopyError::Line {
            line: self.number,
            why,
        }
    }
}

/// Rows of one table on their way.
#[derive(Default)]
struct Rows {
    table: Option<&'static Table>,
    values: Vec<Value>,
    count: usize,
    weight: usize,
}

impl Rows {
    async fn add(
        &mut self,
        transaction: &mut Transaction,
        table: &'static Table,
        cells: Vec<Value>,
    ) -> Result<(), StoreError> {
        if self.table.is_some_and(|other| other.name != table.name) {
            self.end(transaction).await?;
        }
        self.table = Some(table);
        self.weight += cells.iter().map(Value::weight).sum::<usize>();
        self.values.extend(cells);
        self.count += 1;
        if self.count >= ROWS || self.weight >= BYTES {
            self.end(transaction).await?;
        }
        Ok(())
    }

    async fn end(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        if let Some(table) = self.table.take()
            && self.count > 0
        {
            let values = std::mem::take(&mut self.values);
            transaction
                .execute(table.insert(self.count), values)
                .await?;
        }
        (self.count, self.weight) = (0, 0);
        Ok(())
    }
}
