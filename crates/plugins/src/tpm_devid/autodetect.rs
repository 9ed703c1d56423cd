//! Where the TPM is, when nobody says so.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(super) enum DetectError {
    #[error("not found: set tpm_device_path")]
    None,
    #[error("more than one possible TPM device was found: set tpm_device_path")]
    Several,
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// The one TPM in `dir`. The kernel's resource manager, `tpmrm0`, comes before the bare device, `tpm0`.
pub(super) fn detect(dir: &Path) -> Result<PathBuf, DetectError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        names.extend(entry?.file_name().into_string());
    }
    for prefix in ["tpmrm", "tpm"] {
        let is_numbered = |name: &&String| {
            let number = name.strip_prefix(prefix);
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
        };
        let mut found = names.iter().filter(is_numbered);
        match (found.next(), found.next()) {
            (Some(name), None) => return Ok(dir.join(name)),
            (Some(_), Some(_)) => return Err(DetectError::Several),
            (None, _) => {}
        }
    }
    Err(DetectError::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(names: &[&str]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let detected = detect(dir.path()).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        detected.map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_tpm_is_found_the_resource_manager_first() {
        assert_eq!(detected(&["null", "tpm0", "tpmrm0"]).as_deref(), Ok("tpmrm0"));
        assert_eq!(detected(&["tpm3", "tpmrm", "tpm", "tpmx0"]).as_deref(), Ok("tpm3"));
        let several = "more than one possible TPM device was found: set tpm_device_path".to_owned();
        assert_eq!(detected(&["tpmrm0", "tpmrm1", "tpm0"]), Err(several));
        assert_eq!(detected(&["null"]), Err("not found: set tpm_device_path".to_owned()));
        assert!(detect(Path::new("/nowhere")).is_err());
    }
}
