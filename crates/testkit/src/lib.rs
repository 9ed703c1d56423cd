//! Real `steeple-server` and `steeple-agent` processes with real sockets on loopback, for tests and tools.
//!
//! ```text
//!   Cluster ── Server ──┐                      ┌── Admin           gRPC on the admin socket
//!              Agent  ──┴── Process ── Scratch └── WorkloadStream  gRPC on the Workload API
//! ```
//!
//! Whatever is started ends with the value that stands for it, also when a test panics: each process leads a process
//! group that is killed and reaped, each directory is removed. What a process said is shown when it disappoints.
//! Nothing sleeps for a guessed time; [`until`] asks again until a bound.
//!
//! What cannot be had here is played by a double, which its name says: [`KubeletDouble`], [`EngineDouble`],
//! [`TransitDouble`], [`KubernetesApiDouble`]. Each says so as well when it starts, with [`announce_double`]: the table
//! of `cargo xtask test` has a column for the tests that say so.

mod admin;
mod agent;
mod binaries;
mod canary;
mod cgroup;
mod cluster;
mod committed;
mod config_maps_double;
mod container;
mod core_dump;
mod devid;
mod dice;
mod dns_double;
mod double;
mod engine_double;
mod entry;
mod fixture;
mod floods;
mod go_plugins;
mod hcl;
pub mod http2;
mod interrupt;
mod kubelet_double;
mod kubernetes_double;
mod pebble;
mod port;
mod postgres;
mod preload;
mod probe;
mod process;
mod prometheus;
mod quicken;
mod raw_call;
mod recorder;
mod relay;
mod s3_server;
mod scratch;
mod server;
mod soft_hsm;
mod soft_tpm;
mod ssh;
mod transit_double;
mod unfinished;
mod until;
mod wall_clock;
mod web_certificate;
mod workload;
mod x509pop;

pub use admin::Admin;
pub use agent::{Agent, AgentSpec, Attestation};
pub use binaries::{Binaries, named_program, older_server};
pub use canary::Canary;
pub use cgroup::Cgroup;
pub use cluster::{Cluster, StateAt, states_at_one_index};
pub use committed::{assert_committed, assert_committed_part};
pub use container::Container;
pub use core_dump::{CRASHES, allow_core_dumps, leaves_core_dump};
pub use devid::{DevId, DevIdAuthority, DevIdKind};
pub use dice::Dice;
pub use double::{DoubleAnswer, announce_double};
pub use engine_double::EngineDouble;
pub use entry::{own_uid_selector, workload_entry};
pub use fixture::{Fixture, FixtureEntry};
pub use floods::{Flooded, Flooders};
pub use go_plugins::GoPlugins;
pub use interrupt::until_interrupted;
pub use kubelet_double::{KubeletDouble, KubeletFiles};
pub use kubernetes_double::{KubernetesApiDouble, ServiceAccountToken, Trouble};
pub use pebble::Pebble;
pub use port::Port;
pub use postgres::Postgres;
pub use preload::{Preload, compile_program, preload_env};
pub use probe::{probe, probe_at};
pub use process::Process;
pub use prometheus::{Firing, Prometheus, prometheus_program};
pub use quicken::sixty_times_quicker;
pub use raw_call::{framed, raw_call};
pub use recorder::Recorder;
pub use relay::Relay;
pub use s3_server::S3Server;
pub use scratch::Scratch;
pub use server::{ClusterRole, ExtraLines, Server, ServerSpec};
pub use soft_hsm::SoftHsm;
pub use soft_tpm::SoftTpm;
pub use ssh::{SshCertificateAuthority, SshHost};
pub use transit_double::TransitDouble;
pub use until::until;
pub use wall_clock::{Offset, WallClock};
pub use workload::WorkloadStream;
pub use x509pop::{NodeCertificate, NodeCertificateAuthority};
