//! What surrounds parameters: a head, handles, authorizations (part 1, sections 18.2 to 18.9).

use crate::command::{Request, ResponseCode};
use crate::wire::{Reader, WireError, Writer};

/// A command whose bytes hold passwords, and are wiped.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// TPM_CC.
    pub code: u32,
    pub handles: Vec<u32>,
    /// For the handles, in their order.
    pub authorizations: Vec<Authorization<'a>>,
    pub parameters: Writer,
}

#[derive(Clone, Copy)]
pub enum Authorization<'a> {
    Password(&'a [u8]),
    /// A policy that has been satisfied. The session ends with the command.
    Policy(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("the TPM's reply is malformed: {0}")]
    Malformed(#[from] WireError),
    #[error("not a TPM 2.0: its reply has the tag 0x{0:04x}")]
    Tag(u16),
    #[error("a reply of {bytes} bytes: there are {REPLY_HEAD_BYTES} to {REPLY_BYTES_MAX}")]
    Size { bytes: usize },
    #[error("{0}")]
    Refused(ResponseCode),
}

impl Command<'_> {
    pub fn encode(&self) -> Writer {
        let mut body = Writer::default();
        for handle in &self.handles {
            body = body.u32(*handle);
        }
        if !self.authorizations.is_empty() {
            let area = self.authorizations.iter().fold(Writer::default(), Authorization::write);
            body = body.u32(area.as_slice().len() as u32).bytes(area.as_slice());
        }
        let body = body.bytes(self.parameters.as_slice());
        let tag = if self.authorizations.is_empty() { NO_SESSIONS } else { SESSIONS };
        let bytes = REPLY_HEAD_BYTES + body.as_slice().len();
        Writer::default().u16(tag).u32(bytes as u32).u32(self.code).bytes(body.as_slice())
    }
}

impl Authorization<'_> {
    /// TPMS_AUTH_COMMAND.
    fn write(writer: Writer, authorization: &Authorization<'_>) -> Writer {
        match authorization {
            Authorization::Password(password) => {
                writer.u32(PASSWORD_SESSION).sized(&[]).u8(CONTINUE_SESSION).sized(password)
            }
            Authorization::Policy(session) => writer.u32(*session).sized(&[]).u8(0).sized(&[]),
        }
    }
}

impl std::fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::Policy(_) => "Policy(…)",
        })
    }
}

/// How long the reply with this head is, the head included.
pub fn reply_bytes(head: &[u8; REPLY_HEAD_BYTES]) -> Result<usize, ReplyError> {
    let [_, _, size @ .., _, _, _, _] = head;
    let bytes = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    if (REPLY_HEAD_BYTES..=REPLY_BYTES_MAX).contains(&bytes) { Ok(bytes) } else { Err(ReplyError::Size { bytes }) }
}

/// What a whole reply to an `R` says.
pub fn decode_reply<R: Request>(reply: &[u8]) -> Result<R::Reply, ReplyError> {
    let mut reader = Reader::new(reply);
    let tag = reader.u16()?;
    if !matches!(tag, NO_SESSIONS | SESSIONS) {
        return Err(ReplyError::Tag(tag));
    }
    let stated = reader.u32()? as usize;
    if stated != reply.len() {
        return Err(ReplyError::Size { bytes: stated });
    }
    let code = reader.u32()?;
    if code != 0 {
        return Err(ReplyError::Refused(ResponseCode(code)));
    }
    let handle = if R::HAS_HANDLE { reader.u32()? } else { 0 };
    let parameters = if tag == SESSIONS {
        let length = reader.u32()? as usize;
        reader.bytes(length)?
    } else {
        reader.rest()
    };
    let mut parameters = Reader::new(parameters);
    let read = R::reply(handle, &mut parameters)?;
    parameters.end()?;
    Ok(read)
}

/// Tag, length, response code.
pub const REPLY_HEAD_BYTES: usize = 10;
/// What the drivers of operating systems pass on.
pub const REPLY_BYTES_MAX: usize = 4096;
/// TPM_ST.
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// TPM_RS_PW.
const PASSWORD_SESSION: u32 = 0x4000_0009;
const CONTINUE_SESSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{FlushContext, NvDataBytes, NvRead, StartPolicySession};

    #[test]
    fn a_command_says_its_length_and_who_may() {
        let command = Command {
            code: 0x14e,
            handles: vec![0x01c0_0002, 0x01c0_0002],
            authorizations: vec![Authorization::Password(b"pw"), Authorization::Policy(0x0300_0000)],
            parameters: Writer::default().u16(4).u16(0),
        };
        let expected = concat!(
            "8002", "0000002e", "0000014e", "01c00002", "01c00002", "00000014", "40000009", "0000", "01", "0002",
            "7077", "03000000", "0000", "00", "0000", "00040000"
        );
        assert_eq!(hex::encode(command.encode().as_slice()), expected);
        assert!(!format!("{:?}", command.authorizations).contains("112"), "a password is shown");
    }

    #[test]
    fn replies_are_read_whole() {
        let read = |text: &str| decode_reply::<NvRead>(&hex::decode(text).unwrap());
        let good = "80020000001700000000000000050003616263000001";
        assert_eq!(read(&format!("{good}0000")), Err(ReplyError::Size { bytes: 0x17 }));
        let good = "800200000018000000000000000500036162630000010000";
        assert_eq!(read(good), Ok(b"abc".to_vec()));
        assert_eq!(read("80010000000a0000018b"), Err(ReplyError::Refused(ResponseCode(0x18b))));
        assert_eq!(read("00c40000000a0000001e"), Err(ReplyError::Tag(0xc4)));
        assert_eq!(read("8001"), Err(ReplyError::Malformed(WireError::Short)));
        let trailing = "800200000018000000000000000600036162630000010000";
        assert_eq!(read(trailing), Err(ReplyError::Malformed(WireError::Trailing(1))));
        let lying = "80020000001800000000ffffffff00036162630000010000";
        assert_eq!(read(lying), Err(ReplyError::Malformed(WireError::Short)));
        let session = hex::decode("80010000001000000000030000000000").unwrap();
        assert_eq!(decode_reply::<StartPolicySession>(&session), Ok(0x0300_0000));
        assert_eq!(decode_reply::<FlushContext>(&hex::decode("80010000000a00000000").unwrap()), Ok(()));
        let index = hex::decode("80010000002000000000000e01c00002000b62044001000004b00004000b6162").unwrap();
        assert_eq!(decode_reply::<NvDataBytes>(&index), Ok(1200));
    }

    #[test]
    fn the_length_of_a_reply_is_bounded() {
        let head = |bytes: u32| {
            let [a, b, c, d] = bytes.to_be_bytes();
            reply_bytes(&[0x80, 1, a, b, c, d, 0, 0, 0, 0])
        };
        assert_eq!((head(10), head(4096)), (Ok(10), Ok(4096)));
        for bytes in [0, 9, 4097, u32::MAX] {
            assert_eq!(head(bytes), Err(ReplyError::Size { bytes: bytes as usize }));
        }
    }
}
