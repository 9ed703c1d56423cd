//! `ca rotate`: looks where the rotation stands, does the next thing, and looks again. It keeps nothing: whoever names
//! the authority again goes on at any moment, on any replica.

use std::time::{Duration, Instant};

use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_api::server::localauthority::*;
use steeple_api::status::retry_delay;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::steeple::server::{Authority, AuthorityStatusRequest, AuthorityStatusResponse};
use steeple_ca::rotation::{RotationError, Step};
use steeple_cli::{Call, Context, Failure};
use steeple_core::{AuthorityKind, Clock as _, SystemClock};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::status::print_status;
use super::turn::{Looked, Turn, Wish, of_kind, verb};
use crate::cli::progress::{Patience, Progress, is_passing};
use crate::service::IDEMPOTENCY_KEY;

pub(super) async fn rotate(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let wanted = kinds(call.values.text("kind"))?;
    let ack_wait = call.values.duration("ackWait").to_std();
    let ack_wait = ack_wait.ok_or_else(|| Failure::message("-ackWait is below zero; 0s waits for nobody"))?;
    let mut rotation = Rotation {
        authorities: AuthoritiesClient::new(channel.clone()),
        local: LocalAuthorityClient::new(channel.clone()),
        progress: Progress::default(),
        patience: Patience::new(channel.clone()),
        preparations: 0,
    };
    let status = rotation.status().await.context("could not get the state of the authorities")?;
    let wish = Wish {
        named: call.values.text_if_any("authorityID").map(str::to_owned),
        compromised: call.values.bool("compromised"),
        ack_wait,
    };
    let has = |kind: &AuthorityKind| of_kind(&status, *kind).any(|it| is_wanted(it, wish.named.as_deref()));
    let kinds: Vec<AuthorityKind> = wanted.into_iter().filter(has).collect();
    if kinds.is_empty() {
        return Err(Failure::message(wish.named.map_or(RotationError::NoAuthority, RotationError::Unknown)));
    }
    if wish.compromised && kinds.contains(&AuthorityKind::X509) {
        refuse_below_upstream(&status)?;
    }
    let bundle = BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await;
    let bundle = bundle.context("could not get the bundle")?.into_inner();
    // All of them are decided before the first is changed.
    let begin = |kind: &AuthorityKind| Turn::begin(*kind, &wish, &status, &bundle, SystemClock.now());
    let begun: Vec<(Turn, Vec<String>)> = kinds.iter().map(begin).collect::<Result<_, _>>()?;
    for note in begun.iter().flat_map(|(_, notes)| notes) {
        rotation.progress.note(&mut call.streams, note)?;
    }
    let count = begun.len();
    for (position, (turn, _)) in begun.into_iter().enumerate() {
        rotation.turn(call, turn, (position, count)).await?;
    }
    rotation.progress.end(&mut call.streams)?;
    let status = rotation.status_with_patience(call).await?;
    call.print(&status, |streams, status| Ok(print_status(&mut streams.stdout, status)?))
}

struct Rotation {
    authorities: AuthoritiesClient<Channel>,
    local: LocalAuthorityClient<Channel>,
    progress: Progress,
    patience: Patience,
    /// How often one was prepared.
    preparations: u32,
}

impl Rotation {
    /// From where it stands to the end, for one kind; `turns` is which of how many kinds this is.
    async fn turn(&mut self, call: &mut Call, mut turn: Turn, turns: (usize, usize)) -> Result<(), Failure> {
        let mut failed: Option<Step> = None;
        loop {
            let status = self.status_with_patience(call).await?;
            let Looked { step, done, notes } = turn.look(Instant::now(), &status)?;
            for note in notes {
                self.progress.note(&mut call.streams, &note)?;
            }
            let done = (turns.0 as f64 + done) / turns.1 as f64;
            self.progress.show(&mut call.streams, done, &turn.describe(&step, &status))?;
            match self.carry_out(turn.kind, &step, &status).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    failed = None;
                    if matches!(step, Step::Revoke(_)) {
                        turn.is_revoked();
                    }
                }
                // A leader that goes takes the answer with it, and the server rotates by itself as well: look again.
                Err(status) if is_passing(&status) || failed.as_ref() != Some(&step) => {
                    failed = Some(step);
                    if let Some(delay) = retry_delay(&status) {
                        tokio::time::sleep(delay).await;
                    }
                }
                Err(status) => return Err(status).context(format!("could not {}", verb(&step))),
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// True when there is nothing left to do.
    async fn carry_out(
        &mut self,
        kind: AuthorityKind,
        step: &Step,
        status: &AuthorityStatusResponse,
    ) -> Result<bool, Status> {
        use AuthorityKind::{Jwt, Wit, X509};
        let Self { local, preparations, .. } = self;
        match (step, kind) {
            (Step::Done, _) => return Ok(true),
            (Step::AwaitBundle | Step::AwaitServers | Step::AwaitTaint, _) => {}
            (Step::Prepare, X509) => {
                let request = once(PrepareX509AuthorityRequest {}, kind, status, *preparations);
                local.prepare_x509_authority(request).await?;
                *preparations += 1;
            }
            (Step::Prepare, Jwt) => {
                let request = once(PrepareJwtAuthorityRequest {}, kind, status, *preparations);
                local.prepare_jwt_authority(request).await?;
                *preparations += 1;
            }
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
            // The calls for them are there, and do nothing yet (SPIRE behaviour): no `-kind` leads here.
            (_, Wit) => return Err(Status::unimplemented("keys for WIT-SVIDs cannot be rotated by hand")),
        }
        Ok(false)
    }

    async fn status(&mut self) -> Result<AuthorityStatusResponse, Status> {
        Ok(self.authorities.status(AuthorityStatusRequest::default()).await?.into_inner())
    }

    /// As [`Patience`] says.
    async fn status_with_patience(&mut self, call: &mut Call) -> Result<AuthorityStatusResponse, Failure> {
        loop {
            let Self { authorities, progress, patience, .. } = self;
            let asked = async { Ok(authorities.status(AuthorityStatusRequest::default()).await?.into_inner()) };
            let answer = patience.of(&mut call.streams, progress, asked).await;
            if let Some(status) = answer.context("the rotation has stopped; go on as was said at its beginning")? {
                patience.renew();
                return Ok(status);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The same request as that of everybody who begins this rotation at this moment, and as the one before that had no
/// answer: one of them is carried out, and the others are told of it. When what was prepared before is gone, it is
/// another request.
fn once<T>(message: T, kind: AuthorityKind, status: &AuthorityStatusResponse, before: u32) -> Request<T> {
    let active = of_kind(status, kind).find(|authority| authority.slot == "active");
    let active = active.map(|authority| authority.authority_id.as_str()).unwrap_or_default();
    let mut request = Request::new(message);
    // An ID is hex or base64; one that is neither goes without.
    if let Ok(key) = format!("successor of {active} {before}").parse() {
        request.metadata_mut().insert(IDEMPOTENCY_KEY, key);
    }
    request
}

fn kinds(text: &str) -> Result<Vec<AuthorityKind>, Failure> {
    match text {
        "all" => Ok(vec![AuthorityKind::X509, AuthorityKind::Jwt]),
        "x509" => Ok(vec![AuthorityKind::X509]),
        "jwt" => Ok(vec![AuthorityKind::Jwt]),
        other => Err(Failure::message(format!("-kind {other:?} is none of x509, jwt and all"))),
    }
}

fn is_wanted(authority: &Authority, named: Option<&str>) -> bool {
    named.is_none_or(|named| authority.authority_id == named)
}

/// The root is not this server's to taint.
fn refuse_below_upstream(status: &AuthorityStatusResponse) -> Result<(), Failure> {
    match of_kind(status, AuthorityKind::X509).find(|authority| !authority.upstream_authority_id.is_empty()) {
        Some(authority) => Err(Failure::message(format!(
            "X.509 authorities of this server are signed by the upstream authority {id}, and only that one can be \
             tainted: replace it where it is configured, run `ca rotate` without -compromised until the authority that \
             signs is below the new one, then `upstreamauthority taint -subjectKeyID {id}`",
            id = authority.upstream_authority_id
        ))),
        None => Ok(()),
    }
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_authority_is_tainted_by_other_means() {
        let below = Authority { kind: "x509".into(), upstream_authority_id: "ab".into(), ..Authority::default() };
        let status = AuthorityStatusResponse { authorities: vec![below], ..AuthorityStatusResponse::default() };
        let refusal = refuse_below_upstream(&status).unwrap_err().to_string();
        assert!(refusal.contains("upstreamauthority taint -subjectKeyID ab"), "{refusal}");
    }

    #[test]
    fn a_kind_that_is_none_is_named() {
        assert_eq!(kinds("all").unwrap().len(), 2);
        assert!(kinds("wit").unwrap_err().to_string().contains("x509, jwt and all"));
    }
}
