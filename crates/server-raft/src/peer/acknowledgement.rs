//! Who of the agents holds the bundle: what members ask of each other.

use steeple_api::steeple::peer::{AcknowledgementsRequest, AcknowledgementsResponse};

/// Answers for this replica. Implemented by the module that sees the agents.
pub trait AcknowledgementHandler: Send + Sync + 'static {
    fn answer(&self, request: &AcknowledgementsRequest) -> AcknowledgementsResponse;
}

/// What one member of the cluster said.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberAnswer {
    pub node_id: u64,
    pub name: String,
    /// `None`: it did not answer in time, or does not know the question yet.
    pub answer: Option<AcknowledgementsResponse>,
}
