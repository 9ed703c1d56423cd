//! What Envoy asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use steeple_agent::cache::WorkloadView;
use steeple_agent::sds::{Session, Verdict as Said};
use steeple_api::envoy::discovery::DiscoveryRequest;
use steeple_config::SdsSettings;

use super::issued;
use crate::{Verdict, within};

/// Two requests behind their lengths, on one stream; the second may acknowledge what answered the first.
pub fn discovery_request(data: &[u8]) -> Verdict {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return Verdict::Refused };
    let (first, second) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
    let requests = within(200, data, || [DiscoveryRequest::decode(first), DiscoveryRequest::decode(second)]);
    let [Ok(first), Ok(second)] = requests else { return Verdict::Refused };
    let mut session = Session::new(Arc::new(SdsSettings::default()));
    session.changed(view(), "0".to_owned()).expect("nothing was asked for yet");
    let answers_all = first.resource_names.iter().all(String::is_empty);
    let Ok(answer) = session.received(first, "1".to_owned()) else { return Verdict::Refused };
    let answer = answer.expect("the first request is answered");
    assert_eq!((answer.nonce.as_str(), answer.version_info.as_str()), ("1", "1"));
    assert!(!answers_all || answer.resources.len() == 1, "one bundle is all there is");
    let said = session.verdict(&second);
    assert_eq!(said == Said::Stale, second.response_nonce != "1");
    let answer = session.received(second, "2".to_owned());
    assert!(said != Said::Stale || matches!(answer, Ok(None)), "an old request was answered");
    Verdict::Read
}

pub fn discovery_request_seeds() -> Vec<Vec<u8>> {
    let request = |names: &[&str], nonce: &str| DiscoveryRequest {
        version_info: nonce.to_owned(),
        resource_names: names.iter().map(ToString::to_string).collect(),
        type_url: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret".to_owned(),
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    };
    [(request(&[], ""), request(&[], "1")), (request(&["ROOTCA"], ""), request(&["default"], "1"))]
        .map(|(first, second)| {
            let length = u16::try_from(first.encoded_len()).expect("a short request").to_le_bytes();
            [&length[..], &first.encode_to_vec(), &second.encode_to_vec()].concat()
        })
        .to_vec()
}

/// Of a workload without an identity: its trust domain's bundle alone.
fn view() -> WorkloadView {
    WorkloadView {
        identities: Vec::new(),
        bundle: Some(Arc::new(issued::bundle())),
        federated: BTreeMap::new(),
        awaited: 0,
    }
}
