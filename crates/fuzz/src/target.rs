//! What can be fuzzed.

use std::fs;
use std::path::PathBuf;

use crate::targets::{configuration, disk, frames, identity, keys, messages, nodes, raft, sds, state, tpm, workloads};

/// A parser and what is demanded of it.
pub struct Target {
    pub name: &'static str,
    /// Panics where the parser, or what it read, breaks a promise.
    pub body: fn(&[u8]) -> Verdict,
    /// Inputs that are made by those who write this form, beside the committed corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// What a body did with its input. Either is fine; that a target reads anything at all is what seeds are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Read,
    Refused,
}

impl Verdict {
    pub fn read_if(read: bool) -> Self {
        if read { Self::Read } else { Self::Refused }
    }

    pub fn of<T>(read: Option<T>) -> Self {
        Self::read_if(read.is_some())
    }
}

/// Every target, in the order of `targets/`.
pub const TARGETS: &[Target] = &[
    Target { name: "agent_path", body: nodes::agent_path, seeds: none },
    Target { name: "service_account_token", body: nodes::service_account_token, seeds: none },
    Target { name: "ssh_certificate", body: nodes::ssh_certificate, seeds: none },
    Target { name: "ssh_authorities", body: nodes::ssh_authorities, seeds: none },
    Target { name: "tpm_devid", body: nodes::tpm_devid, seeds: nodes::tpm_devid_seeds },
    Target { name: "x509pop", body: nodes::x509pop, seeds: nodes::x509pop_seeds },
    Target { name: "certificates", body: identity::certificates, seeds: identity::certificate_seeds },
    Target { name: "csr", body: identity::csr, seeds: identity::csr_seeds },
    Target { name: "jwks", body: identity::jwks, seeds: identity::jwks_seeds },
    Target { name: "jwt", body: identity::jwt, seeds: identity::jwt_seeds },
    Target { name: "selector", body: identity::selector, seeds: none },
    Target { name: "spiffe_id", body: identity::spiffe_id, seeds: none },
    Target { name: "trust_domain", body: identity::trust_domain, seeds: none },
    Target { name: "keyring", body: keys::keyring, seeds: keys::keyring_seeds },
    Target { name: "private_key", body: keys::private_key, seeds: keys::private_key_seeds },
    Target { name: "public_key", body: keys::public_key, seeds: keys::public_key_seeds },
    Target { name: "sealing_key_file", body: keys::sealing_key_file, seeds: keys::sealing_key_file_seeds },
    Target { name: "agent_data", body: disk::agent_data, seeds: disk::agent_data_seeds },
    Target { name: "backup", body: disk::backup, seeds: disk::backup_seeds },
    Target { name: "backup_frames", body: disk::backup_frames, seeds: disk::backup_frames_seeds },
    Target { name: "keys_file", body: disk::keys_file, seeds: none },
    Target { name: "log_record", body: disk::log_record, seeds: disk::log_record_seeds },
    Target { name: "persisted_svids", body: disk::persisted_svids, seeds: disk::persisted_svids_seeds },
    Target { name: "snapshot", body: disk::snapshot, seeds: disk::snapshot_seeds },
    Target { name: "snapshot_frames", body: disk::snapshot_frames, seeds: disk::snapshot_frames_seeds },
    Target { name: "write_ahead_log", body: disk::write_ahead_log, seeds: disk::write_ahead_log_seeds },
    Target { name: "configuration", body: configuration::file, seeds: none },
    Target { name: "command_line", body: configuration::command_line, seeds: none },
    Target { name: "duration", body: configuration::duration, seeds: none },
    Target { name: "http2_authority", body: frames::authority, seeds: frames::authority_seeds },
    Target { name: "proxy_header", body: frames::proxy_header, seeds: frames::proxy_header_seeds },
    Target { name: "message", body: messages::any, seeds: messages::any_seeds },
    Target { name: "bundle_message", body: messages::bundle, seeds: messages::bundle_seeds },
    Target { name: "entry_message", body: messages::entry, seeds: messages::entry_seeds },
    Target { name: "relationship_message", body: messages::relationship, seeds: messages::relationship_seeds },
    Target { name: "join_message", body: raft::join_message, seeds: raft::join_message_seeds },
    Target { name: "peer_id", body: raft::peer_id, seeds: none },
    Target { name: "raft_message", body: raft::message, seeds: raft::message_seeds },
    Target { name: "discovery_request", body: sds::discovery_request, seeds: sds::discovery_request_seeds },
    Target { name: "command", body: state::command, seeds: state::command_seeds },
    Target { name: "outcome", body: state::outcome, seeds: state::outcome_seeds },
    Target { name: "rows", body: state::rows, seeds: state::row_seeds },
    Target { name: "tpm_public_area", body: tpm::public_area, seeds: tpm::public_area_seeds },
    Target { name: "tpm_reply", body: tpm::reply, seeds: tpm::reply_seeds },
    Target { name: "tpm_signature", body: tpm::signature, seeds: tpm::signature_seeds },
    Target { name: "tpm_statement", body: tpm::statement, seeds: tpm::statement_seeds },
    Target { name: "cgroup", body: workloads::cgroup, seeds: none },
    Target { name: "container_inspect", body: workloads::container_inspect, seeds: none },
    Target { name: "mount_info", body: workloads::mount_info, seeds: none },
    Target { name: "pod_list", body: workloads::pod_list, seeds: none },
    Target { name: "proc_stat", body: workloads::proc_stat, seeds: none },
    Target { name: "proc_status", body: workloads::proc_status, seeds: none },
    Target { name: "socket_template", body: workloads::socket_template, seeds: none },
];

/// For text, whose seeds are files of the corpus.
fn none() -> Vec<Vec<u8>> {
    Vec::new()
}

pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    /// Seeds and corpus.
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let mut inputs = (self.seeds)();
        let Ok(files) = fs::read_dir(corpus_of(self.name)) else { return inputs };
        inputs.extend(files.filter_map(|file| fs::read(file.ok()?.path()).ok()));
        inputs
    }
}

/// Where the committed inputs of a target lie: texts that are read, and what once broke a promise.
pub fn corpus_of(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", name].iter().collect()
}
