//! Keys, and what keys lie in.

use steeple_ca::seal::{KeyFile, NextSealingKey, SealedKeyring, SealingKey};
use steeple_ca::{PublicKey, SigningKey};
use steeple_core::Secret;

use super::{issued, text};
use crate::{Verdict, within};

pub fn public_key(data: &[u8]) -> Verdict {
    let Ok(key) = within(40, data, || PublicKey::from_spki(data)) else { return Verdict::Refused };
    // One key has one form, by which its id is made.
    assert_eq!(key.spki(), data);
    assert_eq!(hex::encode(key.key_id()), key.key_id_hex());
    Verdict::Read
}

pub fn public_key_seeds() -> Vec<Vec<u8>> {
    let key = SigningKey::from_pkcs8(&Secret::new(issued::KEY.to_vec())).expect("a key");
    vec![key.public_key().spki().to_vec()]
}

pub fn private_key(data: &[u8]) -> Verdict {
    let secret = Secret::new(data.to_vec());
    let (strict, lenient) = (SigningKey::from_pkcs8(&secret), SigningKey::from_der(&secret));
    let Ok(key) = &strict else { return Verdict::of(lenient.ok()) };
    assert_eq!(lenient.as_ref().map(SigningKey::public_key), Ok(key.public_key()));
    assert_eq!(PublicKey::from_spki(key.public_key().spki()).as_ref(), Ok(key.public_key()));
    Verdict::Read
}

pub fn private_key_seeds() -> Vec<Vec<u8>> {
    vec![issued::KEY.to_vec()]
}

/// The file of the key that seals all others.
pub fn sealing_key_file(data: &[u8]) -> Verdict {
    let Some(Ok(file)) = text(data).map(|text| within(8, data, || KeyFile::parse(text))) else {
        return Verdict::Refused;
    };
    let written = file.to_file();
    let written = std::str::from_utf8(written.expose()).expect("a file of text");
    match (file, KeyFile::parse(written)) {
        (KeyFile::Plain(read), Ok(KeyFile::Plain(again))) => assert_eq!(read.id(), again.id()),
        (KeyFile::Wrapped(read), Ok(KeyFile::Wrapped(again))) => assert_eq!(read, again),
        (read, again) => panic!("{read:?} became {again:?}"),
    }
    Verdict::Read
}

pub fn sealing_key_file_seeds() -> Vec<Vec<u8>> {
    vec![KeyFile::Plain(sealing_key()).to_file().expose().to_vec()]
}

/// The keyring of the log, with every key under the sealing key. Bytes that nobody sealed open to nothing.
pub fn keyring(data: &[u8]) -> Verdict {
    let Ok(keyring) = within(60, data, || SealedKeyring::decode(data)) else { return Verdict::Refused };
    assert_eq!(SealedKeyring::decode(&keyring.encode()).as_ref(), Ok(&keyring));
    assert!(keyring.open(&sealing_key(), &[0xff; 16]).is_err(), "it opens for another cluster");
    Verdict::Read
}

pub fn keyring_seeds() -> Vec<Vec<u8>> {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let keyring = SealedKeyring::create(&sealing_key(), &[7; 16], &random).expect("a keyring");
    let next = NextSealingKey::Offered(sealing_key().id().expect("a name"));
    vec![keyring.encode(), keyring.with_next(Some(next)).encode()]
}

fn sealing_key() -> SealingKey {
    SealingKey::from_secret(Secret::new(vec![7; 32])).expect("32 bytes")
}
