//! `restore`: a new cluster from a backup.

use std::io::Write as _;

use serde_json::json;
use steeple_cli::{Call, Command, Failure, Flag, Help, OUTPUT, Progress, one_line, utc_time};
use steeple_core::{Clock as _, SystemClock};

use super::Action;
use super::backup::{s3_settings_of, with_spot};
use super::living::Living;
use super::offline::{SETTINGS_FLAGS, new_cluster, required, sealing_key, settings};
use crate::backup::{self, Restored, Target};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "restore",
    synopsis: "Makes a new cluster of a backup, in an empty data directory",
    help: Help::ours(
        "Makes a new cluster of a backup, in an empty data directory, when no data directory is left or the state \
         itself is wrong. All servers of the old cluster have to be stopped, so that no two serve one trust domain.",
        &[
            ("From a file", "steeple-server restore -path /mnt/backups/monday.backup -config /etc/steeple/server.conf"),
            (
                "From a bucket",
                "steeple-server restore -path s3://backups/prod/monday.backup -config /etc/steeple/server.conf",
            ),
        ],
    )
    .exit("1 when nothing was written: damage, another sealing key or trust domain, a directory that is not empty.")
    .next(
        "Start this server, let the others join with empty data directories, and repeat what was banned or deleted \
         after the backup.",
    ),
    flags: &[FLAGS, SETTINGS_FLAGS],
    action: Action::Local(restore),
}];

const FLAGS: &[Flag] = &[
    Flag::text("dataDir", "The empty directory; by default the one of the configuration"),
    OUTPUT,
    Flag::text("path", "The backup file, or s3://BUCKET/PREFIX/NAME"),
];

fn restore(call: &mut Call) -> Result<(), Failure> {
    let path = required(&call.values, "path", "a backup file or s3://BUCKET/PREFIX/NAME")?.to_owned();
    let settings = settings(&call.values, call.values.text_if_any("dataDir"))?;
    let key = sealing_key(&call.values, &settings)?;
    let target = Target {
        data_dir: &settings.data_dir,
        sealing_key_path: &settings.cluster.sealing_key_path,
        trust_domain: &settings.trust_domain,
    };
    let new = new_cluster(&settings, &key, true, SystemClock.now());
    let mut progress = Progress::new("restore");
    let restored = with_spot(&path, &s3_settings_of(&settings), |spot| {
        let watcher = &mut |done, total| progress.at(done, total);
        backup::restore(spot, &target, &new, watcher).map_err(Failure::message)
    })?;
    drop(progress);
    let living = Living::at_peers_of(&settings)?;
    if call.is_json() {
        return Ok(writeln!(call.streams.stdout, "{}", one_line(as_json(&restored, &living)))?);
    }
    let Restored { facts, done, .. } = &restored;
    let out = &mut call.streams.stdout;
    writeln!(out, "Restored {path} to {}.\n", target.data_dir.display())?;
    writeln!(out, "Saved at          : {} (whatever changed later is lost)", utc_time(facts.created_at))?;
    writeln!(out, "Entries, agents   : {}, {}", facts.entries, facts.agents)?;
    writeln!(out, "New cluster UUID  : {}", uuid::Uuid::from_bytes(restored.cluster_uuid))?;
    writeln!(out, "This replica      : {}", done.node_id)?;
    writeln!(out, "Replicas let go   : {}", done.members_removed)?;
    writeln!(out, "Join tokens voided: {}", done.join_tokens_voided)?;
    if let Some(was) = done.clock_was {
        writeln!(out, "The cluster's time had run ahead, to {was}: it goes by this machine's clock again.")?;
    }
    writeln!(out, "Bundle sequence   : {}\n", done.bundle_sequence)?;
    out.write_all(ABOUT_KEYS.as_bytes())?;
    Ok(living.print_next(out, NEXT)?)
}

fn as_json(restored: &Restored, living: &Living) -> serde_json::Value {
    json!({
        "backup_id": restored.facts.backup_id,
        "bundle_sequence": restored.done.bundle_sequence,
        "cluster_uuid": uuid::Uuid::from_bytes(restored.cluster_uuid).to_string(),
        "entries": restored.facts.entries,
        "join_tokens_voided": restored.done.join_tokens_voided,
        "clock_was": restored.done.clock_was.map(|was| was.to_string()),
        "members_removed": restored.done.members_removed,
        "node_id": restored.done.node_id,
        "still_serving": living.as_json(),
    })
}

const ABOUT_KEYS: &str = "\
The CA and JWT keys are as old as the backup and may have been used since: the server prepares new ones as soon as it
runs, and they sign once agents had the time to learn of them.
Bans and deletions made after the backup are undone: repeat them.
An authority that was revoked after the backup is trusted again. If its key is in foreign hands, run
`ca rotate -compromised` once more as soon as the server runs.
Agents that trust only a CA made after the backup do not trust this one: they bootstrap again, those that attested by
join token by hand.

";

const NEXT: &str = "\
Next: start this server; it is a cluster of one. Empty the data directories of the other replicas and start them with
this server's peer address in cluster.join and a copy of its sealing key: they join as new replicas. Replicas of the old
cluster cannot come back: their certificates open nothing here.
";
