//! The version byte in front, and what every decoding checks.

use prost::Message;

use super::{DecodeError, Row, migrate, v1};
use crate::limits::COMMANDS_BYTES_MAX;
use crate::{Command, Outcome};

/// The first byte of everything this version writes. A change that older versions must not misread raises it and adds
/// a step to `migrate`.
pub const FORMAT_VERSION: u8 = 1;

/// The payload of a log entry. The proposer keeps it within [`COMMANDS_BYTES_MAX`], see [`command_len`].
pub fn encode_commands(commands: &[Command]) -> Vec<u8> {
    framed(&v1::Commands { commands: commands.iter().map(v1::Command::from).collect() })
}

/// Bytes that one command adds to a list.
pub fn command_len(command: &Command) -> usize {
    let len = v1::Command::from(command).encoded_len();
    // A tag byte and the length prefix.
    1 + prost::length_delimiter_len(len) + len
}

/// The commands of a log entry, or why this program must not apply it.
pub fn decode_commands(bytes: &[u8]) -> Result<Vec<Command>, DecodeError> {
    if bytes.len() > COMMANDS_BYTES_MAX {
        return Err(DecodeError::TooLong { bytes: bytes.len(), bytes_max: COMMANDS_BYTES_MAX });
    }
    let list: v1::Commands = unframed(bytes)?;
    let commands = list.commands.iter().cloned().map(Command::try_from).collect::<Result<Vec<_>, _>>()?;
    // Checked last, so that an unknown kind of command is reported as one.
    check_nothing_skipped(bytes, &list)?;
    Ok(commands)
}

/// For the answer to a forwarded command.
pub fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    framed(&v1::Outcome::from(outcome))
}

pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, DecodeError> {
    Outcome::try_from(unframed::<v1::Outcome>(bytes)?)
}

pub(crate) fn encode_row<R: Row>(row: &R) -> Vec<u8> {
    framed(&row.to_message())
}

pub(crate) fn decode_row<R: Row>(bytes: &[u8]) -> Result<R, DecodeError> {
    let message: R::Message = unframed(bytes)?;
    check_nothing_skipped(bytes, &message)?;
    R::from_message(message)
}

pub(super) fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(FORMAT_VERSION);
    // Fails only when the buffer is too small, and a vector grows.
    let _ = message.encode(&mut bytes);
    bytes
}

pub(super) fn unframed<M: Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    let (version, payload) = bytes.split_first().ok_or(DecodeError::Empty)?;
    let payload = migrate::to_current(*version, payload)?;
    M::decode(&*payload).map_err(|error| DecodeError::Damaged { reason: error.to_string() })
}

/// Protobuf skips unknown fields; encoding again shows whether there were any.
fn check_nothing_skipped(bytes: &[u8], message: &impl Message) -> Result<(), DecodeError> {
    let same_version = bytes.first() == Some(&FORMAT_VERSION);
    if same_version && framed(message) != bytes {
        return Err(DecodeError::UnknownContent);
    }
    Ok(())
}
