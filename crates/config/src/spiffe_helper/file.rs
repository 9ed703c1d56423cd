//! A `helper.conf` as it stands in the file.

use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{DecodeError, Tree};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpiffeHelperFile {
    pub agent_address: String,
    pub cmd: String,
    pub cmd_args: String,
    pub pid_file_name: String,
    pub renew_signal: String,
    pub cert_dir: String,
    pub svid_file_name: String,
    pub svid_key_file_name: String,
    pub svid_bundle_file_name: String,
    pub add_intermediates_to_bundle: bool,
    pub include_federated_domains: bool,
    pub omit_expired: bool,
    pub jwt_svids: Vec<JwtSvidFile>,
    pub jwt_bundle_file_name: String,
    /// Modes of files; 0 is the default.
    pub cert_file_mode: i64,
    pub key_file_mode: i64,
    pub jwt_bundle_file_mode: i64,
    pub jwt_svid_file_mode: i64,
    pub hint: String,
    pub daemon_mode: Option<bool>,
    pub health_checks: SpiffeHelperHealthFile,
}

/// One of `jwt_svids = [{ … }]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtSvidFile {
    pub jwt_audience: String,
    pub jwt_extra_audiences: Vec<String>,
    pub jwt_svid_file_name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpiffeHelperHealthFile {
    pub listener_enabled: bool,
    pub bind_port: i64,
    pub liveness_path: String,
    pub readiness_path: String,
}

impl SpiffeHelperFile {
    /// Reads a parsed file; what nobody asked for comes back beside it.
    pub fn read(tree: &Tree) -> Result<(Self, Vec<UnknownKeys>), DecodeError> {
        let mut unknown = Vec::new();
        let mut file = Section::new("", tree);
        let read = Self {
            agent_address: file.text("agent_address")?.unwrap_or_default(),
            cmd: file.text("cmd")?.unwrap_or_default(),
            cmd_args: file.text("cmd_args")?.unwrap_or_default(),
            pid_file_name: file.text("pid_file_name")?.unwrap_or_default(),
            renew_signal: file.text("renew_signal")?.unwrap_or_default(),
            cert_dir: file.text("cert_dir")?.unwrap_or_default(),
            svid_file_name: file.text("svid_file_name")?.unwrap_or_default(),
            svid_key_file_name: file.text("svid_key_file_name")?.unwrap_or_default(),
            svid_bundle_file_name: file.text("svid_bundle_file_name")?.unwrap_or_default(),
            add_intermediates_to_bundle: file.flag("add_intermediates_to_bundle")?.unwrap_or_default(),
            include_federated_domains: file.flag("include_federated_domains")?.unwrap_or_default(),
            omit_expired: file.flag("omit_expired")?.unwrap_or_default(),
            jwt_svids: JwtSvidFile::read_all(&mut file, &mut unknown)?,
            jwt_bundle_file_name: file.text("jwt_bundle_file_name")?.unwrap_or_default(),
            cert_file_mode: file.int("cert_file_mode")?.unwrap_or_default(),
            key_file_mode: file.int("key_file_mode")?.unwrap_or_default(),
            jwt_bundle_file_mode: file.int("jwt_bundle_file_mode")?.unwrap_or_default(),
            jwt_svid_file_mode: file.int("jwt_svid_file_mode")?.unwrap_or_default(),
            hint: file.text("hint")?.unwrap_or_default(),
            daemon_mode: file.flag("daemon_mode")?,
            health_checks: SpiffeHelperHealthFile::read(&mut file, &mut unknown)?,
        };
        file.finish("top-level", &mut unknown);
        Ok((read, unknown))
    }
}

impl JwtSvidFile {
    fn read_all(file: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Vec<Self>, DecodeError> {
        let mut all = Vec::new();
        for (at, mut section) in file.sections("jwt_svids")?.into_iter().enumerate() {
            all.push(Self {
                jwt_audience: section.text("jwt_audience")?.unwrap_or_default(),
                jwt_extra_audiences: section.texts("jwt_extra_audiences")?.unwrap_or_default(),
                jwt_svid_file_name: section.text("jwt_svid_file_name")?.unwrap_or_default(),
            });
            section.finish(format!("jwt_svids[{at}]"), unknown);
        }
        Ok(all)
    }
}

impl SpiffeHelperHealthFile {
    fn read(file: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let Some(mut section) = file.section("health_checks")? else { return Ok(Self::default()) };
        let read = Self {
            listener_enabled: section.flag("listener_enabled")?.unwrap_or_default(),
            bind_port: section.int("bind_port")?.unwrap_or_default(),
            liveness_path: section.text("liveness_path")?.unwrap_or_default(),
            readiness_path: section.text("readiness_path")?.unwrap_or_default(),
        };
        section.finish("health_checks", unknown);
        Ok(read)
    }
}
