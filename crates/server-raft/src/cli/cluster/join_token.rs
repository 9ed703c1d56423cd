//! `cluster join-token`: what a new replica needs to join. There is no token, as ADR 0003 says: the sealing key is what
//! lets a server in. Whoever asks for a token is told that, and gets everything else.

use std::io::{self, Write};
use std::net::IpAddr;

use serde_json::json;
use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::seal_client::SealClient;
use steeple_api::steeple::server::{Member, SealStatusRequest, StatusRequest};
use steeple_cli::{Call, Context, Failure, Flag, one_line};
use steeple_config::go_quoted;
use tonic::transport::Channel;

pub(super) const FLAGS: &[Flag] = &[
    Flag::text_or("host", "NEW-HOST", "Name or address at which the others will reach the new replica"),
    Flag::text_or("name", "NEW-NAME", "Name of the new replica; the one of a lost member takes that member's place"),
];

/// What the cluster says of itself, and what the new replica is called.
struct Invitation {
    cluster_uuid: String,
    trust_domain: String,
    sealing_key_id: String,
    /// A seal that does not open, or a new key on its way.
    doubt: Option<&'static str>,
    /// Peer addresses.
    members: Vec<String>,
    name: String,
    host: String,
}

pub(super) async fn invite(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let status = ClusterClient::new(channel.clone()).status(StatusRequest {}).await?.into_inner();
    let seal = SealClient::new(channel.clone()).status(SealStatusRequest {}).await;
    let seal = seal.context("could not get the name of the sealing key")?.into_inner();
    let bundle = BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await;
    let bundle = bundle.context("nobody can join now, since there is no quorum")?.into_inner();
    let invitation = Invitation {
        cluster_uuid: status.cluster_uuid,
        trust_domain: bundle.trust_domain,
        doubt: match (seal.sealed_because.is_empty(), seal.new_key) {
            (false, _) => Some("this replica is sealed: take the key from another one"),
            (true, Some(_)) => Some("a new sealing key is on its way: wait until `seal new-key` is through"),
            (true, None) => None,
        },
        sealing_key_id: seal.sealing_key_id,
        members: addresses(&status.members)?,
        name: call.values.text("name").to_owned(),
        host: call.values.text("host").to_owned(),
    };
    if call.is_json() {
        return Ok(writeln!(call.streams.stdout, "{}", one_line(invitation.as_json()))?);
    }
    Ok(invitation.print(&mut call.streams.stdout)?)
}

/// Where the members are reached. One alone may have no address for others.
fn addresses(members: &[Member]) -> Result<Vec<String>, Failure> {
    let local = |address: &&str| {
        let host = address.rsplit_once(':').map_or(*address, |(host, _)| host);
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host.is_empty() || ip.is_ok_and(|ip| ip.is_unspecified()) || members.len() == 1 && is_loopback(host)
    };
    let all = || members.iter().map(|member| member.peer_address.as_str());
    match all().find(local) {
        None => Ok(all().map(str::to_owned).collect()),
        Some(address) => Err(Failure::Message(format!(
            "no other server reaches a member at {address:?}: give this server a `cluster` block with \
             peer_advertise_address = \"HOST:8082\", restart it, and repeat this (docs/cluster.md)"
        ))),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Invitation {
    /// The block of the new replica's configuration file.
    fn config(&self) -> String {
        let quoted: Vec<String> = self.members.iter().map(|address| go_quoted(address)).collect();
        // A literal address of IPv6 stands in brackets before a port.
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!(
            "cluster {{\n    name = {}\n    peer_bind_address = \"0.0.0.0\"\n    peer_advertise_address = {}\n    \
             api_advertise_address = {}\n    join = [{}]\n    sealing_key_path = \"/etc/steeple/sealing.key\"\n}}\n",
            go_quoted(&self.name),
            go_quoted(&format!("{host}:8082")),
            go_quoted(&format!("{host}:8081")),
            quoted.join(", "),
        )
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(THERE_IS_NONE.as_bytes())?;
        writeln!(out, "\nCluster UUID : {}", self.cluster_uuid)?;
        writeln!(out, "Trust domain : {}", self.trust_domain)?;
        writeln!(out, "Sealing key  : {}", self.sealing_key_id)?;
        writeln!(out, "Members      : {}", self.members.join(", "))?;
        if let Some(doubt) = self.doubt {
            writeln!(out, "\nNot now: {doubt}.")?;
        }
        let id = &self.sealing_key_id;
        write!(
            out,
            "\n1. On this server, `steeple-server seal status -config FILE` names the file of the sealing key {id} and \
             its\n   seal. Copy that file to the new one, by a way that keeps it secret, with mode 0600 and the same \
             owner as the\n   server's user; a `seal` block of the configuration goes along.\n\
             2. Give the new replica the rest of this server's configuration (trust_domain = {}, the same plugins)\n   \
             and this block, its path being where the copy lies:\n\n{}\n\
             3. Start it on an empty data directory. `steeple-server cluster list` shows it as a learner, and as a \
             voter when\n   it has been healthy for long enough.\n",
            go_quoted(&self.trust_domain),
            self.config(),
        )
    }

    fn as_json(&self) -> serde_json::Value {
        json!({
            "cluster_uuid": self.cluster_uuid,
            "config": self.config(),
            "join": self.members,
            "not_now": self.doubt,
            "sealing_key_id": self.sealing_key_id,
            "trust_domain": self.trust_domain,
        })
    }
}

const THERE_IS_NONE: &str = "\
There is no join token. A server that holds the sealing key of the cluster may join it: both sides prove that they have
the key, and it never crosses the network. Nothing on this screen is secret.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn members(addresses: &[&str]) -> Vec<Member> {
        addresses.iter().map(|address| Member { peer_address: (*address).into(), ..Member::default() }).collect()
    }

    fn invitation(doubt: Option<&'static str>) -> Invitation {
        Invitation {
            cluster_uuid: "c0ffee".into(),
            trust_domain: "example.org".into(),
            sealing_key_id: "0123456789abcdef".into(),
            doubt,
            members: vec!["a:8082".into(), "b:8082".into()],
            name: "server-4".into(),
            host: "2001:db8::4".into(),
        }
    }

    /// It is what the reader of configuration files takes.
    #[test]
    fn the_block_is_a_configuration() {
        let text = format!(
            "server {{ trust_domain = \"example.org\" data_dir = \"/srv\" }}\nplugins {{ NodeAttestor \"join_token\" \
             {{}} }}\n{}",
            invitation(None).config()
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let flags = crate::cli::RunFlags { config: Some(file.path().to_owned()), ..crate::cli::RunFlags::default() };
        let cluster = flags.load().unwrap().settings.cluster;
        assert_eq!((cluster.name.as_deref(), cluster.join.len(), cluster.bootstrap), (Some("server-4"), 2, false));
        assert_eq!(cluster.peer_advertise.unwrap().to_string(), "[2001:db8::4]:8082");
    }

    #[test]
    fn it_says_that_there_is_none_and_what_to_do_instead() {
        let mut out = Vec::new();
        invitation(Some("wait")).print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in
            ["There is no join token", "0123456789abcdef", "\nNot now: wait.\n", "a:8082, b:8082", "seal status"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(invitation(None).as_json()["not_now"].is_null());
    }

    #[test]
    fn an_address_that_nobody_reaches_is_no_invitation() {
        assert_eq!(addresses(&members(&["a:8082", "127.0.0.2:8082"])).unwrap(), ["a:8082", "127.0.0.2:8082"]);
        for alone in ["127.0.0.1:8082", "localhost:8082", "0.0.0.0:8082", "[::]:8082", "[::1]:8082", ""] {
            let refused = addresses(&members(&[alone])).unwrap_err().to_string();
            assert!(refused.contains("peer_advertise_address"), "{refused}");
        }
    }
}
