//! `seal new-key`: asks for a new sealing key and follows the members while they take it. It keeps nothing, so it can
//! be killed and started again at any moment, on any replica; the change goes on without it.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use steeple_api::steeple::server::seal_client::SealClient;
use steeple_api::steeple::server::{
    CancelNewSealingKeyRequest, NewSealingKey, NewSealingKeyRequest, SealStatusRequest, SealStatusResponse,
};
use steeple_cli::{Call, Context as _, Failure};
use tonic::Status;
use tonic::transport::Channel;

use crate::cli::progress::{Patience, Progress};

pub(super) async fn new_key(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut seal = SealClient::new(channel.clone());
    if call.values.bool("cancel") {
        return cancel(call, seal).await;
    }
    let begun = status(&mut seal).await.context("could not get the state of the keyring")?;
    let old = begun.sealing_key_id;
    let mut progress = Progress::default();
    let mut patience = Patience::new(channel);
    let mut before = None;
    let mut asked = begun.new_key.is_some();
    if !asked {
        let copy =
            format!("backups made before this change are restored with the sealing key {old}: keep a copy of it");
        progress.note(&mut call.streams, &copy)?;
    }
    let done = loop {
        let advanced = patience.of(&mut call.streams, &mut progress, advance(&mut seal, &old, &mut asked)).await;
        match advanced.context("this command has stopped; run it again to follow the change, if it began")? {
            Some(now) if now.sealing_key_id != old => break now,
            Some(SealStatusResponse { new_key: Some(new_key), .. }) if before.as_ref() != Some(&new_key) => {
                patience.renew();
                progress.show(&mut call.streams, part_done(&new_key), &describe(&new_key))?;
                before = Some(new_key);
            }
            Some(SealStatusResponse { new_key: None, .. }) => {
                progress.end(&mut call.streams)?;
                let message = format!("the new sealing key was given up meanwhile, and {old} stays in force");
                return Err(Failure::message(message));
            }
            // A leader that goes takes the answer with it: look again.
            Some(_) | None => patience.look(&mut call.streams, &mut progress).await?,
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    let new = done.sealing_key_id.clone();
    progress.show(&mut call.streams, 1.0, &format!("the sealing key {new} is in force"))?;
    progress.end(&mut call.streams)?;
    call.print(&done, |streams, _| Ok(write!(streams.stdout, "{}", next_steps(&old, &new))?))
}

async fn cancel(call: &mut Call, mut seal: SealClient<Channel>) -> Result<(), Failure> {
    let answer = seal.cancel_new_key(CancelNewSealingKeyRequest {}).await;
    let now = answer.context("the new sealing key was not given up")?.into_inner();
    call.print(&now, |streams, now| {
        let id = &now.sealing_key_id;
        Ok(writeln!(
            streams.stdout,
            "The new sealing key is given up; {id} stays in force, and members drop the other one."
        )?)
    })
}

/// Asks for the new key once, and then how far it is.
async fn advance(seal: &mut SealClient<Channel>, old: &str, asked: &mut bool) -> Result<SealStatusResponse, Status> {
    if *asked {
        return status(seal).await;
    }
    // Whether it took effect is not known after a failure that passes: then there is one under way, or there is not.
    let now = status(seal).await?;
    if now.sealing_key_id != old || now.new_key.is_some() {
        *asked = true;
        return Ok(now);
    }
    let answer = seal.new_key(NewSealingKeyRequest { sealing_key_id: old.to_owned() }).await?.into_inner();
    *asked = true;
    Ok(answer)
}

async fn status(seal: &mut SealClient<Channel>) -> Result<SealStatusResponse, Status> {
    Ok(seal.status(SealStatusRequest {}).await?.into_inner())
}

/// Making the key and putting it in force are a step each.
fn part_done(new_key: &NewSealingKey) -> f64 {
    let steps = new_key.members.len() as f64 + 2.0;
    if new_key.key_id.is_empty() { 0.0 } else { (1.0 + keepers(new_key) as f64) / steps }
}

fn keepers(new_key: &NewSealingKey) -> usize {
    new_key.members.iter().filter(|member| member.holds).count()
}

/// One line, without its full stop.
pub(super) fn describe(new_key: &NewSealingKey) -> String {
    if new_key.key_id.is_empty() {
        return "a new sealing key is asked for, and the leader has not made it yet".to_owned();
    }
    let (all, id) = (new_key.members.len(), &new_key.key_id);
    let waiting = new_key.members.iter().filter(|member| !member.holds);
    let waiting: Vec<String> =
        waiting.map(|member| format!("node {} ({}): {}", member.node_id, member.name, member.waits_because)).collect();
    let kept = format!("{} of {all} members keep the new sealing key {id}", keepers(new_key));
    if waiting.is_empty() { kept } else { format!("{kept}; it waits for {}", waiting.join(", ")) }
}

/// What to do about those that hold it up.
pub(super) fn print_waiting(out: &mut dyn Write, new_key: &NewSealingKey) -> io::Result<()> {
    if new_key.key_id.is_empty() || keepers(new_key) == new_key.members.len() {
        return Ok(());
    }
    out.write_all(WAITING.as_bytes())
}

pub(super) fn as_json(new_key: &NewSealingKey) -> Value {
    let member = |member: &steeple_api::steeple::server::SealingKeyMember| {
        json!({
            "holds": member.holds,
            "name": member.name,
            "node_id": member.node_id,
            "waits_because": member.waits_because,
        })
    };
    json!({ "key_id": new_key.key_id, "members": new_key.members.iter().map(member).collect::<Vec<_>>() })
}

fn next_steps(old: &str, new: &str) -> String {
    format!(
        "The sealing key {new} is in force, and every member keeps it in its file in place of {old}.\n\n\
         Next: copy a member's file for new members and beside the backups; backups made before need {old}.\n\
         If {old} got out, whoever has it may have read the root key: run `steeple-server seal rotate`, and\n\
         replace the authorities whose keys it opened (`ca rotate -compromised`, or step by step `localauthority`).\n"
    )
}

const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const WAITING: &str = "\
Bring those members back, unseal them or remove them (`cluster remove`): the change goes on by itself. Or give it up
with `seal new-key -cancel`. Until then the sealing key that is there stays in force.
";

#[cfg(test)]
mod tests {
    use steeple_api::steeple::server::SealingKeyMember;

    use super::*;

    fn new_key(key_id: &str, waits_because: &[&str]) -> NewSealingKey {
        let member = |(at, why): (usize, &&str)| SealingKeyMember {
            node_id: at as u64 + 1,
            name: format!("server-{}", at + 1),
            holds: why.is_empty(),
            waits_because: (*why).to_owned(),
        };
        NewSealingKey { key_id: key_id.to_owned(), members: waits_because.iter().enumerate().map(member).collect() }
    }

    #[test]
    fn it_says_for_whom_it_waits_and_why() {
        let made = new_key("", &["", ""]);
        assert_eq!((part_done(&made), describe(&made).contains("not made it yet")), (0.0, true));
        let waiting = new_key("y", &["", "it does not answer", "it is sealed"]);
        assert_eq!(part_done(&waiting), 0.4);
        assert_eq!(
            describe(&waiting),
            "1 of 3 members keep the new sealing key y; it waits for node 2 (server-2): it does not answer, node 3 \
             (server-3): it is sealed"
        );
        let mut out = Vec::new();
        print_waiting(&mut out, &waiting).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("-cancel"));
        let all = new_key("y", &["", ""]);
        assert_eq!((part_done(&all), describe(&all)), (0.75, "2 of 2 members keep the new sealing key y".to_owned()));
        let mut out = Vec::new();
        print_waiting(&mut out, &all).unwrap();
        assert!(out.is_empty());
    }
}
