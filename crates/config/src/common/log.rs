//! `log_level`, `log_format`, `log_file` and `log_source_location`.

use std::path::PathBuf;

use crate::quote::go_quoted;
use crate::section::Section;
use crate::{ConfigError, DecodeError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub level: LogLevel,
    pub format: LogFormat,
    /// `None` is standard output. SIGUSR2 opens it anew.
    pub file: Option<PathBuf>,
    pub source_location: bool,
}

/// logrus' levels, most severe first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    Panic,
    Fatal,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What a file or the flags say about logging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFile {
    pub level: Option<String>,
    pub format: Option<String>,
    pub file: Option<String>,
    pub source_location: bool,
}

impl LogLevel {
    const ALL: [Self; 7] = [Self::Panic, Self::Fatal, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// logrus' name for the level.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warn => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The level's number in `spire.api.types.LogLevel`.
    pub fn number(self) -> i32 {
        match self {
            Self::Panic => 1,
            Self::Fatal => 2,
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 5,
            Self::Debug => 6,
            Self::Trace => 7,
        }
    }

    /// `None` for 0, which means unspecified, and for numbers that no level has.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.number() == number)
    }

    /// Reads logrus' names in any case; `warn` and `warning` are the same.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let found = Self::ALL.into_iter().find(|level| level.name() == name);
        found.or((name == "warn").then_some(Self::Warn))
    }
}

impl LogFile {
    pub(crate) fn read(section: &mut Section<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            level: section.text("log_level")?,
            format: section.text("log_format")?,
            file: section.text("log_file")?,
            source_location: section.flag("log_source_location")?.unwrap_or_default(),
        })
    }

    /// `flags` win.
    pub(crate) fn resolve(&self, flags: &LogFile) -> Result<LogSettings, ConfigError> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let level = set(&flags.level).or(set(&self.level)).unwrap_or_else(|| "INFO".into());
        let format = set(&flags.format).or(set(&self.format)).unwrap_or_else(|| "text".into());
        Ok(LogSettings {
            level: LogLevel::from_name(&level)
                .ok_or_else(|| ConfigError::Logger(format!("not a valid logrus Level: {}", go_quoted(&level))))?,
            format: match format.to_ascii_uppercase().as_str() {
                "TEXT" => LogFormat::Text,
                "JSON" => LogFormat::Json,
                _ => return Err(ConfigError::Logger(format!("unknown logger format: {}", go_quoted(&format)))),
            },
            file: set(&flags.file).or(set(&self.file)).map(PathBuf::from),
            source_location: flags.source_location || self.source_location,
        })
    }
}
