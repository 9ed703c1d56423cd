//! Three hosts and the disks that they were ever started on.

use std::collections::BTreeSet;

use super::entry::{Entry, Membership, host_of};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// As the leader has it, or the last one had it.
    pub log: Vec<Entry>,
    /// Entries that are acknowledged.
    pub committed: usize,
    /// Ids that hold the whole log, as far as the leader knows.
    pub holders: BTreeSet<u8>,
    /// By number. The host's further disks come three numbers later each.
    pub disks: [Option<Disk>; DISKS_MAX],
    /// Which disk each host is started on.
    pub attached: [u8; 3],
    /// Its disk.
    pub leader: Option<u8>,
    /// On its way to a disk: its id.
    pub answer: Option<(u8, u8)>,
    pub left: Budget,
    /// Somebody was elected who lacks what was acknowledged.
    pub lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    /// What the disk remembers itself to be.
    pub id: Option<u8>,
    /// How many entries of the log it has.
    pub length: usize,
}

/// What can still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub writes: u8,
    pub wipes: u8,
    /// Of disks that were taken away.
    pub returns: u8,
    pub elections: u8,
}

pub const HOSTS: [u8; 3] = [0, 1, 2];
/// Three for each host.
const DISKS_MAX: usize = 9;

impl World {
    pub fn begin(left: Budget) -> Self {
        let mut disks = [const { None }; DISKS_MAX];
        for host in HOSTS {
            disks[usize::from(host)] = Some(Disk { id: Some(host + 1), length: 0 });
        }
        Self {
            log: Vec::new(),
            committed: 0,
            holders: BTreeSet::from([1, 2, 3]),
            disks,
            attached: HOSTS,
            leader: Some(0),
            answer: None,
            left,
            lost: false,
        }
    }

    /// One that was used.
    pub fn disk(&self, disk: u8) -> &Disk {
        self.disks[usize::from(disk)].as_ref().expect("disks are never forgotten")
    }

    pub fn disk_mut(&mut self, disk: u8) -> &mut Disk {
        self.disks[usize::from(disk)].as_mut().expect("disks are never forgotten")
    }

    /// Every disk that was ever used, with its number.
    pub fn used(&self) -> impl Iterator<Item = (u8, &Disk)> {
        (0..).zip(&self.disks).filter_map(|(number, disk)| Some((number, disk.as_ref()?)))
    }

    pub fn attached(&self, host: u8) -> u8 {
        self.attached[usize::from(host)]
    }

    /// A host runs on it.
    pub fn is_attached(&self, disk: u8) -> bool {
        self.attached(host_of(disk)) == disk
    }

    /// By the beginning of the log that somebody has.
    pub fn membership(&self, length: usize) -> Membership {
        let members = self.log[..length].iter().rev().find_map(|entry| match entry {
            Entry::Members(members) => Some(*members),
            _ => None,
        });
        members.unwrap_or(Membership::first())
    }

    /// How often the disk was given an id by the log.
    pub fn asked(&self, wanted: u8) -> u8 {
        let own = |entry: &&Entry| matches!(entry, Entry::Allocate { disk, .. } if *disk == wanted);
        self.log.iter().filter(own).count() as u8
    }

    /// The third host differs from the second one in nothing yet, so that what it does need not be looked at.
    pub fn has_twin(&self, host: u8) -> bool {
        host == 2
            && self.attached == HOSTS
            && self.disk(2).length == self.disk(1).length
            && self.holders.contains(&2) == self.holders.contains(&3)
            && self.leader != Some(1)
            && self.leader != Some(2)
    }

    /// `id`: what the host believes to be in spite of it.
    pub fn wipe(&mut self, host: u8, id: Option<u8>) {
        let count = self.used().filter(|(disk, _)| host_of(*disk) == host).count();
        self.attach(host, host + 3 * count as u8);
        self.left.wipes -= 1;
        self.disks[usize::from(self.attached(host))] = Some(Disk { id, length: 0 });
    }

    pub fn bring_back(&mut self, host: u8) {
        self.attach(host, host);
        self.left.returns -= 1;
    }

    fn attach(&mut self, host: u8, disk: u8) {
        self.attached[usize::from(host)] = disk;
        self.leader = self.leader.filter(|disk| host_of(*disk) != host);
    }
}
