//! A process with mounts and a network of its own: however it ends, the kernel then takes both away.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use nix::unistd::Uid;

/// Set in the process that is apart, to what it has of its own.
const APART: &str = "STEEPLE_CHAOS_APART";
const MOUNTS: &str = "mounts";
const MOUNTS_AND_NETWORK: &str = "mounts and network";
/// Names of network namespaces are mounts in there.
const NAMESPACES: &str = "/run/netns";

/// Replaces this process by one that is apart, as far as that is possible. Call it before there are threads.
pub fn set_apart() -> anyhow::Result<()> {
    if !Uid::effective().is_root() || std::env::var_os(APART).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let (network, has) = if network_is_possible() { (&["--net"][..], MOUNTS_AND_NETWORK) } else { (&[][..], MOUNTS) };
    // A shell that brings up what this program needs and then becomes it.
    let first = match has {
        MOUNTS => String::new(),
        _ => format!("ip link set lo up && mkdir -p {NAMESPACES} && mount -t tmpfs tmpfs {NAMESPACES} && "),
    };
    let mut command = Command::new("unshare");
    command.arg("--mount").args(network).args(["--propagation", "private", "--", "sh", "-c"]);
    command.arg(format!("{first}exec \"$0\" \"$@\"")).arg(program).args(std::env::args_os().skip(1));
    // Returns only if it failed: without mounts of its own the run leaves out what needs them.
    let error = command.env(APART, has).exec();
    eprintln!("no namespaces of its own (unshare: {error}): no disk is filled, no cable unplugged");
    Ok(())
}

pub(super) fn has_mounts() -> bool {
    std::env::var_os(APART).is_some()
}

pub(super) fn has_network() -> bool {
    std::env::var(APART).is_ok_and(|has| has == MOUNTS_AND_NETWORK)
}

/// Whether there can be a network with namespaces below it.
fn network_is_possible() -> bool {
    let words = ["--mount", "--net", "--", "sh", "-c", "command -v nsenter && ip link add x type veth peer name y"];
    let mut command = Command::new("unshare");
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
