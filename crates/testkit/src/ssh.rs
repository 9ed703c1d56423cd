//! Host certificates as OpenSSH's own `ssh-keygen` makes them, for the sshpop attestor.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Signs host certificates; the server is told its public key.
#[derive(Debug)]
pub struct SshCertificateAuthority {
    key_path: PathBuf,
}

/// What an agent on a host is given.
#[derive(Clone, Debug)]
pub struct SshHost {
    pub key_path: PathBuf,
    pub certificate_path: PathBuf,
}

impl SshCertificateAuthority {
    /// `None`, with a line that says so, where there is no `ssh-keygen`. `kind` is a key type with its options, for
    /// instance `ecdsa -b 384`.
    pub fn new(dir: &Path, name: &str, kind: &str) -> anyhow::Result<Option<Self>> {
        if Command::new(SSH_KEYGEN).arg("-?").output().is_err() {
            eprintln!("not run: {SSH_KEYGEN} is not installed (Debian package openssh-client)");
            return Ok(None);
        }
        let key_path = dir.join(name);
        generate(&key_path, kind)?;
        Ok(Some(Self { key_path }))
    }

    /// Its public key, as a line of `authorized_keys`.
    pub fn public_key(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.key_path.with_extension("pub"))?.trim().to_owned())
    }

    /// What a server's configuration has between the braces of `plugins`.
    pub fn server_block(&self) -> String {
        let path = self.key_path.with_extension("pub");
        format!("NodeAttestor \"sshpop\" {{\n plugin_data {{\n cert_authorities_path = {path:?}\n }}\n}}\n")
    }

    /// A host with a key of `kind` and a certificate. `options` are `ssh-keygen`'s, for instance `-h -n host.test`.
    pub fn issue(&self, dir: &Path, name: &str, kind: &str, options: &str) -> anyhow::Result<SshHost> {
        let key_path = dir.join(name);
        generate(&key_path, kind)?;
        let mut command = Command::new(SSH_KEYGEN);
        command.arg("-q").arg("-s").arg(&self.key_path).args(["-I", name]).args(options.split_whitespace());
        run(command.arg(key_path.with_extension("pub")))?;
        Ok(SshHost { certificate_path: dir.join(format!("{name}-cert.pub")), key_path })
    }
}

/// `path` and `path.pub`, without a passphrase.
fn generate(path: &Path, kind: &str) -> anyhow::Result<()> {
    let mut command = Command::new(SSH_KEYGEN);
    command.arg("-q").arg("-t").args(kind.split_whitespace()).args(["-N", "", "-C", "test"]).arg("-f").arg(path);
    run(&mut command)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot start {SSH_KEYGEN}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

const SSH_KEYGEN: &str = "ssh-keygen";
