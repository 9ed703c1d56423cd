//! The server's half.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use regex::bytes::{Regex, RegexBuilder};
use steeple_core::plugin::{AttestError, Attested, BoxFuture, ChallengeChannel, NodeAttestor};
use steeple_core::{Selector, TrustDomain};
use steeple_transport::client::http_get;

use super::NAME;
use super::wire::{Challenge, Payload, nonce_path};
use crate::agent_path::agent_id;
use crate::json;

/// `plugin_data` of the server's block, checked.
#[derive(Clone, Debug)]
pub struct HttpChallengeSettings {
    /// One of them must match some part of the host name; any name will do where there is none.
    allowed_dns_patterns: Vec<Regex>,
    required_port: Option<i64>,
    allow_non_root_ports: bool,
    /// Trust on first use: a host attests once.
    tofu: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot compile allowed_dns_pattern: {pattern:?}, {why}")]
    Pattern { pattern: String, why: String },
    #[error("you can not turn off trust on first use (TOFU) when non-root ports are allowed")]
    NoTofu,
}

pub struct HttpChallengeServer {
    trust_domain: TrustDomain,
    settings: HttpChallengeSettings,
}

impl HttpChallengeSettings {
    /// As the configuration has them; `None` is a key that is not there.
    pub fn new(
        allowed_dns_patterns: &[String],
        required_port: Option<i64>,
        allow_non_root_ports: Option<bool>,
        tofu: Option<bool>,
    ) -> Result<Self, SettingsError> {
        let pattern = |pattern: &String| {
            // Go's classes such as \d are ASCII, and so are host names.
            RegexBuilder::new(pattern).unicode(false).build().map_err(|error| {
                let why = error.to_string();
                SettingsError::Pattern { pattern: pattern.clone(), why: why.lines().last().unwrap_or_default().into() }
            })
        };
        let allowed_dns_patterns = allowed_dns_patterns.iter().map(pattern).collect::<Result<_, _>>()?;
        let allow_non_root_ports = allow_non_root_ports.unwrap_or(true);
        let tofu = tofu.unwrap_or(true);
        // Any user of the host may listen on such a port.
        let any_user = required_port.map_or(allow_non_root_ports, |port| port >= FIRST_NON_ROOT_PORT);
        if !tofu && any_user {
            return Err(SettingsError::NoTofu);
        }
        Ok(Self { allowed_dns_patterns, required_port, allow_non_root_ports, tofu })
    }

    fn check(&self, claim: &Payload) -> Result<(), AttestError> {
        let Payload { hostname, agentname, port } = claim;
        if self.required_port.is_some_and(|required| *port != required) {
            return Err(AttestError::invalid(format!("port {port} is not allowed to be used by this server")));
        }
        if !self.allow_non_root_ports && *port >= FIRST_NON_ROOT_PORT {
            return Err(AttestError::invalid(format!("port {port} is not allowed to be >= 1024")));
        }
        if !is_agent_name(agentname) {
            return Err(AttestError::invalid("agent name is not valid"));
        }
        if hostname == "localhost" {
            return Err(AttestError::denied("you can not use localhost as a hostname"));
        }
        let patterns = &self.allowed_dns_patterns;
        if !patterns.is_empty() && !patterns.iter().any(|pattern| pattern.is_match(hostname.as_bytes())) {
            return Err(AttestError::denied("the requested hostname is not allowed to connect"));
        }
        Ok(())
    }
}

impl HttpChallengeServer {
    pub fn new(trust_domain: TrustDomain, settings: HttpChallengeSettings) -> Self {
        Self { trust_domain, settings }
    }

    async fn run(&self, payload: &[u8], channel: &mut dyn ChallengeChannel) -> Result<Attested, AttestError> {
        let claim: Payload =
            json::read(payload).map_err(|error| AttestError::invalid(format!("failed to unmarshal data: {error}")))?;
        self.settings.check(&claim)?;
        let challenge = Challenge { nonce: nonce()? };
        let message = serde_json::to_vec(&challenge)
            .map_err(|error| AttestError::internal(format!("unable to marshal challenge: {error}")))?;
        // What it says is nothing; that it comes means that the nonce is there.
        channel.challenge(message).await?;
        verify(&claim, &challenge.nonce)
            .await
            .map_err(|why| AttestError::denied(format!("challenge verification failed: {why}")))?;
        let host = &claim.hostname;
        let agent_id = agent_id(&self.trust_domain, &format!("/{NAME}/{host}"))
            .map_err(|error| AttestError::internal(format!("failed to make spiffe id: {error}")))?;
        let selectors = Selector::new(NAME, format!("hostname:{host}")).into_iter().collect();
        Ok(Attested { agent_id, selectors, can_reattest: !self.settings.tofu })
    }
}

impl NodeAttestor for HttpChallengeServer {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(
        &'a self,
        payload: &'a [u8],
        _: Option<IpAddr>,
        channel: &'a mut dyn ChallengeChannel,
    ) -> BoxFuture<'a, Result<Attested, AttestError>> {
        Box::pin(self.run(payload, channel))
    }
}

/// Asks the host itself.
async fn verify(claim: &Payload, nonce: &str) -> Result<(), String> {
    let Payload { hostname, agentname, port } = claim;
    if hostname.is_empty() {
        return Err("hostname must be set".into());
    }
    let port = u16::try_from(*port).ok().filter(|port| *port != 0).ok_or("port is invalid")?;
    if hostname.contains('/') {
        return Err("hostname can not contain a slash".into());
    }
    if hostname.contains(':') {
        return Err("hostname can not contain a colon".into());
    }
    let path = nonce_path(agentname);
    let reply = tokio::time::timeout(ANSWER_MAX, http_get(hostname, port, &path, ANSWER_BYTES_MAX)).await;
    let reply = reply.map_err(|_| format!("no answer within {} s", ANSWER_MAX.as_secs()))?;
    let reply = reply.map_err(|error| format!("Get \"http://{hostname}:{port}{path}\": {error}"))?;
    if reply.status.is_redirection() {
        return Err(format!("Get \"http://{hostname}:{port}{path}\": http redirects are disabled"));
    }
    if reply.body.trim_ascii() != nonce.as_bytes() {
        return Err("expected nonce was not found in HTTP response".into());
    }
    Ok(())
}

fn nonce() -> Result<String, AttestError> {
    let mut bytes = [0; NONCE_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AttestError::internal("unable to generate challenge: no random bytes"))?;
    Ok(URL_SAFE.encode(bytes))
}

/// A letter, then letters, digits and dashes.
fn is_agent_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    name.len() <= AGENT_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(allowed)
}

const NONCE_BYTES: usize = 32;
const AGENT_NAME_BYTES_MAX: usize = 32;
/// Below it, ports are root's.
const FIRST_NON_ROOT_PORT: i64 = 1024;
/// A nonce with some blanks around it (SPIRE's bound).
const ANSWER_BYTES_MAX: usize = 64;
const ANSWER_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        patterns: &[&str],
        port: Option<i64>,
        non_root: Option<bool>,
        tofu: Option<bool>,
    ) -> Result<HttpChallengeSettings, SettingsError> {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        HttpChallengeSettings::new(&patterns, port, non_root, tofu)
    }

    #[test]
    fn trust_on_first_use_goes_with_ports_that_anybody_may_take() {
        let without = |port, non_root| settings(&[], port, non_root, Some(false)).map(|settings| settings.tofu);
        for (port, non_root) in [(None, None), (None, Some(true)), (Some(1024), None), (Some(8080), Some(false))] {
            assert_eq!(without(port, non_root), Err(SettingsError::NoTofu), "{port:?} {non_root:?}");
        }
        for (port, non_root) in [(Some(80), None), (Some(1023), Some(true)), (None, Some(false))] {
            assert_eq!(without(port, non_root), Ok(false), "{port:?} {non_root:?}");
        }
        assert!(settings(&[], None, None, None).unwrap().tofu);
    }

    #[test]
    fn claims_that_the_configuration_does_not_allow() {
        let refusal = |settings: &HttpChallengeSettings, hostname: &str, agentname: &str, port| {
            let claim = Payload { hostname: hostname.to_owned(), agentname: agentname.to_owned(), port };
            settings.check(&claim).err().map(|error| error.message)
        };
        let any = settings(&[], None, None, None).unwrap();
        assert_eq!(refusal(&any, "p1.example.com", "default", 8080), None);
        for name in ["", "1a", "a.b", "a/b", &"a".repeat(33)] {
            assert_eq!(refusal(&any, "p1.example.com", name, 80).as_deref(), Some("agent name is not valid"));
        }
        let local = refusal(&any, "localhost", "default", 80);
        assert_eq!(local.as_deref(), Some("you can not use localhost as a hostname"));
        let port = settings(&[], Some(80), None, None).unwrap();
        let refused = refusal(&port, "p1.example.com", "default", 81);
        assert_eq!(refused.as_deref(), Some("port 81 is not allowed to be used by this server"));
        let root = settings(&[], None, Some(false), None).unwrap();
        let refused = refusal(&root, "p1.example.com", "default", 1024);
        assert_eq!(refused.as_deref(), Some("port 1024 is not allowed to be >= 1024"));
        let names = settings(&[r"^p\d\.example\.com$", "^x$"], None, None, None).unwrap();
        for good in ["p1.example.com", "x"] {
            assert_eq!(refusal(&names, good, "default", 80), None);
        }
        for bad in ["p1.example.org", "pp1.example.com", "p1xexample.com", "p\u{661}.example.com"] {
            let refused = refusal(&names, bad, "default", 80);
            assert_eq!(refused.as_deref(), Some("the requested hostname is not allowed to connect"), "{bad}");
        }
        let error = settings(&["p[0-9"], None, None, None).unwrap_err().to_string();
        assert!(error.starts_with("cannot compile allowed_dns_pattern: \"p[0-9\", error: "), "{error}");
    }
}
