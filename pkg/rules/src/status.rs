//! How the last evaluation went.

use parking_lot::Mutex;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Health {
    #[default]
    Unknown,
    Good,
    Bad,
}

impl Health {
    /// As the HTTP API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Bad => "err",
        }
    }
}

/// The last evaluation of a rule or group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub health: Health,
    pub last_error: String,
    pub seconds: f64,
    /// When it began, ms since the epoch.
    pub began_ms: Option<i64>,
}

/// A status that one task writes and others read.
#[derive(Debug, Default)]
pub(crate) struct StatusCell(Mutex<Status>);

impl StatusCell {
    pub fn get(&self) -> Status {
        self.0.lock().clone()
    }

    pub fn set(&self, status: Status) {
        *self.0.lock() = status;
    }
}
