//! What signs here: a handler for this replica's services and its followers, and the maker of new authorities.

use std::sync::Arc;

use steeple_ca::DistinguishedName;
use steeple_ca::policy::Policy;
use steeple_config::ServerSettings;
use steeple_core::Clock;

use crate::issue::{AuthorityMaker, Signer};
use crate::own_replica::OwnReplica;
use crate::upstream_authority::Upstream;

/// Gives the replica its signing handler; returns what makes the authorities to sign with.
pub fn start(
    settings: &ServerSettings,
    own: &OwnReplica,
    upstream: Option<Upstream>,
    clock: &Arc<dyn Clock>,
) -> Arc<AuthorityMaker> {
    let OwnReplica { replica, keys, .. } = own;
    let policy = policy(settings);
    let signer = Signer::new(replica.clone(), Arc::clone(keys), policy.clone(), Arc::clone(clock));
    replica.set_signing_handler(Arc::new(signer));
    Arc::new(AuthorityMaker {
        replica: replica.clone(),
        keys: Arc::clone(keys),
        policy,
        trust_domain: settings.trust_domain.clone(),
        upstream,
    })
}

fn policy(settings: &ServerSettings) -> Policy {
    let subject = &settings.ca.subject;
    Policy {
        ca_ttl: settings.ttl.ca,
        ca_key_type: settings.ca.key_type,
        jwt_key_type: settings.ca.jwt_key_type,
        ca_subject: DistinguishedName {
            country: subject.country.clone(),
            organization: subject.organization.clone(),
            common_name: subject.common_name.clone(),
            ..DistinguishedName::default()
        },
        jwt_issuer: settings.ca.jwt_issuer.clone(),
        x509_svid_ttl: settings.ttl.x509_svid,
        jwt_svid_ttl: settings.ttl.jwt_svid,
        agent_ttl: settings.ttl.agent,
        ack_wait_max: settings.cluster.acknowledgement_wait_max,
    }
}
