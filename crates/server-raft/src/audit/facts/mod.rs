//! What of a call's messages goes on record: pure functions, a file for each service.

mod agent;
mod bundle;
mod entry;
mod svid;
mod trust_domain;

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;
use steeple_api::server::localauthority::*;
use steeple_api::server::logger::SetLogLevelRequest;
use steeple_api::types;
use steeple_telemetry::log::{Fields, Value};

/// A record for the call, or one for each item of its batch.
#[derive(Debug, PartialEq)]
pub(super) enum Facts {
    Call(Fields),
    Items(Vec<Item>),
}

#[derive(Debug, PartialEq)]
pub(super) struct Item {
    pub(super) fields: Fields,
    pub(super) status: types::Status,
}

/// `method` is `/package.Service/Method`. `asked` is the first message of the client and `answered` the last one of the
/// server, both empty when there was none; what does not decode counts as empty.
pub(super) fn facts(method: &str, asked: &[u8], answered: &[u8]) -> Facts {
    let path = method.strip_prefix("/spire.api.server.").unwrap_or(method);
    match path.split_once(".v1.").map_or((path, ""), |(package, rest)| (package, rest)) {
        ("agent", method) => Facts::Call(agent::facts(method, asked, answered)),
        ("bundle", method) => bundle::facts(method, asked, answered),
        ("entry", method) => entry::facts(method, asked, answered),
        ("svid", method) => svid::facts(method, asked, answered),
        ("trustdomain", method) => trust_domain::facts(method, asked, answered),
        ("localauthority", method) => Facts::Call(local_authority(method, asked)),
        ("logger", "Logger/SetLogLevel") => {
            let level = decoded::<SetLogLevelRequest>(asked).new_level();
            Facts::Call(Fields::from([("new_log_level".to_owned(), level.as_str_name().into())]))
        }
        _ => Facts::Call(Fields::new()),
    }
}

/// Every request that names an authority has the name in its only field.
fn local_authority(method: &str, asked: &[u8]) -> Fields {
    let mut fields = Fields::new();
    if method.contains("UpstreamAuthority") {
        put_some(&mut fields, "subject_key_id", &decoded::<TaintX509UpstreamAuthorityRequest>(asked).subject_key_id);
    } else if ["Activate", "Taint", "Revoke"].iter().any(|verb| method.contains(verb)) {
        put_some(&mut fields, "local_authority_id", &decoded::<ActivateX509AuthorityRequest>(asked).authority_id);
    }
    fields
}

/// One item for each of `asked`, with what was answered in its place; nothing while nothing was answered.
fn items<A, R: Default>(
    asked: impl IntoIterator<Item = A>,
    answered: Vec<R>,
    item: impl Fn(A, &R) -> (Fields, Option<types::Status>),
) -> Facts {
    let (none, is_answered) = (R::default(), !answered.is_empty());
    let results = answered.iter().map(Some).chain(std::iter::repeat_with(|| (!is_answered).then_some(&none)));
    let pairs = asked.into_iter().zip(results).map_while(|(asked, answered)| Some(item(asked, answered?)));
    Facts::Items(pairs.map(|(fields, status)| Item { fields, status: status.unwrap_or_default() }).collect())
}

fn decoded<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap_or_default()
}

pub(super) fn put(fields: &mut Fields, name: &str, value: impl Into<Value>) {
    fields.insert(name.to_owned(), value.into());
}

/// Nothing for an empty text.
fn put_some(fields: &mut Fields, name: &str, text: &str) {
    if !text.is_empty() {
        put(fields, name, text);
    }
}

fn put_id(fields: &mut Fields, name: &str, id: Option<&types::Spiffeid>) {
    if let Some(id) = id {
        let trust_domain = id.trust_domain.trim_start_matches("spiffe://");
        put(fields, name, format!("spiffe://{trust_domain}{}", id.path));
    }
}

pub(super) fn put_hash(fields: &mut Fields, name: &str, bytes: &[u8]) {
    if !bytes.is_empty() {
        put(fields, name, hex::encode(digest(&SHA256, bytes)));
    }
}

fn put_selectors(fields: &mut Fields, by: Option<&types::SelectorMatch>) {
    if let Some(by) = by {
        put(fields, "by_selector_match", by.r#match().as_str_name());
        put(fields, "by_selectors", selectors(&by.selectors));
    }
}

fn selectors(selectors: &[types::Selector]) -> String {
    let texts: Vec<String> =
        selectors.iter().map(|selector| format!("{}:{}", selector.r#type, selector.value)).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use steeple_api::server::agent::{AgentX509svidParams, AttestAgentRequest};
    use steeple_api::server::agent::{CreateJoinTokenRequest, attest_agent_request};
    use steeple_api::server::entry::{BatchCreateEntryRequest, BatchCreateEntryResponse, batch_create_entry_response};

    use super::*;

    fn text(fields: &Fields) -> String {
        let texts: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        texts.join(" ")
    }

    #[test]
    fn a_batch_has_a_record_for_each_item() {
        let id = |path: &str| types::Spiffeid { trust_domain: "example.org".into(), path: path.into() };
        let entry = types::Entry {
            spiffe_id: Some(id("/w")),
            parent_id: Some(id("/p")),
            selectors: vec![types::Selector { r#type: "unix".into(), value: "uid:1".into() }],
            ..Default::default()
        };
        let asked = BatchCreateEntryRequest { entries: vec![entry.clone(), entry.clone()], output_mask: None };
        let result = |code, message: &str, id: &str| batch_create_entry_response::Result {
            status: Some(types::Status { code, message: message.into() }),
            entry: Some(types::Entry { id: id.into(), ..entry.clone() }),
        };
        let results = vec![result(0, "OK", "one"), result(6, "similar entry already exists", "one")];
        let answered = BatchCreateEntryResponse { results };
        let method = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
        let Facts::Items(items) = facts(method, &asked.encode_to_vec(), &answered.encode_to_vec()) else {
            panic!("no items")
        };
        assert_eq!(items.iter().map(|item| item.status.code).collect::<Vec<_>>(), [0, 6]);
        let known = text(&items[0].fields);
        assert!(known.contains("entry_id=one") && known.contains("spiffe_id=spiffe://example.org/w"), "{known}");
        assert!(
            known.contains("parent_id=spiffe://example.org/p ") && known.contains("selectors=unix:uid:1"),
            "{known}"
        );
    }

    #[test]
    fn secrets_are_not_on_record() {
        let data = types::AttestationData { r#type: "join_token".into(), payload: b"canary".to_vec() };
        let csr = AgentX509svidParams { csr: b"canary".to_vec() };
        let params = attest_agent_request::Params { data: Some(data), params: Some(csr) };
        let asked = AttestAgentRequest { step: Some(attest_agent_request::Step::Params(params)) };
        let attest = facts("/spire.api.server.agent.v1.Agent/AttestAgent", &asked.encode_to_vec(), b"");
        let asked = CreateJoinTokenRequest { ttl: 60, token: "canary".into(), agent_id: None };
        let create = facts("/spire.api.server.agent.v1.Agent/CreateJoinToken", &asked.encode_to_vec(), b"");
        for facts in [&attest, &create] {
            assert!(!format!("{facts:?}").contains("canary"), "{facts:?}");
        }
        let Facts::Call(fields) = &attest else { panic!("one record") };
        assert!(text(fields).contains("node_attestor_type=join_token"), "{fields:?}");
        assert_eq!(create, Facts::Call(Fields::from([("ttl".to_owned(), 60_i64.into())])));
    }

    #[test]
    fn nonsense_is_no_reason_to_panic() {
        for row in crate::authz::TABLE {
            for bytes in [&b""[..], b"\xff\xff\xff", b"\x0a\x05abc"] {
                let _ = facts(row.method, bytes, bytes);
            }
        }
    }
}
