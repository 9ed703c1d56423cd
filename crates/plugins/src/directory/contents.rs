//! What belongs in which file, named as in the examples of spiffe-helper.

use pem::{EncodeConfig, LineEnding, Pem, encode_config};
use steeple_core::plugin::{StoreError, StoredSvid};
use steeple_core::{Bundle, Secret};
use steeple_files::FolderFile;

/// PEM, each.
pub(super) struct Contents {
    certificates: String,
    key: Secret,
    key_mode: u32,
    /// Names of files with what they hold: the own trust domain's, then those of the others.
    bundles: Vec<(String, String)>,
}

impl Contents {
    /// A group reads the key where the entry names one.
    pub(super) fn of(svid: &StoredSvid<'_>, for_group: bool) -> Result<Self, StoreError> {
        let mut bundles = vec![("bundle.pem".to_owned(), roots(svid.bundle))];
        for bundle in svid.federated {
            let name = format!("federated_bundle.{}.pem", bundle.trust_domain.name());
            if name.len() > NAME_BYTES_MAX {
                return Err(StoreError::Selectors(format!(
                    "the entry federates with {}, which is too long for the name of a file",
                    bundle.trust_domain
                )));
            }
            bundles.push((name, roots(bundle)));
        }
        Ok(Self {
            certificates: svid.chain.iter().map(|der| block("CERTIFICATE", der)).collect(),
            key: Secret::new(block("PRIVATE KEY", svid.key.expose()).into_bytes()),
            key_mode: if for_group { 0o640 } else { 0o600 },
            bundles,
        })
    }

    /// Whoever waits for the certificate finds the others.
    pub(super) fn files(&self) -> impl Iterator<Item = FolderFile<'_>> {
        let bundles = self.bundles.iter().map(|(name, roots)| public(name, roots));
        let key = FolderFile { name: "svid_key.pem", content: self.key.expose(), mode: self.key_mode };
        bundles.chain([key, public("svid.pem", &self.certificates)])
    }
}

fn public<'c>(name: &'c str, content: &'c str) -> FolderFile<'c> {
    FolderFile { name, content: content.as_bytes(), mode: 0o644 }
}

fn roots(bundle: &Bundle) -> String {
    bundle.x509_authorities.iter().map(|root| block("CERTIFICATE", &root.der)).collect()
}

fn block(label: &str, der: &[u8]) -> String {
    encode_config(&Pem::new(label, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// Linux, `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;
