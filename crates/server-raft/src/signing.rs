//! What signs here: a handler for this replica's services and its followers, and the maker of new authorities.

use std::sync::Arc;

use steeple_ca::DistinguishedName;
use steeple_ca::policy::Policy;
use steeple_config::{ServerSettings, Signing};
use steeple_core::Clock;
use steeple_core::plugin::CredentialComposer;
use tokio::sync::watch;

use crate::issue::{AuthorityKeys, AuthorityMaker, Profile, Signer};
use crate::own_replica::OwnReplica;
use crate::raft::{Actors, Leadership};
use crate::upstream_authority::Upstream;

/// Gives the replica its signing handler; returns what makes the authorities to sign with.
pub fn start(
    settings: &ServerSettings,
    own: &OwnReplica,
    composers: Vec<Arc<dyn CredentialComposer>>,
    upstream: Option<Upstream>,
    clock: &Arc<dyn Clock>,
) -> Arc<AuthorityMaker> {
    let OwnReplica { replica, keys, .. } = own;
    let policy = policy(settings);
    let actors = match settings.cluster.signing {
        Signing::Leader => Actors::Leader,
        Signing::Replicas => Actors::Voters,
    };
    let profile = Profile { policy: policy.clone(), composers };
    let signer = Signer::new(replica.clone(), Arc::clone(keys), profile, actors, Arc::clone(clock));
    replica.set_signing_handler(Arc::new(signer));
    if actors == Actors::Leader {
        tokio::spawn(forget_when_deposed(replica.leadership(), Arc::clone(keys)));
    }
    Arc::new(AuthorityMaker {
        replica: replica.clone(),
        keys: Arc::clone(keys),
        policy,
        trust_domain: settings.trust_domain.clone(),
        upstream,
    })
}

/// A replica that signs no longer holds no private key open.
async fn forget_when_deposed(mut leadership: watch::Receiver<Leadership>, keys: Arc<AuthorityKeys>) {
    while leadership.changed().await.is_ok() {
        if !leadership.borrow_and_update().is_leader {
            keys.forget();
        }
    }
}

fn policy(settings: &ServerSettings) -> Policy {
    let subject = &settings.ca.subject;
    Policy {
        ca_ttl: settings.ttl.ca,
        ca_key_type: settings.ca.key_type,
        jwt_key_type: settings.ca.jwt_key_type,
        wit_key_type: settings.wit.as_ref().map_or(settings.ca.key_type, |wit| wit.key_type),
        ca_subject: DistinguishedName {
            country: subject.country.clone(),
            organization: subject.organization.clone(),
            common_name: subject.common_name.clone(),
            ..DistinguishedName::default()
        },
        jwt_issuer: settings.ca.jwt_issuer.clone(),
        x509_svid_ttl: settings.ttl.x509_svid,
        jwt_svid_ttl: settings.ttl.jwt_svid,
        wit_svid_ttl: Policy::default().wit_svid_ttl,
        agent_ttl: settings.ttl.agent,
        ack_wait_max: settings.cluster.acknowledgement_wait_max,
    }
}
