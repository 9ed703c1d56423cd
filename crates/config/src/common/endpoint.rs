//! Where a Workload API is.

use std::net::IpAddr;

use steeple_core::GoUrl;

use crate::quote::go_quoted;

/// SPIFFE Workload Endpoint, section 4: `unix:` with a path, or `tcp:` with an IP address and a port. The order of the
/// checks and the texts are go-spiffe's.
pub(crate) fn check_endpoint(address: &str) -> Result<(), String> {
    let url = GoUrl::parse(address)
        .map_err(|why| format!("workload endpoint socket is not a valid URI: parse {}: {why}", go_quoted(address)))?;
    let kind = url.scheme.to_ascii_lowercase();
    let wrong = match kind.as_str() {
        "unix" | "tcp" if !url.opaque.is_empty() => "must not be opaque",
        "unix" | "tcp" if url.user.is_some() => "must not include user info",
        "unix" if url.host.is_empty() && url.path.is_empty() => "must include a path",
        "tcp" if url.host.is_empty() => "must include a host",
        "tcp" if !url.path.is_empty() => "must not include a path",
        "unix" | "tcp" if !url.query.unwrap_or_default().is_empty() => "must not include query values",
        "unix" | "tcp" if !url.fragment.is_empty() => "must not include a fragment",
        "unix" => return Ok(()),
        "tcp" => match url.host_and_port() {
            (host, _) if host.parse::<IpAddr>().is_err() => "host component must be an IP:port",
            (_, "") => "host component must include a port",
            _ => return Ok(()),
        },
        _ => return Err("workload endpoint socket URI must have a \"tcp\" or \"unix\" scheme".into()),
    };
    Err(format!("workload endpoint {kind} socket URI {wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_addresses() {
        for good in ["unix:///x", "unix:/x", "unix://x/y", "tcp://127.0.0.1:1", "tcp://[::1]:1", "unix:/x?"] {
            assert_eq!(check_endpoint(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("unix:x", "unix socket URI must not be opaque"),
            ("unix://u@/x", "unix socket URI must not include user info"),
            ("unix:", "unix socket URI must include a path"),
            ("unix://", "unix socket URI must include a path"),
            ("unix:///x?a=1", "unix socket URI must not include query values"),
            ("unix:///x#a", "unix socket URI must not include a fragment"),
            ("tcp:1.2.3.4:1", "tcp socket URI must not be opaque"),
            ("tcp:///x", "tcp socket URI must include a host"),
            ("tcp://1.2.3.4:1/", "tcp socket URI must not include a path"),
            ("tcp://localhost:1", "tcp socket URI host component must be an IP:port"),
            ("tcp://1.2.3.4", "tcp socket URI host component must include a port"),
            ("/x", "socket URI must have a \"tcp\" or \"unix\" scheme"),
            ("unix:///%zz", "socket is not a valid URI: parse \"unix:///%zz\": invalid URL escape \"%zz\""),
        ] {
            assert_eq!(check_endpoint(bad), Err(format!("workload endpoint {why}")), "{bad}");
        }
    }
}
