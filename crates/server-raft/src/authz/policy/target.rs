//! What a rule can limit of a method: the table beside the authorization table.

use crate::authz::Row;

/// What the items of a method are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Agents,
    Entries,
    /// SPIFFE IDs that it hands out.
    Ids,
    TrustDomains,
    /// It concerns the server or the trust domain as a whole, so it is allowed wholly or not at all.
    Whole,
}

/// Methods whose handlers ask for the caller's [`Rights`](super::Rights). All others are [`Target::Whole`], and a test
/// calls each of these beyond its limits.
pub const LIMITABLE: &[(&str, Target)] = &[
    ("/spire.api.server.agent.v1.Agent/CountAgents", Target::Agents),
    ("/spire.api.server.agent.v1.Agent/ListAgents", Target::Agents),
    ("/spire.api.server.agent.v1.Agent/GetAgent", Target::Agents),
    ("/spire.api.server.agent.v1.Agent/DeleteAgent", Target::Agents),
    ("/spire.api.server.agent.v1.Agent/BanAgent", Target::Agents),
    ("/spire.api.server.agent.v1.Agent/CreateJoinToken", Target::Ids),
    ("/spire.api.server.bundle.v1.Bundle/CountBundles", Target::TrustDomains),
    ("/spire.api.server.bundle.v1.Bundle/ListFederatedBundles", Target::TrustDomains),
    ("/spire.api.server.bundle.v1.Bundle/GetFederatedBundle", Target::TrustDomains),
    ("/spire.api.server.bundle.v1.Bundle/BatchCreateFederatedBundle", Target::TrustDomains),
    ("/spire.api.server.bundle.v1.Bundle/BatchUpdateFederatedBundle", Target::TrustDomains),
    ("/spire.api.server.bundle.v1.Bundle/BatchSetFederatedBundle", Target::TrustDomains),
    ("/spire.api.server.bundle.v1.Bundle/BatchDeleteFederatedBundle", Target::TrustDomains),
    ("/spire.api.server.entry.v1.Entry/CountEntries", Target::Entries),
    ("/spire.api.server.entry.v1.Entry/ListEntries", Target::Entries),
    ("/spire.api.server.entry.v1.Entry/GetEntry", Target::Entries),
    ("/spire.api.server.entry.v1.Entry/BatchCreateEntry", Target::Entries),
    ("/spire.api.server.entry.v1.Entry/BatchUpdateEntry", Target::Entries),
    ("/spire.api.server.entry.v1.Entry/BatchDeleteEntry", Target::Entries),
    ("/spire.api.server.svid.v1.SVID/MintX509SVID", Target::Ids),
    ("/spire.api.server.svid.v1.SVID/MintJWTSVID", Target::Ids),
    ("/spire.api.server.trustdomain.v1.TrustDomain/ListFederationRelationships", Target::TrustDomains),
    ("/spire.api.server.trustdomain.v1.TrustDomain/GetFederationRelationship", Target::TrustDomains),
    ("/spire.api.server.trustdomain.v1.TrustDomain/BatchCreateFederationRelationship", Target::TrustDomains),
    ("/spire.api.server.trustdomain.v1.TrustDomain/BatchUpdateFederationRelationship", Target::TrustDomains),
    ("/spire.api.server.trustdomain.v1.TrustDomain/BatchDeleteFederationRelationship", Target::TrustDomains),
    ("/spire.api.server.trustdomain.v1.TrustDomain/RefreshBundle", Target::TrustDomains),
    ("/steeple.server.v1.Entries/Watch", Target::Entries),
];

impl Target {
    /// `None` for a method that is not the administrators'.
    pub fn of(row: &Row) -> Option<Self> {
        if row.any || !(row.admin || row.local) {
            return None;
        }
        let known = LIMITABLE.iter().find(|(method, _)| *method == row.method);
        Some(known.map_or(Self::Whole, |(_, target)| *target))
    }

    /// The keys of a rule that limit it.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Agents | Self::Ids => &["spiffe_ids"],
            Self::Entries => &["spiffe_ids", "parent_ids", "federates_with"],
            Self::TrustDomains => &["trust_domains"],
            Self::Whole => &[],
        }
    }
}

/// `Entry/ListEntries`, as people write it.
pub(super) fn short(method: &'static str) -> &'static str {
    method.rsplit_once('.').map_or(method, |(_, short)| short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::{TABLE, row};

    #[test]
    fn every_target_is_a_method_of_administrators() {
        for (method, target) in LIMITABLE {
            assert_eq!(Target::of(row(method).unwrap()), Some(*target), "{method}");
        }
    }

    #[test]
    fn the_whole_is_never_part_of_a_limit() {
        for whole in ["bundle.v1.Bundle/AppendBundle", "localauthority.v1.LocalAuthority/RevokeX509Authority"] {
            assert_eq!(Target::of(row(&format!("/spire.api.server.{whole}")).unwrap()), Some(Target::Whole));
        }
        for service in ["Cluster", "Seal", "Backup", "Import", "Authorities"] {
            let mut rows = TABLE.iter().filter(|row| row.method.starts_with(&format!("/steeple.server.v1.{service}/")));
            assert!(rows.all(|row| Target::of(row) == Some(Target::Whole)), "{service}");
        }
        assert_eq!(Target::of(row("/spire.api.server.agent.v1.Agent/RenewAgent").unwrap()), None);
    }

    #[test]
    fn short_names_tell_methods_apart() {
        let mut names: Vec<&str> = TABLE.iter().map(|row| short(row.method)).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.contains(&"SVID/MintX509SVID") && names.contains(&"Health/Check"), "{names:?}");
    }
}
