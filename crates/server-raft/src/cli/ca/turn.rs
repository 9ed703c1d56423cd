//! One kind's part in a rotation by hand, as decisions over what the servers say: what comes next, and which wait is
//! over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use steeple_api::steeple::server::{Acknowledgements, AcknowledgingReplica, Authority, AuthorityStatusResponse};
use steeple_api::types::Bundle;
use steeple_ca::rotation::{RotationError, Servers, Slot, Standing, Step, next, target};
use steeple_cli::{Failure, utc_time};
use steeple_core::{AuthorityId, AuthorityKind, Timestamp};

use super::out_of_reach::out_of_reach;
use super::status::{missing, silent};
use super::wait::{Verdict, Wait};
use crate::cli::reply::expected;

/// What the operator asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    /// The authority that has to go, where the operator says so.
    pub(super) named: Option<String>,
    pub(super) compromised: bool,
    pub(super) ack_wait: Duration,
}

/// What a killed command loses: which authority had to go, unless it is named again, and how long it has waited.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) kind: AuthorityKind,
    /// The authority that has to go.
    going: AuthorityId,
    /// To be tainted and revoked, if it has not been.
    compromised: bool,
    ack_wait: Duration,
    wait: Option<Wait>,
    /// A replica that shows no new SVID has been waited for in vain.
    servers_given_up: bool,
    /// Agents that nobody waits for, as far as that was said.
    told_silent: BTreeSet<String>,
    revoked: bool,
    /// As far as it has been shown: who comes to be waited for takes nothing back.
    done: f64,
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
    /// Decides which authority has to go, before anything is changed, and says so.
    pub(super) fn begin(
        kind: AuthorityKind,
        wish: &Wish,
        status: &AuthorityStatusResponse,
        bundle: &Bundle,
        wall: Timestamp,
    ) -> Result<(Self, Vec<String>), Failure> {
        let known = expected(status.acknowledgements.as_ref(), "acknowledgements")?;
        let mut standing = standing(status, kind, known);
        standing.out_of_reach = out_of_reach(kind, status, bundle, wall);
        let going = target(&standing, wish.named.as_deref(), wish.compromised).map_err(|error| match error {
            RotationError::Ambiguous => Failure::message(choice(kind, &standing)),
            other => Failure::message(format!("{}: {other}", noun(kind))),
        })?;
        let in_the_middle = standing.old.as_ref().is_some_and(|old| old.id == going && old.tainted);
        let compromised = wish.compromised || in_the_middle;
        let notes = beginning(kind, &standing, &going, compromised);
        let turn = Self {
            kind,
            going,
            compromised,
            ack_wait: wish.ack_wait,
            wait: None,
            servers_given_up: false,
            told_silent: BTreeSet::new(),
            revoked: false,
            done: 0.0,
        };
        Ok((turn, notes))
    }

    pub(super) fn look(&mut self, now: Instant, status: &AuthorityStatusResponse) -> Result<Looked, Failure> {
        let known = expected(status.acknowledgements.as_ref(), "acknowledgements")?;
        let mut standing = standing(status, self.kind, known);
        if self.servers_given_up {
            standing.servers = Servers::Renewed;
        }
        let mut notes = Vec::new();
        let mut step = self.next(&standing)?;
        if matches!(step, Step::AwaitBundle | Step::AwaitTaint) {
            notes.extend(self.fallen_silent(known));
        }
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
                step = self.next(&standing)?;
            }
        }
        self.done = self.done.max(share(&step, self.compromised, status, known));
        Ok(Looked { step, done: self.done, notes })
    }

    /// A line for each agent that is not waited for, once.
    fn fallen_silent(&mut self, known: &Acknowledgements) -> Vec<String> {
        let new: Vec<String> = silent(known).filter(|line| !self.told_silent.contains(line)).collect();
        self.told_silent.extend(new.iter().take(SILENT_TOLD_MAX).cloned());
        new.iter()
            .map(|line| format!("not waiting for {line}, silent for a minute: it may have to bootstrap anew"))
            .collect()
    }

    /// From then on it does not matter whether a slot has it.
    pub(super) fn is_revoked(&mut self) {
        self.revoked = true;
    }

    fn next(&self, standing: &Standing) -> Result<Step, Failure> {
        let (noun, compromised) = (noun(self.kind), self.compromised && !self.revoked);
        next(standing, &self.going, compromised).map_err(|error| Failure::message(format!("{noun}: {error}")))
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
        out_of_reach: Vec::new(),
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

/// Which authority has to go, how to go on with that, and what stays trusted although it signs no longer.
fn beginning(kind: AuthorityKind, standing: &Standing, going: &str, compromised: bool) -> Vec<String> {
    let noun = noun(kind);
    let what = match &standing.active {
        Some(active) if active.id != going => format!(
            "{going} has to go, which signs no longer; {stays} stays (if {stays} has to go, name it with -authorityID)",
            stays = active.id
        ),
        _ => format!("{going} has to go"),
    };
    let mut notes = vec![
        format!("{noun}: {what}"),
        format!("{noun}: if this is interrupted, go on with `{}`", command(kind, going, compromised)),
    ];
    let old = standing.old.iter().filter(|old| old.published && old.id != going);
    let stay = old.chain(&standing.out_of_reach).filter(|_| compromised);
    notes.extend(stay.map(|slot| format!("{noun}: {} is not part of this and {}", slot.id, trusted(slot))));
    notes
}

/// The refusal where only the operator knows which authority is compromised.
fn choice(kind: AuthorityKind, standing: &Standing) -> String {
    let mut lines = vec![format!("{}: it is not known which one is compromised, and nothing was changed:", noun(kind))];
    lines.extend(
        standing
            .active
            .iter()
            .map(|active| format!("  {}, which signs: `{}`", active.id, command(kind, &active.id, true))),
    );
    lines.extend(standing.old.iter().filter(|old| old.published).map(|old| {
        format!("  {}, which it replaced and which {}: `{}`", old.id, trusted(old), command(kind, &old.id, true))
    }));
    lines.extend(standing.out_of_reach.iter().map(|slot| {
        format!("  {}, which is in no slot any more and {}: no command reaches it", slot.id, trusted(slot))
    }));
    lines.push(
        "A rotation that was interrupted goes on with the one that was replaced. If both have to go, that one goes \
         first: after the next rotation no command reaches it."
            .to_owned(),
    );
    lines.join("\n")
}

fn command(kind: AuthorityKind, id: &str, compromised: bool) -> String {
    let flag = if compromised { " -compromised" } else { "" };
    format!("ca rotate{flag} -kind {} -authorityID {id}", kind.name())
}

fn trusted(slot: &Slot) -> String {
    match slot.not_after.as_secs() {
        i64::MAX => "stays trusted".to_owned(),
        secs => format!("stays trusted until {}", utc_time(secs)),
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

/// As many as a server names, over a few looks.
const SILENT_TOLD_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
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
        AuthorityStatusResponse { authorities, acknowledgements: Some(known), stale: false }
    }

    fn begin(wish: &Wish, status: &AuthorityStatusResponse, bundle: &Bundle) -> Result<(Turn, Vec<String>), Failure> {
        Turn::begin(AuthorityKind::X509, wish, status, bundle, Timestamp::from_secs(100_000))
    }

    fn compromised(named: Option<&str>) -> Wish {
        Wish { named: named.map(str::to_owned), compromised: true, ack_wait: MINUTE }
    }

    #[test]
    fn a_replica_that_is_gone_delays_and_does_not_stop_a_rotation() {
        let start = Instant::now();
        let mut old = authority("old", "a");
        let stands = |old: &Authority| {
            status(vec![authority("active", "b"), old.clone()], vec![replica(1, "b"), replica(2, "")], 1)
        };
        let (mut turn, _) = begin(&compromised(Some("a")), &stands(&old), &Bundle::default()).unwrap();
        assert_eq!(turn.look(start, &stands(&old)).unwrap().step, Step::AwaitServers);
        let looked = turn.look(start + MINUTE, &stands(&old)).unwrap();
        assert_eq!(looked.step, Step::Taint("a".to_owned()));
        assert_eq!(looked.notes, ["going on without replica 2 (server-2), which shows no new SVID"]);
        old.tainted = true;
        assert_eq!(turn.look(start + MINUTE, &stands(&old)).unwrap().step, Step::AwaitTaint);
        assert_eq!(turn.look(start + 2 * MINUTE, &stands(&old)).unwrap().step, Step::Revoke("a".to_owned()));
        old.published = false;
        let looked = turn.look(start + 2 * MINUTE, &stands(&old)).unwrap();
        assert_eq!((looked.step, looked.done), (Step::Done, 1.0));
    }

    #[test]
    fn it_goes_forward_as_the_missing_come_and_never_back() {
        let start = Instant::now();
        let stands = |missing| {
            let authorities = vec![authority("active", "a"), authority("prepared", "b")];
            status(authorities, vec![replica(1, "a"), replica(2, "a")], missing)
        };
        let wish = Wish { ack_wait: MINUTE, ..Wish::default() };
        let (mut turn, _) = begin(&wish, &stands(2), &Bundle::default()).unwrap();
        let mut done = Vec::new();
        for missing in [2, 1, 2, 0] {
            done.push(turn.look(start, &stands(missing)).unwrap().done);
        }
        assert_eq!(done, [0.25, 0.375, 0.375, 0.5]);
    }

    #[test]
    fn an_agent_that_falls_silent_while_it_is_waited_for_is_named_once() {
        let start = Instant::now();
        let stands = |missing: u64, silent: &[&str]| {
            let authorities = vec![authority("active", "a"), authority("prepared", "b")];
            let mut status = status(authorities, vec![replica(1, "a")], missing);
            let known = status.acknowledgements.as_mut().unwrap();
            known.silent_agents = silent.len() as u64;
            known.silent_agent_ids = silent.iter().map(|id| (*id).to_owned()).collect();
            status
        };
        let (mut turn, _) = begin(&compromised(None), &stands(1, &[]), &Bundle::default()).unwrap();
        assert_eq!(turn.look(start, &stands(1, &[])).unwrap().notes, [""; 0]);
        let looked = turn.look(start, &stands(0, &["agent-1"])).unwrap();
        assert_eq!(looked.step, Step::Activate("b".to_owned()));
        let told = "not waiting for agent-1, silent for a minute: it may have to bootstrap anew";
        assert_eq!(looked.notes, [told]);
        assert_eq!(turn.look(start, &stands(1, &["agent-1"])).unwrap().notes, [""; 0]);
    }

    /// As after a command that was killed behind the activation, with a successor that was prepared hours before.
    #[test]
    fn a_killed_rotation_is_gone_on_with_by_name_and_not_by_guess() {
        let stands = status(vec![authority("active", "new"), authority("old", "leaked")], vec![replica(1, "new")], 0);
        let refusal = begin(&compromised(None), &stands, &Bundle::default()).unwrap_err().to_string();
        for id in ["new", "leaked"] {
            let choice = format!("`ca rotate -compromised -kind x509 -authorityID {id}`");
            assert!(refusal.contains(&choice), "{refusal}");
        }
        let until = "leaked, which it replaced and which stays trusted until 1970-01-03 07:33:20 +0000 UTC";
        assert!(refusal.contains(until), "{refusal}");
        let (mut turn, notes) = begin(&compromised(Some("leaked")), &stands, &Bundle::default()).unwrap();
        assert!(notes[0].contains("leaked has to go") && notes[0].contains("new stays"), "{notes:?}");
        assert!(notes[1].contains("`ca rotate -compromised -kind x509 -authorityID leaked`"), "{notes:?}");
        assert_eq!(notes.len(), 2);
        assert_eq!(turn.look(Instant::now(), &stands).unwrap().step, Step::Taint("leaked".to_owned()));
        let (_, notes) = begin(&compromised(Some("new")), &stands, &Bundle::default()).unwrap();
        assert!(notes[2].contains("leaked is not part of this and stays trusted until"), "{notes:?}");
    }

    #[test]
    fn one_that_leaves_its_slot_too_early_is_no_success() {
        let start = Instant::now();
        let mut old = authority("old", "a");
        old.tainted = true;
        let before = status(vec![authority("active", "b"), old], vec![replica(1, "b")], 0);
        let after = status(vec![authority("active", "b"), authority("prepared", "c")], vec![replica(1, "b")], 0);
        // Whoever goes on with what another one began need not say why.
        let wish = Wish { ack_wait: MINUTE, ..Wish::default() };
        let (mut turn, _) = begin(&wish, &before, &Bundle::default()).unwrap();
        assert_eq!(turn.look(start, &before).unwrap().step, Step::Revoke("a".to_owned()));
        let error = turn.look(start, &after).unwrap_err().to_string();
        assert!(error.contains("a is in no slot any more and was not revoked"), "{error}");
        turn.is_revoked();
        assert_eq!(turn.look(start, &after).unwrap().step, Step::Done);
    }
}
