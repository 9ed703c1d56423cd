//! The limited RPCs, beside the authorization table (`spire-server.md` 1.4). All others are unlimited.

/// RPCs of one kind share a caller's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitKind {
    Attestation,
    Certificate,
    JwtSvid,
    PushedKey,
    Status,
    WitSvid,
}

/// How many tokens a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// One, taken before the handler sees the call.
    Call,
    /// One for each item of a batch, taken by the handler.
    Items,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// `/package.Service/Method`.
    pub method: &'static str,
    pub kind: LimitKind,
    pub charge: Charge,
    /// SPIRE's words before the reason of a refusal.
    pub refusal: &'static str,
}

impl LimitKind {
    pub const ALL: [Self; 6] =
        [Self::Attestation, Self::Certificate, Self::JwtSvid, Self::PushedKey, Self::Status, Self::WitSvid];

    /// Tokens a second for each caller, and at once.
    pub fn per_second(self) -> u32 {
        match self {
            Self::Attestation => 1,
            Self::Status => 10,
            Self::Certificate | Self::JwtSvid | Self::PushedKey | Self::WitSvid => 500,
        }
    }
}

const fn call(method: &'static str, kind: LimitKind, refusal: &'static str) -> Limit {
    Limit { method, kind, charge: Charge::Call, refusal }
}

const fn items(method: &'static str, kind: LimitKind, refusal: &'static str) -> Limit {
    Limit { method, kind, charge: Charge::Items, refusal }
}

pub const LIMITS: &[Limit] = &[
    call(
        "/spire.api.server.agent.v1.Agent/AttestAgent",
        LimitKind::Attestation,
        "rejecting request due to attest agent rate limiting",
    ),
    call(
        "/spire.api.server.agent.v1.Agent/RenewAgent",
        LimitKind::Certificate,
        "rejecting request due to renew agent rate limiting",
    ),
    call(
        "/spire.api.server.agent.v1.Agent/PostStatus",
        LimitKind::Status,
        "rejecting request due to post status rate limiting",
    ),
    items(
        "/spire.api.server.svid.v1.SVID/BatchNewX509SVID",
        LimitKind::Certificate,
        "rejecting request due to certificate signing rate limiting",
    ),
    call(
        "/spire.api.server.svid.v1.SVID/NewDownstreamX509CA",
        LimitKind::Certificate,
        "rejecting request due to downstream CA signing rate limit",
    ),
    call(
        "/spire.api.server.svid.v1.SVID/NewJWTSVID",
        LimitKind::JwtSvid,
        "rejecting request due to JWT signing request rate limiting",
    ),
    items(
        "/spire.api.server.svid.v1.SVID/BatchNewWITSVID",
        LimitKind::WitSvid,
        "rejecting request due to certificate signing rate limiting",
    ),
    call(
        "/spire.api.server.bundle.v1.Bundle/PublishJWTAuthority",
        LimitKind::PushedKey,
        "rejecting request due to key publishing rate limiting",
    ),
    call(
        "/spire.api.server.bundle.v1.Bundle/PublishWITAuthority",
        LimitKind::PushedKey,
        "rejecting request due to key publishing rate limiting",
    ),
];

/// The limit of `method`; none when it is unlimited.
pub fn limit(method: &str) -> Option<&'static Limit> {
    LIMITS.iter().find(|limit| limit.method == method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::row;

    /// Callers on the admin socket have no limit, so a limit on an RPC that is theirs alone would be a mistake.
    #[test]
    fn every_limit_is_for_callers_on_the_network() {
        for limit in LIMITS {
            let row = row(limit.method).unwrap();
            assert!(row.any || row.agent || row.downstream, "{}", limit.method);
        }
    }
}
