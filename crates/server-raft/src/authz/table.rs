//! The authorization table: SPIRE's `policy_data.json`, a row per RPC. A generated method without a row fails a test.

/// Which classes of callers may use an RPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// `/package.Service/Method`.
    pub method: &'static str,
    /// Anyone, even without a certificate.
    pub any: bool,
    /// Callers on the admin socket.
    pub local: bool,
    /// IDs in `admin_ids` and holders of admin entries.
    pub admin: bool,
    pub agent: bool,
    /// Holders of downstream entries.
    pub downstream: bool,
}

const fn any(method: &'static str) -> Row {
    Row { method, any: true, local: false, admin: false, agent: false, downstream: false }
}

const fn agent(method: &'static str) -> Row {
    Row { method, any: false, local: false, admin: false, agent: true, downstream: false }
}

const fn downstream(method: &'static str) -> Row {
    Row { method, any: false, local: false, admin: false, agent: false, downstream: true }
}

const fn admin(method: &'static str) -> Row {
    Row { method, any: false, local: true, admin: true, agent: false, downstream: false }
}

const fn local(method: &'static str) -> Row {
    Row { method, any: false, local: true, admin: false, agent: false, downstream: false }
}

pub const TABLE: &[Row] = &[
    admin("/spire.api.server.agent.v1.Agent/CountAgents"),
    admin("/spire.api.server.agent.v1.Agent/ListAgents"),
    admin("/spire.api.server.agent.v1.Agent/GetAgent"),
    admin("/spire.api.server.agent.v1.Agent/DeleteAgent"),
    admin("/spire.api.server.agent.v1.Agent/BanAgent"),
    any("/spire.api.server.agent.v1.Agent/AttestAgent"),
    agent("/spire.api.server.agent.v1.Agent/RenewAgent"),
    admin("/spire.api.server.agent.v1.Agent/CreateJoinToken"),
    agent("/spire.api.server.agent.v1.Agent/PostStatus"),
    admin("/spire.api.server.bundle.v1.Bundle/CountBundles"),
    any("/spire.api.server.bundle.v1.Bundle/GetBundle"),
    admin("/spire.api.server.bundle.v1.Bundle/AppendBundle"),
    downstream("/spire.api.server.bundle.v1.Bundle/PublishJWTAuthority"),
    downstream("/spire.api.server.bundle.v1.Bundle/PublishWITAuthority"),
    admin("/spire.api.server.bundle.v1.Bundle/ListFederatedBundles"),
    Row { agent: true, ..admin("/spire.api.server.bundle.v1.Bundle/GetFederatedBundle") },
    admin("/spire.api.server.bundle.v1.Bundle/BatchCreateFederatedBundle"),
    admin("/spire.api.server.bundle.v1.Bundle/BatchUpdateFederatedBundle"),
    admin("/spire.api.server.bundle.v1.Bundle/BatchSetFederatedBundle"),
    admin("/spire.api.server.bundle.v1.Bundle/BatchDeleteFederatedBundle"),
    admin("/spire.api.server.entry.v1.Entry/CountEntries"),
    admin("/spire.api.server.entry.v1.Entry/ListEntries"),
    admin("/spire.api.server.entry.v1.Entry/GetEntry"),
    admin("/spire.api.server.entry.v1.Entry/BatchCreateEntry"),
    admin("/spire.api.server.entry.v1.Entry/BatchUpdateEntry"),
    admin("/spire.api.server.entry.v1.Entry/BatchDeleteEntry"),
    agent("/spire.api.server.entry.v1.Entry/GetAuthorizedEntries"),
    agent("/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries"),
    admin("/spire.api.server.svid.v1.SVID/MintX509SVID"),
    admin("/spire.api.server.svid.v1.SVID/MintJWTSVID"),
    admin("/spire.api.server.svid.v1.SVID/MintWITSVID"),
    agent("/spire.api.server.svid.v1.SVID/BatchNewX509SVID"),
    agent("/spire.api.server.svid.v1.SVID/NewJWTSVID"),
    agent("/spire.api.server.svid.v1.SVID/BatchNewWITSVID"),
    downstream("/spire.api.server.svid.v1.SVID/NewDownstreamX509CA"),
    admin("/spire.api.server.trustdomain.v1.TrustDomain/ListFederationRelationships"),
    admin("/spire.api.server.trustdomain.v1.TrustDomain/GetFederationRelationship"),
    admin("/spire.api.server.trustdomain.v1.TrustDomain/BatchCreateFederationRelationship"),
    admin("/spire.api.server.trustdomain.v1.TrustDomain/BatchUpdateFederationRelationship"),
    admin("/spire.api.server.trustdomain.v1.TrustDomain/BatchDeleteFederationRelationship"),
    admin("/spire.api.server.trustdomain.v1.TrustDomain/RefreshBundle"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/GetJWTAuthorityState"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/PrepareJWTAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/ActivateJWTAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/TaintJWTAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/RevokeJWTAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/GetX509AuthorityState"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/PrepareX509Authority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/ActivateX509Authority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/TaintX509Authority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/TaintX509UpstreamAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509Authority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509UpstreamAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/GetWITAuthorityState"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/PrepareWITAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/ActivateWITAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/TaintWITAuthority"),
    admin("/spire.api.server.localauthority.v1.LocalAuthority/RevokeWITAuthority"),
    local("/spire.api.server.logger.v1.Logger/GetLogger"),
    local("/spire.api.server.logger.v1.Logger/SetLogLevel"),
    local("/spire.api.server.logger.v1.Logger/ResetLogLevel"),
    local("/spire.api.server.debug.v1.Debug/GetInfo"),
    local("/grpc.health.v1.Health/Check"),
    local("/grpc.health.v1.Health/List"),
    local("/grpc.health.v1.Health/Watch"),
    // Ours.
    agent("/steeple.agent.v1.Push/Sync"),
    admin("/steeple.server.v1.Audit/Anchors"),
    admin("/steeple.server.v1.Authorities/Status"),
    admin("/steeple.server.v1.Authorities/Plan"),
    admin("/steeple.server.v1.Backup/Create"),
    admin("/steeple.server.v1.Cluster/Status"),
    admin("/steeple.server.v1.Cluster/List"),
    admin("/steeple.server.v1.Cluster/Remove"),
    admin("/steeple.server.v1.Cluster/Promote"),
    admin("/steeple.server.v1.Cluster/Demote"),
    admin("/steeple.server.v1.Cluster/Replace"),
    admin("/steeple.server.v1.Cluster/SetTarget"),
    admin("/steeple.server.v1.Cluster/Finalize"),
    admin("/steeple.server.v1.Cluster/ResetClock"),
    admin("/steeple.server.v1.Cluster/TransferLeader"),
    admin("/steeple.server.v1.Entries/Watch"),
    local("/steeple.server.v1.Import/Records"),
    local("/steeple.server.v1.Import/Authority"),
    admin("/steeple.server.v1.Seal/Status"),
    admin("/steeple.server.v1.Seal/Rotate"),
    admin("/steeple.server.v1.Seal/NewKey"),
    admin("/steeple.server.v1.Seal/CancelNewKey"),
];

/// The row of `method`; none when no such RPC exists here.
pub fn row(method: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.method == method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_api::{is_of_server, methods_where};

    #[test]
    fn every_generated_method_has_exactly_one_row() {
        let mut generated = methods_where(|package, _| is_of_server(package));
        let mut rows: Vec<String> = TABLE.iter().map(|row| row.method.to_owned()).collect();
        generated.sort();
        rows.sort();
        assert_eq!(generated, rows);
    }

    #[test]
    fn nobody_but_agents_reaches_agent_only_calls() {
        for method in ["svid.v1.SVID/BatchNewX509SVID", "svid.v1.SVID/NewJWTSVID", "agent.v1.Agent/RenewAgent"] {
            let row = row(&format!("/spire.api.server.{method}")).unwrap();
            assert_eq!(*row, agent(row.method));
        }
    }
}
