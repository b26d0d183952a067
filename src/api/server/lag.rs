//! How long what is ready waits until a thread has time for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::api::ApiState;
use crate::api::load::pass_the_queue;

/// From one look to the next.
const PERIOD: Duration = Duration::from_millis(10);

/// How long the past counts.
const MEMORY: Duration = Duration::from_millis(100);

/// The most that one look counts for, however late it is.
const LONGEST: Duration = Duration::from_millis(30);

/// What a lag counts for, at most, where there was none before.
const SUDDEN: Duration = Duration::from_millis(80);

/// How many times the lag before a lag counts for, at most.
const GROWTH: f64 = 8.0;

/// Measures the lag of the runtime that it is started on, for as long as it is held.
///
/// A timer that fires late does not say how long requests wait: the runtime runs what a timer wakes before everything else that
/// is ready, and a single long task makes a timer late without anybody standing in a queue. So a probe goes to the end of the
/// queue, as a connection does that has something to read, and says how long it takes to the front. Where a thread is idle, it
/// takes the probe at once, as it would take a request. A second task sends it and looks how it fares: the one that the timer
/// wakes before all others, so it knows of a long queue while the probe still stands in it. It alone has a timer: of two that
/// fire together only the last runs before all others.
#[derive(Debug)]
pub struct LagWatch {
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl LagWatch {
    /// Starts to measure on the current runtime.
    pub fn start(state: ApiState) -> Self {
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        state.load.serve_on(threads);
        let probe = Arc::new(Probe::default());
        let line = AbortOnDropHandle::new(tokio::spawn(stand_in_line(Arc::clone(&probe))));
        let look = AbortOnDropHandle::new(tokio::spawn(look(state, probe)));
        Self {
            _tasks: [line, look],
        }
    }
}

async fn stand_in_line(probe: Arc<Probe>) {
    loop {
        probe.sent.notified().await;
        pass_the_queue().await;
        probe.leave(Instant::now());
    }
}

async fn look(state: ApiState, probe: Arc<Probe>) {
    let mut smoothed = Smoothed::default();
    let mut last = Instant::now();
    loop {
        sleep(PERIOD).await;
        let now = Instant::now();
        let since = now - last;
        state
            .load
            .report(smoothed.add(probe.lag(now), since), since);
        probe.send(now);
        last = now;
    }
}

/// What stands in the queue.
#[derive(Debug, Default)]
struct Probe {
    place: Mutex<Place>,
    sent: Notify,
}

/// Where the probe is.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    /// When it was sent to the queue that it stands in.
    since: Option<Instant>,
    /// How long the queue before took.
    took: Duration,
}

impl Probe {
    /// Sends it to the queue, unless it stands there.
    fn send(&self, now: Instant) {
        let mut place = self.place();
        if place.since.is_none() {
            place.since = Some(now);
            self.sent.notify_one();
        }
    }

    fn leave(&self, now: Instant) {
        let mut place = self.place();
        if let Some(since) = place.since.take() {
            place.took = now - since;
        }
    }

    /// How long the queue takes: as long as the last time, or as the probe has stood there by now.
    fn lag(&self, now: Instant) -> Duration {
        let place = *self.place();
        let so_far = place.since.map_or(Duration::ZERO, |since| now - since);
        place.took.max(so_far)
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moving average by time, in seconds.
///
/// A single long task delays a single probe, and what waited with it is served right after: no reason to refuse anybody. So a lag
/// has to be seen several times before all of it counts, which takes some dozens of milliseconds.
#[derive(Debug, Default)]
struct Smoothed(f64);

impl Smoothed {
    /// Takes the lag of this look, so long after the look before.
    fn add(&mut self, lag: Duration, since: Duration) -> Duration {
        let most = self.0.mul_add(GROWTH, SUDDEN.as_secs_f64());
        let counted = lag.as_secs_f64().min(most);
        let since = since.min(LONGEST);
        self.0 += (counted - self.0) * since.div_duration_f64(since + MEMORY);
        Duration::from_secs_f64(self.0.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use std::hint::spin_loop;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::runtime::Builder;
    use tokio::task::JoinSet;
    use tokio::time::{advance, sleep, timeout};

    use super::*;
    use crate::api::testing::{json, reports, send, state_of};
    use crate::api::{Settings, router};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn state(shed_above: Duration) -> ApiState {
        let settings = Settings {
            shed_above,
            ..Settings::default()
        };
        state_of(reports(), settings)
    }

    fn lag(state: &ApiState) -> f64 {
        state.metrics.queue_delay().get()
    }

    /// How many milliseconds of lag there are after so many looks at a queue of so many milliseconds.
    fn after(smoothed: &mut Smoothed, looks: usize, lag: u64) -> u128 {
        let lag = Duration::from_millis(lag);
        let smoothed = (0..looks).map(|_| smoothed.add(lag, PERIOD));
        smoothed.last().unwrap().as_millis()
    }

    #[test]
    fn one_long_task_is_no_lag() {
        let mut smoothed = Smoothed::default();
        assert_eq!(after(&mut smoothed, 10, 0), 0);
        // Seen while the probe waits, and once more before the next one is back.
        let second = Duration::from_secs(1);
        let during = smoothed.add(second, second);
        let end = smoothed.add(second, PERIOD);
        assert!(during < end && end < Duration::from_millis(50), "{end:?}");
        assert!(after(&mut smoothed, 30, 0) < 5);
    }

    #[test]
    fn a_queue_that_stands_is_lag_until_it_ends() {
        let mut smoothed = Smoothed::default();
        assert!(after(&mut smoothed, 10, 300) > 150);
        assert!(after(&mut smoothed, 40, 300) > 290);
        assert!(after(&mut smoothed, 15, 0) < 100);
        assert!(after(&mut smoothed, 40, 0) < 5);
    }

    #[test]
    fn the_queue_is_as_long_as_it_was_or_as_the_probe_has_stood_there() {
        let probe = Probe::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let lag = |millis| probe.lag(at(millis)).as_millis();
        assert_eq!(lag(0), 0);
        probe.send(at(0));
        assert_eq!((lag(10), lag(50)), (10, 50));
        probe.send(at(60));
        assert_eq!(lag(70), 70, "it is not sent twice");
        probe.leave(at(80));
        assert_eq!(lag(500), 80);
        probe.send(at(500));
        assert_eq!((lag(510), lag(600)), (80, 100));
        probe.leave(at(501));
        assert_eq!(lag(700), 1);
    }

    /// Takes its time whenever it runs, and goes to the end of the queue.
    async fn dawdle() {
        loop {
            advance(Duration::from_millis(10)).await;
            pass_the_queue().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_queue_is_lag_until_it_is_gone() {
        let state = state(Duration::from_millis(100));
        let _watch = LagWatch::start(state.clone());
        sleep(PERIOD * 5).await;
        assert!(lag(&state) < f64::EPSILON, "{}", lag(&state));
        let mut queue = JoinSet::new();
        for _ in 0..50 {
            queue.spawn(dawdle());
        }
        sleep(Duration::from_secs(30)).await;
        assert!(lag(&state) > 0.2, "{}", lag(&state));
        queue.shutdown().await;
        sleep(MEMORY * 20).await;
        assert!(lag(&state) < 0.001, "{}", lag(&state));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_measured_once_nobody_holds_the_watch() {
        let state = state(Duration::from_millis(100));
        drop(LagWatch::start(state.clone()));
        let mut queue = JoinSet::new();
        for _ in 0..50 {
            queue.spawn(dawdle());
        }
        sleep(Duration::from_secs(30)).await;
        assert!(lag(&state) < f64::EPSILON, "{}", lag(&state));
    }

    /// Keeps a thread busy as a handler does, again and again, until told to stop.
    async fn toil(state: ApiState, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let turn = state.load.turn().await;
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {
                spin_loop();
            }
            state.load.spent(began.elapsed());
            drop(turn);
            pass_the_queue().await;
        }
    }

    async fn until(what: &str, is_so: impl Fn() -> bool) {
        let wait = async {
            while !is_so() {
                sleep(PERIOD).await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "in vain: {what}");
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_has_requests_refused_and_health_answered() {
        let serving = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let state = state(Duration::from_millis(20));
        let watch = {
            let _serving = serving.enter();
            LagWatch::start(state.clone())
        };
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..50 {
            serving.spawn(toil(state.clone(), Arc::clone(&stop)));
        }
        until("a line", || state.load.refuses_next()).await;
        let app = router(state.clone());
        until("many who wait", || state.load.refuses_next()).await;
        let answer = send(&app, "GET", "/sources").await;
        assert_eq!(answer.status(), 503);
        assert!(["1", "2"].contains(&answer.headers()["retry-after"].to_str().unwrap()));
        assert_eq!(json(answer).await["code"], "OVERLOADED");
        assert_eq!(state.metrics.shed().get(), 1);
        for always in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(send(&app, "GET", always).await.status(), 200, "{always}");
        }
        stop.store(true, Ordering::Relaxed);
        until("an end of the line", || !state.load.refuses_next()).await;
        for _ in 0..100 {
            assert_eq!(send(&app, "GET", "/sources").await.status(), 200);
        }
        drop(watch);
        serving.shutdown_background();
    }
}
