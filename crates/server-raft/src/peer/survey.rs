//! Is there a cluster already? Asked before a replica with an empty disk founds one: the disk may be new although the
//! cluster is not, and a second trust domain under the first one's name is worse than no server.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use steeple_core::Clock;

use super::credentials::joiner_client_config;
use super::dial::dial;
use super::{JoinProgress, PeerError, PeerNetwork};

/// Before the addresses are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is seen at one address.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// A peer port that is served, and so a member of some cluster.
    Member,
    /// The host is there and says that nobody listens.
    Nobody,
    /// Silence, which is no proof of absence, or something that is no peer port.
    Unclear(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Occupied,
    Vacant,
    Unclear(Vec<String>),
}

/// Waits until it is certain: true when every one of `addresses` (`host:port`) refuses connections, false when a peer
/// port answers at one of them. With `exists`, the reason to believe in a cluster, it waits for the latter. Cancel by
/// dropping the future.
pub async fn nobody_serves(
    addresses: &[String],
    exists: Option<&impl Display>,
    network: &dyn PeerNetwork,
    clock: Arc<dyn Clock>,
    progress: &JoinProgress,
) -> Result<bool, PeerError> {
    let tls = joiner_client_config(clock)?;
    let mut told: Vec<String> = Vec::new();
    loop {
        let looks = addresses.iter().map(|address| look(network, address, Arc::clone(&tls)));
        let seen = futures::future::join_all(looks).await;
        match verdict(addresses, seen) {
            Verdict::Occupied => return Ok(false),
            Verdict::Vacant => match exists {
                None => return Ok(true),
                Some(exists) if told.is_empty() => {
                    tracing::warn!("no member answers yet, and no cluster is founded: {exists}");
                    progress.waits_because(format!("no member answers, and none is founded: {exists}"));
                    told = vec![exists.to_string()];
                }
                Some(_) => {}
            },
            Verdict::Unclear(reasons) if told != reasons => {
                tracing::warn!(
                    reasons = %reasons.join("; "),
                    "cannot tell whether there is a cluster already, so none is founded yet: bring these servers \
                     up, or take their addresses out of cluster.join"
                );
                progress.waits_because(format!("whether there is one cannot be told: {}", reasons.join("; ")));
                told = reasons;
            }
            Verdict::Unclear(_) => {}
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn look(network: &dyn PeerNetwork, address: &str, tls: Arc<ClientConfig>) -> Seen {
    seen(dial(network, address, tls).await.map(drop))
}

fn seen(dialled: io::Result<()>) -> Seen {
    match dialled {
        Ok(()) => Seen::Member,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Seen::Nobody,
        Err(error) => Seen::Unclear(error.to_string()),
    }
}

/// One member is a cluster; only refusals everywhere are none.
fn verdict(addresses: &[String], seen: Vec<Seen>) -> Verdict {
    if seen.contains(&Seen::Member) {
        return Verdict::Occupied;
    }
    let unclear = addresses.iter().zip(seen).filter_map(|(address, seen)| match seen {
        Seen::Unclear(reason) => Some(format!("{address}: {reason}")),
        Seen::Member | Seen::Nobody => None,
    });
    let reasons: Vec<String> = unclear.collect();
    if reasons.is_empty() { Verdict::Vacant } else { Verdict::Unclear(reasons) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(seen: Vec<Seen>) -> Verdict {
        verdict(&["a:1".to_owned(), "b:1".to_owned()], seen)
    }

    #[test]
    fn only_refusals_everywhere_are_no_cluster() {
        assert_eq!(judge(vec![Seen::Nobody, Seen::Nobody]), Verdict::Vacant);
        assert_eq!(judge(vec![Seen::Nobody, Seen::Member]), Verdict::Occupied);
        assert_eq!(judge(vec![Seen::Unclear("silent".to_owned()), Seen::Member]), Verdict::Occupied);
        let silent = judge(vec![Seen::Unclear("silent".to_owned()), Seen::Nobody]);
        assert_eq!(silent, Verdict::Unclear(vec!["a:1: silent".to_owned()]));
    }

    #[test]
    fn silence_is_no_refusal() {
        assert_eq!(seen(Ok(())), Seen::Member);
        assert_eq!(seen(Err(ErrorKind::ConnectionRefused.into())), Seen::Nobody);
        for unclear in [ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::UnexpectedEof, ErrorKind::NotFound]
        {
            assert!(matches!(seen(Err(unclear.into())), Seen::Unclear(_)), "{unclear:?}");
        }
    }
}
