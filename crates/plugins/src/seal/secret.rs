//! Passphrases, PINs and tokens, from where an operator put them.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use steeple_core::Secret;
use steeple_core::plugin::SealFailure;
use steeple_core::plugin::SecretSource;

/// Without the end of its line. What is missing or empty is refused with its place, never with its content.
pub fn read(source: &SecretSource) -> Result<Secret, SealFailure> {
    let (bytes, place) = match source {
        SecretSource::Credential(name) => {
            let path = credential_path(name)?;
            (read_file(&path)?, path.display().to_string())
        }
        SecretSource::Environment(variable) => {
            let value = std::env::var_os(variable);
            let value = value.ok_or_else(|| SealFailure::refused(format!("the variable {variable} is not set")))?;
            (Secret::new(value.into_vec()), format!("the variable {variable}"))
        }
        SecretSource::File(path) => (read_file(path)?, path.display().to_string()),
    };
    let line = bytes.expose();
    let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    match line.is_empty() {
        true => Err(SealFailure::refused(format!("{place} is empty"))),
        false => Ok(Secret::new(line.to_vec())),
    }
}

/// Where it is read from, if that is a file.
pub(super) fn path(source: &SecretSource) -> Option<PathBuf> {
    match source {
        SecretSource::Credential(name) => credential_path(name).ok(),
        SecretSource::Environment(_) => None,
        SecretSource::File(path) => Some(path.clone()),
    }
}

fn read_file(path: &Path) -> Result<Secret, SealFailure> {
    let failed = |error: std::io::Error| SealFailure::refused(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & READABLE_BY_ALL != 0 {
        let path = path.display();
        return Err(SealFailure::refused(format!("{path} can be read by everybody: run chmod o= {path}")));
    }
    let mut bytes = Vec::with_capacity(SECRET_BYTES_MAX + 1);
    let read = file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    let secret = Secret::new(bytes);
    read.map_err(failed)?;
    match secret.expose().len() > SECRET_BYTES_MAX {
        true => Err(SealFailure::refused(format!("{} has more than {SECRET_BYTES_MAX} bytes", path.display()))),
        false => Ok(secret),
    }
}

fn credential_path(name: &str) -> Result<PathBuf, SealFailure> {
    let dir = std::env::var_os(CREDENTIALS_DIRECTORY).ok_or_else(|| {
        SealFailure::refused(format!(
            "there is no credential {name}: this server was not started by systemd with LoadCredential={name}:PATH"
        ))
    })?;
    Ok(PathBuf::from(dir).join(name))
}

/// systemd.exec(5).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// A group may read: agents of other services write tokens for it.
const READABLE_BY_ALL: u32 = 0o004;
/// A service's batch token has some 400 bytes.
const SECRET_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, SecretSource) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, SecretSource::File(path))
    }

    #[test]
    fn one_end_of_line_does_not_belong_to_it() {
        for (content, expected) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), (" a \n\n", " a \n")] {
            let (_dir, source) = file(content.as_bytes(), 0o640);
            assert_eq!(read(&source).unwrap().expose(), expected.as_bytes());
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_content() {
        let told = |content: &[u8], mode| {
            let (_dir, source) = file(content, mode);
            read(&source).unwrap_err().to_string()
        };
        assert!(told(b"canary", 0o644).contains("chmod o="));
        assert!(told(b"\n", 0o600).contains("is empty"));
        let long = told(&[b'c'; SECRET_BYTES_MAX + 1], 0o600);
        assert!(long.contains("has more than") && !long.contains("cc"), "{long}");
        let none = SecretSource::Environment("STEEPLE_TEST_NO_SUCH_VARIABLE".to_owned());
        assert!(read(&none).unwrap_err().to_string().contains("STEEPLE_TEST_NO_SUCH_VARIABLE is not set"));
    }
}
