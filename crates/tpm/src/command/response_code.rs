//! TPM_RC (part 2, section 6.6): why a TPM refuses, and what to do about it.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCode(pub u32);

impl ResponseCode {
    /// The TPM is busy: the same command may succeed a moment later.
    pub fn is_busy(self) -> bool {
        matches!(self.0, RETRY | YIELDED | TESTING)
    }

    /// Without the parameter, session or handle that codes of the second format name.
    fn error(self) -> u32 {
        if self.0 & FORMAT_1 == 0 { self.0 } else { self.0 & (FORMAT_1 | 0x3f) }
    }

    fn place(self) -> Option<(&'static str, u32)> {
        let number = self.0 >> 8 & 0xf;
        match self.0 {
            code if code & FORMAT_1 == 0 || number == 0 => None,
            code if code & 0x40 != 0 => Some(("parameter", number)),
            _ if number & 8 != 0 => Some(("session", number & 7)),
            _ => Some(("handle", number)),
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the TPM refuses it with code 0x{:03x}", self.0)?;
        if let Some((what, number)) = self.place() {
            write!(f, ", {what} {number}")?;
        }
        match KNOWN.iter().find(|(code, _)| *code == self.error()) {
            Some((_, meaning)) => write!(f, ": {meaning}"),
            None => Ok(()),
        }
    }
}

/// Codes that say which handle, session or parameter they are about.
const FORMAT_1: u32 = 0x80;
const RETRY: u32 = 0x922;
const YIELDED: u32 = 0x908;
const TESTING: u32 = 0x90a;

const KNOWN: [(u32, &str); 17] = [
    (0x085, "the hierarchy is disabled: enable it in the firmware's set-up"),
    (0x08b, "there is no such key or index"),
    (0x08e, "wrong password"),
    (0x095, "a wrong size"),
    (0x09f, "a wrong integrity: it was made for another key, or in another TPM"),
    (0x0a2, "wrong password"),
    (0x0a7, "a wrong point: the key is not this TPM's"),
    (0x100, "it is not started: the firmware does that, of an emulator its flag startup-clear"),
    (0x101, "it is in failure mode: restart the machine"),
    (0x12f, "the password of the object is not available"),
    (0x149, "the index may not be read"),
    (0x14a, "the index was never written"),
    (0x902, "too many keys are loaded: use the resource manager, /dev/tpmrm0, or flush them (tpm2_flushcontext -t)"),
    (0x903, "too many sessions are open: use the resource manager, /dev/tpmrm0, or flush them (tpm2_flushcontext -s)"),
    (0x904, "it has no memory left: use the resource manager, /dev/tpmrm0"),
    (0x921, "it is locked after wrong passwords: wait, or tpm2_dictionarylockout --clear-lockout"),
    (RETRY, "it is busy"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_they_are_about() {
        let told = |code| ResponseCode(code).to_string();
        assert_eq!(told(0x9a2), "the TPM refuses it with code 0x9a2, session 1: wrong password");
        assert_eq!(told(0x18b), "the TPM refuses it with code 0x18b, handle 1: there is no such key or index");
        assert!(told(0x1df).starts_with("the TPM refuses it with code 0x1df, parameter 1: a wrong integrity"));
        assert!(told(0x921).contains("locked after wrong passwords"));
        assert_eq!(told(0x143), "the TPM refuses it with code 0x143");
        assert!(ResponseCode(0x922).is_busy() && !ResponseCode(0x921).is_busy());
    }
}
