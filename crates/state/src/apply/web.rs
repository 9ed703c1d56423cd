//! Certificates of the web: what the leader, who deals with the ACME server, lets all replicas know.

use std::sync::Arc;

use steeple_core::{AcmeAccount, AcmeChallenge, SealedKey, WebCertificate};

use super::authority::check_term;
use super::writer::Writer;
use crate::limits::{
    ACME_ACCOUNTS_MAX, DIRECTORY_URL_BYTES_MAX, DOMAIN_BYTES_MAX, WEB_CHAIN_BYTES_MAX, WEB_DOMAINS_MAX,
};
use crate::{Code, Outcome, Rejection, WebKey};

/// Of too many accounts another one goes: it is opened again when it is needed.
pub(super) fn set_account(writer: &mut Writer<'_>, account: &AcmeAccount) -> Result<Outcome, Rejection> {
    check_length("directory URL", &account.directory_url, DIRECTORY_URL_BYTES_MAX)?;
    check_term(writer.state(), &account.key)?;
    writer.put_acme_account(account.clone());
    let surplus = writer.state().acme_accounts.len().saturating_sub(ACME_ACCOUNTS_MAX);
    let others = writer.state().acme_accounts.keys().filter(|url| **url != account.directory_url);
    let surplus: Vec<String> = others.take(surplus).cloned().collect();
    surplus.iter().for_each(|url| writer.remove_acme_account(url));
    Ok(Outcome::Done)
}

/// `None` takes the challenge away.
pub(super) fn set_challenge(
    writer: &mut Writer<'_>,
    domain: &str,
    digest: Option<[u8; 32]>,
) -> Result<Outcome, Rejection> {
    check_length("domain", domain, DOMAIN_BYTES_MAX)?;
    match digest {
        None => writer.remove_acme_challenge(domain),
        Some(digest) => {
            let known = &writer.state().acme_challenges;
            check_room(known.len(), known.contains_key(domain))?;
            writer.put_acme_challenge(AcmeChallenge { domain: domain.to_owned(), digest });
        }
    }
    Ok(Outcome::Done)
}

/// The challenge that it was obtained by has done its duty, and so have certificates of other names that have ended.
pub(super) fn set_certificate(writer: &mut Writer<'_>, certificate: &WebCertificate) -> Result<Outcome, Rejection> {
    check_length("domain", &certificate.domain, DOMAIN_BYTES_MAX)?;
    let bytes: usize = certificate.chain.iter().map(Vec::len).sum();
    if bytes == 0 || bytes > WEB_CHAIN_BYTES_MAX {
        return Err(Rejection::invalid(format!("the chain has {bytes} bytes, not 1 to {WEB_CHAIN_BYTES_MAX}")));
    }
    check_term(writer.state(), &certificate.key)?;
    let now = writer.now();
    let ended = writer.state().web_certificates().filter(|known| known.not_after < now);
    let ended: Vec<String> = ended.map(|known| known.domain.clone()).collect();
    ended.iter().for_each(|domain| writer.remove_web_certificate(domain));
    let known = &writer.state().web_certificates;
    check_room(known.len(), known.contains_key(&certificate.domain))?;
    writer.remove_acme_challenge(&certificate.domain);
    writer.put_web_certificate(Arc::new(certificate.clone()));
    Ok(Outcome::Done)
}

/// Compare and set, so that a key which took another one's place meanwhile stays.
pub(super) fn reseal(
    writer: &mut Writer<'_>,
    name: &WebKey,
    key: &SealedKey,
    expected_term: u64,
) -> Result<Outcome, Rejection> {
    let stored = writer.state().web_key(name).ok_or_else(|| Rejection::not_found("there is no such key of the web"))?;
    if stored.keyring_term != expected_term || key.keyring_term <= expected_term {
        let message = format!("the key is sealed in term {}, expected {expected_term}", stored.keyring_term);
        return Err(Rejection::new(Code::Aborted, message));
    }
    match name {
        WebKey::Account { directory_url } => {
            writer.put_acme_account(AcmeAccount { directory_url: directory_url.clone(), key: key.clone() });
        }
        WebKey::Certificate { domain } => {
            if let Some(certificate) = writer.state().web_certificate(domain).cloned() {
                writer.put_web_certificate(Arc::new(WebCertificate { key: key.clone(), ..(*certificate).clone() }));
            }
        }
    }
    Ok(Outcome::Done)
}

fn check_length(what: &str, text: &str, bytes_max: usize) -> Result<(), Rejection> {
    match text.len() {
        0 => Err(Rejection::invalid(format!("the {what} is empty"))),
        bytes if bytes > bytes_max => {
            Err(Rejection::invalid(format!("the {what} has {bytes} bytes, more than {bytes_max}")))
        }
        _ => Ok(()),
    }
}

fn check_room(held: usize, is_known: bool) -> Result<(), Rejection> {
    if is_known || held < WEB_DOMAINS_MAX {
        return Ok(());
    }
    let message = format!("there are {WEB_DOMAINS_MAX} names with certificates of the web, and no more may be");
    Err(Rejection::new(Code::ResourceExhausted, message))
}
