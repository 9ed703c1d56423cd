//! The way to a TPM: a device of the kernel, or the Unix socket of an emulator.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use steeple_tpm::command::{REPLY_BYTES_MAX, REPLY_HEAD_BYTES, reply_bytes};

#[derive(Debug)]
pub(super) enum Device {
    /// The kernel's driver answers with whole replies, and gives up on a TPM that does not.
    Character(File),
    Socket(UnixStream),
}

impl Device {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let kind = std::fs::metadata(path)?.file_type();
        if kind.is_char_device() {
            return OpenOptions::new().read(true).write(true).open(path).map(Self::Character);
        }
        if !kind.is_socket() {
            return Err(io::Error::other("neither a device nor a Unix socket"));
        }
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(REPLY_MAX))?;
        socket.set_write_timeout(Some(REPLY_MAX))?;
        Ok(Self::Socket(socket))
    }

    /// Blocks until the TPM has answered.
    pub(super) fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Character(device) => {
                // In one piece: the driver takes what it is given for a command.
                device.write_all(command)?;
                let mut reply = vec![0; REPLY_BYTES_MAX];
                let length = device.read(&mut reply)?;
                reply.truncate(length);
                Ok(reply)
            }
            Self::Socket(socket) => {
                socket.write_all(command)?;
                let mut head = [0; REPLY_HEAD_BYTES];
                socket.read_exact(&mut head)?;
                let length = reply_bytes(&head).map_err(io::Error::other)?;
                let mut reply = vec![0; length];
                let (start, rest) = reply.split_at_mut(REPLY_HEAD_BYTES);
                start.copy_from_slice(&head);
                socket.read_exact(rest)?;
                Ok(reply)
            }
        }
    }
}

/// A TPM may look for the primes of an RSA key for a minute.
const REPLY_MAX: Duration = Duration::from_secs(120);
