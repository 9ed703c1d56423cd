//! Workloads that show each other JWT-SVIDs: what one agent hands out, the other one has to find valid.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{JwtBundlesRequest, JwtsvidRequest, ValidateJwtsvidRequest};
use steeple_testkit::until;
use steeple_transport::client::uds_channel;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

use super::site::TRUST_DOMAIN;
use crate::register::Recorder;

const AUDIENCE: &str = "chaos";
const FIRST_MAX: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A bundle that was sent is in use within this time.
const UNREAD_MAX: Duration = Duration::from_millis(1_000);

/// The ids of the keys that a workload may verify by.
type Keys = watch::Receiver<BTreeSet<String>>;

/// A key set as a workload is sent it (RFC 7517).
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

/// Also the header of a token (RFC 7515), which names its key alike.
#[derive(Deserialize)]
struct Key {
    kid: String,
}

/// Two workloads: whatever the one with this number is handed by its agent has to be valid at the agent of the other.
pub(super) struct Tokens {
    number: usize,
    own: PathBuf,
    other: PathBuf,
    recorder: Arc<Recorder>,
    keys: Keys,
    /// The key that signed the last token, and all keys then.
    seen: Option<(String, BTreeSet<String>)>,
}

impl Tokens {
    /// With the first token: what is there from then on was introduced under our eyes.
    pub(super) async fn begin(
        number: usize,
        own: PathBuf,
        other: PathBuf,
        recorder: Arc<Recorder>,
    ) -> anyhow::Result<Self> {
        let keys = keys(&own).await?;
        let mut tokens = Self { number, own, other, recorder, keys, seen: None };
        let first = until("the first token", FIRST_MAX, async || fetch(&tokens.own).await?.context("no token")).await?;
        tokens.record(&first)?;
        Ok(tokens)
    }

    /// Never ends without a reason.
    pub(super) async fn exchange(mut self) -> anyhow::Result<()> {
        loop {
            sleep(LOOK_INTERVAL).await;
            let Some(token) = fetch(&self.own).await? else { continue };
            self.record(&token)?;
            if is_valid(&self.other, &token).await? {
                continue;
            }
            sleep(UNREAD_MAX).await;
            // Perhaps it was taken back meanwhile.
            if fetch(&self.own).await?.is_some_and(|again| again == token) && !is_valid(&self.other, &token).await? {
                self.recorder.violation("a token in use that another workload cannot verify")?;
            }
        }
    }

    fn record(&mut self, token: &str) -> anyhow::Result<()> {
        let now = (key_of(token)?, self.keys.borrow().clone());
        if self.seen.as_ref() != Some(&now) {
            self.recorder.shown_token(self.number, now.0.clone(), now.1.iter().cloned().collect())?;
            self.seen = Some(now);
        }
        Ok(())
    }
}

/// `None` while the agent has none to give: its servers may be away.
async fn fetch(socket: &Path) -> anyhow::Result<Option<String>> {
    let request = JwtsvidRequest { audience: vec![AUDIENCE.to_owned()], spiffe_id: String::new() };
    match client(socket).fetch_jwtsvid(from_workload(request)).await {
        Ok(answer) => Ok(answer.into_inner().svids.into_iter().next().map(|svid| svid.svid)),
        Err(status)
            if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) =>
        {
            Ok(None)
        }
        Err(status) => Err(status).context("FetchJWTSVID"),
    }
}

async fn is_valid(socket: &Path, token: &str) -> anyhow::Result<bool> {
    let request = ValidateJwtsvidRequest { audience: AUDIENCE.to_owned(), svid: token.to_owned() };
    match client(socket).validate_jwtsvid(from_workload(request)).await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::InvalidArgument => Ok(false),
        Err(status) => Err(status).context("ValidateJWTSVID"),
    }
}

/// Follows the own trust domain's keys, as the workload is sent them.
async fn keys(socket: &Path) -> anyhow::Result<Keys> {
    let request = from_workload(JwtBundlesRequest {});
    let mut updates = client(socket).fetch_jwt_bundles(request).await.context("FetchJWTBundles")?.into_inner();
    let (sender, keys) = watch::channel(next_keys(&mut updates).await?);
    tokio::spawn(async move {
        while let Ok(next) = next_keys(&mut updates).await {
            if sender.send(next).is_err() {
                return;
            }
        }
    });
    Ok(keys)
}

async fn next_keys(
    updates: &mut Streaming<steeple_api::workload::JwtBundlesResponse>,
) -> anyhow::Result<BTreeSet<String>> {
    let update = updates.message().await?.context("the agent ended the stream")?;
    let own = update.bundles.get(&format!("spiffe://{TRUST_DOMAIN}")).context("no bundle of the own trust domain")?;
    let set: KeySet = serde_json::from_slice(own).context("a bundle that is no key set")?;
    Ok(set.keys.into_iter().map(|key| key.kid).collect())
}

fn key_of(token: &str) -> anyhow::Result<String> {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).context("a token without a header")?;
    Ok(serde_json::from_slice::<Key>(&header).context("a header without a key id")?.kid)
}

fn client(socket: &Path) -> SpiffeWorkloadApiClient<Channel> {
    SpiffeWorkloadApiClient::new(uds_channel(socket))
}

fn from_workload<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_key() {
        let token = format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#));
        assert_eq!(key_of(&token).unwrap(), "k1");
        assert!(key_of("no token").is_err());
    }
}
