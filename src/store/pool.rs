//! One way to speak to both engines: the same text, the same values. All that differs between them is here and in the schema.

use std::borrow::Cow;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool, Postgres, Sqlite, SqlitePool};

use super::StoreError;

/// Stands for a gateway among the locks of a PostgreSQL session.
const LOCK: i64 = 0x636c_7573_7465_7267;

/// A value of a statement.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Some(text.into()))
    }

    /// A count; more than fits is as good as the most.
    pub(super) fn count(count: impl TryInto<i64>) -> Self {
        Self::Number(Some(count.try_into().unwrap_or(i64::MAX)))
    }

    /// Bytes that it takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Number(_) => 8,
            Self::Text(text) => text.as_ref().map_or(0, String::len),
            Self::Bytes(bytes) => bytes.as_ref().map_or(0, Vec::len),
        }
    }
}

/// The connection to a store: one, since one writes.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool, Hold),
}

/// Who may write a database of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// One gateway.
    Alone,
    /// Several, all of which know of each other.
    Shared,
}

impl Hold {
    /// Held by the session from the first time on; to take it again costs nothing.
    pub(super) async fn take(self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let sql = match self {
            Self::Alone => "SELECT pg_try_advisory_lock($1)",
            Self::Shared => "SELECT pg_try_advisory_lock_shared($1)",
        };
        let taken: (bool,) = sqlx::query_as(sql).bind(LOCK).fetch_one(connection).await?;
        if taken.0 {
            Ok(())
        } else {
            Err(StoreError::Locked)
        }
    }
}

/// Statements that are done together or not at all.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

impl Pool {
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool, hold) => {
                let mut transaction = pool.begin().await?;
                hold.take(&mut transaction).await?;
                Transaction::Postgres(transaction)
            }
        })
    }

    /// Begins to read: whatever is read in it is of one moment.
    pub(super) async fn look(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin().await?),
            Self::Postgres(pool, _) => Transaction::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?,
            ),
        })
    }

    /// Begins what several gateways may do at the same time: nothing of the inventory.
    pub(super) async fn begin_shared(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool, _) => Transaction::Postgres(pool.begin().await?),
        })
    }

    /// Reads rows.
    pub(super) async fn fetch<T>(
        &self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        // No value is ever part of a text.
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite(pool) => {
                let query = bound!(sqlx::query_as::<Sqlite, T>(sql), values);
                query.fetch_all(pool).await?
            }
            Self::Postgres(pool, _) => {
                let query = bound!(sqlx::query_as::<Postgres, T>(sql), values);
                query.fetch_all(pool).await?
            }
        })
    }

    /// Carries out one statement; answers with the rows that it concerned.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let rows = transaction.execute(sql, values).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// Carries out one statement that several gateways may carry out at the same time; answers with the rows that it concerned.
    pub(super) async fn execute_shared(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.begin_shared().await?;
        let rows = transaction.execute(sql, values).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool, _) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Carries out a statement; answers with the rows that it concerned.
    pub(super) async fn execute(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        // No value is ever part of a text.
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite(transaction) => {
                let query = bound!(sqlx::query::<Sqlite>(sql), values);
                query.execute(&mut **transaction).await?.rows_affected()
            }
            Self::Postgres(transaction) => {
                let query = bound!(sqlx::query::<Postgres>(sql), values);
                query.execute(&mut **transaction).await?.rows_affected()
            }
        })
    }

    /// Takes a turn until the end of the transaction; says whether nobody else has it, on a server: who writes a file is alone.
    pub(super) async fn turn(&mut self, of: i64) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(true),
            Self::Postgres(transaction) => {
                let taken: (bool,) = sqlx::query_as("SELECT pg_try_advisory_xact_lock($1)")
                    .bind(of)
                    .fetch_one(&mut **transaction)
                    .await?;
                Ok(taken.0)
            }
        }
    }

    /// Reads rows, also those that a statement gives back.
    pub(super) async fn fetch<T>(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        // No value is ever part of a text.
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite(transaction) => {
                let query = bound!(sqlx::query_as::<Sqlite, T>(sql), values);
                query.fetch_all(&mut **transaction).await?
            }
            Self::Postgres(transaction) => {
                let query = bound!(sqlx::query_as::<Postgres, T>(sql), values);
                query.fetch_all(&mut **transaction).await?
            }
        })
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}
