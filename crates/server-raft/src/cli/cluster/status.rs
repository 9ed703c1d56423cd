//! `cluster status` and `cluster list`.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};

use serde_json::Value as Json;
use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{ListRequest, StatusRequest, StatusResponse};
use steeple_cli::{Call, Failure, one_line, proto_json};
use tonic::transport::Channel;

use super::members::print_members;

pub(super) async fn status(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let status = ClusterClient::new(channel).status(StatusRequest {}).await?.into_inner();
    let quorum = Quorum::of(&status);
    if call.is_json() {
        let mut json = proto_json(&status)?;
        if let Json::Object(members) = &mut json {
            members.insert("quorum".to_owned(), quorum.holds().into());
        }
        return Ok(writeln!(call.streams.stdout, "{}", one_line(json))?);
    }
    Ok(print(&mut call.streams.stdout, &status, quorum)?)
}

fn print(out: &mut dyn Write, status: &StatusResponse, quorum: Quorum) -> io::Result<()> {
    let mut line = |label: &str, value: &dyn Display| writeln!(out, "{label:<14}: {value}");
    line("Cluster UUID", &status.cluster_uuid)?;
    line("This replica", &status.node_id)?;
    line("Leader", &leader(status, quorum))?;
    line("Quorum", &quorum)?;
    line("Term", &status.term)?;
    line("Applied index", &status.applied_index)?;
    line("State hash", &status.state_hash)?;
    match status.failure_tolerance {
        0 => line("Tolerates", &quorum.intolerance())?,
        1 => line("Tolerates", &"1 failure")?,
        failures => line("Tolerates", &format_args!("{failures} failures"))?,
    }
    if status.voters_target > 0 {
        line("Target", &format_args!("{} voters", status.voters_target))?;
    }
    match status.cluster_version {
        version if version < status.cluster_version_max => {
            let known = status.cluster_version_max;
            line("Version", &format_args!("{version}; this release knows {known} (`cluster finalize`)"))?;
        }
        version => line("Version", &version)?,
    }
    if status.differing > 0 {
        line("Differing", &format_args!("{} members hold another state than this one", status.differing))?;
    }
    if !status.stopped.is_empty() {
        line("Serves nothing", &status.stopped)?;
    }
    writeln!(out)?;
    print_members(out, &status.members)
}

/// Voters that answered within the last seconds, as the replica that was asked sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Quorum {
    answering: usize,
    /// Of these: all that are not sealed.
    able_to_lead: usize,
    voters: usize,
}

impl Quorum {
    pub(in crate::cli) fn of(status: &StatusResponse) -> Self {
        let voters = || status.members.iter().filter(|member| member.voter);
        let answering = || voters().filter(|voter| voter.reachable);
        let able_to_lead = answering().filter(|voter| !voter.sealed).count();
        match (status.voters as usize, status.voters_answering as usize) {
            // A server of a release that does not tell: in the middle of an upgrade it may be older than its program.
            (0, _) => Self { answering: answering().count(), able_to_lead, voters: voters().count() },
            (voters, answering) => Self { answering, able_to_lead, voters },
        }
    }

    fn holds(self) -> bool {
        self.answering > self.voters / 2
    }

    /// What there is instead of one.
    pub(in crate::cli) fn missing(self) -> Option<String> {
        let Self { answering, voters, .. } = self;
        (!self.holds()).then(|| format!("there is no quorum: {answering} of {voters} voters answer"))
    }

    /// Why no failure is tolerated.
    fn intolerance(self) -> &'static str {
        match (self.holds(), self.answering < self.voters) {
            (false, _) => "no failure: writes have stopped",
            _ if self.able_to_lead == 1 && self.answering > 1 => {
                "no failure: one replica can lead, the others are sealed (`seal status`)"
            }
            (true, true) => "no failure: one more stops writes",
            (true, false) => "no failure: one stops writes",
        }
    }
}

impl Display for Quorum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { answering, voters, .. } = *self;
        if self.holds() {
            return write!(f, "{answering} of {voters} voters answer");
        }
        write!(f, "none: {answering} of {voters} voters answer; nothing is written and nothing is signed; ")?;
        write!(f, "start the others, or see docs/runbook.md#steeplenoleader")
    }
}

/// One that lost its quorum goes on to call itself the leader.
fn leader(status: &StatusResponse, quorum: Quorum) -> String {
    match status.leader_id {
        0 => "none".to_owned(),
        id if quorum.holds() => id.to_string(),
        id => format!("{id}, without a quorum"),
    }
}

pub(super) async fn list(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = ClusterClient::new(channel).list(ListRequest {}).await?.into_inner();
    call.print(&response, |streams, response| Ok(print_members(&mut streams.stdout, &response.members)?))
}

#[cfg(test)]
mod tests {
    use steeple_api::steeple::server::Member;

    use super::*;

    fn status(answering: u32, voters: u32) -> StatusResponse {
        let voter = |number| Member { voter: true, reachable: number < answering, ..Member::default() };
        let learner = Member { reachable: true, ..Member::default() };
        let members = (0..voters).map(voter).chain([learner]).collect();
        StatusResponse { leader_id: 2, voters, voters_answering: answering, members, ..StatusResponse::default() }
    }

    #[test]
    fn a_lost_quorum_is_told_plainly() {
        let told = |answering, voters| {
            let status = status(answering, voters);
            let quorum = Quorum::of(&status);
            (quorum.holds(), leader(&status, quorum), quorum.to_string(), quorum.intolerance())
        };
        let lost = "none: 1 of 3 voters answer; nothing is written and nothing is signed; start the others, or see \
                    docs/runbook.md#steeplenoleader";
        let leader = "2, without a quorum".to_owned();
        assert_eq!(told(1, 3), (false, leader, lost.to_owned(), "no failure: writes have stopped"));
        let missing = |answering| Quorum::of(&status(answering, 3)).missing();
        assert_eq!(missing(1).as_deref(), Some("there is no quorum: 1 of 3 voters answer"));
        assert_eq!(missing(2), None);
        let two = "2 of 3 voters answer".to_owned();
        assert_eq!(told(2, 3), (true, "2".to_owned(), two, "no failure: one more stops writes"));
        assert_eq!(told(1, 1).3, "no failure: one stops writes");
        let mut sealed = status(3, 3);
        sealed.members[0].sealed = true;
        assert_eq!(Quorum::of(&sealed).able_to_lead, 2);
        sealed.members[1].sealed = true;
        let one_left = "no failure: one replica can lead, the others are sealed (`seal status`)";
        assert_eq!((Quorum::of(&sealed).holds(), Quorum::of(&sealed).intolerance()), (true, one_left));
        assert_eq!(
            [(2, 4), (3, 4), (2, 5), (3, 5), (0, 0)].map(|(a, v)| told(a, v).0),
            [false, true, false, true, false]
        );
        let untold = StatusResponse { voters: 0, voters_answering: 0, ..status(2, 3) };
        assert_eq!(Quorum::of(&untold), Quorum::of(&status(2, 3)));
        let changing = StatusResponse { voters: 2, voters_answering: 1, ..status(2, 3) };
        assert!(!Quorum::of(&changing).holds(), "two of three answer, and one of the two that are to stay");
    }
}
