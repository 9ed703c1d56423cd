//! A TPM 2.0 without hardware: swtpm, Debian's packages swtpm and swtpm-tools, on a Unix socket. It is a whole TPM,
//! with an endorsement certificate of its manufacturer, which is made here as well.

use std::fs::create_dir_all;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_tpm::command::{
    Authorization, Command as TpmCommand, Create, CreatePrimary, Created, FlushContext, OWNER, REPLY_HEAD_BYTES,
    Request, decode_reply, reply_bytes,
};
use steeple_tpm::{
    Attributes, Curve, ECDSA, Hash, Parameters, PublicArea, Reader, Scheme, WireError, Writer, attestation_key,
    storage_root_key_ecc, storage_root_key_rsa,
};

use crate::devid::write;
use crate::{DevId, DevIdAuthority, DevIdKind, Process, until};

/// A TPM that is running, in a directory of its own.
#[derive(Debug)]
pub struct SoftTpm {
    socket: PathBuf,
    endorsement_ca: PathBuf,
    owner_password: String,
    _process: Process,
}

impl SoftTpm {
    /// `None`, with a line that says so, where there is no `swtpm`.
    pub async fn start(dir: &Path, name: &str) -> anyhow::Result<Option<Self>> {
        if [SWTPM, SWTPM_SETUP].iter().any(|program| Command::new(program).arg("--version").output().is_err()) {
            eprintln!("not run: {SWTPM} is not installed (Debian packages swtpm and swtpm-tools)");
            return Ok(None);
        }
        let dir = dir.join(name);
        let (state, authority) = (dir.join("state"), dir.join("manufacturer"));
        create_dir_all(&state).and_then(|()| create_dir_all(&authority))?;
        manufacture(&dir, &state, &authority)?;
        let socket = dir.join("tpm.sock");
        let mut command = Command::new(SWTPM);
        command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
        command.arg("--tpmstate").arg(format!("dir={}", state.display()));
        command.arg("--server").arg(format!("type=unixio,path={}", socket.display()));
        let process = Process::start("swtpm", command, &dir.join("log"))?;
        until("swtpm listens", READY_MAX, async || UnixStream::connect(&socket).map(drop)).await?;
        let endorsement_ca = authority.join("issuercert.pem");
        Ok(Some(Self { socket, endorsement_ca, owner_password: String::new(), _process: process }))
    }

    /// For `tpm_device_path`.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// PEM: who vouches for the endorsement key.
    pub fn endorsement_ca(&self) -> &Path {
        &self.endorsement_ca
    }

    /// What a server's configuration has between the braces of `plugins`.
    pub fn server_block(&self, authority: &DevIdAuthority) -> String {
        let (devid, endorsement) = (authority.root_path(), self.endorsement_ca());
        format!(
            "NodeAttestor \"tpm_devid\" {{\n plugin_data {{\n devid_ca_path = {devid:?}\n \
             endorsement_ca_path = {endorsement:?}\n }}\n}}\n"
        )
    }

    /// What an agent's configuration has between the braces of `plugin_data`.
    pub fn agent_data(&self, devid: &DevId) -> String {
        format!(
            "devid_cert_path = {:?}\ndevid_priv_path = {:?}\ndevid_pub_path = {:?}\ndevid_password = {:?}\n\
             owner_hierarchy_password = {:?}\ntpm_device_path = {:?}",
            devid.certificate_path,
            devid.private_path,
            devid.public_path,
            devid.password,
            self.owner_password,
            self.socket
        )
    }

    /// A new key of this TPM with a certificate. Files are written to `dir`.
    pub fn provision(
        &self,
        dir: &Path,
        name: &str,
        authority: &DevIdAuthority,
        kind: DevIdKind,
        password: &str,
    ) -> anyhow::Result<DevId> {
        let mut tpm = UnixStream::connect(&self.socket)?;
        let parent = if kind == DevIdKind::Rsa { storage_root_key_rsa() } else { storage_root_key_ecc() };
        let hierarchy_password = self.owner_password.as_bytes();
        let root = CreatePrimary { hierarchy: OWNER, hierarchy_password, password: b"", template: &parent };
        let root = run(&mut tpm, &root)?.handle;
        let template = devid_key(kind);
        let create = Create { parent: root, parent_password: b"", password: password.as_bytes(), template: &template };
        let created = run(&mut tpm, &create);
        run(&mut tpm, &FlushContext { handle: root })?;
        let Created { private, public } = created?;
        let devid = DevId {
            certificate_path: dir.join(format!("{name}.crt.pem")),
            private_path: dir.join(format!("{name}.priv.blob")),
            public_path: dir.join(format!("{name}.pub.blob")),
            password: password.to_owned(),
        };
        let key = PublicArea::decode(&public)?.key()?;
        write(&devid.certificate_path, authority.certify(name, &key)?.as_bytes())?;
        write(&devid.private_path, &private)?;
        write(&devid.public_path, &public)?;
        Ok(devid)
    }

    /// From now on the owner's hierarchy wants a password.
    pub fn set_owner_password(&mut self, password: &str) -> anyhow::Result<()> {
        let change = HierarchyChangeAuth { hierarchy: OWNER, old: &self.owner_password, new: password };
        run(&mut UnixStream::connect(&self.socket)?, &change)?;
        self.owner_password = password.to_owned();
        Ok(())
    }

    /// From now on the hierarchy of the endorsement key wants a password.
    pub fn set_endorsement_password(&self, password: &str) -> anyhow::Result<()> {
        let hierarchy = steeple_tpm::command::ENDORSEMENT;
        run(&mut UnixStream::connect(&self.socket)?, &HierarchyChangeAuth { hierarchy, old: "", new: password })
    }

    /// How many keys and sessions are loaded.
    pub fn loaded(&self) -> anyhow::Result<usize> {
        let mut tpm = UnixStream::connect(&self.socket)?;
        let handles = [TRANSIENT, LOADED_SESSION].map(|first| run(&mut tpm, &Handles { first }));
        handles.into_iter().sum()
    }
}

/// TPM2_HierarchyChangeAuth.
struct HierarchyChangeAuth<'a> {
    hierarchy: u32,
    old: &'a str,
    new: &'a str,
}

impl Request for HierarchyChangeAuth<'_> {
    type Reply = ();

    fn command(&self) -> TpmCommand<'_> {
        TpmCommand {
            code: 0x129,
            handles: vec![self.hierarchy],
            authorizations: vec![Authorization::Password(self.old.as_bytes())],
            parameters: Writer::default().sized(self.new.as_bytes()),
        }
    }

    fn reply(_: u32, _: &mut Reader<'_>) -> Result<(), WireError> {
        Ok(())
    }
}

/// TPM2_GetCapability of TPM_CAP_HANDLES.
struct Handles {
    first: u32,
}

impl Request for Handles {
    type Reply = usize;

    fn command(&self) -> TpmCommand<'_> {
        let parameters = Writer::default().u32(1).u32(self.first).u32(100);
        TpmCommand { code: 0x17a, handles: Vec::new(), authorizations: Vec::new(), parameters }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<usize, WireError> {
        let (_more, _capability, count) = (parameters.u8()?, parameters.u32()?, parameters.u32()?);
        parameters.rest();
        Ok(count as usize)
    }
}

/// As the TCG wants it (TPM 2.0 Keys for Device Identity and Attestation, section 7.3.4.1).
fn devid_key(kind: DevIdKind) -> PublicArea {
    let rsa = attestation_key();
    let attributes = Attributes(rsa.attributes.0 & !Attributes::RESTRICTED.0);
    let ecc = |curve: Curve| Parameters::Ecc {
        symmetric: None,
        scheme: Some(Scheme { algorithm: ECDSA, hash: Hash::Sha256.id() }),
        curve: curve.id(),
        kdf: None,
        x: Vec::new(),
        y: Vec::new(),
    };
    let parameters = match kind {
        DevIdKind::Rsa => rsa.parameters.clone(),
        DevIdKind::P256 => ecc(Curve::P256),
        DevIdKind::P384 => ecc(Curve::P384),
    };
    PublicArea { attributes, parameters, ..rsa }
}

/// An endorsement key with a certificate by an authority that is made for it.
fn manufacture(dir: &Path, state: &Path, authority: &Path) -> anyhow::Result<()> {
    let [local_ca, options, setup] = ["localca.conf", "localca.options", "setup.conf"].map(|name| dir.join(name));
    let kept = |name: &str| authority.join(name).display().to_string();
    let lines = format!(
        "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
        authority.display(),
        kept("signkey.pem"),
        kept("issuercert.pem"),
        kept("certserial")
    );
    write(&local_ca, lines.as_bytes())?;
    write(&options, b"--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n")?;
    let lines = format!(
        "create_certs_tool = {SWTPM_LOCALCA}\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\n\
         active_pcr_banks = sha256\n",
        local_ca.display(),
        options.display()
    );
    write(&setup, lines.as_bytes())?;
    let mut command = Command::new(SWTPM_SETUP);
    command.args(["--tpm2", "--create-ek-cert", "--tpm-state"]).arg(state).arg("--config").arg(&setup);
    let output = command.output().with_context(|| format!("cannot start {SWTPM_SETUP}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

fn run<R: Request>(tpm: &mut UnixStream, request: &R) -> anyhow::Result<R::Reply> {
    tpm.write_all(request.command().encode().as_slice())?;
    let mut head = [0; REPLY_HEAD_BYTES];
    tpm.read_exact(&mut head)?;
    let mut reply = head.to_vec();
    reply.resize(reply_bytes(&head)?, 0);
    tpm.read_exact(&mut reply[REPLY_HEAD_BYTES..])?;
    Ok(decode_reply::<R>(&reply)?)
}

const SWTPM: &str = "swtpm";
const SWTPM_SETUP: &str = "swtpm_setup";
const SWTPM_LOCALCA: &str = "/usr/bin/swtpm_localca";
const READY_MAX: Duration = Duration::from_secs(30);
/// First handles of keys, and of sessions (part 2, section 7.2).
const TRANSIENT: u32 = 0x8000_0000;
const LOADED_SESSION: u32 = 0x0200_0000;
