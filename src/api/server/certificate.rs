//! Looks whether there is another certificate to show.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::api::ApiState;
use crate::tls::Served;

/// Looks every few seconds whether the files have changed, and has a new pair shown, for as long as it is held.
#[derive(Debug)]
pub struct CertificateWatch {
    _task: AbortOnDropHandle<()>,
}

impl CertificateWatch {
    /// From one look to the next.
    pub const PERIOD: Duration = Duration::from_secs(5);

    /// Starts to look on the current runtime.
    pub fn start(state: ApiState, served: Arc<Served>, period: Duration) -> Self {
        note(&state, &served);
        let task = AbortOnDropHandle::new(tokio::spawn(watch(state, served, period)));
        Self { _task: task }
    }
}

async fn watch(state: ApiState, served: Arc<Served>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looking = Arc::clone(&served);
        let Ok(Some(outcome)) = spawn_blocking(move || looking.refresh()).await else {
            continue;
        };
        state.metrics.certificate_changed(outcome.is_ok());
        match outcome {
            Ok(()) => {
                note(&state, &served);
                tracing::info!("the certificate has changed and is shown from now on");
            }
            Err(faults) => {
                for fault in faults {
                    tracing::error!(
                        %fault,
                        "the certificate has changed and cannot be used; the one before is shown on"
                    );
                }
            }
        }
    }
}

fn note(state: &ApiState, served: &Served) {
    if let Some(at) = served.not_after() {
        state.metrics.certificate_ends(at);
    }
}
