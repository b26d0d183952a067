//! The end of a gateway's part: its sources are left to the others, and they are told.

use std::sync::atomic::Ordering;

use sqlx::PgConnection;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::super::StoreError;
use super::Replicas;
use super::leases::Memory;
use super::turns::notify;

const GIVE_ALL: &str = "UPDATE lease SET until = '-infinity', vitals = NULL WHERE holder = $1";
const LEAVE: &str = "DELETE FROM replica WHERE id = $1";

impl Replicas {
    /// Leaves everything to the others.
    pub(super) async fn leave(&self, deadline: Instant) {
        for desk in self.desks.values() {
            desk.revoke();
        }
        if !self.is_joined() || self.has_left.swap(true, Ordering::AcqRel) {
            return;
        }
        let leaving = async {
            let store = self.durable.connect().await?;
            let mut connection = super::pool(&store)?.acquire().await?;
            self.give_all(&mut connection).await
        };
        // Later than that they know by themselves.
        let deadline = deadline.min(Instant::now() + self.life());
        let left: Result<Result<(), StoreError>, _> = timeout_at(deadline, leaving).await;
        if !matches!(left, Ok(Ok(()))) {
            debug!("the others were not told that this gateway ends");
        }
    }

    async fn give_all(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        for sql in [GIVE_ALL, LEAVE] {
            let query = sqlx::query(sql).bind(&self.id);
            query.execute(&mut *connection).await?;
        }
        notify(connection, "lease").await
    }

    /// What there is still to be done by one that is about to end.
    pub(super) async fn finish(
        &self,
        connection: &mut PgConnection,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        if memory.has_left {
            return Ok(());
        }
        self.renew(connection).await?;
        self.pass_on_wishes(connection).await?;
        // A lease may have been given while it began to end.
        self.desks.values().for_each(|desk| desk.close());
        self.give_back(connection).await?;
        if self.desks.values().all(|desk| desk.lease().is_none()) {
            self.give_all(connection).await?;
            memory.has_left = true;
        }
        Ok(())
    }
}
