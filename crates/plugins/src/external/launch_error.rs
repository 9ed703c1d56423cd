//! Why a plugin is not there. Texts are SPIRE's and go-plugin's where they have one.

use std::time::Duration;

use super::bounds::{HANDSHAKE_LINE_BYTES_MAX, PLUGINS_MAX, PROGRAM_BYTES_MAX};

/// Behind `failed to load plugin "NAME": `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    #[error("failed to launch plugin: fork/exec {path}: {why}")]
    Start { path: String, why: String },
    #[error("failed to launch plugin: error verifying checksum: {path}: {why}")]
    Unreadable { path: String, why: String },
    #[error("failed to launch plugin: error verifying checksum: {path} has more than {PROGRAM_BYTES_MAX} bytes")]
    TooLarge { path: String },
    #[error(
        "failed to launch plugin: checksums did not match: {path} has the SHA-256 {found}; if that is the program that \
         you mean, write it into plugin_checksum"
    )]
    Checksum { path: String, found: String },
    #[error("failed to launch plugin: {0}")]
    Handshake(#[from] HandshakeError),
    #[error("failed to launch plugin: timeout while waiting for plugin to start: no handshake line within {0:?}")]
    NoHandshake(Duration),
    #[error(
        "failed to launch plugin: plugin exited before we could connect ({status}); its last words, if any, are in the \
         log"
    )]
    Exited { status: String },
    #[error("failed to launch plugin: cannot make a directory for its sockets: {0}")]
    Directory(String),
    #[error("failed to launch plugin: cannot serve it: {0}")]
    HostSocket(String),
    #[error("failed to initialize plugin: {0}")]
    Init(String),
    #[error("failed to bind plugin: no supported plugin interface found in: {found:?}; wanted {wanted}")]
    WrongInterface { found: Vec<String>, wanted: &'static str },
    #[error("more than {PLUGINS_MAX} external plugins")]
    TooMany,
}

/// Why the first line of a plugin's standard output cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    #[error("Unrecognized remote plugin message: {0:?}; plugin_cmd has to name a SPIRE plugin")]
    Unrecognized(String),
    #[error("Unrecognized remote plugin message: more than {HANDSHAKE_LINE_BYTES_MAX} bytes without an end of line")]
    TooLong,
    #[error(
        "incompatible core API version with plugin. Plugin version: {0:?}, Core version: 1. To fix this, the plugin \
         usually only needs to be recompiled"
    )]
    CoreVersion(String),
    #[error("incompatible API version with plugin. Plugin version: {0:?}, Client versions: [1]")]
    Version(String),
    #[error("unknown address type: {0:?}; it has to be unix, or tcp on a loopback address")]
    Address(String),
    #[error("unsupported plugin protocol {0:?}. Supported: [grpc]")]
    Protocol(String),
    #[error("the plugin wants TLS, which SPIRE does not use with plugins")]
    Tls,
}
