//! What is known of a target's last scrape: written by its loop, read by the API.

use std::sync::Arc;

use parking_lot::Mutex;
use storage::TargetHealth;

use crate::families::FamilyMap;

/// The last scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LastScrape {
    pub(crate) health: TargetHealth,
    pub(crate) error: String,
    pub(crate) time_ms: Option<i64>,
    pub(crate) duration_s: f64,
}

/// Shared by a loop and its readers, each of which holds a lock for a copy only.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) last: Mutex<LastScrape>,
    pub(crate) families: Arc<Mutex<Arc<FamilyMap>>>,
    /// Why all scrapes fail, whatever the target answers.
    pub(crate) forced_error: Mutex<Option<Arc<str>>>,
}
