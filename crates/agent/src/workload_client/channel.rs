//! Where a Workload API is, as a channel.

use std::path::Path;

use steeple_transport::client::uds_channel;
use tonic::transport::{Channel, Endpoint};

/// The configuration checked the form: `unix:` with a path or `tcp:` with an IP address and a port.
pub fn channel(address: &str) -> Result<Channel, String> {
    let (scheme, rest) = address.split_once(':').unwrap_or_default();
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        // Between two slashes and the path stands a host, and a socket has none.
        "unix" if !rest.starts_with('/') => Err(format!("{address} names a host: write unix:// and an absolute path")),
        "unix" => Ok(uds_channel(Path::new(rest))),
        _ => {
            let endpoint = Endpoint::from_shared(format!("http://{rest}")).map_err(|error| error.to_string())?;
            Ok(endpoint.connect_lazy())
        }
    }
}
