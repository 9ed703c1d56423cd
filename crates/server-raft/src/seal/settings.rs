//! From the `seal` block to the seal.

use std::sync::Arc;

use steeple_config::{Pkcs11Settings, SealSettings, TransitSettings};
use steeple_core::Clock;
use steeple_core::plugin::Seal;
use steeple_plugins::seal::{PassphraseSeal, Pkcs11Seal, Pkcs11Token, TransitKey, TransitSeal};

/// `None` leaves the key in its file as it is.
pub(super) fn seal(settings: &SealSettings, clock: &Arc<dyn Clock>) -> Option<Arc<dyn Seal>> {
    match settings.clone() {
        SealSettings::File => None,
        SealSettings::Passphrase(passphrase) => Some(Arc::new(PassphraseSeal { passphrase })),
        SealSettings::Pkcs11(Pkcs11Settings { module_path, token_label, key_label, pin }) => {
            Some(Arc::new(Pkcs11Seal::new(Pkcs11Token { module_path, token_label, key_label, pin })))
        }
        SealSettings::Transit(transit) => {
            let TransitSettings { address, mount_path, key_name: name, token, namespace, ca_cert_path } = transit;
            let key = TransitKey { address, mount_path, name, token, namespace, ca_cert_path };
            Some(Arc::new(TransitSeal::new(key, Arc::clone(clock))))
        }
    }
}
