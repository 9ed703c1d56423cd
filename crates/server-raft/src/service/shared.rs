//! What every service needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steeple_core::plugin::NodeAttestor;
use steeple_core::{AuthorityKind, Clock, TrustDomain};
use steeple_state::{CommandKind, Outcome, RequestId, State};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use super::{Subscribers, failure};
use crate::acknowledgement::Acknowledgements;
use crate::applied_index;
use crate::audit::AuditLayer;
use crate::authz::Authorized;
use crate::backup::Backups;
use crate::driver::server_svid::ServerSvid;
use crate::entry_watch::Feed;
use crate::federation::Relationships;
use crate::freshness::Freshness;
use crate::issue::{AuthorityMaker, Issuer};
use crate::raft::{Origin, ReadMode, Replica, StateRead, View as ReplicaView};
use crate::seal::KeyInUse;

/// Shared by all services of one process.
pub struct Shared {
    pub replica: Replica,
    pub freshness: Freshness,
    pub issuer: Issuer,
    pub maker: Arc<AuthorityMaker>,
    pub acknowledgements: Arc<Acknowledgements>,
    pub backups: Backups,
    pub sealing_key: KeyInUse,
    pub trust_domain: TrustDomain,
    pub clock: Arc<dyn Clock>,
    /// By attestation type; `join_token` is not among them.
    pub attestors: BTreeMap<String, Arc<dyn NodeAttestor>>,
    pub switches: Switches,
    pub relationships: Arc<Relationships>,
    /// For what a stream carries in place of calls. Calls are put on record before they come here.
    pub audit: Option<AuditLayer>,
    pub server_svid: watch::Receiver<Option<ServerSvid>>,
    /// Agents on push streams.
    pub subscribers: Arc<Subscribers>,
    /// The latest changes of entries.
    pub entry_feed: Arc<Feed>,
    pub started_at: Instant,
}

/// Configuration that turns parts of the API off or on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// `disable_jwt_svids`.
    pub jwt_svids_disabled: bool,
    /// The feature flag `wit-svid`.
    pub wit_svids: bool,
    /// `experimental.agent_spiffe_id_as_selector`.
    pub agent_id_as_selector: bool,
}

impl Switches {
    /// The kinds of authorities that this server cares for.
    pub fn kinds(&self) -> Vec<AuthorityKind> {
        let wanted = |kind: &AuthorityKind| match kind {
            AuthorityKind::X509 => true,
            AuthorityKind::Jwt => !self.jwt_svids_disabled,
            AuthorityKind::Wit => self.wit_svids,
        };
        AuthorityKind::ALL.into_iter().filter(wanted).collect()
    }
}

/// The right to look at the state; the answer of the call names the index at which it did.
pub struct View(ReplicaView);

impl View {
    /// Keep it short, and never across an `.await`: the replica cannot apply meanwhile.
    pub fn state(&self) -> StateRead<'_> {
        let state = self.0.state();
        applied_index::read_at(state.applied_index());
        state
    }
}

impl Shared {
    /// `Unavailable` while this server has no sealing key: another replica may.
    pub fn unsealed(&self) -> Result<(), Status> {
        self.sealing_key.check().map_err(|sealed| Status::unavailable(sealed.to_string()))
    }

    /// Everything acknowledged so far, on any replica; `Unavailable` while no leader can confirm it.
    pub async fn fresh(&self) -> Result<View, Status> {
        let deadline = Instant::now() + READ_TIMEOUT;
        let view = self.replica.read(ReadMode::Linearizable, deadline).await;
        view.map(View).map_err(|error| failure::of_read(&error))
    }

    /// What this replica holds, at most [`crate::freshness::STALENESS_MAX`] old: for what an agent is told that was let
    /// in. `Unavailable` on a replica that may be older.
    pub async fn local(&self) -> Result<View, Status> {
        self.until_fresh().await?;
        self.held().await
    }

    /// Waits until what this replica holds may be told, as long as a read may take.
    pub async fn until_fresh(&self) -> Result<(), Status> {
        if self.freshness.check().is_err() {
            // Without its key it cannot know.
            self.unsealed()?;
            let known = self.freshness.by(Instant::now() + READ_TIMEOUT).await;
            known.map_err(|stale| Status::unavailable(stale.to_string()))?;
        }
        Ok(())
    }

    /// What this replica holds, however old: for what it tells of itself.
    pub async fn held(&self) -> Result<View, Status> {
        let deadline = Instant::now() + READ_TIMEOUT;
        let view = self.replica.read(ReadMode::Local, deadline).await;
        let view = view.map(View).map_err(|error| failure::of_read(&error))?;
        if view.state().cluster().is_none() {
            return Err(Status::unavailable("server is initializing"));
        }
        Ok(view)
    }

    /// Whether there is an authority of each kind that signs, as far as the cluster version has the kind. The bundle
    /// alone says less: an authority is in it before it is activated. SPIRE opens its API after this.
    pub fn is_initialized(&self, state: &State) -> bool {
        let has = |kind: AuthorityKind| state.active_authority(kind).is_some() || !state.permits(kind);
        self.switches.kinds().into_iter().all(has)
    }

    /// Proposes on the caller's behalf. `Outcome::Rejected` becomes its status.
    pub async fn propose(&self, caller: &Authorized, kind: CommandKind) -> Result<Outcome, Status> {
        self.propose_as(caller, kind, *uuid::Uuid::new_v4().as_bytes()).await
    }

    /// As [`Self::propose`]. What was proposed before under this id is not carried out again: its outcome is the
    /// answer.
    pub async fn propose_as(
        &self,
        caller: &Authorized,
        kind: CommandKind,
        request_id: RequestId,
    ) -> Result<Outcome, Status> {
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let origin = Origin { actor: caller.caller().actor(), request_id, deadline };
        let proposed = self.replica.propose_indexed(kind, origin).await;
        let (index, outcome) = proposed.map_err(|error| failure::of_propose(&error))?;
        applied_index::written_at(index);
        match outcome {
            Outcome::Rejected(why) => Err(failure::of_rejection(&why)),
            outcome => Ok(outcome),
        }
    }
}

/// For an outcome of another kind than the command names: a defect, never the client's fault.
pub(super) fn unexpected() -> Status {
    Status::internal("the replicated state answered something else")
}

/// Covers an election with room for a second attempt.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// As [`READ_TIMEOUT`], and a slow disk.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
