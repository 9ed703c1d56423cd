//! `profiling_*`, which SPIRE has for Go's pprof.

use crate::DecodeError;
use crate::section::Section;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfilingSettings {
    pub enabled: bool,
    pub port: i64,
    /// Seconds between dumps.
    pub freq: i64,
    pub names: Vec<String>,
}

impl ProfilingSettings {
    pub(crate) fn read(section: &mut Section<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            enabled: section.flag("profiling_enabled")?.unwrap_or_default(),
            port: section.int("profiling_port")?.unwrap_or_default(),
            freq: section.int("profiling_freq")?.unwrap_or_default(),
            names: section.texts("profiling_names")?.unwrap_or_default(),
        })
    }
}
