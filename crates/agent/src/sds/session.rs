//! One stream's versions and nonces (xDS, "ACK/NACK and versioning"; SPIRE behaviour), without the stream.

use std::sync::Arc;

use steeple_api::any;
use steeple_api::envoy::core::Node;
use steeple_api::envoy::discovery::{DiscoveryRequest, DiscoveryResponse};
use steeple_config::SdsSettings;

use super::names::ResourceNames;
use super::resources::secrets;
use super::{SdsError, Validation};
use crate::cache::WorkloadView;

/// Answers the first request, a request for other names, and every change of what the workload may see.
pub struct Session {
    settings: Arc<SdsSettings>,
    /// What was asked for last.
    asked: Option<Asked>,
    view: Option<WorkloadView>,
    /// Raised by one with each view; the first that is sent is 1.
    version: u64,
    /// Of the response sent last.
    nonce: Option<String>,
}

/// What a request says about the response before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was sent yet.
    First,
    Accepted,
    /// Envoy goes on with what it had before, if it had anything.
    Rejected,
    /// It crossed a newer response: the answer to that one will follow.
    Stale,
}

/// What matters of a request.
struct Asked {
    names: ResourceNames,
    node: Option<Node>,
    type_url: String,
}

impl Session {
    pub fn new(settings: Arc<SdsSettings>) -> Self {
        Self { settings, asked: None, view: None, version: 0, nonce: None }
    }

    /// Takes a request. The response, if one is due, carries `nonce`, which must be fresh.
    pub fn received(
        &mut self,
        request: DiscoveryRequest,
        nonce: String,
    ) -> Result<Option<DiscoveryResponse>, SdsError> {
        let verdict = self.verdict(&request);
        log(verdict, &request);
        if verdict == Verdict::Stale {
            return Ok(None);
        }
        let mut asked = Asked::of(request)?;
        let before = self.asked.take();
        let changed = before.as_ref().is_none_or(|before| before.names != asked.names);
        // Envoy names itself in its first request only.
        asked.node = asked.node.or_else(|| before.and_then(|before| before.node));
        self.asked = Some(asked);
        if changed { self.respond(nonce) } else { Ok(None) }
    }

    /// Takes a view that differs from the one before. It is sent even where the names asked for are not concerned.
    pub fn changed(&mut self, view: WorkloadView, nonce: String) -> Result<Option<DiscoveryResponse>, SdsError> {
        self.view = Some(view);
        self.version += 1;
        self.respond(nonce)
    }

    /// What `request` says about the last response.
    pub fn verdict(&self, request: &DiscoveryRequest) -> Verdict {
        match &self.nonce {
            None => Verdict::First,
            Some(nonce) if *nonce != request.response_nonce => Verdict::Stale,
            Some(_) if request.version_info == self.version.to_string() => Verdict::Accepted,
            Some(_) => Verdict::Rejected,
        }
    }

    /// Nothing before both a request and a view are there.
    fn respond(&mut self, nonce: String) -> Result<Option<DiscoveryResponse>, SdsError> {
        let (Some(asked), Some(view)) = (&self.asked, &self.view) else { return Ok(None) };
        let response = asked.response(&self.settings, view)?;
        self.nonce = Some(nonce.clone());
        Ok(Some(DiscoveryResponse { version_info: self.version.to_string(), nonce, ..response }))
    }
}

/// The answer to a request outside a stream: there is nothing to acknowledge, so version and nonce are empty.
pub(super) fn respond_once(
    request: DiscoveryRequest,
    settings: &SdsSettings,
    view: &WorkloadView,
) -> Result<DiscoveryResponse, SdsError> {
    Asked::of(request)?.response(settings, view)
}

impl Asked {
    fn of(request: DiscoveryRequest) -> Result<Self, SdsError> {
        let DiscoveryRequest { node, resource_names, type_url, .. } = request;
        Ok(Self { names: ResourceNames::parse(&resource_names)?, node, type_url })
    }

    /// `type_url` goes back as it came; there is one type only.
    fn response(&self, settings: &SdsSettings, view: &WorkloadView) -> Result<DiscoveryResponse, SdsError> {
        let validation = Validation::for_node(self.node.as_ref(), settings);
        let secrets = secrets(&self.names, settings, validation, view)?;
        Ok(DiscoveryResponse {
            resources: secrets.iter().map(any::pack).collect(),
            type_url: self.type_url.clone(),
            ..DiscoveryResponse::default()
        })
    }
}

fn log(verdict: Verdict, request: &DiscoveryRequest) {
    let DiscoveryRequest { version_info, resource_names, response_nonce, error_detail, .. } = request;
    tracing::debug!(?resource_names, version_info, response_nonce, ?verdict, "Received StreamSecrets request");
    if let Some(detail) = error_detail {
        tracing::error!(?resource_names, error = %detail.message, "Envoy reports an error");
    }
    match verdict {
        Verdict::First | Verdict::Accepted => {}
        Verdict::Rejected => tracing::error!(version_info, "Client rejected expected version and rolled back"),
        Verdict::Stale => tracing::warn!(response_nonce, "Received unexpected nonce; ignoring request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sds::resources::tests::view;

    const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

    fn session() -> Session {
        Session::new(Arc::new(SdsSettings::default()))
    }

    fn ask(names: &[&str], version: &str, nonce: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            resource_names: names.iter().map(ToString::to_string).collect(),
            version_info: version.into(),
            response_nonce: nonce.into(),
            type_url: TYPE_URL.into(),
            ..DiscoveryRequest::default()
        }
    }

    /// Version, nonce and number of resources.
    fn sent(response: Result<Option<DiscoveryResponse>, SdsError>) -> Option<(String, String, usize)> {
        let response = response.unwrap()?;
        assert_eq!(response.type_url, TYPE_URL);
        Some((response.version_info, response.nonce, response.resources.len()))
    }

    fn response(version: &str, nonce: &str, resources: usize) -> Option<(String, String, usize)> {
        Some((version.into(), nonce.into(), resources))
    }

    /// A session that has sent version 1 of `default` with nonce `n1`.
    fn begun() -> Session {
        let mut session = session();
        assert_eq!(sent(session.received(ask(&["default"], "", ""), "n0".into())), None);
        assert_eq!(sent(session.changed(view(&["a"], &[]), "n1".into())), response("1", "n1", 1));
        session
    }

    #[test]
    fn a_response_needs_a_request_and_a_view() {
        begun();
        let mut session = session();
        assert_eq!(sent(session.changed(view(&["a"], &[]), "n0".into())), None);
        assert_eq!(sent(session.received(ask(&["default"], "", ""), "n1".into())), response("1", "n1", 1));
    }

    #[test]
    fn an_acknowledgement_is_not_answered() {
        let mut session = begun();
        assert_eq!(session.verdict(&ask(&["default"], "1", "n1")), Verdict::Accepted);
        assert_eq!(sent(session.received(ask(&["default"], "1", "n1"), "n2".into())), None);
        assert_eq!(sent(session.received(ask(&["default", "default", ""], "1", "n1"), "n2".into())), None);
    }

    #[test]
    fn another_nonce_is_ignored() {
        let mut session = begun();
        for nonce in ["", "n0"] {
            let request = ask(&["ROOTCA"], "1", nonce);
            assert_eq!(session.verdict(&request), Verdict::Stale);
            assert_eq!(sent(session.received(request, "n2".into())), None);
        }
        // Nor were its names remembered.
        assert_eq!(sent(session.received(ask(&["ROOTCA"], "1", "n1"), "n2".into())), response("1", "n2", 1));
    }

    #[test]
    fn a_rejection_can_still_ask_for_other_names() {
        for version in ["", "0"] {
            let mut session = begun();
            let rejection = ask(&["default"], version, "n1");
            assert_eq!(session.verdict(&rejection), Verdict::Rejected);
            assert_eq!(sent(session.received(rejection, "n2".into())), None);
            let names = ask(&["default", "ROOTCA"], version, "n1");
            assert_eq!(sent(session.received(names, "n3".into())), response("1", "n3", 2));
        }
    }

    #[test]
    fn every_change_is_sent_with_the_next_version() {
        let mut session = begun();
        assert_eq!(sent(session.changed(view(&["a", "b"], &[]), "n2".into())), response("2", "n2", 1));
        assert_eq!(session.verdict(&ask(&["default"], "1", "n1")), Verdict::Stale);
        assert_eq!(session.verdict(&ask(&["default"], "2", "n2")), Verdict::Accepted);
    }

    #[test]
    fn losing_the_identity_is_an_error() {
        let refused = begun().changed(view(&[], &[]), "n2".into());
        assert_eq!(refused, Err(SdsError::NotAuthorized(vec!["default".into()])));
    }

    #[test]
    fn the_node_is_remembered() {
        use steeple_api::envoy::core::BuildVersion;
        use steeple_api::envoy::core::node::UserAgentVersionType;
        let mut build = BuildVersion { version: Some(Default::default()), metadata: None };
        build.version.as_mut().unwrap().major_number = 1;
        let version = UserAgentVersionType::UserAgentBuildVersion(build);
        let old = Node { user_agent_version_type: Some(version), ..Node::default() };
        let mut session = session();
        session.changed(view(&["a"], &[]), "n0".into()).unwrap();
        session.received(DiscoveryRequest { node: Some(old), ..ask(&["ROOTCA"], "", "") }, "n1".into()).unwrap();
        assert_eq!(session.received(ask(&["ALL"], "1", "n1"), "n2".into()), Err(SdsError::ValidatorNeeded));
    }

    #[test]
    fn outside_a_stream_there_is_no_version() {
        let response = respond_once(ask(&[], "", ""), &SdsSettings::default(), &view(&["a"], &[])).unwrap();
        assert_eq!((response.version_info.as_str(), response.nonce.as_str()), ("", ""));
        assert_eq!(response.resources.len(), 2);
    }
}
