//! What a plugin is: one or two methods each (`docs/plugins/`). Futures are boxed so that plugins can be chosen at
//! run time.

mod bundle_publisher;
mod credential_composer;
mod external_program;
mod key_manager;
mod node_attestor;
mod replaceable;
mod seal;
mod svid_store;
mod upstream_authority;
mod workload_attestor;

use std::future::Future;
use std::pin::Pin;

pub use bundle_publisher::{BundlePublisher, PublishError, PublishPlace};
pub use credential_composer::{ComposeError, CredentialComposer, SubjectNames, WorkloadX509};
pub use external_program::{Configurable, ExternalProgram};
pub use key_manager::{KeyElsewhere, KeyError, KeyManager, PrivateKey, RsaPadding};
pub use node_attestor::{
    AgentChannel, AgentNodeAttestor, AttestError, AttestStatus, Attested, ChallengeChannel, NodeAttestor,
};
pub use replaceable::Replaceable;
pub use seal::{Seal, SealFailure, SecretSource};
pub use svid_store::{StoreError, StorePlace, StoredSvid, SvidStore};
pub use upstream_authority::{MintedX509Ca, UpstreamAuthority, UpstreamBundle, UpstreamError};
pub use workload_attestor::{ReferenceError, WorkloadAttestor, WorkloadError, WorkloadProcess, WorkloadReference};

/// A boxed future, the return type of every plugin method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
