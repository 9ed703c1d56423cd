//! A TPM that is asked one thing after the other, and left without what was loaded into it.

use std::io;
use std::path::Path;
use std::time::Duration;

use steeple_core::system_words;
use steeple_tpm::PublicArea;
use steeple_tpm::command::{
    CreatePrimary, FlushContext, Load, Primary, ReplyError, Request, StartPolicySession, decode_reply,
};

use super::device::Device;

#[derive(Debug)]
pub(super) struct Tpm {
    device: Device,
    /// Keys and sessions, which take one of few places.
    loaded: Vec<u32>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TpmError {
    #[error("{}", system_words(.0))]
    Device(#[source] io::Error),
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

impl Tpm {
    pub(super) fn open(path: &Path) -> Result<Self, TpmError> {
        Ok(Self { device: Device::open(path).map_err(TpmError::Device)?, loaded: Vec::new() })
    }

    pub(super) fn run<R: Request>(&mut self, request: &R) -> Result<R::Reply, TpmError> {
        let command = request.command().encode();
        let mut attempt = 1;
        loop {
            let reply = self.device.transact(command.as_slice()).map_err(|error| {
                // There is no way to flush it either.
                self.loaded.clear();
                TpmError::Device(error)
            })?;
            match decode_reply::<R>(&reply) {
                Err(ReplyError::Refused(code)) if code.is_busy() && attempt < ATTEMPTS_MAX => {
                    tracing::warn!(attempt, "TPM is busy, trying again");
                    pause();
                    attempt += 1;
                }
                replied => return Ok(replied?),
            }
        }
    }

    pub(super) fn create_primary(
        &mut self,
        hierarchy: u32,
        hierarchy_password: &[u8],
        password: &[u8],
        template: &PublicArea,
    ) -> Result<Primary, TpmError> {
        let made = self.run(&CreatePrimary { hierarchy, hierarchy_password, password, template })?;
        self.loaded.push(made.handle);
        Ok(made)
    }

    pub(super) fn load(&mut self, key: &Load<'_>) -> Result<u32, TpmError> {
        let handle = self.run(key)?;
        self.loaded.push(handle);
        Ok(handle)
    }

    pub(super) fn start_policy_session(&mut self) -> Result<u32, TpmError> {
        let handle = self.run(&StartPolicySession)?;
        self.loaded.push(handle);
        Ok(handle)
    }

    pub(super) fn flush(&mut self, handle: u32) -> Result<(), TpmError> {
        self.forget(handle);
        self.run(&FlushContext { handle })
    }

    /// Of what the TPM has let go by itself.
    pub(super) fn forget(&mut self, handle: u32) {
        self.loaded.retain(|loaded| *loaded != handle);
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        for handle in std::mem::take(&mut self.loaded) {
            if let Err(error) = self.run(&FlushContext { handle }) {
                tracing::warn!(handle, %error, "Failed to flush a handle of the TPM");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is a thread of its own, and a TPM does not tell when it is ready")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Five seconds for a TPM that is testing itself (SPIRE behaviour).
const ATTEMPTS_MAX: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);
