//! gRPC server reflection, for `grpcurl` and its like, as grpc-go answers it: what is not known is an answer, and the
//! stream goes on.

mod descriptors;
mod former_name;
mod service;

pub use descriptors::Descriptors;
pub use former_name::FormerName;
pub use service::Reflection;
