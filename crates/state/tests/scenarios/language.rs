//! The language of the scenarios: `noun verb name key=value…`, answered with the outcome, what changed, and on request
//! what a view shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use steeple_core::{
    AttestedAgent, AuthorityKind, Bundle, BundleEndpointProfile, Entry, FederationRelationship, JoinToken,
    JwtAuthority, SelectorSet, SpiffeId, Timestamp, TrustDomain,
};
use steeple_state::{
    Attestation, BundleMask, BundleUpdate, Change, Command, CommandKind, DeleteMode, EntryCreation, EntryMask,
    EntryUpdate, NO_REQUEST, Outcome, Rejection, RelationshipDraft, RelationshipMask, RelationshipUpdate,
    UpstreamChanges,
};

use crate::common::{self, Replica};

pub struct Scenario {
    replica: Replica,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { replica: Replica::new() }
    }
}

/// One line, taken apart.
struct Line<'a> {
    words: Vec<&'a str>,
    keys: BTreeMap<&'a str, &'a str>,
}

impl Scenario {
    /// The answer to one line; several lines when the change caused events.
    pub fn run(&mut self, text: &str) -> Vec<String> {
        let line = Line::parse(text);
        match line.words.as_slice() {
            ["at", secs] => {
                self.replica.at = Timestamp::from_secs(secs.parse().unwrap());
                Vec::new()
            }
            ["restart"] => {
                self.replica.state = self.replica.reloaded();
                Vec::new()
            }
            ["show", what @ ..] => self.show(what),
            _ => self.apply(&line),
        }
    }

    fn apply(&mut self, line: &Line<'_>) -> Vec<String> {
        let request_id = line.key("request").map_or(NO_REQUEST, |number| [number.parse().unwrap(); 16]);
        let command =
            Command { request_id, at: self.replica.at, actor: "scenario".to_owned(), kind: command_kind(line) };
        let applied = self.replica.apply(&command);
        let events = applied.events.iter().map(|event| format!("  {}", describe_change(&event.change)));
        describe(&applied.outcome).into_iter().chain(events).collect()
    }

    fn show(&self, what: &[&str]) -> Vec<String> {
        let state = &self.replica.state;
        match what {
            ["authorized", path] => {
                let entries = state.authorized_entries(&common::id(path));
                let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
                vec![format!("authorized: {}", ids.join(" "))]
            }
            ["entry", id] => vec![state.entry(id).map_or("no such entry".to_owned(), |entry| describe_entry(entry))],
            ["agent", path] => {
                let agent = state.agent(&common::id(path));
                vec![agent.map_or("no such agent".to_owned(), |agent| describe_agent(agent))]
            }
            ["bundle", name] => {
                let bundle = state.bundle(&common::trust_domain(name));
                vec![bundle.map_or("no such bundle".to_owned(), |bundle| describe_bundle(bundle))]
            }
            ["authorities", kind] => {
                let set = state.authorities(authority_kind(kind));
                let slot = |authority: &Option<steeple_core::Authority>| match authority {
                    Some(authority) => {
                        let key = if authority.key.ciphertext.is_empty() { "no key" } else { "sealed key" };
                        format!("{} {:?} {key}", authority.id, authority.status)
                    }
                    None => "none".to_owned(),
                };
                vec![format!("active: {}, next: {}", slot(&set.active), slot(&set.next))]
            }
            ["members"] => {
                let member = |member: &steeple_state::Member| format!("{} {}", member.node_id, member.facts.name);
                vec![state.members().map(member).collect::<Vec<_>>().join(", ")]
            }
            ["keyring"] => {
                let keyring = state.keyring().unwrap();
                vec![format!("revision {} {:?}", keyring.revision, String::from_utf8_lossy(&keyring.content))]
            }
            ["now"] => vec![state.now().as_secs().to_string()],
            other => panic!("show what? {other:?}"),
        }
    }
}

fn command_kind(line: &Line<'_>) -> CommandKind {
    match line.words.as_slice() {
        ["entry", "create", ids @ ..] => common::create(ids.iter().map(|id| entry(id, line))),
        ["entry", "update", id] => {
            let mut mask = EntryMask::default();
            for key in line.keys.keys() {
                match *key {
                    "spiffe" => mask.spiffe_id = true,
                    "parent" => mask.parent_id = true,
                    "selectors" => mask.selectors = true,
                    "hint" => mask.hint = true,
                    "federates" => mask.federates_with = true,
                    "dns" => mask.dns_names = true,
                    "store" => mask.store_svid = true,
                    "ttl" => mask.x509_svid_ttl = true,
                    _ => {}
                }
            }
            CommandKind::UpdateEntries { updates: vec![EntryUpdate { entry: Arc::new(entry(id, line)), mask }] }
        }
        ["entry", "delete", ids @ ..] => {
            // Two quotes stand for the empty id.
            let ids = ids.iter().map(|id| id.trim_matches('"').to_owned()).collect();
            CommandKind::DeleteEntries { ids }
        }
        ["entry", "prune", before] => CommandKind::PruneEntries { before: before.parse().unwrap() },

        ["agent", "attest", path] => CommandKind::AttestAgent(Attestation {
            agent: AttestedAgent {
                attestation_type: line.key("type").unwrap_or("x509pop").to_owned(),
                can_reattest: line.flag("reattest"),
                selectors: line.selectors("selectors"),
                not_after: line.number("until").unwrap_or(5000),
                ..common::agent(path, line.key("serial").unwrap_or("1"))
            },
            join_token: line.key("token").map(str::to_owned),
            first_use: line.flag("tofu"),
        }),
        ["agent", "renew", path] => CommandKind::SetPendingSerial {
            id: common::id(path),
            serial: line.key("serial").unwrap().to_owned(),
            not_after: line.number("until").unwrap_or(6000),
            replaces: line.key("replaces").map(|serial| serial.trim_start_matches("none").to_owned()),
        },
        ["agent", "use", path] => {
            CommandKind::PromoteSerial { id: common::id(path), serial: line.key("serial").unwrap().to_owned() }
        }
        ["agent", "version", path, version] => {
            CommandKind::SetAgentVersion { id: common::id(path), version: (*version).to_owned() }
        }
        ["agent", "ban", path] => CommandKind::BanAgent { id: common::id(path) },
        ["agent", "delete", path] => CommandKind::DeleteAgent { id: common::id(path) },
        ["agent", "prune", before] => CommandKind::PruneAgents {
            expired_before: before.parse().unwrap(),
            include_tofu: line.flag("tofu"),
            items_max: 1000,
        },
        ["token", "create", value] => CommandKind::CreateJoinToken {
            token: JoinToken { value: (*value).to_owned(), expires_at: line.number("until").unwrap_or(2000) },
            alias: line.key("alias").map(|path| {
                let parent = format!("/spire/agent/join_token/{value}");
                let selectors = common::selectors([format!("spiffe_id:{}", common::id(&parent))]);
                Arc::new(Entry { selectors, ..common::entry(&format!("alias-{value}"), path, &parent) })
            }),
        },
        ["token", "prune", before] => CommandKind::PruneJoinTokens { before: before.parse().unwrap() },

        ["bundle", "append"] => {
            CommandKind::AppendBundle { x509_authorities: line.ders("roots"), jwt_authorities: line.jwt_authorities() }
        }
        ["bundle", "publish"] => CommandKind::PublishJwtAuthority { authority: line.jwt_authorities().remove(0) },
        ["bundle", "prune"] => CommandKind::PruneBundle {
            x509_authorities: line.ders("roots"),
            jwt_expired_before: line.number("before").unwrap_or(0),
        },
        ["bundle", "create", names @ ..] => CommandKind::CreateBundles { bundles: bundles(names, line) },
        ["bundle", "set", names @ ..] => CommandKind::SetBundles { bundles: bundles(names, line) },
        ["bundle", "update", name] => {
            let mask = BundleMask { refresh_hint: line.key("hint").is_some(), ..BundleMask::default() };
            CommandKind::UpdateBundles {
                updates: vec![BundleUpdate { bundle: bundles(&[name], line).remove(0), mask }],
            }
        }
        ["bundle", "delete", names @ ..] => CommandKind::DeleteBundles {
            trust_domains: trust_domains(names),
            mode: match line.key("mode") {
                None => DeleteMode::Restrict,
                Some("delete") => DeleteMode::Delete,
                Some("dissociate") => DeleteMode::Dissociate,
                Some(other) => panic!("mode {other}"),
            },
        },

        ["relationship", "create", name] => CommandKind::CreateRelationships { relationships: vec![draft(name, line)] },
        ["relationship", "update", name] => {
            let mask = RelationshipMask {
                bundle_endpoint_url: line.key("url").is_some(),
                bundle_endpoint_profile: line.key("endpoint").is_some(),
                trust_domain_bundle: line.key("bundle").is_some(),
            };
            CommandKind::UpdateRelationships { updates: vec![RelationshipUpdate { draft: draft(name, line), mask }] }
        }
        ["relationship", "delete", names @ ..] => {
            CommandKind::DeleteRelationships { trust_domains: trust_domains(names) }
        }

        ["authority", "prepare", kind, id] => CommandKind::PrepareAuthority {
            authority: Box::new(steeple_core::Authority {
                upstream_authority_id: line.key("upstream").unwrap_or_default().to_owned(),
                ..common::authority(authority_kind(kind), id)
            }),
            upstream_roots: line.ders("roots"),
        },
        ["upstream", "taint", id @ ..] => {
            CommandKind::TaintUpstreamAuthority { subject_key_id: id.join(""), roots: line.ders("roots") }
        }
        ["upstream", "revoke", id @ ..] => {
            CommandKind::RevokeUpstreamAuthority { subject_key_id: id.join(""), roots: line.ders("roots") }
        }
        ["upstream", "follow"] => CommandKind::FollowUpstream(Box::new(UpstreamChanges {
            append: line.ders("append"),
            taint: line.ders("taint"),
            revoke: line.ders("revoke"),
            jwt_authorities: line.jwt_authorities(),
        })),
        ["authority", "activate", kind, id] => {
            CommandKind::ActivateAuthority { kind: authority_kind(kind), id: (*id).to_owned() }
        }
        ["authority", "taint", kind, id @ ..] => {
            CommandKind::TaintAuthority { kind: authority_kind(kind), id: id.join("") }
        }
        ["authority", "revoke", kind, id @ ..] => {
            CommandKind::RevokeAuthority { kind: authority_kind(kind), id: id.join("") }
        }
        ["authority", "forget", kind, id] => {
            CommandKind::ForgetAuthority { kind: authority_kind(kind), id: (*id).to_owned() }
        }

        ["cluster", "init", uuid] => {
            let cluster_uuid = [uuid.parse().unwrap(); 16];
            let init = steeple_state::ClusterInit { cluster_uuid, ..common::cluster_init() };
            CommandKind::InitCluster(Box::new(init))
        }
        ["member", "allocate", storage] => {
            CommandKind::AllocateMember { member: common::member(storage.parse().unwrap()) }
        }
        ["member", "rename", node_id, name] => CommandKind::UpdateMember {
            node_id: node_id.parse().unwrap(),
            name: (*name).to_owned(),
            peer_address: format!("{name}:8082"),
            api_address: format!("{name}:8081"),
        },
        ["member", "remove", node_id] => CommandKind::RemoveMember { node_id: node_id.parse().unwrap() },
        ["keyring", "set", content] => CommandKind::SetKeyring {
            content: content.as_bytes().to_vec(),
            expected_revision: line.number("expected").unwrap() as u64,
        },
        ["keyring", "replace", content, held_by] => CommandKind::ReplaceSealingKey {
            content: content.as_bytes().to_vec(),
            expected_revision: line.number("expected").unwrap() as u64,
            held_by: held_by.split(',').map(|id| id.parse().unwrap()).collect(),
        },
        other => panic!("no such command: {other:?}"),
    }
}

// === Reading ===

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Self {
        let (keyed, words): (Vec<&str>, Vec<&str>) = text.split_whitespace().partition(|word| word.contains('='));
        let keys = keyed.into_iter().filter_map(|word| word.split_once('=')).collect();
        Self { words, keys }
    }

    fn key(&self, key: &str) -> Option<&'a str> {
        self.keys.get(key).copied()
    }

    fn flag(&self, key: &str) -> bool {
        self.key(key) == Some("yes")
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.key(key).map(|value| value.parse().unwrap())
    }

    fn list(&self, key: &str) -> Vec<&'a str> {
        self.key(key).map_or(Vec::new(), |value| value.split(',').filter(|item| !item.is_empty()).collect())
    }

    /// The words themselves stand for certificates.
    fn ders(&self, key: &str) -> Vec<Vec<u8>> {
        self.list(key).into_iter().map(|root| root.as_bytes().to_vec()).collect()
    }

    fn selectors(&self, key: &str) -> SelectorSet {
        common::selectors(self.list(key))
    }

    /// `jwt=id:key,…`; the key defaults to the id.
    fn jwt_authorities(&self) -> Vec<JwtAuthority> {
        let one = |text: &str| {
            let (key_id, key) = text.split_once(':').unwrap_or((text, text));
            JwtAuthority {
                public_key: key.as_bytes().to_vec(),
                key_id: key_id.to_owned(),
                expires_at: self.number("until").unwrap_or(3000),
                tainted: false,
            }
        };
        self.list("jwt").into_iter().map(one).collect()
    }
}

fn entry(id: &str, line: &Line<'_>) -> Entry {
    let spiffe_id = line.key("spiffe").map_or_else(|| common::id(&format!("/{id}")), any_id);
    let parent_id = line.key("parent").map_or_else(|| common::id("/spire/agent/a"), any_id);
    let selectors = match line.key("selectors") {
        Some(_) => line.selectors("selectors"),
        None => common::selectors(["unix:uid:1"]),
    };
    Entry {
        spiffe_id,
        parent_id,
        selectors,
        federates_with: trust_domains(&line.list("federates")),
        dns_names: line.list("dns").into_iter().map(str::to_owned).collect(),
        hint: line.key("hint").unwrap_or_default().to_owned(),
        x509_svid_ttl: line.number("ttl").unwrap_or(0) as i32,
        expires_at: line.number("expires").unwrap_or(0),
        store_svid: line.flag("store"),
        disable_x509_svid_prefetch: line.flag("noprefetch"),
        ..common::entry(id, "/placeholder", "/placeholder")
    }
}

/// A path in the own trust domain, or a whole SPIFFE ID.
fn any_id(text: &str) -> SpiffeId {
    if text.starts_with('/') { common::id(text) } else { SpiffeId::parse(text).unwrap() }
}

fn bundles(names: &[&str], line: &Line<'_>) -> Vec<Arc<Bundle>> {
    let one = |name: &&str| {
        let refresh_hint = line.number("hint").unwrap_or(0);
        Arc::new(Bundle { refresh_hint, ..common::bundle(name) })
    };
    names.iter().map(one).collect()
}

fn draft(name: &str, line: &Line<'_>) -> RelationshipDraft {
    let profile = match line.key("endpoint") {
        Some(id) => BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id: SpiffeId::parse(id).unwrap() },
        None => BundleEndpointProfile::HttpsWeb,
    };
    let relationship = FederationRelationship {
        trust_domain: common::trust_domain(name),
        bundle_endpoint_url: line.key("url").unwrap_or("https://default.test/").to_owned(),
        profile,
    };
    RelationshipDraft { relationship, bundle: line.key("bundle").map(|name| Arc::new(common::bundle(name))) }
}

fn trust_domains(names: &[&str]) -> Vec<TrustDomain> {
    names.iter().map(|name| common::trust_domain(name)).collect()
}

fn authority_kind(name: &str) -> AuthorityKind {
    match name {
        "x509" => AuthorityKind::X509,
        "jwt" => AuthorityKind::Jwt,
        "wit" => AuthorityKind::Wit,
        other => panic!("authority kind {other}"),
    }
}

// === Writing ===

fn describe(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Done => vec!["done".to_owned()],
        Outcome::Rejected(rejection) => vec![describe_rejection(rejection)],
        Outcome::Agent(agent) => vec![describe_agent(agent)],
        Outcome::Authority { id, not_after } => vec![format!("authority {id} until {}", not_after.as_secs())],
        Outcome::Bundle(bundle) => vec![describe_bundle(bundle)],
        Outcome::Bundles(results) => each(results, |bundle| describe_bundle(bundle)),
        Outcome::Deleted(results) => each(results, |()| "deleted".to_owned()),
        Outcome::EntriesCreated(results) => results
            .iter()
            .map(|result| match result {
                EntryCreation::Created(entry) => format!("created {}", describe_entry(entry)),
                EntryCreation::AlreadyExists(entry) => format!("exists {}", describe_entry(entry)),
                EntryCreation::Rejected(rejection) => describe_rejection(rejection),
            })
            .collect(),
        Outcome::EntriesUpdated(results) => each(results, |entry| format!("updated {}", describe_entry(entry))),
        Outcome::Imported(results) => results.iter().map(|result| format!("{result:?}")).collect(),
        Outcome::Member { node_id } => vec![format!("node id {node_id}")],
        Outcome::Pruned { items, more } => vec![format!("pruned {items}{}", if *more { ", more to do" } else { "" })],
        Outcome::Relationships(results) => each(results, |found| {
            let relationship = &found.relationship;
            let bundle = if found.bundle.is_some() { "with bundle" } else { "without bundle" };
            format!("{} {} {bundle}", relationship.trust_domain, relationship.bundle_endpoint_url)
        }),
    }
}

fn each<T>(results: &[Result<T, Rejection>], describe: impl Fn(&T) -> String) -> Vec<String> {
    let one = |result: &Result<T, Rejection>| match result {
        Ok(value) => describe(value),
        Err(rejection) => describe_rejection(rejection),
    };
    results.iter().map(one).collect()
}

fn describe_rejection(rejection: &Rejection) -> String {
    format!("{:?}: {}", rejection.code, rejection.message)
}

fn describe_entry(entry: &Entry) -> String {
    let mut text = format!("{} {} below {}", entry.id, entry.spiffe_id.path(), entry.parent_id.path());
    text.push_str(&format!(" [{}]", join(entry.selectors.iter())));
    if !entry.federates_with.is_empty() {
        text.push_str(&format!(" federates {}", join(entry.federates_with.iter())));
    }
    if !entry.hint.is_empty() {
        text.push_str(&format!(" hint {}", entry.hint));
    }
    text + &format!(" revision {} created {}", entry.revision, entry.created_at)
}

fn describe_agent(agent: &AttestedAgent) -> String {
    let mut text = format!("{} {}", agent.id.path(), agent.attestation_type);
    match agent.is_banned() {
        true => text.push_str(" banned"),
        false => text.push_str(&format!(" serial {} until {}", agent.serial, agent.not_after)),
    }
    if !agent.new_serial.is_empty() {
        text.push_str(&format!(" pending {} until {}", agent.new_serial, agent.new_not_after));
    }
    if !agent.agent_version.is_empty() {
        text.push_str(&format!(" version {}", agent.agent_version));
    }
    text
}

fn describe_bundle(bundle: &Bundle) -> String {
    let taint = |tainted: bool| if tainted { " (tainted)" } else { "" };
    let roots = bundle.x509_authorities.iter();
    let roots = roots.map(|root| format!("{}{}", String::from_utf8_lossy(&root.der), taint(root.tainted)));
    let named = |key: &JwtAuthority| format!("{}{}", key.key_id, taint(key.tainted));
    let keys = join(bundle.jwt_authorities.iter().map(named));
    let wit = match bundle.wit_authorities.as_slice() {
        [] => String::new(),
        keys => format!(" wit [{}]", join(keys.iter().map(named))),
    };
    let hint = if bundle.refresh_hint == 0 { String::new() } else { format!(" hint {}", bundle.refresh_hint) };
    let roots = join(roots);
    format!("{} sequence {}{hint} roots [{roots}] jwt [{keys}]{wit}", bundle.trust_domain, bundle.sequence)
}

fn describe_change(change: &Change) -> String {
    match change {
        Change::Agent { id, change } => format!("event: agent {} {change:?}", id.path()),
        Change::Authority { kind } => format!("event: {kind:?} authority"),
        Change::Bundle { trust_domain } => format!("event: bundle {trust_domain}"),
        Change::Cluster => "event: cluster".to_owned(),
        Change::Entry { before: None, after: Some(entry) } => format!("event: entry {} created", entry.id),
        Change::Entry { after: Some(entry), .. } => format!("event: entry {} updated", entry.id),
        Change::Entry { before, after: None } => {
            format!("event: entry {} deleted", before.as_ref().map_or("?", |entry| &entry.id))
        }
        Change::Keyring { revision } => format!("event: keyring {revision}"),
        Change::Members => "event: members".to_owned(),
        Change::PeerCa { revision } => format!("event: peer CA {revision}"),
        Change::Relationship { trust_domain } => format!("event: relationship {trust_domain}"),
        Change::WebCertificate { domain } => format!("event: web certificate {domain}"),
    }
}

fn join<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
