//! What TPMs say: to servers by way of an agent that nobody knows, and to agents.

use steeple_tpm::command::{
    ActivateCredential, Certify, Create, CreatePrimary, FlushContext, HashData, Load, NvBufferBytes, NvDataBytes,
    NvRead, PolicySecret, ReplyError, Sign, StartPolicySession, decode_reply,
};
use steeple_tpm::{
    Certified, PublicArea, Signature, Writer, attestation_key, endorsement_key, make_credential, storage_root_key_ecc,
    storage_root_key_rsa,
};

use crate::{Verdict, within};

/// TPMT_PUBLIC. Any area may be an endorsement key's, for which a credential is made.
pub fn public_area(data: &[u8]) -> Verdict {
    let Ok(area) = within(8, data, || PublicArea::decode(data)) else { return Verdict::Refused };
    assert_eq!(area.encode(), data, "a key has two forms, and two names");
    if let Ok(name) = attestation_key().name() {
        let _ = make_credential(&area, &name, &[7; 32]);
    }
    Verdict::read_if(area.name().is_ok())
}

pub fn public_area_seeds() -> Vec<Vec<u8>> {
    [endorsement_key(), attestation_key(), storage_root_key_rsa(), storage_root_key_ecc()]
        .map(|area| area.encode())
        .into()
}

/// TPMS_ATTEST.
pub fn statement(data: &[u8]) -> Verdict {
    match within(8, data, || Certified::decode(data)) {
        Ok(Some(certified)) => {
            assert!(data.windows(certified.name.len()).any(|bytes| bytes == certified.name), "a name from nowhere");
            Verdict::Read
        }
        Ok(None) | Err(_) => Verdict::Refused,
    }
}

pub fn statement_seeds() -> Vec<Vec<u8>> {
    let head = Writer::default().u32(0xff54_4347).u16(0x8017).sized(&[1; 34]).sized(&[]).bytes(&[0; 25]);
    vec![head.sized(&[2; 34]).sized(&[3; 34]).into_vec()]
}

/// TPMT_SIGNATURE.
pub fn signature(data: &[u8]) -> Verdict {
    Verdict::of(within(8, data, || Signature::decode(data)).ok())
}

pub fn signature_seeds() -> Vec<Vec<u8>> {
    let sha256 = 0x000b;
    let rsa = Writer::default().u16(0x0014).u16(sha256).sized(&[7; 256]);
    let ecdsa = Writer::default().u16(0x0018).u16(sha256).sized(&[1; 32]).sized(&[2; 32]);
    vec![rsa.into_vec(), ecdsa.into_vec()]
}

/// A reply, to each command.
pub fn reply(data: &[u8]) -> Verdict {
    let read = [
        is_read(decode_reply::<ActivateCredential<'_>>(data)),
        is_read(decode_reply::<Certify<'_>>(data)),
        is_read(decode_reply::<Create<'_>>(data)),
        is_read(decode_reply::<CreatePrimary<'_>>(data)),
        is_read(decode_reply::<FlushContext>(data)),
        is_read(decode_reply::<HashData<'_>>(data)),
        is_read(decode_reply::<Load<'_>>(data)),
        is_read(decode_reply::<NvBufferBytes>(data)),
        is_read(decode_reply::<NvDataBytes>(data)),
        is_read(decode_reply::<NvRead>(data)),
        is_read(decode_reply::<PolicySecret<'_>>(data)),
        is_read(decode_reply::<Sign<'_>>(data)),
        is_read(decode_reply::<StartPolicySession>(data)),
    ];
    Verdict::read_if(read.contains(&true))
}

pub fn reply_seeds() -> Vec<Vec<u8>> {
    let loaded = "80020000001d00000000800000000000000600046e616d650000010000";
    let part = "800200000018000000000000000500036162630000010000";
    let index = "80010000002000000000000e01c00002000b62044001000004b00004000b6162";
    let flushed = "80010000000a00000000";
    [loaded, part, index, flushed].into_iter().filter_map(|text| hex::decode(text).ok()).collect()
}

fn is_read<T>(reply: Result<T, ReplyError>) -> bool {
    reply.is_ok()
}
