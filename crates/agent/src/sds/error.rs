//! Why a request got no secrets.

use steeple_config::go_quoted;
use tonic::Status;

use super::names::RESOURCE_NAMES_MAX;

/// Texts are SPIRE's. Each ends the stream; Envoy comes back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdsError {
    /// The names that were not found, sorted.
    #[error("workload is not authorized for the requested identities {}", quoted(.0))]
    NotAuthorized(Vec<String>),
    #[error(
        "too many resource names: {0}; ask for at most {max} at a time, or for none to get all",
        max = RESOURCE_NAMES_MAX
    )]
    TooManyNames(usize),
    /// All bundles were asked for by an Envoy that can hold only one.
    #[error("unable to use \"SPIFFE validator\" on Envoy below 1.17")]
    ValidatorNeeded,
}

impl From<SdsError> for Status {
    fn from(error: SdsError) -> Self {
        match error {
            SdsError::NotAuthorized(_) | SdsError::TooManyNames(_) => Self::invalid_argument(error.to_string()),
            SdsError::ValidatorNeeded => Self::internal(error.to_string()),
        }
    }
}

/// As Go prints a list of strings with `%q`.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| go_quoted(name)).collect();
    format!("[{}]", quoted.join(" "))
}
