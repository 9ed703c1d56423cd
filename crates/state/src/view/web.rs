//! Certificates of the web.

use std::sync::Arc;

use steeple_core::{AcmeAccount, AcmeChallenge, SealedKey, WebCertificate};

use crate::{State, WebKey};

impl State {
    pub fn acme_account(&self, directory_url: &str) -> Option<&AcmeAccount> {
        self.acme_accounts.get(directory_url)
    }

    pub fn acme_challenge(&self, domain: &str) -> Option<&AcmeChallenge> {
        self.acme_challenges.get(domain)
    }

    pub fn web_certificate(&self, domain: &str) -> Option<&Arc<WebCertificate>> {
        self.web_certificates.get(domain)
    }

    /// In the order of domains.
    pub fn web_certificates(&self) -> impl Iterator<Item = &Arc<WebCertificate>> {
        self.web_certificates.values()
    }

    pub fn web_key(&self, name: &WebKey) -> Option<&SealedKey> {
        match name {
            WebKey::Account { directory_url } => self.acme_account(directory_url).map(|account| &account.key),
            WebKey::Certificate { domain } => self.web_certificate(domain).map(|certificate| &certificate.key),
        }
    }

    /// Every private key of the web.
    pub fn web_keys(&self) -> impl Iterator<Item = (WebKey, &SealedKey)> {
        let accounts = self
            .acme_accounts
            .values()
            .map(|account| (WebKey::Account { directory_url: account.directory_url.clone() }, &account.key));
        let certificates = self
            .web_certificates
            .values()
            .map(|certificate| (WebKey::Certificate { domain: certificate.domain.clone() }, &certificate.key));
        accounts.chain(certificates)
    }
}
