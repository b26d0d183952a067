//! Turns: transactions that hold the row of the last generation, so that there is one of them at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::Instant;
use tracing::error;

use super::super::StoreError;
use super::super::error::within;
use super::super::open::Store;
use super::super::pool::{Hold, Transaction};
use super::super::write::{self, Commit, Written};
use super::census::{self, Counted};
use super::leases::micros;
use super::load::{self, LEFT, Loaded, Numbers, number};
use super::{CHANNEL, Replicas};
use crate::domain::SourceName;
use crate::inventory::journal::{Delta, Publication};
use crate::inventory::replicas::{Away, Begun, Newer, Turn};

/// How long a turn may be waited for.
const BEGIN: Duration = Duration::from_secs(10);
/// How long what others have published may take to be read.
const LOAD: Duration = Duration::from_secs(30);
/// How long what is published may take to be written.
const COMMIT: Duration = Duration::from_mins(1);
/// How long a small question may take.
const ASK: Duration = Duration::from_secs(5);

const FIRST: &str =
    "INSERT INTO meta (name, value) VALUES ('generation', 0) ON CONFLICT (name) DO NOTHING";
pub(super) const TURN: &str = "SELECT value FROM meta WHERE name = 'generation' FOR UPDATE";
const LAST: &str = "SELECT value FROM meta WHERE name = 'generation'";
const OWN: &str = "SELECT generation FROM turn WHERE replica = $1";
const TAKEN: &str = "INSERT INTO turn (replica, generation) VALUES ($1, $2) \
    ON CONFLICT (replica) DO UPDATE SET generation = excluded.generation";
const HOLDS: &str = "SELECT COUNT(*) FROM lease WHERE source = $1 AND holder = $2 AND token = $3";
/// Also those that could not say lately that they take part: after the database was away whoever asks first would find nobody.
const OTHERS: &str = "SELECT COUNT(*) FROM replica WHERE id <> $1 \
    AND until > clock_timestamp() - $2 * interval '1 microsecond'";
/// The same state of the database for all that is read.
const STEADY: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

type Own = sqlx::Transaction<'static, Postgres>;

/// A turn that has begun.
struct Taken {
    replicas: Arc<Replicas>,
    store: Arc<Store>,
    transaction: Own,
    /// The generation that it is made on, and when that was published.
    last: u64,
    published_at: Timestamp,
    /// What is told of the sources as such, where something is.
    counted: Option<Counted>,
}

pub(super) async fn last(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<u64, StoreError> {
    let row: Option<(i64,)> = sqlx::query_as(sql).fetch_optional(connection).await?;
    let value = row.map_or(0, |row| row.0);
    Ok(u64::try_from(value).unwrap_or_default())
}

impl Replicas {
    /// Takes part: whoever comes first finds what somebody has left.
    pub(super) async fn take_part(self: &Arc<Self>) -> Result<Newer, StoreError> {
        let store = self.durable.connect().await?;
        let taken = within(BEGIN, self.register(&store)).await;
        self.checked(&store, taken)?;
        let loaded = within(LOAD, self.load(&store, 0)).await;
        let loaded = self.checked(&store, loaded)?;
        self.joined();
        Ok(self.told(loaded))
    }

    async fn register(&self, store: &Arc<Store>) -> Result<(), StoreError> {
        let mut transaction = super::pool(store)?.begin().await?;
        Hold::Shared.take(&mut transaction).await?;
        sqlx::query(FIRST).execute(&mut *transaction).await?;
        let generation = last(&mut transaction, TURN).await?;
        let others: (i64,) = sqlx::query_as(OTHERS)
            .bind(&self.id)
            .bind(micros(self.lease))
            .fetch_one(&mut *transaction)
            .await?;
        self.beat(&mut transaction).await?;
        let numbers = Numbers::read(&mut transaction).await?;
        self.is_census_due.store(true, Ordering::Release);
        let mut transaction = Transaction::Postgres(transaction);
        if others.0 == 0 || generation == 0 {
            // What there is nobody looked at since. Where all the others died less than a lease before, their sources are taken over
            // as those of one that died, and are stale only if they cannot be read in time. Readers see that somebody does again by another generation.
            let at = super::now().max(numbers.published_at());
            let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
            let next = millis.max(generation + 1);
            write::meta(&mut transaction, LEFT, generation).await?;
            self.end(&mut transaction, next, generation, at).await?;
            write::meta(&mut transaction, "generation", next).await?;
        }
        transaction.commit().await
    }

    /// Says which generation this is, and who has made it.
    async fn end(
        &self,
        transaction: &mut Transaction,
        generation: u64,
        previous: u64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        write::meta(transaction, "previous", previous).await?;
        let micros = u64::try_from(at.as_microsecond()).unwrap_or_default();
        write::meta(transaction, "published_at", micros).await?;
        let Transaction::Postgres(own) = transaction else {
            return Ok(());
        };
        sqlx::query(TAKEN)
            .bind(&self.id)
            .bind(number(generation))
            .execute(&mut **own)
            .await?;
        notify(own, "generation").await
    }

    async fn load(&self, store: &Arc<Store>, applied: u64) -> Result<Loaded, StoreError> {
        let mut transaction = super::pool(store)?.begin_with(STEADY).await?;
        let own = self.own(&mut transaction).await?;
        let loaded = load::newer(&mut transaction, &self.sources, own, applied).await?;
        transaction.commit().await?;
        self.say_lost(store, applied, &loaded).await?;
        Ok(loaded)
    }

    async fn own(&self, connection: &mut PgConnection) -> Result<load::Own, StoreError> {
        let kept: Option<(i64,)> = sqlx::query_as(OWN)
            .bind(&self.id)
            .fetch_optional(connection)
            .await?;
        Ok(load::Own {
            committed: self.committed.load(Ordering::Acquire),
            kept: kept.map(|row| u64::try_from(row.0).unwrap_or_default()),
        })
    }

    /// Says that the database has another past than the one that was shown here, also to those who follow the changes: nobody goes on
    /// from what never was.
    async fn say_lost(
        &self,
        store: &Arc<Store>,
        applied: u64,
        loaded: &Loaded,
    ) -> Result<(), StoreError> {
        let Some(known) = loaded.lost else {
            return Ok(());
        };
        error!(
            inventory.generation = applied,
            store.generation = loaded.newer.generation,
            "the shared database was put back, or what was durable in it is lost; everything is taken over from it anew"
        );
        self.committed.store(0, Ordering::Release);
        let mut connection = super::pool(store)?.acquire().await?;
        sqlx::query(write::RESTART)
            .bind(number(applied + 1))
            .bind(number(known))
            .execute(&mut *connection)
            .await?;
        Ok(())
    }

    /// What is newer, if anything.
    pub(super) async fn look(&self, applied: u64) -> Result<Option<Newer>, StoreError> {
        let store = self.durable.connect().await?;
        let pool: PgPool = super::pool(&store)?.clone();
        let asked = async {
            let mut connection = pool.acquire().await?;
            last(&mut connection, LAST).await
        };
        let generation = self.checked(&store, within(ASK, asked).await)?;
        if generation == applied {
            return Ok(None);
        }
        let loaded = within(LOAD, self.load(&store, applied)).await;
        let loaded = self.checked(&store, loaded)?;
        Ok(Some(self.told(loaded)))
    }

    pub(super) async fn take_turn(self: &Arc<Self>, applied: u64) -> Result<Begun, StoreError> {
        let store = self.durable.connect().await?;
        let beginning = async {
            let mut transaction = super::pool(&store)?.begin().await?;
            Hold::Shared.take(&mut transaction).await?;
            let generation = last(&mut transaction, TURN).await?;
            let own = self.own(&mut transaction).await?;
            Ok((transaction, generation, own))
        };
        let begun = within(BEGIN, beginning).await;
        let (mut transaction, last, own) = self.checked(&store, begun)?;
        let is_due = self.is_census_due.swap(false, Ordering::AcqRel);
        let reading = async {
            let numbers = Numbers::read(&mut transaction).await?;
            let loaded = if last == applied {
                None
            } else {
                let loaded = load::newer(&mut transaction, &self.sources, own, applied).await?;
                self.say_lost(&store, applied, &loaded).await?;
                Some(loaded)
            };
            let counted = if is_due {
                census::take(&mut transaction, self, &numbers).await?
            } else {
                None
            };
            Ok((numbers, loaded, counted))
        };
        let read = within(LOAD, reading).await;
        if read.is_err() {
            self.is_census_due.fetch_or(is_due, Ordering::AcqRel);
        }
        let (numbers, loaded, counted) = self.checked(&store, read)?;
        let newer = loaded.map(|loaded| self.told(loaded));
        let (counted, census) = counted.unzip();
        let turn = Taken {
            replicas: Arc::clone(self),
            store,
            transaction,
            last,
            published_at: numbers.published_at(),
            counted,
        };
        Ok(Begun {
            turn: Box::new(turn),
            newer,
            census,
            own: own.kept.unwrap_or_default(),
        })
    }

    fn told(&self, loaded: Loaded) -> Newer {
        let Loaded { newer, foreign, .. } = loaded;
        let mut known = super::lock(&self.foreign);
        for source in &newer.sources {
            known.remove(&source.name);
        }
        known.extend(foreign);
        newer
    }
}

/// Tells all replicas of something, as soon as the transaction is durable.
pub(super) async fn notify(connection: &mut PgConnection, what: &str) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(what)
        .execute(connection)
        .await?;
    Ok(())
}

impl Taken {
    async fn holds(
        &mut self,
        leases: &[(SourceName, u64)],
    ) -> Result<Vec<(SourceName, u64)>, StoreError> {
        let mut lost = Vec::new();
        for (source, token) in leases {
            let row: (i64,) = sqlx::query_as(HOLDS)
                .bind(source.as_str())
                .bind(&self.replicas.id)
                .bind(number(*token))
                .fetch_one(&mut *self.transaction)
                .await?;
            if row.0 == 0 {
                lost.push((source.clone(), *token));
            }
        }
        Ok(lost)
    }

    async fn write(self, commit: &Commit, at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = Transaction::Postgres(self.transaction);
        write::write_in(&mut transaction, commit).await?;
        write::tombstones(&mut transaction, commit).await?;
        let at = at.max(self.published_at);
        if let Some(counted) = &self.counted {
            counted.write(&mut transaction, at).await?;
        }
        let replicas = &self.replicas;
        replicas
            .end(&mut transaction, commit.generation, self.last, at)
            .await?;
        transaction.commit().await
    }
}

impl Turn for Taken {
    fn lost<'a>(
        &'a mut self,
        leases: &'a [(SourceName, u64)],
    ) -> BoxFuture<'a, Result<Vec<(SourceName, u64)>, Away>> {
        Box::pin(async move {
            let lost = within(ASK, self.holds(leases)).await;
            let lost = self.replicas.checked(&self.store, lost);
            lost.map_err(|error| self.replicas.away(&error))
        })
    }

    fn commit(self: Box<Self>, publication: Publication) -> BoxFuture<'static, Result<(), Away>> {
        Box::pin(async move {
            let (replicas, store) = (Arc::clone(&self.replicas), Arc::clone(&self.store));
            let commit = replicas.commit_of(&publication, self.counted.as_ref());
            let is_census = self.counted.is_some();
            let begun = Instant::now();
            let written = within(COMMIT, self.write(&commit, publication.at)).await;
            match replicas.checked(&store, written) {
                Ok(()) => {
                    replicas.committed(&commit, begun.elapsed());
                    Ok(())
                }
                Err(error) => {
                    replicas.is_census_due.fetch_or(is_census, Ordering::AcqRel);
                    Err(replicas.away(&error))
                }
            }
        })
    }

    fn stay(&mut self) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(async move {
            let asked = async {
                sqlx::query("SELECT 1")
                    .execute(&mut *self.transaction)
                    .await?;
                Ok(())
            };
            let stayed = within(ASK, asked).await;
            let stayed = self.replicas.checked(&self.store, stayed);
            stayed.map_err(|error| self.replicas.away(&error))
        })
    }
}

impl Replicas {
    fn commit_of(&self, publication: &Publication, counted: Option<&Counted>) -> Commit {
        let mut whole: HashSet<SourceName> = super::lock(&self.foreign).clone();
        let deltas = publication.deltas.iter();
        // Of these the database has nothing, whatever there is here.
        let absent = counted.iter().flat_map(|counted| &counted.absent);
        let known = deltas
            .clone()
            .filter(|delta| delta.report.fetched_at.is_some() && delta.all().len() > 0);
        let known: HashSet<&SourceName> = known.map(Delta::source).collect();
        whole.extend(absent.filter(|name| known.contains(name)).cloned());
        let sources = deltas.clone().map(|delta| Written {
            is_whole: whole.contains(delta.source()),
            delta: delta.clone(),
        });
        let is_unknown = counted.is_some_and(|counted| !counted.is_whole);
        let attempts =
            deltas.filter_map(|delta| Some((delta.source().clone(), delta.attempt.clone()?)));
        Commit {
            generation: publication.generation,
            sources: sources.collect(),
            batches: publication.batch.iter().cloned().collect(),
            attempts: attempts.collect(),
            // All that changes from here on is kept.
            whole_from: is_unknown.then_some(publication.generation + 1),
            whole_at: is_unknown.then_some(publication.at),
            begun: None,
        }
    }

    fn committed(&self, commit: &Commit, took: Duration) {
        let mut foreign = super::lock(&self.foreign);
        for written in commit.sources.iter().filter(|one| !one.is_skipped()) {
            foreign.remove(written.delta.source());
        }
        drop(foreign);
        self.committed.store(commit.generation, Ordering::Release);
        self.tell(|told| told.commits.add(took));
    }
}
