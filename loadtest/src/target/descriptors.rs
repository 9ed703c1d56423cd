//! One socket for each agent, here and in the server that we start, which inherits the limit.

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides the agents' sockets: the program's own, and connections that are being replaced.
const SPARE: u64 = 1_024;

/// Raises the limit of open files to what `agents` need, beyond the hard limit where this process may.
pub(crate) fn raise_open_files(agents: usize) -> anyhow::Result<()> {
    let needed = 2 * agents as u64 + SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let suffices = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if suffices(current) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: if suffices(maximum) { maximum } else { Some(needed) } };
    setrlimit(Resource::Nofile, raised).with_context(|| {
        let now = current.unwrap_or(u64::MAX);
        format!("{agents} agents need {needed} open files, the limit is {now}: run `ulimit -n {needed}` as root first")
    })?;
    ensure!(suffices(getrlimit(Resource::Nofile).current), "the limit of open files cannot be raised to {needed}");
    Ok(())
}
