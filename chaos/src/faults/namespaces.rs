//! A network namespace for each replica, joined by a bridge: with its cable unplugged, packets to and from it vanish as
//! if its host were gone. Nobody is told, no connection ends.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::apart;

const BRIDGE: &str = "replicas";
/// Where the replicas' peers, the clients and the agents are.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const PREFIX_BITS: u8 = 24;
/// The first replica's; the others follow.
const FIRST_HOST: u8 = 11;

/// They go with the namespaces of this process.
#[derive(Debug)]
pub(crate) struct Namespaces {
    size: usize,
}

impl Namespaces {
    /// Whether this process may have some.
    pub(crate) fn are_possible() -> bool {
        apart::has_network()
    }

    pub(crate) fn open(size: usize) -> anyhow::Result<Self> {
        // Rounds follow each other in one process.
        let _ = ip(&["link", "del", BRIDGE]);
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{HUB}/{PREFIX_BITS}"), "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;
        for position in 0..size {
            let (name, cable) = (namespace(position), cable(position));
            // The kernel takes what is in a namespace away some time after its end.
            let _ = ip(&["link", "del", &cable]);
            let _ = ip(&["netns", "del", &name]);
            ip(&["netns", "add", &name])?;
            ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            ip(&["link", "set", &cable, "master", BRIDGE, "up"])?;
            let address = format!("{}/{PREFIX_BITS}", host(position));
            ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(Self { size })
    }

    pub(crate) fn hub(&self) -> Ipv4Addr {
        HUB
    }

    pub(crate) fn hosts(&self) -> Vec<Ipv4Addr> {
        (0..self.size).map(host).collect()
    }

    /// Writes a program into `dir` that runs `program` in the namespace of a replica.
    pub(crate) fn program(&self, position: usize, program: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
        let path = dir.join(format!("in-namespace-{}", position + 1));
        let name = namespace(position);
        let text = format!("#!/bin/sh\nexec nsenter --net=/run/netns/{name} '{}' \"$@\"\n", program.display());
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
        Ok(path)
    }

    pub(crate) fn unplug(&self, position: usize) -> anyhow::Result<()> {
        ip(&["link", "set", &cable(position), "down"])
    }

    pub(crate) fn plug_in_all(&self) -> anyhow::Result<()> {
        (0..self.size).try_for_each(|position| ip(&["link", "set", &cable(position), "up"]))
    }
}

fn namespace(position: usize) -> String {
    format!("replica-{}", position + 1)
}

/// The end of it that is on the bridge.
fn cable(position: usize) -> String {
    format!("cable-{}", position + 1)
}

fn host(position: usize) -> Ipv4Addr {
    let last = u8::try_from(position).unwrap_or(u8::MAX).saturating_add(FIRST_HOST);
    Ipv4Addr::new(HUB.octets()[0], HUB.octets()[1], HUB.octets()[2], last)
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words).output().context("cannot run ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", words.join(" "), said.trim());
    Ok(())
}
