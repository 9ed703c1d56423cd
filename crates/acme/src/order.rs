//! One order for one name: the account, the proof, the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, Key, NewAccount, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use steeple_ca::generate_pkcs8;
use steeple_core::{Clock, KeyType, Secret};

use crate::error::when;
use crate::http::AcmeHttp;
use crate::{AcmeError, Directory, Obtained, Store};

/// Obtains a certificate and keeps it. A challenge that came to nothing is not left behind.
pub(crate) async fn order(
    directory: &Directory,
    domain: &str,
    store: &impl Store,
    clock: &Arc<dyn Clock>,
) -> Result<Obtained, AcmeError> {
    let account = account(directory, store, clock).await?;
    let identifiers = [Identifier::Dns(domain.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(when("place an order"))?;
    let obtained = match prove(&mut order, domain, store).await {
        Ok(()) => finish(&mut order, domain, clock).await,
        Err(error) => Err(error),
    };
    match obtained {
        Ok(obtained) => {
            store.keep(&obtained).await?;
            Ok(obtained)
        }
        Err(error) => {
            // The first failure is the one that tells.
            let _ = store.hide_challenge(domain).await;
            Err(error)
        }
    }
}

/// The account that there is, or a new one. An ACME server that does not know the key any more gets a new one too.
async fn account(directory: &Directory, store: &impl Store, clock: &Arc<dyn Clock>) -> Result<Account, AcmeError> {
    let known = store.account_key(&directory.url).await?;
    if let Some(key) = known {
        let unusable = |error: instant_acme::Error| AcmeError::AccountKey(error.to_string());
        let loaded = Key::from_pkcs8_der(PrivatePkcs8KeyDer::from(key.expose())).map_err(unusable)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose().to_vec()));
        let builder = Account::builder_with_http(Box::new(AcmeHttp::new(clock).await?));
        match builder.from_key((loaded, der), directory.url.clone()).await {
            Ok((account, _)) => return Ok(account),
            Err(instant_acme::Error::Api(problem)) if is(&problem, "accountDoesNotExist") => {
                tracing::warn!(directory_url = directory.url, "the ACME server does not know our account any more");
            }
            Err(error) => return Err(when("find our account at the ACME server")(error)),
        }
    }
    let contact = format!("mailto:{}", directory.email);
    let contact: &[&str] = if directory.email.is_empty() { &[] } else { &[&contact] };
    let wanted = NewAccount { contact, terms_of_service_agreed: directory.tos_accepted, only_return_existing: false };
    let builder = Account::builder_with_http(Box::new(AcmeHttp::new(clock).await?));
    let (account, credentials) = builder
        .create(&wanted, directory.url.clone(), None)
        .await
        .map_err(when("open an account at the ACME server"))?;
    let key = Secret::new(credentials.private_key().secret_pkcs8_der().to_vec());
    store.keep_account_key(&directory.url, &key).await?;
    tracing::info!(directory_url = directory.url, email = directory.email, "ACME account opened");
    Ok(account)
}

async fn prove(order: &mut Order, domain: &str, store: &impl Store) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(when("read what is to be proved"))?;
        if authorization.status == AuthorizationStatus::Valid {
            // Proved by an earlier order.
            continue;
        }
        let no_challenge = || AcmeError::NoChallenge { domain: domain.to_owned() };
        let mut challenge = authorization.challenge(ChallengeType::TlsAlpn01).ok_or_else(no_challenge)?;
        let digest = challenge.key_authorization().digest();
        let digest: [u8; 32] = digest.as_ref().try_into().map_err(|_| no_challenge())?;
        store.show_challenge(domain, digest).await?;
        challenge.set_ready().await.map_err(when("ask the ACME server to look"))?;
    }
    match order.poll_ready(&PATIENCE).await.map_err(when("await the proof"))? {
        OrderStatus::Invalid => Err(AcmeError::NotProved { domain: domain.to_owned(), why: what_failed(order).await }),
        _ => Ok(()),
    }
}

async fn finish(order: &mut Order, domain: &str, clock: &Arc<dyn Clock>) -> Result<Obtained, AcmeError> {
    let key = generate_pkcs8(KeyType::EcP256).map_err(|error| AcmeError::Request(error.to_string()))?;
    let request = request(domain, &key).map_err(|error| AcmeError::Request(error.to_string()))?;
    order.finalize_csr(&request).await.map_err(when("request the certificate"))?;
    let pem = order.poll_certificate(&PATIENCE).await.map_err(when("fetch the certificate"))?;
    Ok(Obtained::check(domain, &pem, key, clock.now())?)
}

/// A request with the name and no subject (RFC 8555, section 7.4).
fn request(domain: &str, key: &Secret) -> Result<Vec<u8>, rcgen::Error> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose()));
    let pair = KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec![domain.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&pair)?.der().to_vec())
}

/// What the ACME server says of the challenge that it did not believe.
async fn what_failed(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return problem.to_string();
        }
    }
    "it does not say why".to_owned()
}

fn is(problem: &Problem, kind: &str) -> bool {
    problem.r#type.as_deref() == Some(&format!("urn:ietf:params:acme:error:{kind}"))
}

/// An ACME server looks from several places, and may be busy.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));
