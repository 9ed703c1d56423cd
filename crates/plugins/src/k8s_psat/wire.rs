//! The JSON that crosses the wire.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    /// The name that the server's configuration has for the cluster.
    #[serde(default)]
    pub cluster: String,
    #[serde(default)]
    pub token: Zeroizing<String>,
}
