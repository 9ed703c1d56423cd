//! Where a Workload API is.

use std::net::SocketAddr;

/// SPIFFE Workload Endpoint, section 4: `unix:` with a path, or `tcp:` with an IP address and a port.
pub(crate) fn check_endpoint(address: &str) -> Result<(), &'static str> {
    match address.split_once(':') {
        Some(("unix", rest)) => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.starts_with('/') { Ok(()) } else { Err("workload endpoint unix socket URI must include a path") }
        }
        Some(("tcp", rest)) => {
            let socket = rest.strip_prefix("//").unwrap_or(rest).trim_end_matches('/');
            let valid = socket.parse::<SocketAddr>().is_ok();
            if valid { Ok(()) } else { Err("workload endpoint tcp socket URI host component must be an IP:port") }
        }
        _ => Err("workload endpoint socket URI must have a \"tcp\" or \"unix\" scheme"),
    }
}
