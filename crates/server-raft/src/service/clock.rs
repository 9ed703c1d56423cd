//! The way back for a replicated clock that ran ahead: what it takes, for [`super::ClusterService`].

use steeple_api::steeple::server::ResetClockResponse;
use steeple_core::{AuthorityKind, Timestamp};
use steeple_state::State;
use steeple_state::limits::CLOCK_SKEW_MAX;

/// What a reset at `now` ends.
pub(super) fn reset(state: &State, now: Timestamp) -> ResetClockResponse {
    let replicated = state.now();
    let authorities = AuthorityKind::ALL.into_iter().flat_map(|kind| {
        let set = state.authorities(kind);
        let signing = set.active.iter().chain(set.prepared());
        signing.filter(|authority| authority.issued_at > now).map(|authority| authority.id.clone())
    });
    let ahead = replicated.since(now) > CLOCK_SKEW_MAX;
    let ends = |count: usize| if ahead { u32::try_from(count).unwrap_or(u32::MAX) } else { 0 };
    ResetClockResponse {
        replicated_ms: replicated.as_ms(),
        now_ms: now.as_ms(),
        ahead,
        join_tokens: ends(state.count_join_tokens()),
        authorities: authorities.filter(|_| ahead).collect(),
    }
}
