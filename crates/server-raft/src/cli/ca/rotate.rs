//! `ca rotate`: looks where the rotation stands, does the next thing, and looks again. It keeps nothing, so it can be
//! killed and started again at any moment, on any replica.

use std::time::{Duration, Instant};

use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_api::server::localauthority::*;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::steeple::server::{Acknowledgements, Authority, AuthorityStatusRequest, AuthorityStatusResponse};
use steeple_ca::rotation::{Slot, Standing, Step, next, target};
use steeple_cli::{Call, Context, Failure};
use steeple_core::{AuthorityId, AuthorityKind, Clock as _, SystemClock, Timestamp};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::progress::Progress;
use super::status::{missing, print_status};
use super::wait::{Verdict, Wait};
use crate::cli::reply::expected;

pub(super) async fn rotate(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let wanted = kinds(call.values.text("kind"))?;
    let mut rotation = Rotation {
        authorities: AuthoritiesClient::new(channel.clone()),
        local: LocalAuthorityClient::new(channel),
        compromised: call.values.bool("compromised"),
        ack_wait: call.values.duration("ackWait").to_std().unwrap_or_default(),
        progress: Progress::default(),
    };
    let status = rotation.status().await.context("could not get the state of the authorities")?;
    let named = call.values.text_if_any("authorityID").map(str::to_owned);
    let has = |kind: &AuthorityKind| of_kind(&status, *kind).any(|authority| is_wanted(authority, named.as_deref()));
    let kinds: Vec<AuthorityKind> = wanted.into_iter().filter(has).collect();
    if kinds.is_empty() {
        return Err(Failure::message("there is no such authority; see `ca status`"));
    }
    if rotation.compromised && kinds.contains(&AuthorityKind::X509) {
        refuse_below_upstream(&status)?;
    }
    for (turn, kind) in kinds.iter().enumerate() {
        rotation.turn(call, *kind, named.as_deref(), (turn, kinds.len())).await?;
    }
    rotation.progress.end(&mut call.streams)?;
    let status = rotation.status_with_patience().await?;
    call.print(&status, |streams, status| Ok(print_status(&mut streams.stdout, status)?))
}

struct Rotation {
    authorities: AuthoritiesClient<Channel>,
    local: LocalAuthorityClient<Channel>,
    compromised: bool,
    ack_wait: Duration,
    progress: Progress,
}

impl Rotation {
    /// From where it stands to the end, for one kind.
    async fn turn(
        &mut self,
        call: &mut Call,
        kind: AuthorityKind,
        named: Option<&str>,
        turn: (usize, usize),
    ) -> Result<(), Failure> {
        let mut going: Option<AuthorityId> = None;
        let mut wait: Option<Wait> = None;
        let mut failed: Option<Step> = None;
        loop {
            let status = self.status_with_patience().await?;
            let known = expected(status.acknowledgements.clone(), "acknowledgements")?;
            let mut standing = standing(&status, kind, &known);
            let going = match &going {
                Some(id) => id,
                None => {
                    let now = SystemClock.now();
                    let id = target(&standing, named, self.compromised, now).map_err(Failure::message)?;
                    self.progress.note(&mut call.streams, &format!("{}: {id} has to go", noun(kind)))?;
                    going.insert(id)
                }
            };
            let mut step = next(&standing, going, self.compromised);
            if let Some(lacking) = lacking(&step, &status, &known) {
                let now = Instant::now();
                let current = wait.take().filter(|wait| wait.is_for(&step));
                let mut current = current.unwrap_or_else(|| Wait::new(step.clone(), self.ack_wait, now));
                let verdict = current.look(now, lacking, &known);
                wait = Some(current);
                if verdict == Verdict::TooLong {
                    for line in missing(&known) {
                        self.progress.note(&mut call.streams, &format!("going on without {line}"))?;
                    }
                }
                if verdict != Verdict::GoesOn {
                    (standing.bundle_arrived, standing.servers_renewed) = match step {
                        Step::AwaitServers => (false, true),
                        _ => (true, standing.servers_renewed),
                    };
                    step = next(&standing, going, self.compromised);
                }
            }
            let done = (turn.0 as f64 + share(&step, self.compromised, &status, &known)) / turn.1 as f64;
            self.progress.show(&mut call.streams, done, &describe(kind, &step, &status, &known))?;
            match self.carry_out(kind, &step).await {
                Ok(true) => return Ok(()),
                Ok(false) => failed = None,
                // A leader that goes takes the answer with it, and the server rotates by itself as well: look again.
                Err(status) if is_passing(&status) || failed.as_ref() != Some(&step) => failed = Some(step),
                Err(status) => return Err(status).context(format!("could not {}", verb(&step))),
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// True when there is nothing left to do.
    async fn carry_out(&mut self, kind: AuthorityKind, step: &Step) -> Result<bool, Status> {
        use AuthorityKind::{Jwt, X509};
        let local = &mut self.local;
        match (step, kind) {
            (Step::Done, _) => return Ok(true),
            (Step::AwaitBundle | Step::AwaitServers | Step::AwaitTaint, _) => {}
            (Step::Prepare, X509) => drop(local.prepare_x509_authority(PrepareX509AuthorityRequest {}).await?),
            (Step::Prepare, Jwt) => drop(local.prepare_jwt_authority(PrepareJwtAuthorityRequest {}).await?),
            (Step::Activate(id), X509) => {
                let request = ActivateX509AuthorityRequest { authority_id: id.clone() };
                local.activate_x509_authority(request).await?;
            }
            (Step::Activate(id), Jwt) => {
                let request = ActivateJwtAuthorityRequest { authority_id: id.clone() };
                local.activate_jwt_authority(request).await?;
            }
            (Step::Taint(id), X509) => {
                local.taint_x509_authority(TaintX509AuthorityRequest { authority_id: id.clone() }).await?;
            }
            (Step::Taint(id), Jwt) => {
                local.taint_jwt_authority(TaintJwtAuthorityRequest { authority_id: id.clone() }).await?;
            }
            (Step::Revoke(id), X509) => {
                local.revoke_x509_authority(RevokeX509AuthorityRequest { authority_id: id.clone() }).await?;
            }
            (Step::Revoke(id), Jwt) => {
                local.revoke_jwt_authority(RevokeJwtAuthorityRequest { authority_id: id.clone() }).await?;
            }
        }
        Ok(false)
    }

    async fn status(&mut self) -> Result<AuthorityStatusResponse, Status> {
        Ok(self.authorities.status(AuthorityStatusRequest {}).await?.into_inner())
    }

    /// An election, or a restart of the replica that is asked, does not end a rotation.
    async fn status_with_patience(&mut self) -> Result<AuthorityStatusResponse, Failure> {
        let begun = Instant::now();
        loop {
            match self.status().await {
                Ok(status) => return Ok(status),
                Err(status) if is_passing(&status) && begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
                Err(status) => {
                    return Err(status).context("the rotation has stopped; run the same command again to go on");
                }
            }
        }
    }
}

fn kinds(text: &str) -> Result<Vec<AuthorityKind>, Failure> {
    match text {
        "all" => Ok(vec![AuthorityKind::X509, AuthorityKind::Jwt]),
        "x509" => Ok(vec![AuthorityKind::X509]),
        "jwt" => Ok(vec![AuthorityKind::Jwt]),
        other => Err(Failure::message(format!("-kind {other:?} is none of x509, jwt and all"))),
    }
}

fn of_kind(status: &AuthorityStatusResponse, kind: AuthorityKind) -> impl Iterator<Item = &Authority> {
    status.authorities.iter().filter(move |authority| authority.kind == kind.name())
}

fn is_wanted(authority: &Authority, named: Option<&str>) -> bool {
    named.is_none_or(|named| authority.authority_id == named)
}

/// The root is not this server's to taint.
fn refuse_below_upstream(status: &AuthorityStatusResponse) -> Result<(), Failure> {
    match of_kind(status, AuthorityKind::X509).find(|authority| !authority.upstream_authority_id.is_empty()) {
        Some(authority) => Err(Failure::message(format!(
            "X.509 authorities of this server are signed by the upstream authority {id}, and only that one can be \
             tainted: run `ca rotate` without -compromised, then `upstreamauthority taint -subjectKeyID {id}`",
            id = authority.upstream_authority_id
        ))),
        None => Ok(()),
    }
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
        servers_renewed: kind == AuthorityKind::Jwt || servers_behind(status, known) == 0,
        // Until the wait says so.
        bundle_arrived: false,
    }
}

/// Replicas that do not show an SVID of the active authority.
fn servers_behind(status: &AuthorityStatusResponse, known: &Acknowledgements) -> u64 {
    let active = of_kind(status, AuthorityKind::X509).find(|authority| authority.slot == "active");
    let active = active.map(|authority| authority.authority_id.as_str());
    let behind = |replica: &&_| {
        let replica: &steeple_api::steeple::server::AcknowledgingReplica = replica;
        Some(replica.svid_authority_id.as_str()) != active
    };
    known.replicas.iter().filter(behind).count() as u64
}

/// How many a wait still waits for; `None` for a step that is none.
fn lacking(step: &Step, status: &AuthorityStatusResponse, known: &Acknowledgements) -> Option<u64> {
    match step {
        Step::AwaitBundle | Step::AwaitTaint => Some(known.missing),
        Step::AwaitServers => Some(servers_behind(status, known)),
        _ => None,
    }
}

/// The part of one kind's rotation that is done, between 0 and 1.
fn share(step: &Step, compromised: bool, status: &AuthorityStatusResponse, known: &Acknowledgements) -> f64 {
    let all = (known.live_agents + known.replicas.len() as u64).max(1) as f64;
    let within = lacking(step, status, known).map_or(0.0, |lacking| (1.0 - lacking as f64 / all).clamp(0.0, 0.9));
    (step.position() as f64 + within) / Step::count(compromised) as f64
}

fn describe(kind: AuthorityKind, step: &Step, status: &AuthorityStatusResponse, known: &Acknowledgements) -> String {
    let waits_for = match lacking(step, status, known) {
        Some(0) => ": all have, a moment more".to_owned(),
        Some(lacking) => format!(": {lacking} missing"),
        None => String::new(),
    };
    format!("{}: {}{waits_for}", noun(kind), verb(step))
}

fn verb(step: &Step) -> String {
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
    }
}

fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled)
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Longer than an election or the restart of a replica.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_authority_is_tainted_by_other_means() {
        let below = Authority { kind: "x509".into(), upstream_authority_id: "ab".into(), ..Authority::default() };
        let status = AuthorityStatusResponse { authorities: vec![below], acknowledgements: None };
        let refusal = refuse_below_upstream(&status).unwrap_err().to_string();
        assert!(refusal.contains("upstreamauthority taint -subjectKeyID ab"), "{refusal}");
    }

    #[test]
    fn a_kind_that_is_none_is_named() {
        assert_eq!(kinds("all").unwrap().len(), 2);
        assert!(kinds("wit").unwrap_err().to_string().contains("x509, jwt and all"));
    }
}
