//! The place from which a source is read: by whoever has its lease, and by nobody once that has ended.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::keeper::Activation;
use crate::upstream::{Stack, Vitals};

/// The right to read a source, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Another number for each time that the source is taken over.
    pub token: u64,
    /// When it ends unless it is renewed, by a clock that nobody sets.
    pub until: Instant,
    /// The generation that was the last one when it was given: whoever reads the source has to know that first.
    pub from: u64,
    /// Whether it is about to be given back: nothing is begun any more.
    pub is_closing: bool,
}

impl Lease {
    fn holds(&self, now: Instant) -> bool {
        now < self.until
    }
}

#[derive(Debug, Default)]
struct Place {
    lease: Option<Lease>,
    /// Whether somebody reads the source.
    is_taken: bool,
    /// Whether nobody here will read it again.
    is_abandoned: bool,
}

/// The place from which one source is read.
pub struct Desk {
    place: watch::Sender<Place>,
    own: OnceLock<(Stack, Arc<Activation>)>,
    /// What the replica that reads the source says of its vendor.
    told: Mutex<Option<Vitals>>,
    /// Stirred where a refresh is wanted of whoever reads the source.
    wanted: Arc<Notify>,
    is_wanted: AtomicBool,
}

impl Desk {
    /// A desk at which nobody sits. What is given is stirred where a refresh is wanted of another replica.
    pub fn new(wanted: Arc<Notify>) -> Self {
        Self {
            place: watch::Sender::default(),
            own: OnceLock::new(),
            told: Mutex::default(),
            wanted,
            is_wanted: AtomicBool::new(false),
        }
    }

    pub(in super::super) fn equip(&self, stack: Stack, activation: Arc<Activation>) {
        // A desk is of one keeper.
        let _ = self.own.set((stack, activation));
    }

    /// Gives the lease, unless nobody would use it.
    pub fn grant(&self, lease: Lease) {
        self.place.send_modify(|place| {
            place.lease = Some(lease).filter(|_| !place.is_abandoned);
        });
    }

    /// Has nobody read the source from here any more: what was found could not be published.
    pub(in super::super) fn abandon(&self) {
        self.place.send_modify(|place| {
            place.lease = None;
            place.is_abandoned = true;
        });
        self.wanted.notify_one();
    }

    /// Whether nobody will read the source from here again.
    pub fn is_abandoned(&self) -> bool {
        self.place.borrow().is_abandoned
    }

    /// Lengthens a lease, unless it is another one.
    pub fn renew(&self, token: u64, until: Instant) {
        self.place.send_modify(|place| {
            if let Some(lease) = place.lease.as_mut().filter(|lease| lease.token == token) {
                lease.until = lease.until.max(until);
            }
        });
    }

    /// Has nothing begin any more, so that the lease can be given back.
    pub fn close(&self) {
        self.place.send_modify(|place| {
            if let Some(lease) = &mut place.lease {
                lease.is_closing = true;
            }
        });
    }

    /// Takes the lease away at once.
    pub fn revoke(&self) {
        self.place.send_modify(|place| place.lease = None);
    }

    /// Takes a lease away that does not hold any more, unless there is another one.
    pub fn forfeit(&self, token: u64) {
        self.place.send_modify(|place| {
            place.lease = place.lease.filter(|lease| lease.token != token);
        });
    }

    /// The lease, where it holds.
    pub fn lease(&self) -> Option<Lease> {
        let lease = self.place.borrow().lease;
        lease.filter(|lease| lease.holds(Instant::now()))
    }

    /// Whether the source is read from here, and goes on to be.
    pub fn is_at_work(&self) -> bool {
        self.lease().is_some_and(|lease| !lease.is_closing)
    }

    /// Whether the source is being read.
    pub fn is_taken(&self) -> bool {
        self.place.borrow().is_taken
    }

    /// What this replica knows of the source's vendor: JSON for the others.
    pub fn vitals(&self) -> Option<String> {
        let (stack, _) = self.own.get()?;
        serde_json::to_string(&stack.vitals()).ok()
    }

    /// Takes note of what the replica that reads the source says of its vendor.
    pub fn tell(&self, vitals: Option<&str>) {
        let vitals = vitals.and_then(|text| serde_json::from_str(text).ok());
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = vitals;
    }

    pub(in super::super) fn told(&self) -> Option<Vitals> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    /// Reads the source soon, since a refresh is wanted at another replica.
    pub fn activate(&self) {
        if let Some((_, activation)) = self.own.get() {
            activation.pending.store(true, Ordering::Release);
            activation.wanted.send_replace(());
        }
    }

    /// Wants a refresh of whoever reads the source.
    pub(in super::super) fn want(&self) {
        self.want_again();
        self.wanted.notify_one();
    }

    /// Has a wish be told once more, since whoever took it could not pass it on.
    pub fn want_again(&self) {
        self.is_wanted.store(true, Ordering::Release);
    }

    /// Whether a refresh is wanted of whoever reads the source; said once.
    pub fn take_wanted(&self) -> bool {
        self.is_wanted.swap(false, Ordering::AcqRel)
    }

    /// Waits for a lease and sits down.
    pub(in super::super) async fn sit(self: &Arc<Self>) -> Sitting {
        let mut places = self.place.subscribe();
        loop {
            places.mark_unchanged();
            let mut taken = None;
            self.place.send_if_modified(|place| {
                let now = Instant::now();
                let lease = place.lease.filter(|lease| lease.holds(now));
                if let Some(lease) = lease.filter(|lease| !lease.is_closing) {
                    place.is_taken = true;
                    taken = Some(lease);
                }
                false
            });
            if let Some(lease) = taken {
                let desk = Arc::clone(self);
                return Sitting { desk, lease };
            }
            // The sender lives as long as the desk.
            let _ = places.changed().await;
        }
    }
}

/// Somebody who reads a source; the place is free when it is dropped.
pub(in super::super) struct Sitting {
    desk: Arc<Desk>,
    pub(in super::super) lease: Lease,
}

impl Sitting {
    /// Done when the lease has ended. Each time that it is asked it looks at the clock: a process that was stopped for a while must
    /// not go on before its timers are.
    pub(in super::super) async fn ended(&self) {
        let mut places = self.desk.place.subscribe();
        loop {
            let lease = places.borrow_and_update().lease;
            let own = lease.filter(|lease| lease.token == self.lease.token);
            let Some(lease) = own else { return };
            let lapsed = lapsed(lease.until);
            tokio::select! {
                biased;
                () = lapsed => return,
                // The sender lives as long as the desk.
                _ = places.changed() => {}
            }
        }
    }

    /// Done when nothing is to be begun any more.
    pub(in super::super) async fn closing(&self) {
        let mut places = self.desk.place.subscribe();
        // The sender lives as long as the desk.
        let _ = places.wait_for(Self::is_closing_at).await;
    }

    pub(in super::super) fn is_closing(&self) -> bool {
        Self::is_closing_at(&self.desk.place.borrow())
    }

    fn is_closing_at(place: &Place) -> bool {
        place.lease.is_none_or(|lease| lease.is_closing)
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.desk.place.send_modify(|place| place.is_taken = false);
    }
}

async fn lapsed(until: Instant) {
    let timer: Sleep = sleep_until(until);
    tokio::pin!(timer);
    poll_fn(|context| {
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        timer.as_mut().poll(context)
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lease(token: u64, seconds: u64) -> Lease {
        Lease {
            token,
            until: Instant::now() + Duration::from_secs(seconds),
            from: 0,
            is_closing: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sits_has_to_rise_when_the_lease_ends_and_not_before() {
        let desk = Arc::new(Desk::new(Arc::default()));
        let waiting = tokio::time::timeout(Duration::from_secs(5), desk.sit());
        assert!(waiting.await.is_err(), "nobody gave a lease");
        desk.grant(lease(1, 10));
        let sitting = desk.sit().await;
        assert!(desk.is_taken());
        let begun = Instant::now();
        desk.renew(1, begun + Duration::from_secs(15));
        // Of another lease.
        desk.renew(2, begun + Duration::from_secs(90));
        sitting.ended().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(15));
        assert_eq!(desk.lease(), None);
        drop(sitting);
        assert!(!desk.is_taken());
        let waiting = tokio::time::timeout(Duration::from_secs(5), desk.sit());
        assert!(waiting.await.is_err(), "the lease had lapsed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_anew_is_another_one() {
        let desk = Arc::new(Desk::new(Arc::default()));
        desk.grant(lease(1, 10));
        let sitting = desk.sit().await;
        desk.grant(lease(2, 10));
        let begun = Instant::now();
        sitting.ended().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_sits_down_where_a_lease_is_given_back() {
        let desk = Arc::new(Desk::new(Arc::default()));
        desk.grant(lease(1, 10));
        let sitting = desk.sit().await;
        assert!(!sitting.is_closing());
        desk.close();
        sitting.closing().await;
        assert!(sitting.is_closing() && desk.is_taken());
        drop(sitting);
        assert!(!desk.is_taken());
        let waiting = tokio::time::timeout(Duration::from_secs(5), desk.sit());
        assert!(waiting.await.is_err(), "the lease is closing");
    }

    #[test]
    fn a_wish_is_told_once() {
        let desk = Desk::new(Arc::default());
        assert!(!desk.take_wanted());
        desk.want();
        desk.want();
        assert!(desk.take_wanted());
        assert!(!desk.take_wanted());
    }
}
