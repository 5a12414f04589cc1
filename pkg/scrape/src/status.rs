//! What is known of a target's last scrape: written by its loop, read by the API.

use std::sync::Arc;

use parking_lot::Mutex;
use storage::TargetHealth;

use crate::families::FamilyMap;

/// What a target has to know of another one with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twin {
    /// What the API shows of it.
    pub(crate) text: Arc<str>,
    /// It is not scraped; the other one is.
    pub(crate) is_left_out: bool,
}

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
    /// Another target with the same labels.
    pub(crate) twin: Mutex<Option<Twin>>,
    /// Why all scrapes fail, whatever the target answers.
    pub(crate) forced_error: Mutex<Option<Arc<str>>>,
}

impl Status {
    /// Whether another target with the same labels is scraped in its place.
    pub(crate) fn is_left_out(&self) -> bool {
        self.twin.lock().as_ref().is_some_and(|twin| twin.is_left_out)
    }
}
