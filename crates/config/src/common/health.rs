//! `health_checks {}`: the HTTP listener for `/live` and `/ready`.

use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, HostPort};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    pub listener_enabled: bool,
    pub listen: HostPort,
    pub live_path: String,
    pub ready_path: String,
}

/// What a file says about health checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthFile {
    pub listener_enabled: bool,
    pub bind_address: String,
    /// A string in SPIRE too.
    pub bind_port: String,
    pub live_path: String,
    pub ready_path: String,
}

impl HealthFile {
    pub(crate) fn read(file: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let Some(mut section) = file.section("health_checks")? else {
            return Ok(Self::default());
        };
        let health = Self {
            listener_enabled: section.flag("listener_enabled")?.unwrap_or_default(),
            bind_address: section.text("bind_address")?.unwrap_or_default(),
            bind_port: section.text("bind_port")?.unwrap_or_default(),
            live_path: section.text("live_path")?.unwrap_or_default(),
            ready_path: section.text("ready_path")?.unwrap_or_default(),
        };
        section.finish("health check", unknown);
        Ok(health)
    }

    pub(crate) fn resolve(&self) -> Result<HealthSettings, ConfigError> {
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let port = or(&self.bind_port, "80");
        let port = port.parse().map_err(|_| {
            ConfigError::invalid("health_checks.bind_port", format!("health_checks.bind_port {port:?} is not a port"))
        })?;
        Ok(HealthSettings {
            listener_enabled: self.listener_enabled,
            listen: HostPort::new(or(&self.bind_address, "localhost"), port),
            live_path: or(&self.live_path, "/live"),
            ready_path: or(&self.ready_path, "/ready"),
        })
    }
}
