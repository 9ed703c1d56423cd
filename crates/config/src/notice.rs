//! What the operator should know about a configuration that was accepted.

/// One remark, to be logged once at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub level: NoticeLevel,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLevel {
    Info,
    Warn,
}

impl Notice {
    pub(crate) fn info(message: impl Into<String>) -> Self {
        Self { level: NoticeLevel::Info, message: message.into() }
    }

    pub(crate) fn warn(message: impl Into<String>) -> Self {
        Self { level: NoticeLevel::Warn, message: message.into() }
    }
}
