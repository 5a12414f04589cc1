//! One alert as it is handed on, and the seam that takes it.

use std::fmt;
use std::sync::Arc;

use labels::Labels;

/// An alert that fires or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What identifies the alert, `alertname` among them.
    pub labels: Labels,
    /// What tells of it, expanded templates: `summary` and its like.
    pub annotations: Labels,
    /// When it began to fire, in milliseconds.
    pub starts_at_ms: i64,
    /// When it ended, or until when it counts as firing if nothing more is heard of it, in milliseconds.
    pub ends_at_ms: i64,
    /// A link to the expression behind it.
    pub generator_url: String,
}

/// Takes alerts. A call neither waits for a network nor fails: what cannot be kept is counted by whoever drops it.
pub trait Notify: fmt::Debug + Send + Sync {
    /// Hands `alerts` on. Those of one call go out in one or more requests.
    fn notify(&self, alerts: Vec<Arc<Alert>>);
}
