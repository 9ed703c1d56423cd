//! The way back for a replicated clock that ran ahead: what it takes, for [`super::ClusterService`].

use steeple_api::steeple::server::ResetClockResponse;
use steeple_core::Timestamp;
use steeple_state::State;

/// What a reset at `now` ends.
pub(super) fn reset(state: &State, now: Timestamp) -> ResetClockResponse {
    let reset = state.clock_reset(now);
    ResetClockResponse {
        replicated_ms: state.now().as_ms(),
        now_ms: now.as_ms(),
        ahead: reset.ahead,
        join_tokens: u32::try_from(reset.join_tokens).unwrap_or(u32::MAX),
        authorities: reset.authorities.into_iter().map(|authority| authority.id).collect(),
    }
}
