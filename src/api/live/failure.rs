//! What failed calls are to callers: a problem with a constant text of ours, never the vendor's.

use std::time::Duration;

use crate::domain::{Kind, SourceName};
use crate::live::{Ending, Failure, WriteFailure};
use crate::provider::{ErrorKind, ProviderError};
use crate::upstream::FailureKind;

use super::super::code::Code;
use super::super::problem::{Problem, status_of};

/// When to ask again where nobody says.
pub(super) const SHORTLY: Duration = Duration::from_secs(2);

const TIMEOUT: ErrorKind = ErrorKind::Call(FailureKind::Timeout);

/// The code of a failure on an answer that says what is known.
pub(super) fn code(failure: &Failure) -> &'static str {
    match failure {
        Failure::Provider(error) => error.kind.code(),
        Failure::Deadline => TIMEOUT.code(),
        Failure::Busy => Code::Overloaded.as_str(),
        Failure::NoSource => Code::SourceNotFound.as_str(),
        Failure::Stopping => Code::ShuttingDown.as_str(),
        Failure::Away => Code::OperationsUnavailable.as_str(),
        Failure::Broken => Code::Internal.as_str(),
    }
}

/// A call that gives nothing.
pub(super) fn problem(failure: &Failure, source: &SourceName, provider: &Kind) -> Problem {
    match failure {
        Failure::Provider(error) => of_provider(error).with_source(source, provider),
        Failure::Deadline => failed(TIMEOUT)
            .with_detail("the vendor did not answer within the time for one call")
            .with_source(source, provider),
        Failure::Busy => Problem::new(Code::Overloaded)
            .with_detail("as many calls to this source are under way as are allowed")
            .with_retry_after(Duration::from_secs(1))
            .with_source(source, provider),
        Failure::NoSource => Problem::source_not_found(source.as_str()),
        Failure::Stopping => Problem::new(Code::ShuttingDown),
        Failure::Away => Problem::new(Code::OperationsUnavailable).with_retry_after(SHORTLY),
        Failure::Broken => Problem::new(Code::Internal),
    }
}

fn failed(kind: ErrorKind) -> Problem {
    Problem::new(Code::UpstreamFailed)
        .with_status(status_of(kind))
        .with_source_error(kind)
}

fn of_provider(error: &ProviderError) -> Problem {
    let kind = error.kind;
    let problem = match kind {
        ErrorKind::NotFound => {
            return Problem::new(Code::ClusterNotFound).with_detail(error.public.unwrap_or(
                "the vendor no longer has the cluster, or no longer shows it to this token; the inventory keeps it until the vendor's lists agree",
            ));
        }
        ErrorKind::NotSupported => return Problem::new(Code::CapabilityNotSupported),
        ErrorKind::InvalidValues => {
            let problem = Problem::new(Code::InvalidValues);
            return error.mistakes.iter().fold(problem, |problem, mistake| {
                problem.with_field(&mistake.field, mistake.reason.clone(), None)
            });
        }
        ErrorKind::Conflict => Problem::new(Code::UpstreamConflict).with_source_error(kind),
        ErrorKind::NotReady => {
            let wait = error.wait().unwrap_or(SHORTLY);
            Problem::new(Code::UpstreamNotReady).with_retry_after(wait)
        }
        ErrorKind::Call(FailureKind::Rejected) => {
            Problem::new(Code::UpstreamRefused).with_source_error(kind)
        }
        ErrorKind::Call(_)
        | ErrorKind::Malformed
        | ErrorKind::UnexpectedShape
        | ErrorKind::UnsupportedGeneration
        | ErrorKind::NotEnabled
        | ErrorKind::PaginationLoop
        | ErrorKind::Truncated
        | ErrorKind::PageLimit
        | ErrorKind::CursorExpired
        | ErrorKind::Deadline => failed(kind),
    };
    let problem = problem.with_detail(error.public.unwrap_or(kind.hint()));
    match error.wait() {
        Some(wait) if kind.is_retryable() => problem.with_retry_after(wait),
        _ => problem,
    }
}

/// A write that was not carried out, or is not known to have been.
pub(super) fn of_write(failure: &WriteFailure, source: &SourceName, provider: &Kind) -> Problem {
    match failure {
        WriteFailure::Busy => Problem::new(Code::ClusterBusy)
            .with_retry_after(SHORTLY)
            .with_source(source, provider),
        WriteFailure::Taken => Problem::new(Code::IdempotencyInProgress).with_retry_after(SHORTLY),
        WriteFailure::Unkept => Problem::new(Code::IdempotencyUnavailable)
            .with_retry_after(SHORTLY)
            .with_source(source, provider),
        WriteFailure::Changed => Problem::new(Code::PreconditionFailed).with_source(source, provider),
        WriteFailure::Refused(failure) => problem(failure, source, provider),
        WriteFailure::Unread(failure) => problem(failure, source, provider).with_detail(
            "whether the cluster has infrastructure could not be read, so its record was not removed",
        ),
        WriteFailure::InfrastructureMayExist(state) => Problem::new(Code::InfrastructureMayExist)
            .with_detail(format!(
                "the cluster was read just now: its state is {}",
                state.as_str()
            ))
            .with_cluster_state(Some(*state))
            .with_source(source, provider),
        WriteFailure::Unknown(lookback) => {
            let status = if lookback.timed_out {
                status_of(TIMEOUT)
            } else {
                Code::WriteOutcomeUnknown.status()
            };
            Problem::new(Code::WriteOutcomeUnknown)
                .with_status(status)
                .with_detail(lookback.text.clone())
                .with_source_code(lookback.cause)
                .with_cluster_state(lookback.state)
                .with_source(source, provider)
        }
    }
}

/// What a failure means for the key of its write.
pub(super) fn ending(failure: &WriteFailure) -> Ending {
    match failure {
        WriteFailure::Unknown(_) => Ending::Final,
        WriteFailure::Taken => Ending::Taken,
        WriteFailure::Refused(Failure::Provider(error))
            if error.source.as_ref().is_some_and(|call| call.attempts > 0)
                && !error.kind.is_retryable() =>
        {
            Ending::Final
        }
        WriteFailure::Refused(_)
        | WriteFailure::Busy
        | WriteFailure::Unkept
        | WriteFailure::Changed
        | WriteFailure::InfrastructureMayExist(_)
        | WriteFailure::Unread(_) => Ending::Free,
    }
}
