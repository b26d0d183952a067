//! The thread that writes events.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Action, Destination, Event, Shared, Shelf, Whereabouts};

/// How often counts, and the end, are looked for while nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// Events that are written together, at most.
const BATCH: usize = 256;

/// Where lines go.
pub(super) enum Sink {
    Stdout,
    File {
        path: PathBuf,
        file: File,
    },
    Shelf(Arc<dyn Shelf>),
    #[cfg(test)]
    Test(super::tests::Lines),
}

impl Sink {
    pub(super) fn open(
        destination: &Destination,
        shelf: Option<Arc<dyn Shelf>>,
    ) -> io::Result<Self> {
        Ok(match destination {
            Destination::Stdout => Self::Stdout,
            Destination::Store => {
                let none = || io::Error::new(io::ErrorKind::NotFound, "there is no store");
                Self::Shelf(shelf.ok_or_else(none)?)
            }
            Destination::File(path) => Self::File {
                file: append(path)?,
                path: path.clone(),
            },
        })
    }

    /// Where what is written can be read.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        match self {
            Self::Stdout => Whereabouts::Stdout,
            Self::File { .. } => Whereabouts::File,
            Self::Shelf(shelf) => Whereabouts::Shelf(Arc::clone(shelf)),
            #[cfg(test)]
            Self::Test(_) => Whereabouts::Stdout,
        }
    }

    /// Writes events, each of which is one of the lines.
    pub(super) fn write(&mut self, events: &[Event], lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Shelf(shelf) => shelf.keep(events),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Self::File { path, file } => {
                // Whoever rotates the file moves it away, and expects a new one in its place.
                if !is_still_at(file, path) {
                    *file = append(path)?;
                }
                file.write_all(lines)
            }
            #[cfg(test)]
            Self::Test(out) => out.write(lines),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(not(unix))]
fn is_still_at(_: &File, path: &Path) -> bool {
    path.exists()
}

pub(super) struct Writer {
    sink: Sink,
    shared: Arc<Shared>,
    is_failing: bool,
}

impl Writer {
    pub(super) fn new(sink: Sink, shared: Arc<Shared>) -> Self {
        Self {
            sink,
            shared,
            is_failing: false,
        }
    }

    /// Writes until told that it is over and nothing waits any more.
    pub(super) fn run(mut self, inbox: &Receiver<Event>) {
        loop {
            // Asked before the queue: what was handed over before the end is written.
            let was_over = self.shared.is_over.load(Ordering::Relaxed);
            let mut events = Vec::new();
            let waited = if was_over { Duration::ZERO } else { TICK };
            let is_alone = match inbox.recv_timeout(waited) {
                Ok(event) => {
                    events.push(event);
                    events.extend(inbox.try_iter().take(BATCH - 1));
                    false
                }
                Err(RecvTimeoutError::Timeout) => was_over,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let now = Timestamp::now();
            events.extend(self.shared.failures().take(now, is_alone));
            self.write(events, now);
            if is_alone {
                return;
            }
        }
    }

    fn write(&mut self, mut events: Vec<Event>, now: Timestamp) {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let mut event = Event::new(Action::EventsLost, now);
            event.count = Some(lost);
            events.push(event);
        }
        if events.is_empty() {
            return;
        }
        let mut lines = Vec::with_capacity(events.len() * 256);
        for event in &events {
            // Plain values always serialize.
            if serde_json::to_writer(&mut lines, event).is_ok() {
                lines.push(b'\n');
            }
        }
        match self.sink.write(&events, &lines) {
            Ok(()) => {
                self.shared.is_failing.store(false, Ordering::Relaxed);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("audit can be written again");
                }
                if lost > 0 {
                    tracing::error!(events.lost = lost, "audit events were lost");
                }
            }
            Err(error) => {
                self.shared.is_failing.store(true, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "audit cannot be written");
                }
                // The line about those that were lost before is not one of them.
                let events = events.len() as u64 - u64::from(lost > 0);
                self.shared.lost.fetch_add(lost + events, Ordering::Relaxed);
                self.shared.lost_ever.fetch_add(events, Ordering::Relaxed);
            }
        }
    }
}
