//! The times that the head has, and those that it takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Times of the whole head, ms.
#[derive(Debug)]
pub(crate) struct Times {
    min: AtomicI64,
    max: AtomicI64,
    /// The oldest sample that was taken since the last count began.
    min_since: AtomicI64,
    /// What is older is in blocks.
    min_valid: AtomicI64,
    window: AtomicI64,
}

/// Floors of open transactions, and how many have each.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    pub open: Mutex<BTreeMap<i64, usize>>,
    pub changed: Notify,
}

/// What a transaction goes by, fixed when it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Samples in order are not older.
    pub floor_ms: i64,
    /// Late samples may be this much older than the head's newest; 0 = none are taken.
    pub window_ms: i64,
    /// The newest sample of the head, or the latest time that counts as one.
    pub newest_ms: i64,
    latest_ms: i64,
}

impl Times {
    pub fn new(window_ms: i64) -> Self {
        Self {
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
            min_since: AtomicI64::new(i64::MAX),
            min_valid: AtomicI64::new(i64::MIN),
            window: AtomicI64::new(window_ms),
        }
    }

    /// First and last sample's time; `(i64::MAX, i64::MIN)` of an empty head.
    pub fn range(&self) -> (i64, i64) {
        (self.min.load(Ordering::Acquire), self.max.load(Ordering::Acquire))
    }

    /// Samples of these times were taken.
    pub fn extend(&self, min_ms: i64, max_ms: i64) {
        self.min_since.fetch_min(min_ms, Ordering::AcqRel);
        self.min.fetch_min(min_ms, Ordering::AcqRel);
        self.max.fetch_max(max_ms, Ordering::AcqRel);
    }

    /// Somebody looks for the oldest sample, series by series.
    pub fn begin_count(&self) {
        self.min_since.store(i64::MAX, Ordering::Release);
    }

    /// `found_ms` is the oldest that was found. Older ones may have come meanwhile.
    pub fn end_count(&self, found_ms: i64) {
        self.min.store(found_ms, Ordering::Release);
        self.min.fetch_min(self.min_since.load(Ordering::Acquire), Ordering::AcqRel);
    }

    pub fn min_valid(&self) -> i64 {
        self.min_valid.load(Ordering::Acquire)
    }

    /// What is older than this is in blocks; never goes back.
    pub fn raise_min_valid(&self, min_valid_ms: i64) {
        self.min_valid.fetch_max(min_valid_ms, Ordering::AcqRel);
    }

    pub fn window(&self) -> i64 {
        self.window.load(Ordering::Acquire)
    }

    pub fn set_window(&self, window_ms: i64) {
        self.window.store(window_ms.max(0), Ordering::Release);
    }

    /// What a transaction that begins now goes by. A head without samples takes any time that is not in blocks.
    pub fn bounds(&self, now_ms: i64, ahead_max_ms: i64, chunk_range_ms: i64) -> Bounds {
        let latest_ms = now_ms.saturating_add(ahead_max_ms);
        let max_ms = self.max.load(Ordering::Acquire);
        let newest_ms = max_ms.min(latest_ms);
        let floor_ms = if max_ms == i64::MIN { max_ms } else { newest_ms.saturating_sub(chunk_range_ms / 2) };
        Bounds { floor_ms: floor_ms.max(self.min_valid()), window_ms: self.window(), newest_ms, latest_ms }
    }
}

impl Bounds {
    /// The oldest time of late samples, where the newest sample of the transaction is of `newest_ms`.
    pub fn oldest_ms(&self, newest_ms: i64) -> i64 {
        newest_ms.min(self.latest_ms).max(self.newest_ms).saturating_sub(self.window_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_sample_of_the_future_does_not_shut_out_the_present() {
        let times = Times::new(0);
        assert_eq!(times.bounds(0, HOUR, 2 * HOUR).floor_ms, i64::MIN, "an empty head takes all");
        let now = 1_000 * HOUR;
        times.extend(now - HOUR, now);
        assert_eq!(times.bounds(now, HOUR, 2 * HOUR).floor_ms, now - HOUR);
        times.extend(now, now + 8_760 * HOUR);
        assert_eq!(times.bounds(now, HOUR, 2 * HOUR).floor_ms, now);
        assert!(times.bounds(now + 24 * HOUR, HOUR, 2 * HOUR).floor_ms <= now + 24 * HOUR);
        times.raise_min_valid(now + 1);
        times.raise_min_valid(0);
        assert_eq!(times.bounds(now, HOUR, 2 * HOUR).floor_ms, now + 1);
    }
}
