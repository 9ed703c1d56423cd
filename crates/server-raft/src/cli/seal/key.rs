//! `seal status` and `seal migrate`. Both work on the files of the sealing key; the status asks the server, if it runs,
//! about a new one.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use steeple_api::steeple::server::seal_client::SealClient;
use steeple_api::steeple::server::{NewSealingKey, SealStatusRequest};
use steeple_cli::{Call, Failure, Values, one_line};
use steeple_config::SealSettings;

use super::new_key;
use crate::cli::offline::{custody, settings, settings_in, wait_for};
use crate::seal::{Custody, Held};

pub(super) fn status(call: &mut Call) -> Result<(), Failure> {
    let settings = settings(&call.values, None)?;
    let custody = custody(&call.values, &settings);
    let Held { kind, key_id } = custody.held().map_err(Failure::message)?;
    let opened = wait_for(custody.open())?;
    let problem = opened.err().map(|error| error.to_string());
    let next = custody.next().held().ok();
    let new_key = wait_for(asked(&settings.socket_path))?;
    if call.is_json() {
        let answer = json!({
            "configured": custody.kind(),
            "new_key": new_key.as_ref().map(new_key::as_json),
            "next_sealing_key_id": next.map(|next| next.key_id),
            "opens": problem.is_none(),
            "path": custody.path().display().to_string(),
            "problem": problem,
            "seal": kind,
            "sealing_key_id": key_id,
        });
        writeln!(call.streams.stdout, "{}", one_line(answer))?;
    } else {
        let out = &mut call.streams.stdout;
        writeln!(out, "Sealing key       : {key_id}")?;
        writeln!(out, "File              : {}", custody.path().display())?;
        writeln!(out, "Sealed by         : {kind}")?;
        writeln!(out, "Configured seal   : {}", custody.kind())?;
        writeln!(out, "Opens             : {}", if problem.is_none() { "yes" } else { "no" })?;
        if let Some(next) = next {
            writeln!(out, "Kept beside it    : {}, sealed by {}", next.key_id, next.kind)?;
        }
        if let Some(new_key) = &new_key {
            writeln!(out, "\n{}.", new_key::describe(new_key))?;
            new_key::print_waiting(out, new_key)?;
        }
    }
    match problem {
        None => Ok(()),
        Some(problem) => Err(Failure::message(problem)),
    }
}

/// What the server at `socket` says of a new key; nothing where none runs, or none is under way.
async fn asked(socket: &Path) -> Option<NewSealingKey> {
    let mut seal = SealClient::new(steeple_cli::connect(socket));
    let answer = tokio::time::timeout(ANSWER_MAX, seal.status(SealStatusRequest {})).await.ok()?;
    answer.ok()?.into_inner().new_key
}

pub(super) fn migrate(call: &mut Call) -> Result<(), Failure> {
    let to = custody(&call.values, &settings(&call.values, None)?);
    let before = to.held().map_err(Failure::message)?;
    let from = earlier(&call.values, &to, &before)?;
    let replaced = wait_for(async {
        // A new key on its way first: whatever fails, the file in use is not under another seal alone.
        if to.next().path().exists() {
            to.next().replace(from.next().open().await?).await?;
        }
        to.replace(from.open().await?).await
    })?;
    replaced.map_err(Failure::message)?;
    let (path, kind, key_id) = (to.path().display(), to.kind(), before.key_id);
    if call.is_json() {
        let answer = json!({ "from": before.kind, "path": path.to_string(), "sealing_key_id": key_id, "to": kind });
        return Ok(writeln!(call.streams.stdout, "{}", one_line(answer))?);
    }
    let out = &mut call.streams.stdout;
    writeln!(out, "The sealing key {key_id} in {path} was sealed by {}, and is sealed by {kind}.\n", before.kind)?;
    Ok(out.write_all(NEXT.as_bytes())?)
}

/// The same file under the seal that it has now.
fn earlier(values: &Values, to: &Custody, held: &Held) -> Result<Custody, Failure> {
    match values.text_if_any("fromConfig") {
        Some(config) => Ok(to.under(&settings_in(Some(config), values, None)?.cluster.seal)),
        None if held.kind == SealSettings::FILE => Ok(to.under(&SealSettings::File)),
        None => Err(Failure::message(format!(
            "the key is sealed by {0:?}: name with -fromConfig a configuration file with that seal {0:?}",
            held.kind
        ))),
    }
}

/// A server that runs answers from memory.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const NEXT: &str = "\
The key is the same: the other replicas, and backups, need nothing. A server that runs goes on with it and reads this
file when it starts again, for which its configuration has to name the new seal. Whoever read the key under the old seal
still has it: delete copies of the old file.
";
