//! What appenders and readers of a store share.

use model::TimeRange;
use parking_lot::{Mutex, RwLock};

use storage::MemorySource;

use crate::state::State;

/// What a [`crate::MemoryStore`] takes.
#[derive(Debug, Clone)]
pub struct MemoryStoreOptions {
    /// Samples up to this much older than the newest in the store are taken, ms; 0 = only those newer than their series'.
    pub out_of_order_window_ms: i64,
    /// Samples outside of this are [`storage::append::Refusal::OutOfBounds`].
    pub range: TimeRange,
    /// At most this many series.
    pub series_max: usize,
    /// At most this many exemplars in all.
    pub exemplars_max: usize,
    /// Characters of an exemplar's labels, names and values together.
    pub exemplar_chars_max: usize,
}

impl Default for MemoryStoreOptions {
    fn default() -> Self {
        Self {
            out_of_order_window_ms: 0,
            range: TimeRange::ALL,
            series_max: usize::MAX,
            exemplars_max: usize::MAX,
            // OpenMetrics' limit.
            exemplar_chars_max: 128,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub options: MemoryStoreOptions,
    pub state: RwLock<State>,
    /// The state's series as a source, until the next commit.
    pub encoded: Mutex<Option<MemorySource>>,
}
