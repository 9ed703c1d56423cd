//! `why`: what stands between a workload and its identity. Ours.
//!
//! ```text
//!   subject ──▶ gather (RPCs that exist) ──▶ facts ──▶ explain (pure) ──▶ report
//!
//!   selectors ── entry ── parent ── node alias ── agent ── replica: the hops, of which one fails
//! ```

mod explain;
mod facts;
mod gather;
mod hop;
mod parents;
mod report;
mod subject;

use steeple_cli::{Call, Command, Failure, Help};
use tonic::transport::Channel;

use super::Action;
use super::table::{COMMON_FLAGS, remote};
use subject::Subject;

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "why",
    synopsis: "Tells why a SPIFFE ID, an entry or a process (pid:N, on this machine) gets an identity or none: \
               why spiffe://example.org/web",
    help: Help::ours(
        "Tells why a SPIFFE ID, an entry or a process gets an identity or none: each hop from the selectors to the \
         replica, which one fails, and the command that mends it.",
        &[
            ("A SPIFFE ID", "steeple-server why spiffe://example.org/web"),
            ("A process of this machine", "steeple-server why pid:4711"),
            ("An entry, for a script", "steeple-server why -output json 4f1c7b1e"),
        ],
    )
    .words("SPIFFE_ID|ENTRY_ID|pid:N")
    .exit("0 when there is a way without a failing hop, 1 otherwise."),
    flags: &[COMMON_FLAGS],
    action: remote!(why),
}];

async fn why(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let subject = Subject::of(call.values.rest()).map_err(Failure::message)?;
    let facts = gather::facts(channel, &subject).await?;
    let explanation = explain::explain(&subject, &facts);
    report::print(call, &explanation)
}
