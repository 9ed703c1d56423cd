//! Federation relationships. A bundle that comes with one is stored with it and outlives it (SPIRE behaviour).

use std::sync::Arc;

use steeple_core::{Bundle, FederationRelationship, TrustDomain};

use super::writer::Writer;
use crate::{Outcome, Rejection, Relationship, RelationshipDraft, RelationshipUpdate};

pub(super) fn create(writer: &mut Writer<'_>, drafts: &[RelationshipDraft]) -> Outcome {
    Outcome::Relationships(drafts.iter().map(|draft| create_one(writer, draft)).collect())
}

pub(super) fn update(writer: &mut Writer<'_>, updates: &[RelationshipUpdate]) -> Outcome {
    Outcome::Relationships(updates.iter().map(|update| update_one(writer, update)).collect())
}

pub(super) fn delete(writer: &mut Writer<'_>, trust_domains: &[TrustDomain]) -> Outcome {
    let delete_one = |trust_domain: &TrustDomain| {
        if writer.state().relationships.get(trust_domain).is_none() {
            return Err(Rejection::not_found("federation relationship not found"));
        }
        writer.remove_relationship(trust_domain);
        Ok(())
    };
    Outcome::Deleted(trust_domains.iter().map(delete_one).collect())
}

fn create_one(writer: &mut Writer<'_>, draft: &RelationshipDraft) -> Result<Relationship, Rejection> {
    let trust_domain = &draft.relationship.trust_domain;
    check_bundle(draft)?;
    if writer.trust_domain()? == *trust_domain {
        return Err(Rejection::invalid("unable to create federation relationship for server trust domain"));
    }
    if writer.state().relationships.get(trust_domain).is_some() {
        // Internal, not AlreadyExists (SPIRE behaviour).
        return Err(Rejection::internal(
            "failed to create federation relationship: datastore-sql: UNIQUE constraint failed: \
             federated_trust_domains.trust_domain",
        ));
    }
    write(writer, &draft.relationship, draft.bundle.as_ref());
    // Not the stored bundle, when none comes along (SPIRE behaviour).
    Ok(Relationship { relationship: draft.relationship.clone(), bundle: draft.bundle.clone() })
}

fn update_one(writer: &mut Writer<'_>, update: &RelationshipUpdate) -> Result<Relationship, Rejection> {
    let RelationshipUpdate { draft, mask } = update;
    check_bundle(draft)?;
    let stored = writer.state().relationships.get(&draft.relationship.trust_domain).cloned();
    let mut relationship = stored.ok_or_else(|| {
        Rejection::internal(
            "failed to update federation relationship: unable to fetch federation relationship: record not found",
        )
    })?;
    if mask.bundle_endpoint_url {
        relationship.bundle_endpoint_url = draft.relationship.bundle_endpoint_url.clone();
    }
    if mask.bundle_endpoint_profile {
        relationship.profile = draft.relationship.profile.clone();
    }
    write(writer, &relationship, draft.bundle.as_ref().filter(|_| mask.trust_domain_bundle));
    let bundle = writer.state().bundle(&relationship.trust_domain).cloned();
    Ok(Relationship { relationship, bundle })
}

fn write(writer: &mut Writer<'_>, relationship: &FederationRelationship, bundle: Option<&Arc<Bundle>>) {
    if let Some(bundle) = bundle {
        writer.put_bundle((**bundle).clone());
    }
    writer.put_relationship(relationship.clone());
}

fn check_bundle(draft: &RelationshipDraft) -> Result<(), Rejection> {
    let wanted = &draft.relationship.trust_domain;
    match &draft.bundle {
        Some(bundle) if bundle.trust_domain != *wanted => Err(Rejection::invalid(format!(
            "failed to convert federation relationship: trust domain bundle (\"{}\") must match the trust domain of \
             the federation relationship (\"{wanted}\")",
            bundle.trust_domain
        ))),
        _ => Ok(()),
    }
}
