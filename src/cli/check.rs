//! `clustergate check`: is the configuration right, and does each source answer?

use clap::Args;
use comfy_table::Cell;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::get::Form;
use super::printer::Printer;
use super::progress::Display;
use super::serve::Configured;
use super::table::{Style, Tone, known, number, render, toned};
use super::text::took;
use crate::app::{self, Checked};
use crate::hooks::Webhook;
use crate::provider::ErrorKind;
use crate::upstream::FailureKind;

/// Validate the configuration, then try each source once.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Form,
    /// Only validate; call no vendor
    #[arg(long)]
    pub offline: bool,
    /// The configuration.
    #[command(flatten)]
    pub configured: Configured,
}

impl Check {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let config = self.configured.load()?;
        let webhooks = app::webhooks(&config)?;
        if self.offline {
            let mut text = counted("source", config.sources.len());
            if !webhooks.is_empty() {
                text = format!("{text}, {}", counted("webhook", webhooks.len()));
            }
            printer.print(&format!("the configuration is valid: {text}"))?;
            return Ok(Exit::Ok);
        }
        let checked = {
            let display = Display::new(config.sources.len());
            app::check(&config, |progress| display.update(progress)).await
        };
        match self.output {
            Form::Json => {
                let mut document = document(&checked);
                if !webhooks.is_empty() {
                    document["webhooks"] = webhooks.iter().map(usable).collect();
                }
                printer.json(&document)?;
            }
            Form::Table => {
                printer.print(&table(&checked, printer.style()))?;
                for webhook in &webhooks {
                    let Webhook { settings, .. } = webhook;
                    printer.print(&format!(
                        "webhook {} can be used; nothing was sent to {}",
                        settings.name,
                        settings.target.origin()
                    ))?;
                }
            }
        }
        let all_good =
            checked.len() == config.sources.len() && checked.iter().all(|one| one.outcome.is_ok());
        Ok(if all_good { Exit::Ok } else { Exit::Failure })
    }
}

/// So many of something, in words.
fn counted(what: &str, count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// A webhook whose settings are good.
fn usable(webhook: &Webhook) -> Value {
    let settings = &webhook.settings;
    json!({ "name": settings.name, "target": settings.target.origin(), "usable": true })
}

/// What one trial showed of the way to the vendor; `None` where it did not get that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    reachable: Option<bool>,
    authorized: Option<bool>,
}

impl Found {
    const fn new(reachable: Option<bool>, authorized: Option<bool>) -> Self {
        Self {
            reachable,
            authorized,
        }
    }

    fn of(checked: &Checked) -> Self {
        match &checked.outcome {
            Ok(_) => Self::new(Some(true), Some(true)),
            Err(error) => Self::of_error(error.kind),
        }
    }

    const fn of_error(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Call(kind) => match kind {
                FailureKind::Unauthorized | FailureKind::Forbidden => {
                    Self::new(Some(true), Some(false))
                }
                FailureKind::Unreachable | FailureKind::Timeout => Self::new(Some(false), None),
                FailureKind::CircuitOpen | FailureKind::Credential => Self::new(None, None),
                FailureKind::NotFound
                | FailureKind::Rejected
                | FailureKind::RateLimited
                | FailureKind::Unavailable
                | FailureKind::Interrupted
                | FailureKind::Redirected
                | FailureKind::TooLarge
                | FailureKind::Garbled
                | FailureKind::ContentType => Self::new(Some(true), None),
            },
            // These are known only from answers that the vendor gave to this credential.
            ErrorKind::Malformed
            | ErrorKind::UnexpectedShape
            | ErrorKind::UnsupportedGeneration
            | ErrorKind::NotEnabled
            | ErrorKind::PaginationLoop
            | ErrorKind::Truncated
            | ErrorKind::PageLimit
            | ErrorKind::CursorExpired
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::NotReady => Self::new(Some(true), Some(true)),
            ErrorKind::Deadline | ErrorKind::NotSupported | ErrorKind::InvalidValues => {
                Self::new(None, None)
            }
        }
    }
}

fn table(checked: &[Checked], style: Style) -> String {
    let header = [
        "SOURCE",
        "PROVIDER",
        "REACHABLE",
        "AUTHORIZED",
        "CLUSTERS",
        "TIME",
        "WHAT TO DO",
    ];
    render(&header, checked.iter().map(row), style)
}

fn row(checked: &Checked) -> Vec<Cell> {
    let found = Found::of(checked);
    let clusters = checked
        .outcome
        .as_ref()
        .ok()
        .map(|seen| seen.clusters.to_string());
    let advice = match &checked.outcome {
        Ok(seen) if seen.rejected > 0 => toned(
            format!(
                "{} items could not be read: report the vendor's change",
                seen.rejected
            ),
            Tone::Uneasy,
        ),
        Ok(_) => Cell::new("nothing"),
        Err(error) => toned(
            format!("{}: {}", error.kind.code(), error.kind.hint()),
            Tone::Bad,
        ),
    };
    vec![
        Cell::new(&checked.source),
        Cell::new(&checked.provider),
        answer(found.reachable),
        answer(found.authorized),
        number(clusters),
        number(Some(took(checked.took))),
        advice,
    ]
}

fn answer(answer: Option<bool>) -> Cell {
    match answer {
        Some(true) => toned("yes", Tone::Good),
        Some(false) => toned("no", Tone::Bad),
        None => known(None),
    }
}

fn document(checked: &[Checked]) -> Value {
    let items: Vec<Value> = checked
        .iter()
        .map(|one| {
            let found = Found::of(one);
            let seen = one.outcome.as_ref().ok();
            let error = one.outcome.as_ref().err();
            json!({
                "source": one.source,
                "provider": one.provider,
                "reachable": found.reachable,
                "authorized": found.authorized,
                "clusters": seen.map(|seen| seen.clusters),
                "pages": seen.map(|seen| seen.pages),
                "rejected": seen.map(|seen| seen.rejected),
                "took_ms": u64::try_from(one.took.as_millis()).unwrap_or(u64::MAX),
                "error": error.map(|error| json!({"code": error.kind.code(), "hint": error.kind.hint()})),
            })
        })
        .collect();
    json!({ "items": items })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::app::Seen;
    use crate::domain::{Kind, SourceName};
    use crate::provider::ProviderError;
    use crate::upstream::UpstreamError;

    fn checked(name: &str, outcome: Result<Seen, ProviderError>) -> Checked {
        Checked {
            source: SourceName::new(name).unwrap(),
            provider: Kind::new("latitude"),
            outcome,
            took: Duration::from_millis(1234),
        }
    }

    fn trials() -> Vec<Checked> {
        let failed = |kind| {
            Err(ProviderError::call(
                "list",
                UpstreamError::new(kind).with_text("canary"),
            ))
        };
        vec![
            checked(
                "good",
                Ok(Seen {
                    clusters: 12,
                    pages: 2,
                    rejected: 0,
                }),
            ),
            checked(
                "odd",
                Ok(Seen {
                    clusters: 3,
                    pages: 1,
                    rejected: 2,
                }),
            ),
            checked("refused", failed(FailureKind::Unauthorized)),
            checked("away", failed(FailureKind::Unreachable)),
            checked(
                "changed",
                Err(ProviderError::new(ErrorKind::UnexpectedShape, "list")),
            ),
        ]
    }

    #[test]
    fn each_trial_says_how_far_it_came_and_what_to_do() {
        let text = table(&trials(), Style::default());
        assert!(
            !text.contains("canary"),
            "the vendor's own text may hold anything"
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_document_says_the_same() {
        let document = document(&trials());
        assert!(!document.to_string().contains("canary"));
        insta::assert_json_snapshot!(document);
    }
}
