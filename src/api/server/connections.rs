//! The connections that there are, and which of them makes room when there are as many as are allowed.
//!
//! Whoever opens connections and says nothing must not keep others out, least of all those who watch the process. So the one that
//! has been idle longest is closed for a new one, and only where each has a request under way is the new one refused.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::phase::Phase;

/// Idle connections that one search finds: looking at all of them for each new one would cost more than to answer it.
const FOUND: usize = 256;
/// Connections beyond the cap, for the time that those take to close which were asked to.
const LEAVING: usize = 64;
/// How long no other search begins, for each connection that one looks at.
const PAUSE: Duration = Duration::from_micros(1);

/// Every open connection.
pub(super) struct Connections {
    tasks: JoinSet<()>,
    phases: HashMap<Id, Arc<Phase>>,
    most: usize,
    /// Those that were idle longest when they were looked for, and since when.
    idlest: VecDeque<(u64, Arc<Phase>)>,
    /// When they may be looked for again.
    search_at: Instant,
}

impl Connections {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            phases: HashMap::new(),
            most,
            idlest: VecDeque::new(),
            search_at: Instant::now(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is room for one more, for which another may have to go.
    pub(super) fn have_room(&mut self) -> bool {
        if self.len() < self.most {
            return true;
        }
        self.len() < self.most.saturating_add(LEAVING) && self.make_room()
    }

    fn make_room(&mut self) -> bool {
        if self.ask_one() {
            return true;
        }
        let now = Instant::now();
        if now < self.search_at {
            return false;
        }
        self.search();
        self.search_at = now + PAUSE * u32::try_from(self.phases.len()).unwrap_or(u32::MAX);
        self.ask_one()
    }

    /// Asks one to go that is still idle.
    fn ask_one(&mut self) -> bool {
        while let Some((since, phase)) = self.idlest.pop_front() {
            if phase.idle_since() == Some(since) {
                phase.ask_to_leave();
                return true;
            }
        }
        false
    }

    fn search(&mut self) {
        let idle = |phase: &Arc<Phase>| Some((phase.idle_since()?, Arc::clone(phase)));
        let mut found: Vec<_> = self.phases.values().filter_map(idle).collect();
        if found.len() > FOUND {
            found.select_nth_unstable_by_key(FOUND, |(since, _)| *since);
            found.truncate(FOUND);
        }
        found.sort_unstable_by_key(|(since, _)| *since);
        self.idlest = found.into();
    }

    /// Takes one in.
    pub(super) fn spawn(
        &mut self,
        phase: Arc<Phase>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.tasks.spawn(connection).id();
        self.phases.insert(id, phase);
    }

    /// Awaits the end of one; `None` where there is none.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.phases.remove(&id);
        Some(())
    }

    /// Awaits every connection, and cuts off those that outlast the grace period.
    pub(super) async fn drain(mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        while !self.tasks.is_empty() {
            if timeout_at(deadline, self.tasks.join_next()).await.is_err() {
                tracing::warn!(
                    connections = self.tasks.len(),
                    "requests cut off by shutdown"
                );
                self.tasks.shutdown().await;
            }
        }
    }
}
