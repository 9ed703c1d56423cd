//! `recover plan|apply`: when most replicas are lost for good.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use steeple_cli::{Call, Command, Failure, Flag, Help, OUTPUT, Progress, Values, one_line, own_uid};
use steeple_config::SERVER_CONFIG_PATH;
use steeple_core::{Clock as _, SystemClock};

use super::Action;
use super::living::Living;
use super::log::{in_use, participant, print_survey};
use super::offline::{SETTINGS_FLAGS, sealing_keys, settings};
use crate::first_steps::as_word;
use crate::raft::{Operator, Participant, Survey, is_quorum, recover, recovery_plan};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "recover apply",
        synopsis: "Makes one survivor the only replica of a new cluster with the same state",
        help: Help::ours(
            "Makes one survivor the only replica of a new cluster with the same state, when most replicas are lost \
             for good. What they alone acknowledged is lost. With every server stopped, and with what `recover plan` \
             said.",
            &[
                (
                    "First",
                    "steeple-server recover plan -dataDir /var/lib/steeple/server -config /etc/steeple/server.conf",
                ),
                (
                    "Then, as the user that the server runs as",
                    "steeple-server recover apply -dataDir /var/lib/steeple/server -config /etc/steeple/server.conf \
                     -confirm",
                ),
            ],
        )
        .exit(
            "1 when nothing was changed: the directory is a quorum by itself, a server uses it, or its log has a \
             gap.",
        )
        .next(
            "Start that server: its first audit record says that the cluster began anew and from where. Then empty \
             the data directories of the others and let them join.",
        ),
        flags: &[APPLY_FLAGS, SETTINGS_FLAGS],
        action: Action::Local(apply),
    },
    Command {
        path: "recover plan",
        synopsis: "Says from which survivor to recover and what would be lost; changes nothing",
        help: Help::ours(
            "Says from which survivor to recover when most replicas are lost, what would be lost, and with which \
             command; or that no recovery is needed. It changes nothing.",
            &[
                (
                    "All that are left",
                    "steeple-server recover plan -dataDir /mnt/a/data -dataDir /mnt/b/data -config \
                     /etc/steeple/server.conf",
                ),
                ("For a script", "steeple-server recover plan -output json -dataDir /mnt/a/data"),
            ],
        )
        .words("[DIRECTORY ...]"),
        flags: &[PLAN_FLAGS, SETTINGS_FLAGS],
        action: Action::Local(plan),
    },
];

const APPLY_FLAGS: &[Flag] = &[
    Flag::bool("confirm", "The other replicas are lost for good, and the plan was read"),
    Flag::texts("dataDir", "The data directory of the survivor that the plan names, and no other"),
    OUTPUT,
];

/// Those of the settings go into the command that the plan ends with.
const PLAN_FLAGS: &[Flag] =
    &[Flag::texts("dataDir", "The data directory of a survivor; give all that are left"), OUTPUT];

fn plan(call: &mut Call) -> Result<(), Failure> {
    let given = call.values.texts("dataDir").iter().chain(call.values.rest());
    let dirs: Vec<PathBuf> = given.map(PathBuf::from).collect();
    let survivors = recovery_plan(&dirs).map_err(Failure::message)?;
    let best = survivors.first().ok_or_else(|| Failure::message("a data directory (-dataDir) is required"))?;
    let is_absent = |member: &&Participant| survivors.iter().all(|s| s.node_id != Some(member.node_id));
    let missing: Vec<&Participant> = best.membership.iter().filter(is_absent).collect();
    let quorum = is_quorum(&survivors);
    if call.is_json() {
        let answer = json!({
            "missing": missing,
            "quorum": quorum,
            "recover_from": (!quorum).then_some(&best.dir),
            "survivors": survivors,
            "unconfirmed": unconfirmed(best),
        });
        return Ok(writeln!(call.streams.stdout, "{}", one_line(answer))?);
    }
    let command = apply_command(&call.values, &best.dir, Path::new(SERVER_CONFIG_PATH))?;
    let out = &mut call.streams.stdout;
    if quorum {
        out.write_all(QUORUM.as_bytes())?;
    }
    for survivor in survivors.iter().filter(|survivor| survivor.in_use) {
        writeln!(out, "{} is in use {}: that server runs.", survivor.dir.display(), in_use(survivor))?;
    }
    if quorum || survivors.iter().any(|survivor| survivor.in_use) {
        writeln!(out)?;
    }
    for survivor in &survivors {
        print_survey(out, survivor)?;
        writeln!(out)?;
    }
    if quorum {
        for member in missing {
            writeln!(out, "Not named: {}. The others do without it.", participant(member))?;
        }
        return Ok(());
    }
    writeln!(out, "Recover from {}: of those named it has the newest log.", best.dir.display())?;
    for member in missing {
        writeln!(out, "Not named: {}. What only it and others not named acknowledged is lost.", participant(member))?;
    }
    match unconfirmed(best) {
        0 => writeln!(out, "All entries of its log are known to be committed.")?,
        entries => writeln!(
            out,
            "The last {entries} entries of its log are not known to be committed: recovering makes them so."
        )?,
    }
    Ok(write!(
        out,
        "\nWhen the replicas that are not named are lost for good, and every server of this cluster is stopped:\n    \
         {command}\nOtherwise start one of them: a quorum needs no recovery.\n"
    )?)
}

/// Works from any directory. Without the name of a configuration the default file counts, as it does for `apply`.
fn apply_command(values: &Values, dir: &Path, default_config: &Path) -> Result<String, Failure> {
    let absolute = |path: &Path| Ok::<_, Failure>(as_word(&std::path::absolute(path)?.to_string_lossy()).into_owned());
    let mut command = format!("steeple-server recover apply -dataDir {}", absolute(dir)?);
    match values.text_if_any("config") {
        Some(config) => command += &format!(" -config {}", absolute(Path::new(config))?),
        None if default_config.exists() => command += &format!(" -config {}", absolute(default_config)?),
        None => command += " -config FILE",
    }
    if values.bool("expandEnv") {
        command += " -expandEnv";
    }
    if let Some(key) = values.text_if_any("sealingKeyPath") {
        command += &format!(" -sealingKeyPath {}", absolute(Path::new(key))?);
    }
    command += " -confirm";
    if command.contains("-config FILE ") {
        command += "\nwhere FILE is that server's configuration (`recover plan -config` puts it in).";
    }
    Ok(command)
}

const QUORUM: &str = "\
No recovery is needed: the directories named are a quorum of this cluster, and hold whatever it acknowledged.
Start their servers, and nothing is lost.
";

/// Entries behind the last one that was known to be committed.
fn unconfirmed(survivor: &Survey) -> u64 {
    let index = |position: Option<crate::raft::Position>| position.map_or(0, |position| position.index);
    index(survivor.last_log).saturating_sub(index(survivor.committed.max(survivor.applied)))
}

fn apply(call: &mut Call) -> Result<(), Failure> {
    let dir = survivor(&call.values)?;
    if !call.values.bool("confirm") {
        return Err(Failure::message(format!(
            "nothing was changed: what the lost replicas alone acknowledged will be gone; read `recover plan -dataDir \
             {dir}`, then repeat this with -confirm"
        )));
    }
    let settings = settings(&call.values, Some(&dir))?;
    let keys = sealing_keys(&call.values, &settings)?;
    let by = Operator { command: "recover apply", uid: own_uid() };
    let mut progress = Progress::new("recover");
    let watcher = &mut |done, total| progress.at(done, total);
    let recovered = recover(Path::new(&dir), &keys, by, SystemClock.now(), watcher).map_err(Failure::message)?;
    drop(progress);
    let living = Living::at_peers_of(&settings)?;
    let cluster = uuid::Uuid::from_bytes(recovered.cluster_uuid).to_string();
    let kept = recovered.kept.as_ref().map(|kept| kept.display().to_string()).unwrap_or_default();
    if call.is_json() {
        let answer = json!({
            "bundle_sequence": recovered.done.bundle_sequence,
            "cluster_uuid": cluster,
            "join_tokens_voided": recovered.done.join_tokens_voided,
            "clock_was": recovered.done.clock_was.map(|was| was.to_string()),
            "kept": kept,
            "members_removed": recovered.done.members_removed,
            "node_id": recovered.done.node_id,
            "replayed": recovered.replayed,
            "still_serving": living.as_json(),
        });
        return Ok(writeln!(call.streams.stdout, "{}", one_line(answer))?);
    }
    let out = &mut call.streams.stdout;
    writeln!(out, "Recovered {dir}.\n")?;
    writeln!(out, "New cluster UUID  : {cluster}")?;
    writeln!(out, "This replica      : {}", recovered.done.node_id)?;
    writeln!(out, "Entries replayed  : {}", recovered.replayed)?;
    writeln!(out, "Replicas let go   : {}", recovered.done.members_removed)?;
    writeln!(out, "Join tokens voided: {}", recovered.done.join_tokens_voided)?;
    if let Some(was) = recovered.done.clock_was {
        writeln!(out, "The cluster's time had run ahead, to {was}: it goes by this machine's clock again.")?;
    }
    writeln!(out, "The old store     : {kept}\n")?;
    Ok(living.print_next(out, NEXT)?)
}

/// The one directory. Of several nobody but a plan knows which one is to be taken.
fn survivor(values: &Values) -> Result<String, Failure> {
    match values.texts("dataDir") {
        [dir] if !dir.is_empty() => Ok(dir.clone()),
        [] | [_] => Err(Failure::message("a data directory (-dataDir) is required")),
        dirs => Err(Failure::message(format!(
            "nothing was changed: one data directory is recovered, and {} were named; `recover plan` with all of them \
             says which one, or that they need no recovery",
            dirs.len()
        ))),
    }
}

const NEXT: &str = "\
Next: start this server; it is a cluster of one with the same CA. Empty the data directories of the other replicas and
start them with this server's peer address in cluster.join: they join as new replicas. Replicas of the old cluster
cannot come back: their certificates open nothing here.
Delete the old store once the new cluster is complete and backed up.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_is_recovered_and_of_several_none_is_chosen() {
        let chosen = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            survivor(&Values::parse([APPLY_FLAGS, SETTINGS_FLAGS].concat(), &args).unwrap())
        };
        assert_eq!(chosen(&["-dataDir", "/a"]).unwrap(), "/a");
        let refused = chosen(&["-dataDir", "/a", "-dataDir", "/b"]).unwrap_err().to_string();
        assert!(
            refused.starts_with("nothing was changed: one data directory is recovered, and 2 were named"),
            "{refused}"
        );
        assert!(chosen(&[]).is_err() && chosen(&["-dataDir", ""]).is_err());
    }

    #[test]
    fn the_command_of_a_plan_is_whole() {
        let command = |args: &[&str], default: &str| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let values = Values::parse([PLAN_FLAGS, SETTINGS_FLAGS].concat(), &args).unwrap();
            apply_command(&values, Path::new("/data of a/b"), Path::new(default)).unwrap()
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let (default, none) = (file.path().to_str().unwrap(), "/nonexistent/server.conf");
        let begin = "steeple-server recover apply -dataDir '/data of a/b' -config";
        assert_eq!(command(&["-config", "/x.conf"], none), format!("{begin} /x.conf -confirm"));
        assert_eq!(command(&[], default), format!("{begin} {default} -confirm"));
        assert!(command(&[], none).starts_with(&format!("{begin} FILE -confirm\nwhere FILE is")));
        let all = command(&["-config=/x", "-expandEnv", "-sealingKeyPath=/k"], none);
        assert_eq!(all, format!("{begin} /x -expandEnv -sealingKeyPath /k -confirm"));
        assert!(command(&["-config", "x"], none).contains(&std::path::absolute("x").unwrap().display().to_string()));
    }
}
