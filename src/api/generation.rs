//! Generations that callers name: what was read elsewhere is there before the answer is made.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::code::Code;
use super::problem::Problem;
use super::query::Params;
use super::state::ApiState;

/// The parameter.
pub(super) const MIN_GENERATION: &str = "min_generation";
/// How long a request waits for its generation.
const PATIENCE: Duration = Duration::from_secs(2);
/// Generations count up no faster than milliseconds do; one that is further ahead than clocks differ was never given out.
const AHEAD: u64 = 24 * 60 * 60 * 1_000;

/// Whether a generation can have been given out anywhere.
pub(super) fn is_possible(generation: u64, state: &ApiState) -> bool {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    generation <= now.max(state.generation()).saturating_add(AHEAD)
}

/// Waits until the inventory is as new as a request wants it.
pub(super) async fn reached(state: &ApiState, params: &Params<'_>) -> Result<(), Problem> {
    let Some(text) = params.one(MIN_GENERATION)? else {
        return Ok(());
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wanted = text.parse().ok().filter(|_| is_number);
    let wanted = wanted.filter(|wanted| is_possible(*wanted, state));
    let wanted: u64 = wanted.ok_or_else(|| {
        Problem::invalid_parameter(MIN_GENERATION, "must be the generation of another answer")
    })?;
    let mut generations = state.generations();
    let reached = generations.wait_for(|generation| *generation >= wanted);
    match timeout(PATIENCE, reached).await {
        Ok(Ok(_)) => Ok(()),
        // Nobody publishes any more, or not in time.
        Ok(Err(_)) | Err(_) => Err(Problem::new(Code::GenerationNotReached)
            .with_detail(format!(
                "the inventory is of generation {}",
                state.generation()
            ))
            .with_retry_after(Duration::from_secs(1))),
    }
}
