//! Members as a table.

use std::io::{self, Write};
use std::time::Duration;

use steeple_api::steeple::server::{Member, Suffrage};
use steeple_config::GoDuration;

use crate::cli::columns::print_table;

pub(super) fn print_members(out: &mut dyn Write, members: &[Member]) -> io::Result<()> {
    let header =
        ["ID", "NAME", "ROLE", "PEER ADDRESS", "API ADDRESS", "APPLIED", "LAG", "REACHABLE", "CONTACT", "HEALTHY"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(members.iter().map(|member| {
        [
            member.node_id.to_string(),
            member.name.clone(),
            role(member).to_owned(),
            member.peer_address.clone(),
            member.api_address.clone(),
            // What it said at its last answer is no longer so.
            if member.reachable { member.applied.to_string() } else { "-".to_owned() },
            member.lag.to_string(),
            match (member.reachable, member.sealed) {
                (false, _) => "no",
                (true, false) => "yes",
                (true, true) => "yes, sealed",
            }
            .to_owned(),
            match u64::try_from(member.last_contact_ms) {
                Ok(0) => "-".to_owned(),
                Ok(ago) => format!("{} ago", seconds(ago)),
                Err(_) => "never".to_owned(),
            },
            match (member.healthy, member.healthy_for_ms) {
                (true, 0) => "yes".to_owned(),
                (true, long) => format!("for {}", seconds(long)),
                (false, _) => "no".to_owned(),
            },
        ]
    }));
    print_table(out, &rows)
}

fn role(member: &Member) -> &'static str {
    match (member.leader, member.voter, member.suffrage()) {
        (true, _, _) => "leader",
        (false, true, _) => "voter",
        (false, false, Suffrage::Standby) => "standby",
        (false, false, _) => "learner",
    }
}

/// Whole ones; of a moment ago, one.
fn seconds(millis: u64) -> GoDuration {
    Duration::from_secs(millis.div_ceil(1000)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_as_a_table() {
        let leader = Member {
            node_id: 1,
            name: "server-0".into(),
            leader: true,
            voter: true,
            healthy: true,
            ..Member::default()
        };
        let learner = Member {
            node_id: 12,
            name: "x".into(),
            lag: 7,
            reachable: true,
            healthy: true,
            healthy_for_ms: 61_000,
            last_contact_ms: 400,
            sealed: true,
            ..Member::default()
        };
        let away = Member { last_contact_ms: -1, ..Member::default() };
        let standby = Member { suffrage: Suffrage::Standby as i32, ..away };
        let mut text = Vec::new();
        print_members(&mut text, &[leader, learner, standby]).unwrap();
        let expected = "\
ID  NAME      ROLE     PEER ADDRESS  API ADDRESS  APPLIED  LAG  REACHABLE    CONTACT  HEALTHY
1   server-0  leader                              -        0    no           -        yes
12  x         learner                             0        7    yes, sealed  1s ago   for 1m1s
0             standby                             -        0    no           never    no
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
