//! A PKCS#11 token without hardware: SoftHSM, Debian's packages softhsm2 and libsofthsm2.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

const TOKEN_LABEL: &str = "steeple";
const KEY_LABEL: &str = "seal";

/// One token with one AES key, in a directory of its own.
#[derive(Debug)]
pub struct SoftHsm {
    module: PathBuf,
    util: PathBuf,
    config: PathBuf,
    pin: PathBuf,
}

impl SoftHsm {
    pub const PIN: &str = "canary-pin-4711";

    /// `SOFTHSM2_MODULE` and `SOFTHSM2_UTIL` name the library and the program where they are not Debian's; says that
    /// something is not run where there are none.
    pub fn start(dir: &Path) -> anyhow::Result<Option<Self>> {
        let place = |variable: &str, default: &str| PathBuf::from(std::env::var_os(variable).unwrap_or(default.into()));
        let module = place("SOFTHSM2_MODULE", "/usr/lib/softhsm/libsofthsm2.so");
        let util = place("SOFTHSM2_UTIL", "/usr/bin/softhsm2-util");
        if !module.exists() || !util.exists() {
            eprintln!("not run: {} is not installed (Debian package softhsm2)", util.display());
            return Ok(None);
        }
        let (tokens, config, pin) = (dir.join("tokens"), dir.join("softhsm2.conf"), dir.join("pin"));
        std::fs::create_dir_all(&tokens)?;
        std::fs::write(&config, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))?;
        let hsm = Self { module, util, config, pin };
        hsm.set_pin(Self::PIN)?;
        hsm.util(&["--init-token", "--free", "--label", TOKEN_LABEL, "--so-pin", "canary-so-pin", "--pin", Self::PIN])?;
        let key = dir.join("aes-key");
        std::fs::write(&key, [7; 32])?;
        let key = key.display().to_string();
        let import =
            ["--import", &key, "--aes", "--token", TOKEN_LABEL, "--label", KEY_LABEL, "--id", "A1", "--pin", Self::PIN];
        hsm.util(&import)?;
        Ok(Some(hsm))
    }

    /// Of every process that uses the token.
    pub fn environment(&self) -> (String, String) {
        ("SOFTHSM2_CONF".to_owned(), self.config.display().to_string())
    }

    /// The block of a server's configuration.
    pub fn seal_block(&self) -> String {
        format!(
            "seal \"pkcs11\" {{ module_path = \"{}\" token_label = \"{TOKEN_LABEL}\" key_label = \"{KEY_LABEL}\" \
             pin_path = \"{}\" }}",
            self.module.display(),
            self.pin.display()
        )
    }

    /// What servers read from now on; the token's own PIN stays.
    pub fn set_pin(&self, pin: &str) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&self.pin, format!("{pin}\n"))?;
        Ok(std::fs::set_permissions(&self.pin, std::fs::Permissions::from_mode(0o600))?)
    }

    fn util(&self, args: &[&str]) -> anyhow::Result<()> {
        let (variable, config) = self.environment();
        let mut command = Command::new(&self.util);
        command.args(args).args(["--module".as_ref(), self.module.as_os_str()]).env(variable, config);
        let output = command.output().with_context(|| self.util.display().to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} {}: {said}", self.util.display(), args[0]);
        Ok(())
    }
}
