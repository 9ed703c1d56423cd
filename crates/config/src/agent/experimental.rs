//! `experimental {}` of the agent.

use std::time::Duration;

use super::BrokerFile;
use crate::common::{given, lasting};
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, GoDuration};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExperimentalAgentFile {
    pub sync_interval: Option<String>,
    pub jwt_svid_cache_hit_timeout: Option<String>,
    pub named_pipe_name: Option<String>,
    pub admin_named_pipe_name: Option<String>,
    pub use_sync_authorized_entries: Option<bool>,
    pub require_pq_kem: bool,
    /// In the order of [`RATE_LIMIT_KEYS`]; zero is off.
    pub rate_limits: [i64; 6],
    pub broker: Option<BrokerFile>,
    pub feature_flags: Vec<String>,
}

/// `ratelimit {}`: calls a second for each caller; zero is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkloadApiRateLimits {
    pub fetch_x509_svid: u32,
    pub fetch_jwt_svid: u32,
    pub fetch_x509_bundles: u32,
    pub fetch_jwt_bundles: u32,
    pub stream_secrets: u32,
    pub fetch_secrets: u32,
}

impl ExperimentalAgentFile {
    pub(super) fn read(agent: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let Some(mut section) = agent.section("experimental")? else {
            return Ok(Self::default());
        };
        let mut read = Self {
            sync_interval: section.text("sync_interval")?,
            jwt_svid_cache_hit_timeout: section.text("jwt_svid_cache_hit_timeout")?,
            named_pipe_name: section.text("named_pipe_name")?,
            admin_named_pipe_name: section.text("admin_named_pipe_name")?,
            use_sync_authorized_entries: section.flag("use_sync_authorized_entries")?,
            require_pq_kem: section.flag("require_pq_kem")?.unwrap_or_default(),
            broker: BrokerFile::read(&mut section, unknown)?,
            feature_flags: section.texts("feature_flags")?.unwrap_or_default(),
            ..Self::default()
        };
        if let Some(mut ratelimit) = section.section("ratelimit")? {
            for (key, limit) in RATE_LIMIT_KEYS.into_iter().zip(&mut read.rate_limits) {
                *limit = ratelimit.int(key)?.unwrap_or_default();
            }
            ratelimit.finish("ratelimit", unknown);
        }
        section.finish("experimental", unknown);
        Ok(read)
    }

    /// Refuses what cannot be honoured, with SPIRE's texts where SPIRE refuses it too.
    pub(super) fn refuse(&self) -> Result<(), ConfigError> {
        let pipes = [
            (&self.named_pipe_name, "experimental.named_pipe_name", "named_pipe_name", "socket_path"),
            (
                &self.admin_named_pipe_name,
                "experimental.admin_named_pipe_name",
                "admin_named_pipe_name",
                "admin_socket_path",
            ),
        ];
        for (value, key, name, instead) in pipes {
            if given(value).is_some() {
                let message = format!(
                    "invalid configuration: {name} is not supported in this platform; please use {instead} instead"
                );
                return Err(ConfigError::invalid(key, message));
            }
        }
        Ok(())
    }

    pub(super) fn sync_interval(&self) -> Result<Duration, ConfigError> {
        let Some(text) = given(&self.sync_interval) else {
            return Ok(SYNC_INTERVAL);
        };
        let key = "experimental.sync_interval";
        let parsed: GoDuration = text
            .parse()
            .map_err(|error| ConfigError::invalid(key, format!("could not parse synchronization interval: {error}")))?;
        lasting(key, Some(parsed), SYNC_INTERVAL)
    }

    pub(super) fn jwt_svid_cache_hit_timeout(&self) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = given(&self.jwt_svid_cache_hit_timeout) else {
            return Ok(None);
        };
        let fail = |message| ConfigError::invalid("experimental.jwt_svid_cache_hit_timeout", message);
        let parsed: GoDuration =
            text.parse().map_err(|error| fail(format!("could not parse jwt_svid_cache_hit_timeout: {error}")))?;
        match parsed.to_std() {
            Some(timeout) if timeout >= CACHE_HIT_TIMEOUT_END => {
                Err(fail(format!("jwt_svid_cache_hit_timeout ({parsed}) must be less than 30s")))
            }
            Some(timeout) if timeout >= CACHE_HIT_TIMEOUT_MIN => Ok(Some(timeout)),
            _ => Err(fail(format!("jwt_svid_cache_hit_timeout ({parsed}) must be greater than 5s"))),
        }
    }

    pub(super) fn rate_limits(&self) -> Result<WorkloadApiRateLimits, ConfigError> {
        let mut limits = [0; 6];
        for ((key, value), limit) in RATE_LIMIT_KEYS.into_iter().zip(self.rate_limits).zip(&mut limits) {
            if value < 0 {
                return Err(ConfigError::invalid(key, format!("experimental.ratelimit.{key} must not be negative")));
            }
            *limit = u32::try_from(value).unwrap_or(u32::MAX);
        }
        let [fetch_x509_svid, fetch_jwt_svid, fetch_x509_bundles, fetch_jwt_bundles, stream_secrets, fetch_secrets] =
            limits;
        Ok(WorkloadApiRateLimits {
            fetch_x509_svid,
            fetch_jwt_svid,
            fetch_x509_bundles,
            fetch_jwt_bundles,
            stream_secrets,
            fetch_secrets,
        })
    }
}

const RATE_LIMIT_KEYS: [&str; 6] =
    ["fetch_x509_svid", "fetch_jwt_svid", "fetch_x509_bundles", "fetch_jwt_bundles", "stream_secrets", "fetch_secrets"];
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
const CACHE_HIT_TIMEOUT_MIN: Duration = Duration::from_secs(5);
/// The first value that is too long.
const CACHE_HIT_TIMEOUT_END: Duration = Duration::from_secs(30);
