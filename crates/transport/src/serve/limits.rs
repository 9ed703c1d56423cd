//! What one connection may ask of the server.

use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// gRPC's default in both directions, which SPIRE's agents and CLI do not raise.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Limits of a listener's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// A client that has not begun to speak HTTP/2 by then is dropped.
    pub preface_timeout: Duration,
    /// After this, give or take a tenth, a connection gets GOAWAY and its client dials again. `None`: never.
    pub connection_age: Option<Duration>,
    /// The same for connections with calls that last, see [`LongCall`](super::LongCall).
    pub long_connection_age: Duration,
    /// How long calls may go on after that GOAWAY.
    pub connection_age_grace: Duration,
    pub concurrent_streams_max: u32,
    pub header_list_bytes_max: u32,
    /// What all connections of the listener together may have sent of messages that do not end. Beyond it whoever
    /// holds most gives way.
    pub unfinished_bytes_max: usize,
    /// Streams that the client reset before we accepted them: "rapid reset" (CVE-2023-44487).
    pub pending_accept_reset_streams_max: usize,
    /// Streams that we reset for the client's errors, before it is told to go.
    pub local_error_reset_streams_max: usize,
    /// Ping a silent client this often, and drop it when it does not answer in `keepalive_timeout`.
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// At shutdown clients are sent away over this time, so that the other replicas do not get them all at once.
    pub drain_spread: Duration,
    /// At shutdown streams go on for this long; then those that wait for something end with `Unavailable`.
    pub stream_drain: Duration,
    /// At shutdown connections are dropped after this.
    pub drain_max: Duration,
}

impl ServeLimits {
    /// The agents' TCP port. Age as in SPIRE; clients resolve names and balance anew when they come back.
    pub const TCP: Self = Self {
        preface_timeout: Duration::from_secs(10),
        connection_age: Some(Duration::from_secs(180)),
        long_connection_age: Duration::from_secs(3600),
        connection_age_grace: Duration::from_secs(60),
        concurrent_streams_max: 256,
        header_list_bytes_max: 16 * 1024,
        // A thousand agents that come back at once send some tens of KiB each.
        unfinished_bytes_max: 16 * MESSAGE_BYTES_MAX,
        pending_accept_reset_streams_max: 20,
        local_error_reset_streams_max: 256,
        keepalive_interval: Duration::from_secs(60),
        keepalive_timeout: Duration::from_secs(20),
        drain_spread: Duration::from_secs(2),
        // A node attestation is a stream, and a join token that was spent for nothing is lost.
        stream_drain: Duration::from_secs(3),
        drain_max: Duration::from_secs(10),
    };

    /// Local sockets: streams stay open for as long as the workload lives, and there is nowhere else to go. The kernel
    /// tells when a local client dies, but not when it hangs.
    /// Envoy opens one stream for every secret on a single connection, hence the many streams.
    pub const UDS: Self = Self {
        connection_age: None,
        concurrent_streams_max: 4_096,
        unfinished_bytes_max: 8 * MESSAGE_BYTES_MAX,
        drain_spread: Duration::ZERO,
        stream_drain: Duration::ZERO,
        ..Self::TCP
    };

    pub(super) fn http2(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.concurrent_streams_max)
            .max_header_list_size(self.header_list_bytes_max)
            .max_pending_accept_reset_streams(self.pending_accept_reset_streams_max)
            .max_local_error_reset_streams(self.local_error_reset_streams_max)
            .keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .auto_date_header(false);
        builder
    }
}
