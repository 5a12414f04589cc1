//! What is restored of a series that has newer samples already.

use storage::append::HistogramValue;

use super::open::Open;
use super::parts::Full;

/// It ends before the newer samples begin.
#[derive(Debug)]
pub(crate) struct Past {
    /// The number of the series in the log that is replayed.
    pub number: u64,
    pub open: Open,
    pub full: Vec<Full>,
    pub last_time: i64,
    pub last_histogram: Option<HistogramValue>,
    pub stale: bool,
}

impl Past {
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.full.is_empty()
    }

    pub fn times(&self) -> Option<(i64, i64)> {
        let full = self.full.iter().map(|full| (full.min_time, full.max_time));
        full.chain(self.open.times()).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    pub fn heap_bytes(&self) -> usize {
        let full = self.full.iter().map(|full| full.data.len() + size_of::<Full>()).sum::<usize>();
        size_of::<Self>() + self.open.heap_bytes() + full
    }
}
