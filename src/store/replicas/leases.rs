//! Who reads which source: rows that end by the clock of the server unless they are renewed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::super::StoreError;
use super::super::error::within;
use super::census;
use super::load::number;
use super::share::{Seen, decide};
use super::turns::notify;
use super::{Replicas, WALK};
use crate::domain::SourceName;
use crate::inventory::replicas::{Desk, Lease};

/// A lease lasts for this part of the time within which a source is taken over, and is renewed this often while it lasts. What is
/// left is for the others to see it and to take it.
const LIFE: u32 = 2;
const RENEWALS: u32 = 4;
/// Rounds that were asked for do not follow each other faster.
const PAUSE: Duration = Duration::from_millis(20);
/// How often what nobody needs any more is deleted.
const TIDYING: Duration = Duration::from_mins(10);
/// How long it is known what is no more, in milliseconds, as generations count.
const KNOWN_GONE: i64 = 60 * 60 * 1_000;

const BEAT: &str = "INSERT INTO replica (id, until, sources) \
    VALUES ($1, clock_timestamp() + $2 * interval '1 microsecond', $3) \
    ON CONFLICT (id) DO UPDATE SET until = excluded.until, sources = excluded.sources";
const RENEW: &str = "UPDATE lease SET until = clock_timestamp() + $2 * interval '1 microsecond', vitals = told.vitals \
    FROM unnest($3::text[], $4::bigint[], $5::text[]) AS told (source, token, vitals) \
    WHERE lease.source = told.source AND lease.token = told.token AND lease.holder = $1 \
    AND lease.until >= clock_timestamp() RETURNING lease.source";
const TAKE: &str = "INSERT INTO lease AS known (source, holder, token, until) \
    VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 microsecond') \
    ON CONFLICT (source) DO UPDATE SET holder = excluded.holder, token = known.token + 1, until = excluded.until, vitals = NULL \
    WHERE known.holder = excluded.holder OR known.until < clock_timestamp() \
    RETURNING token, (SELECT value FROM meta WHERE name = 'generation')";
const GIVE: &str = "UPDATE lease SET until = '-infinity', vitals = NULL \
    WHERE source = $1 AND holder = $2 AND token = $3";
const ROWS: &str =
    "SELECT source, holder, until > clock_timestamp() AS holds, wanted, vitals FROM lease";
const REPLICAS: &str = "SELECT id FROM replica WHERE until > clock_timestamp() AND id <> $1";
const WANT: &str = "UPDATE lease SET wanted = TRUE WHERE source = ANY($1)";
const SERVE: &str = "UPDATE lease SET wanted = FALSE \
    WHERE holder = $1 AND source = ANY($2) AND wanted AND until >= clock_timestamp() RETURNING source";
const OLD_REPLICAS: &str = "DELETE FROM replica WHERE until < clock_timestamp() - interval '1 day'";
const OLD_TURNS: &str = "DELETE FROM turn WHERE replica NOT IN (SELECT id FROM replica)";
const OLD_GONE: &str = "WITH old AS (DELETE FROM gone WHERE generation < $1 RETURNING generation) \
    INSERT INTO meta (name, value) SELECT 'gone_from', MAX(generation) FROM old HAVING COUNT(*) > 0 \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > meta.value";

/// A lease as all of them see it.
struct Row {
    source: String,
    holder: String,
    holds: bool,
    wanted: bool,
    vitals: Option<String>,
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// What is remembered from round to round.
#[derive(Default)]
pub(super) struct Memory {
    /// Since when sources are seen that nobody reads.
    free: HashMap<SourceName, Instant>,
    tidied: Option<Instant>,
    /// Whether it said that it takes no part any more.
    pub(super) has_left: bool,
}

impl Replicas {
    /// How long a lease lasts.
    pub(super) fn life(&self) -> Duration {
        self.lease / LIFE
    }

    /// Says that this gateway takes part, and which sources it has.
    pub(super) async fn beat(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let query = sqlx::query(BEAT).bind(&self.id).bind(micros(self.life()));
        let query = query.bind(census::told(&self.sources));
        query.execute(connection).await?;
        Ok(())
    }

    fn round(&self) -> Duration {
        self.life() / RENEWALS
    }

    /// Keeps the leases of this replica, and takes those that nobody has.
    pub(super) async fn keep_leases(self: Arc<Self>, stop: CancellationToken) {
        let mut memory = Memory::default();
        loop {
            if self.is_joined() {
                let done = self.keep_once(&mut memory).await;
                if let Err(error) = done {
                    debug!(error.code = error.code(), "leases are not renewed");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(PAUSE) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.rouse.notified() => {}
                () = sleep(self.round()) => {}
            }
        }
    }

    async fn keep_once(&self, memory: &mut Memory) -> Result<(), StoreError> {
        let store = self.durable.connect().await?;
        let doing = async {
            let mut connection = super::pool(&store)?.acquire().await?;
            self.keep(&mut connection, memory).await
        };
        let bound = self.life().max(Duration::from_secs(1));
        let done = within(bound, doing).await;
        self.checked(&store, done)
    }

    async fn keep(
        &self,
        connection: &mut PgConnection,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        let walks = std::mem::take(&mut super::lock(&self.walks).own);
        for generation in walks {
            notify(connection, &format!("{WALK}{generation}")).await?;
        }
        if self.is_leaving() {
            return self.finish(connection, memory).await;
        }
        self.beat(connection).await?;
        self.renew(connection).await?;
        self.pass_on_wishes(connection).await?;
        let rows: Vec<(String, String, bool, bool, Option<String>)> =
            sqlx::query_as(ROWS).fetch_all(&mut *connection).await?;
        let rows = rows.into_iter();
        let rows: Vec<Row> = rows
            .map(|(source, holder, holds, wanted, vitals)| Row {
                source,
                holder,
                holds,
                wanted,
                vitals,
            })
            .collect();
        self.serve_wishes(connection, &rows).await?;
        let others: Vec<(String,)> = sqlx::query_as(REPLICAS)
            .bind(&self.id)
            .fetch_all(&mut *connection)
            .await?;

        let mut counts: BTreeMap<String, usize> =
            others.into_iter().map(|other| (other.0, 0)).collect();
        let mut held_by_others = HashSet::new();
        for row in rows.iter().filter(|row| row.holds && row.holder != self.id) {
            if let Some(desk) = self.desk_of(&row.source) {
                desk.tell(row.vitals.as_deref());
                held_by_others.insert(row.source.as_str());
                if let Some(count) = counts.get_mut(&row.holder) {
                    *count += 1;
                }
            }
        }
        let now = Instant::now();
        let is_free = |(name, desk): &(&SourceName, &Arc<Desk>)| {
            desk.lease().is_none() && !held_by_others.contains(name.as_str())
        };
        let free: Vec<SourceName> = (self.desks.iter())
            .filter(is_free)
            .map(|(name, _)| name.clone())
            .collect();
        memory.free.retain(|name, _| free.contains(name));
        let free: Vec<(SourceName, Duration)> = (free.into_iter())
            .map(|name| {
                self.desks.get(&name).inspect(|desk| desk.tell(None));
                let since = memory.free.entry(name.clone()).or_insert(now);
                (name, now.duration_since(*since))
            })
            .collect();
        let mine = self.desks.values().filter_map(|desk| desk.lease());
        let counts: Vec<usize> = counts.into_values().collect();
        let decision = decide(
            &Seen {
                sources: self.desks.len(),
                mine: mine.filter(|lease| !lease.is_closing).count(),
                others: &counts,
                free: &free,
            },
            self.round(),
        );
        for name in decision.take {
            self.take(connection, &name).await?;
        }
        if decision.give {
            self.close_one();
        }
        self.give_back(connection).await?;
        if census::is_due(connection, self).await? {
            self.is_census_due.store(true, Ordering::Release);
            self.stir();
        }
        self.tidy(connection, memory).await
    }

    pub(super) async fn renew(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let held: Vec<(&SourceName, &Arc<Desk>, u64)> = (self.desks.iter())
            .filter_map(|(name, desk)| Some((name, desk, desk.lease()?.token)))
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        // Time counts from before the server is asked: what it has not heard of yet has not begun there.
        let until = Instant::now() + self.life();
        let names: Vec<&str> = held.iter().map(|(name, ..)| name.as_str()).collect();
        let tokens: Vec<i64> = held.iter().map(|(_, _, token)| number(*token)).collect();
        let vitals: Vec<Option<String>> = held.iter().map(|(_, desk, _)| desk.vitals()).collect();
        let renewed: Vec<(String,)> = sqlx::query_as(RENEW)
            .bind(&self.id)
            .bind(micros(self.life()))
            .bind(names)
            .bind(tokens)
            .bind(vitals)
            .fetch_all(connection)
            .await?;
        for (name, desk, token) in held {
            if renewed.iter().any(|row| row.0 == name.as_str()) {
                desk.renew(token, until);
            } else {
                info!(source.name = %name, "another gateway may read this source now");
                desk.forfeit(token);
            }
        }
        Ok(())
    }

    /// Tells whoever reads a source that somebody here wants it read.
    pub(super) async fn pass_on_wishes(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), StoreError> {
        let wanted: Vec<(&SourceName, &Arc<Desk>)> = (self.desks.iter())
            .filter(|(_, desk)| desk.take_wanted())
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        let passing = async {
            sqlx::query(WANT)
                .bind(names)
                .execute(&mut *connection)
                .await?;
            notify(connection, "wanted").await
        };
        let passed = passing.await;
        if passed.is_err() {
            // Once more, when the store can be reached.
            for (_, desk) in wanted {
                desk.want_again();
            }
        }
        passed
    }

    async fn serve_wishes(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
    ) -> Result<(), StoreError> {
        // Who is about to give a source back leaves it to whoever reads it next.
        let is_at_work = |row: &&Row| {
            self.desk_of(&row.source)
                .is_some_and(|desk| desk.is_at_work())
        };
        let wanted = rows
            .iter()
            .filter(|row| row.wanted && row.holds && row.holder == self.id)
            .filter(is_at_work);
        let names: Vec<&str> = wanted.map(|row| row.source.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let served: Vec<(String,)> = sqlx::query_as(SERVE)
            .bind(&self.id)
            .bind(names)
            .fetch_all(connection)
            .await?;
        for (name,) in served {
            if let Some(desk) = self.desk_of(&name) {
                desk.activate();
            }
        }
        Ok(())
    }

    async fn take(
        &self,
        connection: &mut PgConnection,
        name: &SourceName,
    ) -> Result<(), StoreError> {
        let until = Instant::now() + self.life();
        let taken: Option<(i64, i64)> = sqlx::query_as(TAKE)
            .bind(name.as_str())
            .bind(&self.id)
            .bind(micros(self.life()))
            .fetch_optional(connection)
            .await?;
        if let (Some((token, from)), Some(desk)) = (taken, self.desks.get(name)) {
            info!(source.name = %name, lease.token = token, "this gateway reads the source");
            desk.grant(Lease {
                token: u64::try_from(token).unwrap_or_default(),
                until,
                from: u64::try_from(from).unwrap_or_default(),
                is_closing: false,
            });
        }
        Ok(())
    }

    /// Has the reading of one source end, unless that of another one does already.
    fn close_one(&self) {
        let held = self
            .desks
            .values()
            .filter_map(|desk| Some((desk, desk.lease()?)));
        let held: Vec<(&Arc<Desk>, Lease)> = held.collect();
        if held.iter().any(|(_, lease)| lease.is_closing) {
            return;
        }
        if let Some((desk, _)) = held.last() {
            desk.close();
        }
    }

    /// Gives back what is not read any more.
    pub(super) async fn give_back(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let mut is_any = false;
        for (name, desk) in &self.desks {
            let Some(lease) = desk.lease().filter(|lease| lease.is_closing) else {
                continue;
            };
            if desk.is_taken() {
                continue;
            }
            desk.revoke();
            info!(source.name = %name, "this gateway leaves the source to another one");
            sqlx::query(GIVE)
                .bind(name.as_str())
                .bind(&self.id)
                .bind(number(lease.token))
                .execute(&mut *connection)
                .await?;
            is_any = true;
        }
        if is_any {
            notify(connection, "lease").await?;
        }
        Ok(())
    }

    async fn tidy(
        &self,
        connection: &mut PgConnection,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        if memory.tidied.is_some_and(|at| at.elapsed() < TIDYING) {
            return Ok(());
        }
        memory.tidied = Some(Instant::now());
        sqlx::query(OLD_REPLICAS).execute(&mut *connection).await?;
        sqlx::query(OLD_TURNS).execute(&mut *connection).await?;
        let before = super::now().as_millisecond() - KNOWN_GONE;
        let query = sqlx::query(OLD_GONE).bind(before);
        query.execute(&mut *connection).await?;
        Ok(())
    }
}
