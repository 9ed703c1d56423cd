//! One kind's part in a rotation by hand, as decisions over what the servers say: what comes next, and which wait is
//! over.

use std::time::{Duration, Instant};

use steeple_api::steeple::server::{Acknowledgements, AcknowledgingReplica, Authority, AuthorityStatusResponse};
use steeple_ca::rotation::{Servers, Slot, Standing, Step, next, target};
use steeple_cli::Failure;
use steeple_core::{AuthorityId, AuthorityKind, Timestamp};

use super::status::missing;
use super::wait::{Verdict, Wait};
use crate::cli::reply::expected;

/// What a killed command loses: which authority has to go is found again, and the waits begin again.
pub(super) struct Turn {
    pub(super) kind: AuthorityKind,
    named: Option<String>,
    compromised: bool,
    ack_wait: Duration,
    going: Option<AuthorityId>,
    wait: Option<Wait>,
    /// A replica that shows no new SVID has been waited for in vain.
    servers_given_up: bool,
}

/// What one look at the servers leads to.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) step: Step,
    /// The part of this turn that is done, between 0 and 1.
    pub(super) done: f64,
    /// Worth a line that stays.
    pub(super) notes: Vec<String>,
}

impl Turn {
    /// `named` is the authority that has to go, where the operator says so.
    pub(super) fn new(kind: AuthorityKind, named: Option<String>, compromised: bool, ack_wait: Duration) -> Self {
        Self { kind, named, compromised, ack_wait, going: None, wait: None, servers_given_up: false }
    }

    pub(super) fn look(
        &mut self,
        now: Instant,
        wall: Timestamp,
        status: &AuthorityStatusResponse,
    ) -> Result<Looked, Failure> {
        let known = expected(status.acknowledgements.as_ref(), "acknowledgements")?;
        let mut standing = standing(status, self.kind, known);
        if self.servers_given_up {
            standing.servers = Servers::Renewed;
        }
        let mut notes = Vec::new();
        let going = match self.going.clone() {
            Some(id) => id,
            None => {
                let id = target(&standing, self.named.as_deref(), self.compromised, wall).map_err(Failure::message)?;
                notes.push(beginning(self.kind, &standing, &id));
                self.going = Some(id.clone());
                id
            }
        };
        let mut step = next(&standing, &going, self.compromised);
        if let Some(lacking) = lacking(&step, status, known) {
            let wait = self.wait.take().filter(|wait| wait.is_for(&step));
            let wait = self.wait.insert(wait.unwrap_or_else(|| Wait::new(step.clone(), self.ack_wait, now)));
            let verdict = wait.look(now, lacking, known);
            if verdict == Verdict::TooLong {
                notes.extend(left_behind(&step, status, known));
            }
            if verdict != Verdict::GoesOn {
                if step == Step::AwaitServers {
                    (self.servers_given_up, standing.servers) = (true, Servers::Renewed);
                } else {
                    standing.bundle_arrived = true;
                }
                step = next(&standing, &going, self.compromised);
            }
        }
        let done = share(&step, self.compromised, status, known);
        Ok(Looked { step, done, notes })
    }

    pub(super) fn describe(&self, step: &Step, status: &AuthorityStatusResponse) -> String {
        let known = status.acknowledgements.as_ref();
        let waits_for = match known.and_then(|known| lacking(step, status, known)) {
            Some(0) => ": all have, a moment more".to_owned(),
            Some(lacking) => format!(": {lacking} missing"),
            None => String::new(),
        };
        format!("{}: {}{waits_for}", noun(self.kind), verb(step))
    }
}

pub(super) fn of_kind(status: &AuthorityStatusResponse, kind: AuthorityKind) -> impl Iterator<Item = &Authority> {
    status.authorities.iter().filter(move |authority| authority.kind == kind.name())
}

fn standing(status: &AuthorityStatusResponse, kind: AuthorityKind, known: &Acknowledgements) -> Standing {
    let slot = |name: &str| {
        let authority = of_kind(status, kind).find(|authority| authority.slot == name)?;
        Some(Slot {
            id: authority.authority_id.clone(),
            issued_at: Timestamp::from_secs(authority.issued_at),
            not_after: Timestamp::from_secs(authority.not_after),
            published: authority.published,
            tainted: authority.tainted,
        })
    };
    Standing {
        active: slot("active"),
        prepared: slot("prepared"),
        old: slot("old"),
        servers: match kind {
            AuthorityKind::Jwt | AuthorityKind::Wit => Servers::Renewed,
            AuthorityKind::X509 => servers(status, known),
        },
        // Until the wait says so.
        bundle_arrived: false,
    }
}

fn servers(status: &AuthorityStatusResponse, known: &Acknowledgements) -> Servers {
    let shown: Vec<&str> = servers_behind(status, known).map(|replica| replica.svid_authority_id.as_str()).collect();
    match shown.iter().any(|id| !id.is_empty()) {
        true => Servers::Behind,
        false if shown.is_empty() => Servers::Renewed,
        false => Servers::SomeSilent,
    }
}

/// Replicas that do not show an SVID of the active authority.
fn servers_behind<'a>(
    status: &'a AuthorityStatusResponse,
    known: &'a Acknowledgements,
) -> impl Iterator<Item = &'a AcknowledgingReplica> {
    let active = of_kind(status, AuthorityKind::X509).find(|authority| authority.slot == "active");
    let active = active.map(|authority| authority.authority_id.as_str());
    known.replicas.iter().filter(move |replica| Some(replica.svid_authority_id.as_str()) != active)
}

/// How many a wait still waits for; `None` for a step that is none.
fn lacking(step: &Step, status: &AuthorityStatusResponse, known: &Acknowledgements) -> Option<u64> {
    match step {
        Step::AwaitBundle | Step::AwaitTaint => Some(known.missing),
        Step::AwaitServers => Some(servers_behind(status, known).count() as u64),
        _ => None,
    }
}

/// A line for each one that a wait goes on without.
fn left_behind(step: &Step, status: &AuthorityStatusResponse, known: &Acknowledgements) -> Vec<String> {
    match step {
        Step::AwaitServers => servers_behind(status, known)
            .map(|replica| {
                format!("going on without replica {} ({}), which shows no new SVID", replica.node_id, replica.name)
            })
            .collect(),
        _ => missing(known).map(|line| format!("going on without {line}")).collect(),
    }
}

/// Which authority has to go, and how to get rid of another one instead.
fn beginning(kind: AuthorityKind, standing: &Standing, going: &str) -> String {
    let noun = noun(kind);
    match &standing.active {
        Some(active) if active.id != going => format!(
            "{noun}: a rotation stands in the middle; {going} has to go, {stays} stays (if {stays} has to go, name it \
             with -authorityID)",
            stays = active.id
        ),
        _ => format!("{noun}: {going} has to go"),
    }
}

/// The part of one kind's rotation that is done, between 0 and 1.
fn share(step: &Step, compromised: bool, status: &AuthorityStatusResponse, known: &Acknowledgements) -> f64 {
    let all = (known.live_agents + known.replicas.len() as u64).max(1) as f64;
    let within = lacking(step, status, known).map_or(0.0, |lacking| (1.0 - lacking as f64 / all).clamp(0.0, 0.9));
    (step.position() as f64 + within) / Step::count(compromised) as f64
}

pub(super) fn verb(step: &Step) -> String {
    match step {
        Step::Prepare => "prepare a new one".to_owned(),
        Step::AwaitBundle => "wait until all know it".to_owned(),
        Step::Activate(id) => format!("activate {id}"),
        Step::AwaitServers => "wait until the replicas have new SVIDs".to_owned(),
        Step::Taint(id) => format!("taint {id}"),
        Step::AwaitTaint => "wait until agents have replaced what it signed".to_owned(),
        Step::Revoke(id) => format!("revoke {id}"),
        Step::Done => "done".to_owned(),
    }
}

fn noun(kind: AuthorityKind) -> &'static str {
    match kind {
        AuthorityKind::X509 => "X.509 authority",
        AuthorityKind::Jwt => "JWT authority",
        AuthorityKind::Wit => "WIT authority",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const WALL: Timestamp = Timestamp::from_secs(100_000);

    fn authority(slot: &str, id: &str) -> Authority {
        Authority {
            kind: "x509".to_owned(),
            authority_id: id.to_owned(),
            slot: slot.to_owned(),
            not_after: 200_000,
            published: true,
            ..Authority::default()
        }
    }

    fn replica(node_id: u64, svid_authority_id: &str) -> AcknowledgingReplica {
        let (name, svid_authority_id) = (format!("server-{node_id}"), svid_authority_id.to_owned());
        AcknowledgingReplica { node_id, name, svid_authority_id, ..AcknowledgingReplica::default() }
    }

    fn status(
        authorities: Vec<Authority>,
        replicas: Vec<AcknowledgingReplica>,
        missing: u64,
    ) -> AuthorityStatusResponse {
        let known = Acknowledgements { missing, replicas, ..Acknowledgements::default() };
        AuthorityStatusResponse { authorities, acknowledgements: Some(known) }
    }

    #[test]
    fn a_replica_that_is_gone_delays_and_does_not_stop_a_rotation() {
        let start = Instant::now();
        let mut turn = Turn::new(AuthorityKind::X509, Some("a".to_owned()), true, MINUTE);
        let mut old = authority("old", "a");
        let stands = |old: &Authority| {
            status(vec![authority("active", "b"), old.clone()], vec![replica(1, "b"), replica(2, "")], 1)
        };
        assert_eq!(turn.look(start, WALL, &stands(&old)).unwrap().step, Step::AwaitServers);
        let looked = turn.look(start + MINUTE, WALL, &stands(&old)).unwrap();
        assert_eq!(looked.step, Step::Taint("a".to_owned()));
        assert_eq!(looked.notes, ["going on without replica 2 (server-2), which shows no new SVID"]);
        old.tainted = true;
        assert_eq!(turn.look(start + MINUTE, WALL, &stands(&old)).unwrap().step, Step::AwaitTaint);
        assert_eq!(turn.look(start + 2 * MINUTE, WALL, &stands(&old)).unwrap().step, Step::Revoke("a".to_owned()));
        old.published = false;
        let looked = turn.look(start + 2 * MINUTE, WALL, &stands(&old)).unwrap();
        assert_eq!((looked.step, looked.done), (Step::Done, 1.0));
    }

    #[test]
    fn it_goes_forward_as_the_missing_come() {
        let start = Instant::now();
        let mut turn = Turn::new(AuthorityKind::X509, None, false, MINUTE);
        let stands = |missing| {
            let authorities = vec![authority("active", "a"), authority("prepared", "b")];
            status(authorities, vec![replica(1, "a"), replica(2, "a")], missing)
        };
        let mut done = Vec::new();
        for missing in [2, 1, 0] {
            done.push(turn.look(start, WALL, &stands(missing)).unwrap().done);
        }
        assert_eq!(done, [0.25, 0.375, 0.5]);
    }

    #[test]
    fn whoever_goes_on_with_a_rotation_is_told_which_authority_stays() {
        let slot = |id: &str| Slot {
            id: id.to_owned(),
            issued_at: Timestamp::from_secs(0),
            not_after: Timestamp::from_secs(60),
            published: true,
            tainted: true,
        };
        let standing = Standing { active: Some(slot("new")), old: Some(slot("old")), ..Standing::default() };
        assert_eq!(beginning(AuthorityKind::Jwt, &standing, "new"), "JWT authority: new has to go");
        assert!(beginning(AuthorityKind::Jwt, &standing, "old").contains("old has to go, new stays"));
    }
}
