//! What is being read, on standard error; nothing at all where that is no terminal.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::app::Progress;

/// A line that tells which sources are still being read.
#[derive(Debug)]
pub(super) struct Display {
    bar: ProgressBar,
    reading: Mutex<BTreeSet<String>>,
}

impl Display {
    /// Begins to show the reading of so many sources.
    pub(super) fn new(sources: usize) -> Self {
        let total = u64::try_from(sources).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{spinner} reading sources {pos}/{len}  {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            reading: Mutex::new(BTreeSet::new()),
        }
    }

    /// Takes note of one event.
    pub(super) fn update(&self, progress: Progress) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Started { source } => {
                reading.insert(source.as_str().to_owned());
            }
            Progress::Finished {
                source,
                clusters,
                error_code,
            } => {
                reading.remove(source.as_str());
                self.bar.inc(1);
                if !self.bar.is_hidden() {
                    self.bar
                        .println(finished(source.as_str(), clusters, error_code));
                }
            }
        }
        let names: Vec<&str> = reading.iter().map(String::as_str).collect();
        self.bar.set_message(names.join(", "));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn finished(source: &str, clusters: usize, error_code: Option<&str>) -> String {
    match error_code {
        Some(code) => format!("  {source}: {code}"),
        None if clusters == 1 => format!("  {source}: 1 cluster"),
        None => format!("  {source}: {clusters} clusters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_one_line() {
        assert_eq!(finished("main", 1, None), "  main: 1 cluster");
        assert_eq!(finished("main", 0, None), "  main: 0 clusters");
        assert_eq!(
            finished("main", 0, Some("UPSTREAM_TIMEOUT")),
            "  main: UPSTREAM_TIMEOUT"
        );
    }
}
