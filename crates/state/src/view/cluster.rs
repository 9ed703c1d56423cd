//! The cluster's own facts.

use steeple_core::TrustDomain;

use crate::{CLUSTER_VERSION_FIRST, Cluster, Member, Sealed, State, Uuid};

impl State {
    /// `None` before the cluster was initialised.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Which commands may be proposed; before the cluster was initialised, those of any.
    pub fn cluster_version(&self) -> u32 {
        self.cluster.as_ref().map_or(CLUSTER_VERSION_FIRST, |cluster| cluster.version)
    }

    pub fn trust_domain(&self) -> Option<&TrustDomain> {
        self.cluster.as_ref().map(|cluster| &cluster.trust_domain)
    }

    /// In the order of node ids.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn member(&self, node_id: u64) -> Option<&Member> {
        self.members.get(&node_id)
    }

    pub fn member_by_storage(&self, storage_uuid: &Uuid) -> Option<&Member> {
        self.members.values().find(|member| member.facts.storage_uuid == *storage_uuid)
    }

    pub fn keyring(&self) -> Option<&Sealed> {
        self.keyring.as_ref()
    }

    pub fn peer_ca(&self) -> Option<&Sealed> {
        self.peer_ca.as_ref()
    }
}
