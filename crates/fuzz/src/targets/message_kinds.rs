//! Every message of our interfaces. A test compares the list with the descriptors.

use prost::{DecodeError, Message, Name};

/// One type of message, without its type.
pub struct MessageKind {
    /// As protobuf names it, for instance `spire.api.types.Entry`.
    pub name: fn() -> String,
    /// Reads, and writes what was read.
    pub rewrite: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
}

impl MessageKind {
    const fn of<M: Message + Name + Default>() -> Self {
        Self { name: M::full_name, rewrite: |bytes| M::decode(bytes).map(|message| message.encode_to_vec()) }
    }
}

macro_rules! kinds {
    ($($($module:ident)::+ => [$($message:ty),+ $(,)?];)+) => {
        &[$({
            use steeple_api::$($module)::+::*;
            &[$(MessageKind::of::<$message>()),+]
        }),+]
    };
}

/// By package.
pub static MESSAGE_KINDS: &[&[MessageKind]] = kinds! {
    agent::debug => [
        GetInfoRequest, GetInfoResponse, get_info_response::Cert,
    ];
    agent::delegatedidentity => [
        FetchJwtsviDsRequest, FetchJwtsviDsResponse, SubscribeToJwtBundlesRequest,
        SubscribeToJwtBundlesResponse, SubscribeToX509BundlesRequest, SubscribeToX509BundlesResponse,
        SubscribeToX509sviDsRequest, SubscribeToX509sviDsResponse, X509svidWithKey,
    ];
    agent::logger => [
        GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest,
    ];
    broker => [
        FetchJwtsvidRequest, FetchJwtsvidResponse, Jwtsvid, KubernetesObjectKey, KubernetesObjectReference,
        KubernetesObjectType, SubscribeToJwtBundlesRequest, SubscribeToJwtBundlesResponse,
        SubscribeToX509BundlesRequest, SubscribeToX509BundlesResponse, SubscribeToX509svidRequest,
        SubscribeToX509svidResponse, WorkloadPidReference, WorkloadReference, X509svid,
    ];
    envoy::core => [
        BuildVersion, ControlPlane, DataSource, Node, TypedExtensionConfig,
    ];
    envoy::discovery => [
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
    ];
    envoy::tls => [
        CertificateValidationContext, Secret, SpiffeCertValidatorConfig, TlsCertificate,
        spiffe_cert_validator_config::TrustDomain,
    ];
    health => [
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    ];
    rpc => [
        RetryInfo, Status,
    ];
    external::agent_nodeattestor => [
        Challenge, PayloadOrChallengeResponse,
    ];
    external::agentstore => [
        AgentInfo, GetAgentInfoRequest, GetAgentInfoResponse,
    ];
    external::bundlepublisher => [
        PublishBundleRequest, PublishBundleResponse,
    ];
    external::config => [
        ConfigureRequest, ConfigureResponse, CoreConfiguration, ValidateRequest, ValidateResponse,
    ];
    external::credentialcomposer => [
        AttributeTypeAndValue, ComposeAgentX509svidRequest, ComposeAgentX509svidResponse,
        ComposeServerX509caRequest, ComposeServerX509caResponse, ComposeServerX509svidRequest,
        ComposeServerX509svidResponse, ComposeWorkloadJwtsvidRequest, ComposeWorkloadJwtsvidResponse,
        ComposeWorkloadX509svidRequest, ComposeWorkloadX509svidResponse, DistinguishedName, JwtsvidAttributes,
        X509Extension, X509caAttributes, X509svidAttributes,
    ];
    external::go_plugin => [
        ConnInfo, Empty, StdioData, conn_info::Knock,
    ];
    external::identityprovider => [
        FetchX509IdentityRequest, FetchX509IdentityResponse, X509Identity,
    ];
    external::init => [
        DeinitRequest, DeinitResponse, InitRequest, InitResponse,
    ];
    external::keymanager => [
        GenerateKeyRequest, GenerateKeyResponse, GetPublicKeyRequest, GetPublicKeyResponse,
        GetPublicKeysRequest, GetPublicKeysResponse, PublicKey, SignDataRequest, SignDataResponse,
        sign_data_request::PssOptions,
    ];
    external::metrics => [
        AddSampleRequest, EmitKeyRequest, IncrCounterRequest, Label, MeasureSinceRequest, SetGaugeRequest,
    ];
    external::notifier => [
        BundleLoaded, BundleUpdated, NotifyAndAdviseRequest, NotifyAndAdviseResponse, NotifyRequest,
        NotifyResponse,
    ];
    external::server_nodeattestor => [
        AgentAttributes, AttestRequest, AttestResponse,
    ];
    external::svidstore => [
        DeleteX509svidRequest, DeleteX509svidResponse, PutX509svidRequest, PutX509svidResponse, X509svid,
    ];
    external::types => [
        Bundle, JwtKey, WitKey, X509Certificate,
    ];
    external::upstreamauthority => [
        MintX509caRequest, MintX509caResponse, PublishJwtKeyRequest, PublishJwtKeyResponse,
        SubscribeToLocalBundleRequest, SubscribeToLocalBundleResponse,
    ];
    external::workloadattestor => [
        AttestReferenceRequest, AttestReferenceResponse, AttestRequest, AttestResponse,
    ];
    server::agent => [
        AgentX509svidParams, AttestAgentRequest, AttestAgentResponse, BanAgentRequest, CountAgentsRequest,
        CountAgentsResponse, CreateJoinTokenRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest,
        ListAgentsResponse, PostStatusRequest, PostStatusResponse, RenewAgentRequest, RenewAgentResponse,
        attest_agent_request::Params, attest_agent_response::Result, count_agents_request::Filter,
        list_agents_request::Filter,
    ];
    server::bundle => [
        AppendBundleRequest, BatchCreateFederatedBundleRequest, BatchCreateFederatedBundleResponse,
        BatchDeleteFederatedBundleRequest, BatchDeleteFederatedBundleResponse, BatchSetFederatedBundleRequest,
        BatchSetFederatedBundleResponse, BatchUpdateFederatedBundleRequest, BatchUpdateFederatedBundleResponse,
        CountBundlesRequest, CountBundlesResponse, GetBundleRequest, GetFederatedBundleRequest,
        ListFederatedBundlesRequest, ListFederatedBundlesResponse, PublishJwtAuthorityRequest,
        PublishJwtAuthorityResponse, PublishWitAuthorityRequest, PublishWitAuthorityResponse,
        batch_create_federated_bundle_response::Result, batch_delete_federated_bundle_response::Result,
        batch_set_federated_bundle_response::Result, batch_update_federated_bundle_response::Result,
    ];
    server::debug => [
        GetInfoRequest, GetInfoResponse, get_info_response::Cert,
    ];
    server::entry => [
        BatchCreateEntryRequest, BatchCreateEntryResponse, BatchDeleteEntryRequest, BatchDeleteEntryResponse,
        BatchUpdateEntryRequest, BatchUpdateEntryResponse, CountEntriesRequest, CountEntriesResponse,
        EntryRevision, GetAuthorizedEntriesRequest, GetAuthorizedEntriesResponse, GetEntryRequest,
        ListEntriesRequest, ListEntriesResponse, SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse,
        batch_create_entry_response::Result, batch_delete_entry_response::Result,
        batch_update_entry_response::Result, count_entries_request::Filter, list_entries_request::Filter,
    ];
    server::localauthority => [
        ActivateJwtAuthorityRequest, ActivateJwtAuthorityResponse, ActivateWitAuthorityRequest,
        ActivateWitAuthorityResponse, ActivateX509AuthorityRequest, ActivateX509AuthorityResponse,
        AuthorityState, GetJwtAuthorityStateRequest, GetJwtAuthorityStateResponse, GetWitAuthorityStateRequest,
        GetWitAuthorityStateResponse, GetX509AuthorityStateRequest, GetX509AuthorityStateResponse,
        PrepareJwtAuthorityRequest, PrepareJwtAuthorityResponse, PrepareWitAuthorityRequest,
        PrepareWitAuthorityResponse, PrepareX509AuthorityRequest, PrepareX509AuthorityResponse,
        RevokeJwtAuthorityRequest, RevokeJwtAuthorityResponse, RevokeWitAuthorityRequest,
        RevokeWitAuthorityResponse, RevokeX509AuthorityRequest, RevokeX509AuthorityResponse,
        RevokeX509UpstreamAuthorityRequest, RevokeX509UpstreamAuthorityResponse, TaintJwtAuthorityRequest,
        TaintJwtAuthorityResponse, TaintWitAuthorityRequest, TaintWitAuthorityResponse,
        TaintX509AuthorityRequest, TaintX509AuthorityResponse, TaintX509UpstreamAuthorityRequest,
        TaintX509UpstreamAuthorityResponse,
    ];
    server::logger => [
        GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest,
    ];
    server::svid => [
        BatchNewWitsvidRequest, BatchNewWitsvidResponse, BatchNewX509svidRequest, BatchNewX509svidResponse,
        MintJwtsvidRequest, MintJwtsvidResponse, MintWitsvidRequest, MintWitsvidResponse, MintX509svidRequest,
        MintX509svidResponse, NewDownstreamX509caRequest, NewDownstreamX509caResponse, NewJwtsvidRequest,
        NewJwtsvidResponse, NewWitsvidParams, NewX509svidParams, batch_new_witsvid_response::Result,
        batch_new_x509svid_response::Result,
    ];
    server::trustdomain => [
        BatchCreateFederationRelationshipRequest, BatchCreateFederationRelationshipResponse,
        BatchDeleteFederationRelationshipRequest, BatchDeleteFederationRelationshipResponse,
        BatchUpdateFederationRelationshipRequest, BatchUpdateFederationRelationshipResponse,
        GetFederationRelationshipRequest, ListFederationRelationshipsRequest,
        ListFederationRelationshipsResponse, RefreshBundleRequest,
        batch_create_federation_relationship_response::Result,
        batch_delete_federation_relationship_response::Result,
        batch_update_federation_relationship_response::Result,
    ];
    steeple::agent => [
        Ack, Change, Denial, Describe, FromAgent, FromServer, Held, Hello, Issue, Issued, Welcome,
        held::BundleRef, held::EntryRef, issue::Jwt, issue::X509, issued::Jwt, issued::X509,
    ];
    steeple::backup => [
        Facts, FactsList, Footer, Header, Row, Rows, Summary, Unreadable,
    ];
    steeple::peer => [
        AcknowledgementsRequest, AcknowledgementsResponse, AdmitRequest, AgentClaim, AppendEntriesRequest,
        AppendEntriesResponse, Applied, Blank, ChangeMembershipRequest, ChangeMembershipResponse, Checkpoint,
        Composers, DownstreamCaParams, FinalizeRequest, FinalizeResponse, InstallSnapshotResponse, JoinRequest,
        JoinResponse, JwtSvidParams, LogEntry, LogId, Membership, Node, PeerCa, PeerCaAuthority,
        PingRequest, PingResponse, ProposeRefused, ProposeRequest, ProposeResponse, Proved, ReadIndexRequest,
        ReadIndexResponse, Replacement, SealingKeyRequest, SealingKeyResponse, SealingKeys,
        SignFailure, SignItem, SignRequest, SignResponse, SignResult,
        SnapshotEnd, SnapshotFrame, SnapshotHeader, SnapshotMeta, StoredMembership, StreamAppendResponse,
        TokenSigned, TransferLeaderRequest, TransferLeaderResponse, TransferLeadershipRequest,
        TransferLeadershipResponse, Vote, VoteRequest, VoteResponse, VoterSet, WitSvidParams, X509Signed,
        X509SvidParams,
        append_entries_response::Conflict, append_entries_response::PartialSuccess,
        append_entries_response::Success, stream_append_response::Matching, transfer_leader_response::Accepted,
        transfer_leader_response::LogNotFlushed, transfer_leader_response::VoteChanged,
    ];
    steeple::server => [
        Acknowledgements, AcknowledgingReplica, Authority, AuthorityPlanRequest, AuthorityPlanResponse,
        AuditAnchor, AuditAnchorsRequest, AuditAnchorsResponse, AuthorityStatusRequest, AuthorityStatusResponse,
        BackupPart, CancelNewSealingKeyRequest, CreateBackupRequest, DemoteRequest, DemoteResponse, EntryChange,
        FinalizeRequest, FinalizeResponse, ImportAuthorityRequest, ImportAuthorityResponse, ImportRecord,
        ImportRecordsRequest, ImportRecordsResponse, ImportResult, ImportedAgent, ImportedJoinToken, ListRequest,
        ListResponse, Member, NewSealingKey, NewSealingKeyRequest, PlannedStep, PromoteRequest, PromoteResponse,
        RemoveRequest, RemoveResponse, ReplaceRequest, ReplaceResponse, ResetClockRequest, ResetClockResponse,
        RotateSealRequest, SealStatusRequest, SealStatusResponse, SealingKeyMember, SetTargetRequest,
        SetTargetResponse, StatusRequest, StatusResponse, TransferLeaderRequest,
        TransferLeaderResponse, WatchEntriesRequest, WatchEntriesResponse,
    ];
    types => [
        Agent, AgentMask, AttestationData, Bundle, BundleMask, Entry, EntryMask, FederatesWithMatch,
        FederationRelationship, FederationRelationshipMask, HttpsWebProfile, HttpsspiffeProfile, JoinToken,
        JwtKey, Jwtsvid, Logger, PermissionDeniedDetails, Selector, SelectorMatch, Spiffeid, Status, WitKey,
        Witsvid, X509Certificate, X509svid, entry::AdditionalAttributes,
    ];
    workload => [
        JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
        ValidateJwtsvidResponse, WitBundlesRequest, WitBundlesResponse, Witsvid, WitsvidRequest,
        WitsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svid, X509svidRequest, X509svidResponse,
    ];
};
