//! Random commands over few names, so that they meet each other.

use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use steeple_core::{
    AcmeAccount, AttestedAgent, AuthorityKind, Bundle, BundleEndpointProfile, Entry, FederationRelationship, JoinToken,
    JwtAuthority, SealedKey, SelectorSet, SpiffeId, Timestamp, TrustDomain, WebCertificate, X509Authority,
};
use steeple_state::{
    Attestation, AuditAnchor, BundleMask, BundleUpdate, CLUSTER_VERSION_FIRST, CLUSTER_VERSION_MAX, Command,
    CommandKind, DeleteMode, EntryMask, EntryUpdate, ImportRecord, JudgedUpdate, RelationshipDraft, RelationshipMask,
    RelationshipUpdate, Suffrage, UpstreamChanges, WebKey,
};

use super::{authority, cluster_init, entry, id, member, selectors, trust_domain};

pub fn entry_id() -> impl Strategy<Value = String> {
    select(vec!["e1", "e2", "e3", "e4", "e5", "e6"]).prop_map(str::to_owned)
}

pub fn workload_path() -> impl Strategy<Value = &'static str> {
    select(vec!["/a", "/b", "/c", "/rack"])
}

pub fn agent_path() -> impl Strategy<Value = &'static str> {
    select(vec!["/spire/agent/one", "/spire/agent/two", "/spire/agent/join_token/t1", "/spire/agent/join_token/t2"])
}

pub fn foreign() -> impl Strategy<Value = TrustDomain> {
    select(vec!["one.test", "two.test", "three.test"]).prop_map(trust_domain)
}

pub fn selector_set() -> impl Strategy<Value = SelectorSet> {
    let texts = vec!["unix:uid:1", "unix:uid:2", "x509pop:subject:cn:n", "spiffe_id:spiffe://example.org/x"];
    btree_set(select(texts), 1..3).prop_map(selectors)
}

prop_compose! {
    /// Mostly valid entries.
    pub fn any_entry()(
        entry_id in entry_id(),
        spiffe_id in workload_path(),
        parent in prop_oneof![
            workload_path(),
            agent_path(),
            Just("/spire/server"),
        ],
        selectors in selector_set(),
        federates_with in vec(foreign(), 0..2),
        flags in any::<[bool; 4]>(),
        expires_at in prop_oneof![3 => Just(0i64), 1 => 900i64..1200],
        ttl in prop_oneof![9 => 0i32..100, 1 => Just(-1)],
        hint in "[a-z]{0,3}",
    ) -> Entry {
        let [admin, downstream, store_svid, jwt_svid_include_jti] = flags;
        Entry {
            selectors, federates_with, admin, downstream, store_svid, jwt_svid_include_jti, expires_at,
            x509_svid_ttl: ttl, hint, ..entry(&entry_id, spiffe_id, parent)
        }
    }
}

pub fn entry_mask() -> impl Strategy<Value = EntryMask> {
    let random = any::<[bool; 5]>().prop_map(|[spiffe_id, parent_id, selectors, hint, federates_with]| EntryMask {
        spiffe_id,
        parent_id,
        selectors,
        hint,
        federates_with,
        ..EntryMask::default()
    });
    prop_oneof![Just(EntryMask::ALL), random]
}

pub fn any_update() -> impl Strategy<Value = EntryUpdate> {
    (any_entry(), entry_mask()).prop_map(|(entry, mask)| EntryUpdate { entry: Arc::new(entry), mask })
}

prop_compose! {
    fn any_agent()(
        path in agent_path(),
        serial in 1u32..5,
        not_after in 900i64..1300,
        can_reattest in any::<bool>(),
        selectors in selector_set(),
    ) -> AttestedAgent {
        let attestation_type = if path.contains("join_token") { "join_token" } else { "x509pop" };
        AttestedAgent {
            not_after, can_reattest, selectors, attestation_type: attestation_type.to_owned(),
            ..super::agent(path, &serial.to_string())
        }
    }
}

fn agent_id() -> impl Strategy<Value = SpiffeId> {
    agent_path().prop_map(id)
}

fn token() -> impl Strategy<Value = String> {
    select(vec!["t1", "t2"]).prop_map(str::to_owned)
}

fn jwt_authority() -> impl Strategy<Value = JwtAuthority> {
    ("k[1-3]", 0u8..3, 0i64..2000).prop_map(|(key_id, key, expires_at)| JwtAuthority {
        public_key: vec![key],
        key_id,
        expires_at,
        tainted: false,
    })
}

fn der() -> impl Strategy<Value = Vec<u8>> {
    (0u8..4).prop_map(|byte| vec![byte])
}

prop_compose! {
    fn any_bundle()(
        trust_domain in prop_oneof![9 => foreign(), 1 => Just(trust_domain(super::OWN))],
        roots in vec(der(), 0..3),
        jwt_authorities in vec(jwt_authority(), 0..2),
        sequence in 0u64..9,
    ) -> Arc<Bundle> {
        let x509_authorities = roots.into_iter().map(|der| X509Authority { der, tainted: false }).collect();
        let bundle = Bundle::empty(trust_domain);
        Arc::new(Bundle { x509_authorities, jwt_authorities, refresh_hint: 60, sequence, ..bundle })
    }
}

prop_compose! {
    fn any_draft()(
        trust_domain in foreign(),
        url in "https://[a-c]\\.test/",
        spiffe in any::<bool>(),
        bundle in option::of(any_bundle()),
    ) -> RelationshipDraft {
        let profile = match spiffe {
            true => BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id: trust_domain.server_id() },
            false => BundleEndpointProfile::HttpsWeb,
        };
        RelationshipDraft {
            relationship: FederationRelationship { trust_domain, bundle_endpoint_url: url, profile },
            bundle,
        }
    }
}

fn authority_name() -> impl Strategy<Value = (AuthorityKind, String)> {
    (select(AuthorityKind::ALL.to_vec()), "a[1-3]")
}

pub fn entry_command() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        4 => vec(any_entry().prop_map(Arc::new), 1..4).prop_map(|entries| CommandKind::CreateEntries { entries }),
        2 => vec(any_update(), 1..3).prop_map(|updates| CommandKind::UpdateEntries { updates }),
        2 => vec(entry_id(), 1..3).prop_map(|ids| CommandKind::DeleteEntries { ids }),
        1 => (900i64..1200).prop_map(|before| CommandKind::PruneEntries { before }),
    ]
}

/// For the codec; whether the entry is what was judged is up to chance, and the model cannot know it.
pub fn judged_command() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        vec((any_update(), any_entry()), 1..3).prop_map(|updates| {
            let judged = |(update, judged)| JudgedUpdate { update, judged: Arc::new(judged) };
            CommandKind::UpdateJudgedEntries { updates: updates.into_iter().map(judged).collect() }
        }),
        vec(any_entry().prop_map(Arc::new), 1..3).prop_map(|judged| CommandKind::DeleteJudgedEntries { judged }),
    ]
}

pub fn agent_command() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        4 => (any_agent(), option::of(token()), any::<bool>()).prop_map(|(agent, join_token, first_use)| {
            CommandKind::AttestAgent(Attestation { agent, join_token, first_use })
        }),
        1 => (agent_id(), 1u32..5, 900i64..1300, option::of("[1-4]?")).prop_map(|(id, serial, not_after, replaces)| {
            CommandKind::SetPendingSerial { id, serial: serial.to_string(), not_after, replaces }
        }),
        1 => (agent_id(), 1u32..5).prop_map(|(id, serial)| {
            CommandKind::PromoteSerial { id, serial: serial.to_string() }
        }),
        1 => (agent_id(), "[0-9.]{0,3}").prop_map(|(id, version)| CommandKind::SetAgentVersion { id, version }),
        1 => agent_id().prop_map(|id| CommandKind::BanAgent { id }),
        1 => agent_id().prop_map(|id| CommandKind::DeleteAgent { id }),
        1 => (900i64..1300, any::<bool>(), 0u32..3).prop_map(|(expired_before, include_tofu, items_max)| {
            CommandKind::PruneAgents { expired_before, include_tofu, items_max }
        }),
        2 => (token(), 900i64..1200, option::of(any_entry())).prop_map(|(value, expires_at, alias)| {
            CommandKind::CreateJoinToken { token: JoinToken { value, expires_at }, alias: alias.map(Arc::new) }
        }),
        1 => (900i64..1200).prop_map(|before| CommandKind::PruneJoinTokens { before }),
    ]
}

pub fn bundle_command() -> impl Strategy<Value = CommandKind> {
    let mode = select(vec![DeleteMode::Restrict, DeleteMode::Delete, DeleteMode::Dissociate]);
    let mask = any::<[bool; 4]>().prop_map(|[x509_authorities, jwt_authorities, refresh_hint, sequence]| BundleMask {
        x509_authorities,
        jwt_authorities,
        refresh_hint,
        sequence,
    });
    let relationship_mask = any::<[bool; 3]>().prop_map(|[url, profile, bundle]| RelationshipMask {
        bundle_endpoint_url: url,
        bundle_endpoint_profile: profile,
        trust_domain_bundle: bundle,
    });
    prop_oneof![
        (vec(der(), 0..2), vec(jwt_authority(), 0..2)).prop_map(|(x509_authorities, jwt_authorities)| {
            CommandKind::AppendBundle { x509_authorities, jwt_authorities }
        }),
        jwt_authority().prop_map(|authority| CommandKind::PublishJwtAuthority { authority }),
        (vec(der(), 0..2), 0i64..2000).prop_map(|(x509_authorities, jwt_expired_before)| {
            CommandKind::PruneBundle { x509_authorities, jwt_expired_before }
        }),
        vec(any_bundle(), 1..3).prop_map(|bundles| CommandKind::CreateBundles { bundles }),
        (any_bundle(), mask)
            .prop_map(|(bundle, mask)| { CommandKind::UpdateBundles { updates: vec![BundleUpdate { bundle, mask }] } }),
        vec(any_bundle(), 1..3).prop_map(|bundles| CommandKind::SetBundles { bundles }),
        (vec(foreign(), 1..3), mode)
            .prop_map(|(trust_domains, mode)| { CommandKind::DeleteBundles { trust_domains, mode } }),
        vec(any_draft(), 1..3).prop_map(|relationships| CommandKind::CreateRelationships { relationships }),
        (any_draft(), relationship_mask).prop_map(|(draft, mask)| {
            CommandKind::UpdateRelationships { updates: vec![RelationshipUpdate { draft, mask }] }
        }),
        vec(foreign(), 1..3).prop_map(|trust_domains| CommandKind::DeleteRelationships { trust_domains }),
    ]
}

pub fn import_command() -> impl Strategy<Value = CommandKind> {
    let record = prop_oneof![
        3 => any_entry().prop_map(|entry| ImportRecord::Entry(Arc::new(entry))),
        2 => any_agent().prop_map(|agent| ImportRecord::Agent(Box::new(agent))),
        2 => any_bundle().prop_map(ImportRecord::Bundle),
        1 => any_draft().prop_map(|draft| ImportRecord::Relationship(draft.relationship)),
        1 => (token(), 900i64..1200)
            .prop_map(|(value, expires_at)| ImportRecord::JoinToken(JoinToken { value, expires_at })),
    ];
    vec(record, 1..4).prop_map(|records| CommandKind::Import { records })
}

pub fn authority_command() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        2 => authority_name().prop_map(|(kind, id)| CommandKind::PrepareAuthority {
            authority: Box::new(authority(kind, &id)),
            upstream_roots: Vec::new(),
        }),
        2 => authority_name().prop_map(|(kind, id)| CommandKind::ActivateAuthority { kind, id }),
        1 => authority_name().prop_map(|(kind, id)| CommandKind::TaintAuthority { kind, id }),
        1 => authority_name().prop_map(|(kind, id)| CommandKind::RevokeAuthority { kind, id }),
        1 => authority_name().prop_map(|(kind, id)| CommandKind::ForgetAuthority { kind, id }),
        1 => (authority_name(), 0..3u64).prop_map(|((kind, id), expected_term)| {
            let key = SealedKey { keyring_term: expected_term + 1, ciphertext: b"sealed anew".to_vec() };
            CommandKind::ResealAuthority { kind, id, key, expected_term }
        }),
        1 => authority_name().prop_map(|(kind, id)| {
            let roots = vec![authority(kind, &id).certificate];
            CommandKind::TaintUpstreamAuthority { subject_key_id: id, roots }
        }),
        1 => authority_name().prop_map(|(kind, id)| {
            let roots = vec![authority(kind, &id).certificate];
            CommandKind::RevokeUpstreamAuthority { subject_key_id: id, roots }
        }),
        1 => (vec(der(), 0..2), vec(der(), 0..2), vec(der(), 0..2), vec(jwt_authority(), 0..2)).prop_map(
            |(append, taint, revoke, jwt_authorities)| {
                let changes = UpstreamChanges { append, taint, revoke, jwt_authorities };
                CommandKind::FollowUpstream(Box::new(changes))
            }
        ),
    ]
}

pub fn cluster_command() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        Just(CommandKind::Noop),
        Just(CommandKind::InitCluster(Box::new(cluster_init()))),
        (1u8..5).prop_map(|number| CommandKind::AllocateMember { member: member(number) }),
        (1u64..5, "[a-z]{1,3}").prop_map(|(node_id, name)| CommandKind::UpdateMember {
            node_id,
            peer_address: format!("{name}:8082"),
            api_address: format!("{name}:8081"),
            name,
        }),
        (1u64..5).prop_map(|node_id| CommandKind::RemoveMember { node_id }),
        (1u64..5, prop_oneof![Just(Suffrage::Auto), Just(Suffrage::Voter), Just(Suffrage::Standby)])
            .prop_map(|(node_id, suffrage)| CommandKind::SetSuffrage { node_id, suffrage }),
        (0u32..6).prop_map(|voters| CommandKind::SetVotersTarget { voters }),
        (CLUSTER_VERSION_FIRST..=CLUSTER_VERSION_MAX).prop_map(|version| CommandKind::SetClusterVersion { version }),
        (der(), 0u64..4)
            .prop_map(|(content, expected_revision)| { CommandKind::SetKeyring { content, expected_revision } }),
        (der(), 0u64..4, prop::collection::vec(1u64..5, 0..5)).prop_map(|(content, expected_revision, held_by)| {
            CommandKind::ReplaceSealingKey { content, expected_revision, held_by }
        }),
        (der(), 0u64..4)
            .prop_map(|(content, expected_revision)| { CommandKind::SetPeerCa { content, expected_revision } }),
    ]
}

fn web_command() -> impl Strategy<Value = CommandKind> {
    let domain = || select(vec!["a.test", "b.test", ""]).prop_map(str::to_owned);
    let url = || select(vec!["https://one.test/", "https://two.test/"]).prop_map(str::to_owned);
    let key = || (1u64..4).prop_map(|keyring_term| SealedKey { keyring_term, ciphertext: b"sealed".to_vec() });
    prop_oneof![
        (url(), key()).prop_map(|(directory_url, key)| CommandKind::SetAcmeAccount {
            account: AcmeAccount { directory_url, key }
        }),
        (domain(), option::of(any::<[u8; 32]>()))
            .prop_map(|(domain, digest)| CommandKind::SetAcmeChallenge { domain, digest }),
        (domain(), vec(der(), 0..3), key(), 900i64..1200).prop_map(|(domain, chain, key, not_after)| {
            let not_after = Timestamp::from_secs(not_after);
            let not_before = Timestamp::from_secs(800);
            let certificate = Box::new(WebCertificate { domain, chain, key, not_before, not_after });
            CommandKind::SetWebCertificate { certificate }
        }),
        (domain(), url(), any::<bool>(), key(), 0u64..4).prop_map(
            |(domain, directory_url, account, key, expected_term)| {
                let name = if account { WebKey::Account { directory_url } } else { WebKey::Certificate { domain } };
                CommandKind::ResealWebKey { name, key, expected_term }
            }
        ),
    ]
}

fn clock_command() -> impl Strategy<Value = CommandKind> {
    Just(CommandKind::ResetClock)
}

fn audit_command() -> impl Strategy<Value = CommandKind> {
    let anchor = (1u64..4, 1u64..4, 0u64..4, any::<bool>());
    anchor.prop_map(|(node_id, epoch, sequence, other)| {
        let hash = [u8::from(other); 32];
        CommandKind::SetAuditAnchor { anchor: AuditAnchor { node_id, epoch, sequence, hash } }
    })
}

pub fn any_kind() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        4 => entry_command(),
        1 => judged_command(),
        3 => agent_command(),
        3 => bundle_command(),
        2 => import_command(),
        2 => authority_command(),
        1 => cluster_command(),
        1 => web_command(),
        1 => audit_command(),
        1 => clock_command(),
    ]
}

/// Stamps go forwards and backwards.
pub fn any_command() -> impl Strategy<Value = Command> {
    (any_kind(), 1000i64..1100, any::<[u8; 16]>()).prop_map(|(kind, at_secs, request_id)| Command {
        request_id,
        at: Timestamp::from_secs(at_secs),
        actor: "test".to_owned(),
        kind,
    })
}

pub fn any_commands() -> impl Strategy<Value = Vec<Command>> {
    vec(any_command(), 1..40)
}
