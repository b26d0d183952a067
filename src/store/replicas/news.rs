//! Hearing of what other replicas do, as soon as they have done it. Whatever is not heard is seen a little later.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::super::StoreError;
use super::super::error::within;
use super::{CHANNEL, Replicas, WALK, lock, push};

/// How long after a failure it is listened again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is asked whether anybody is there at the other end, and how long that may take. Who only listens does not notice
/// that a connection is cut.
const ASKING: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(3);

impl Replicas {
    pub(super) async fn hear(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                heard = self.listen() => if let Err(error) = heard {
                    debug!(error.code = error.code(), "nothing is heard of other gateways");
                },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(AGAIN) => {}
            }
        }
    }

    /// Listens until the connection is lost.
    async fn listen(&self) -> Result<(), StoreError> {
        let store = self.durable.store()?;
        let mut listener = PgListener::connect_with(super::pool(&store)?).await?;
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(false);
        listener.listen(CHANNEL).await?;
        // What was said before nobody heard.
        self.stir();
        self.rouse.notify_one();
        loop {
            let said = tokio::select! {
                said = listener.try_recv() => said?,
                () = sleep(ASKING) => {
                    // Who needs the database next opens another one where this one failed.
                    let is_current = (self.durable.store()).is_ok_and(|now| Arc::ptr_eq(&now, &store));
                    if !is_current {
                        return Ok(());
                    }
                    let asked = async {
                        sqlx::query("SELECT 1").execute(&mut listener).await?;
                        Ok(())
                    };
                    let asked = within(ANSWER, asked).await;
                    self.checked(&store, asked)?;
                    continue;
                }
            };
            let Some(said) = said else { return Ok(()) };
            match said.payload() {
                "generation" => self.stir(),
                walk if walk.starts_with(WALK) => {
                    if let Ok(generation) = walk[WALK.len()..].parse() {
                        push(&mut lock(&self.walks).others, generation);
                        self.stir();
                    }
                }
                _ => self.rouse.notify_one(),
            }
        }
    }
}
