//! `Debug` of the messages that carry secrets: without them.

use std::fmt;

use crate::steeple::server::{ImportAuthorityRequest, ImportedJoinToken};

impl fmt::Debug for ImportAuthorityRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportAuthorityRequest")
            .field("trust_domain", &self.trust_domain)
            .field("dry_run", &self.dry_run)
            .field("kind", &self.kind)
            .field("authority_id", &self.authority_id)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ImportedJoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedJoinToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let key = ImportAuthorityRequest { private_key: b"canary".to_vec(), ..Default::default() };
        let token = ImportedJoinToken { value: "canary".to_owned(), expires_at: 5 };
        for text in [format!("{key:?}"), format!("{token:?}")] {
            assert!(!text.contains("canary") && !text.contains("99, 97, 110"), "{text}");
        }
    }
}
