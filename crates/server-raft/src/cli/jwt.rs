//! `jwt mint`.

use std::io::Write;
use std::path::Path;

use steeple_api::server::svid::MintJwtsvidRequest;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_cli::{Call, Command, Context, Failure, Flag, Help, rfc3339_time, written};
use steeple_config::GoDuration;
use steeple_core::{Clock, SystemClock};
use steeple_files::write_private_file;
use tonic::transport::Channel;

use super::Action;
use super::reply::expected;
use super::selectors::parse_id;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "jwt mint",
    synopsis: "Issues a JWT-SVID",
    help: Help::spire(
        "Issues a JWT-SVID for any SPIFFE ID of the trust domain, without an entry. For administrators, and for what \
         cannot run beside an agent.",
        &[
            ("To standard output", "steeple-server jwt mint -spiffeID spiffe://example.org/job -audience reports"),
            (
                "For ten minutes, to a file",
                "steeple-server jwt mint -spiffeID spiffe://example.org/job -audience reports -ttl 10m -write token",
            ),
        ],
    ),
    flags: &[COMMON_FLAGS, FLAGS],
    action: remote!(mint),
}];

const FLAGS: &[Flag] = &[
    Flag::texts("audience", "Whom the token is for; repeatable"),
    Flag::text("spiffeID", "SPIFFE ID of the JWT-SVID"),
    Flag::duration("ttl", GoDuration::from_nanos(0), "Lifetime of the JWT-SVID; the server's default when absent"),
    Flag::text("write", "File to write the token to instead of standard output"),
];

async fn mint(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let id = call.values.text_if_any("spiffeID").ok_or_else(|| Failure::message("spiffeID must be specified"))?;
    let audience = call.values.texts("audience").to_vec();
    if audience.is_empty() {
        return Err(Failure::message("at least one audience must be specified"));
    }
    let id = parse_id(id).map_err(Failure::message)?;
    let ttl = call.values.duration("ttl");
    let request = MintJwtsvidRequest { id: Some(id), audience, ttl: ttl_seconds(ttl)? };
    let response = SvidClient::new(channel).mint_jwtsvid(request).await.context("unable to mint SVID")?.into_inner();
    let svid = expected(response.svid.clone(), "token")?;
    warn_if_capped(&mut call.streams.stderr, "JWT-SVID", svid.expires_at, ttl)?;
    if let Some(path) = call.values.text_if_any("write").map(str::to_owned) {
        let file = Path::new(&path);
        written(file, write_private_file(file, svid.token.as_bytes())).context("unable to write token")?;
        return Ok(writeln!(call.streams.stdout, "JWT-SVID written to {path}")?);
    }
    call.print(&response, |streams, _| Ok(writeln!(streams.stdout, "{}", svid.token)?))
}

/// A started second counts as a whole one.
pub(super) fn ttl_seconds(ttl: GoDuration) -> Result<i32, Failure> {
    let second = GoDuration::from_secs(1).as_nanos();
    let secs = ttl.as_nanos().saturating_add(second - 1) / second;
    i32::try_from(secs).map_err(|_| Failure::Message(format!("invalid value for TTL: more than {} seconds", i32::MAX)))
}

/// Says on standard error that the SVID lives shorter than was asked for, because no SVID outlives its authority.
pub(super) fn warn_if_capped(err: &mut dyn Write, what: &str, expires_at: i64, ttl: GoDuration) -> Result<(), Failure> {
    let left =
        GoDuration::from_secs(expires_at.saturating_sub(SystemClock.now().as_secs()).saturating_add(CAPPED_SLACK_SECS));
    if left < ttl {
        let expires = rfc3339_time(expires_at);
        writeln!(err, "{what} lifetime was capped shorter than specified ttl; expires {expires:?}")?;
    }
    Ok(())
}

/// The expiry is in whole seconds and the answer took its time; SPIRE, without this, warns at every -ttl.
const CAPPED_SLACK_SECS: i64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(ttl_seconds(GoDuration::from_nanos(1)).unwrap(), 1);
        assert_eq!(ttl_seconds(GoDuration::from_secs(60)).unwrap(), 60);
        assert_eq!(ttl_seconds(GoDuration::from_nanos(0)).unwrap(), 0);
        assert!(ttl_seconds(GoDuration::from_nanos(i64::MAX)).is_err());
    }

    #[test]
    fn only_a_capped_lifetime_is_told() {
        let text = |left: i64, ttl: i64| {
            let mut err = Vec::new();
            let expires_at = SystemClock.now().as_secs() + left;
            warn_if_capped(&mut err, "JWT-SVID", expires_at, GoDuration::from_secs(ttl)).unwrap();
            String::from_utf8(err).unwrap()
        };
        assert_eq!(text(59, 60), "");
        assert_eq!(text(300, 0), "");
        assert!(text(30, 60).starts_with("JWT-SVID lifetime was capped shorter than specified ttl; expires \"2"));
    }
}
