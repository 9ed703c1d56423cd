//! The OIDC discovery provider's configuration: SPIRE's own file, and the `oidc {}` block of our server.

mod file;
mod resolve;
mod settings;

pub use file::{OidcAcmeFile, OidcFile, OidcHealthFile, OidcSourceFile, OidcTlsFile};
pub use settings::{
    BaseUrl, OidcAcmeSettings, OidcHealthSettings, OidcListener, OidcSettings, OidcSource, OidcSourceKind,
};
