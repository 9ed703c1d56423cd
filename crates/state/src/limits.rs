//! Every bound of the machine, by name.

use std::time::Duration;

/// How far a leader's clock may lie from the median of a quorum before it may not stamp commands. The consensus layer
/// keeps to it on both sides, because one bad clock must not expire the trust domain.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

/// An encoded list of commands, and so a log entry. Twice gRPC's 4 MiB message, for a full batch plus overhead.
pub const COMMANDS_BYTES_MAX: usize = 8 << 20;

/// Outcomes kept for retries. A retry comes within seconds of the first try; at 1,000 writes a second this is 16 s.
pub const REQUESTS_MAX: usize = 16_384;

/// Bytes of encoded outcomes kept for retries, beside [`REQUESTS_MAX`]: updates of large batches repeat their entries.
pub const REQUESTS_BYTES_MAX: usize = 16 << 20;

/// Records that one prune command removes, so that a prune never delays the next command by more than milliseconds.
pub const PRUNE_ITEMS_MAX: u32 = 1_000;

/// Entries that one deletion of a bundle or agent takes along; beyond it the command answers `Aborted` and is repeated.
pub const CASCADE_ENTRIES_MAX: usize = 10_000;

/// Records of another server in one command. With the largest entries that a client may create they stay far below
/// [`COMMANDS_BYTES_MAX`], and applying them takes milliseconds.
pub const IMPORT_RECORDS_MAX: usize = 500;

/// Members of a cluster, learners and those being replaced included. Raft is meant for three or five.
pub const MEMBERS_MAX: usize = 32;

/// The keyring and the peer CA each: a few hundred bytes for every data key or certificate kept.
pub const SEALED_BYTES_MAX: usize = 1 << 20;

/// Names with certificates of the web, and those that are being proved.
pub const WEB_DOMAINS_MAX: usize = 64;

/// ACME servers that there is an account with: the one in use, and those before it.
pub const ACME_ACCOUNTS_MAX: usize = 16;

/// A name in the DNS (RFC 1035).
pub const DOMAIN_BYTES_MAX: usize = 253;

/// The URL of an ACME server's directory.
pub const DIRECTORY_URL_BYTES_MAX: usize = 2_048;

/// A certificate of the web with what stands above it; three or four certificates of 2 KiB.
pub const WEB_CHAIN_BYTES_MAX: usize = 64 << 10;

/// Audit chains of one node that an anchor is kept of; the oldest go. A node begins one when it cannot go on.
pub const AUDIT_CHAINS_MAX: usize = 16;

/// Anchors of audit chains, those of members that left included; a row of 80 bytes each.
pub const AUDIT_ANCHORS_MAX: usize = 1_024;

/// An entry's id (SPIRE).
pub const ENTRY_ID_BYTES_MAX: usize = 255;

/// An entry's hint (SPIRE).
pub const HINT_BYTES_MAX: usize = 1024;

/// The version that an agent reports (SPIRE).
pub const AGENT_VERSION_CHARS_MAX: usize = 255;
