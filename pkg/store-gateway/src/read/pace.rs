//! How fast the bucket answers, and so how far apart ranges may lie that one request fetches.
//!
//! A request takes the time to its first byte; in that time a body that is open brings so many bytes. A gap of fewer
//! bytes is read sooner than another request answers.

use std::time::Duration;

use parking_lot::Mutex;
use telemetry::{Gauge, Metrics};

use super::fetch::JoinRule;

/// A gap that is never joined over is not narrower, however near the bucket is.
const GAP_BYTES_MIN: u64 = 128 << 10;
/// A gap that is joined over is not wider, however far the bucket is: its bytes cost CPU too.
const GAP_BYTES_MAX: u64 = 2 << 20;
/// The gap before anything was measured: Thanos'.
const GAP_BYTES: u64 = 512 << 10;
/// Shorter bodies come with the first byte, so that they tell nothing of the bandwidth.
const BODY_BYTES_MIN: u64 = 256 << 10;
/// What a new measurement counts, one part of so many.
const SHARE: f64 = 16.0;

/// What the flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceOptions {
    /// A gap up to this is always joined over, bytes.
    pub gap_free_bytes: u64,
    /// The widest gap, bytes; `None` = measured.
    pub gap_bytes: Option<u64>,
    /// Wider gaps than the free one are joined over while a request fetches no more than so many times what is wanted.
    pub fetched_per_wanted: u64,
}

/// Measures requests, and gives the rule that follows.
#[derive(Debug)]
pub(crate) struct Pace {
    options: PaceOptions,
    measured: Mutex<Measured>,
    first_byte: Gauge,
    bandwidth: Gauge,
    gap: Gauge,
}

#[derive(Debug, Default)]
struct Measured {
    first_byte_seconds: Option<f64>,
    bytes_per_second: Option<f64>,
}

impl Measured {
    fn gap_bytes(&self) -> u64 {
        match (self.first_byte_seconds, self.bytes_per_second) {
            (Some(seconds), Some(rate)) => ((seconds * rate) as u64).clamp(GAP_BYTES_MIN, GAP_BYTES_MAX),
            _ => GAP_BYTES,
        }
    }
}

fn mix(mean: &mut Option<f64>, value: f64) -> f64 {
    let mixed = mean.map_or(value, |mean| mean + (value - mean) / SHARE);
    *mean = Some(mixed);
    mixed
}

impl Pace {
    pub(crate) fn new(options: PaceOptions, metrics: &Metrics) -> Self {
        let pace = Self {
            options,
            measured: Mutex::default(),
            first_byte: metrics.gauge(
                "aion_store_bucket_first_byte_seconds",
                "How long the bucket takes to begin an answer: a mean in which later requests weigh more.",
            ),
            bandwidth: metrics.gauge(
                "aion_store_bucket_bytes_per_second",
                "How fast a long answer of the bucket comes: a mean in which later requests weigh more.",
            ),
            gap: metrics.gauge(
                "aion_store_coalesce_gap_bytes",
                "Parts of an object that are no further apart may be fetched in one request.",
            ),
        };
        pace.gap.set(pace.rule().gap_bytes as f64);
        pace
    }

    /// Which ranges become one request now.
    pub(crate) fn rule(&self) -> JoinRule {
        let PaceOptions { gap_free_bytes, gap_bytes, fetched_per_wanted } = self.options;
        let gap_bytes = gap_bytes.unwrap_or_else(|| self.measured.lock().gap_bytes());
        JoinRule { gap_free_bytes: gap_free_bytes.min(gap_bytes), gap_bytes, fetched_per_wanted }
    }

    /// Notes that an answer began `after` it was asked for.
    pub(crate) fn began(&self, after: Duration) {
        self.first_byte.set(mix(&mut self.measured.lock().first_byte_seconds, after.as_secs_f64()));
        self.gap.set(self.rule().gap_bytes as f64);
    }

    /// Notes that `bytes` came while they were waited for so long.
    pub(crate) fn came(&self, bytes: u64, waited: Duration) {
        if bytes >= BODY_BYTES_MIN {
            let rate = bytes as f64 / waited.as_secs_f64().max(1e-4);
            self.bandwidth.set(mix(&mut self.measured.lock().bytes_per_second, rate));
            self.gap.set(self.rule().gap_bytes as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(gap_bytes: Option<u64>) -> Pace {
        Pace::new(PaceOptions { gap_free_bytes: 32 << 10, gap_bytes, fetched_per_wanted: 2 }, &Metrics::new())
    }

    #[test]
    fn the_gap_follows_what_is_measured() {
        let pace = pace(None);
        assert_eq!(pace.rule().gap_bytes, GAP_BYTES);
        pace.began(Duration::from_millis(30));
        assert_eq!(pace.rule().gap_bytes, GAP_BYTES, "one of two is not enough");
        pace.came(1 << 20, Duration::from_millis(50));
        assert_eq!(pace.rule().gap_bytes, ((1 << 20) as f64 * 0.6) as u64);
        // Short bodies tell nothing.
        pace.came(1000, Duration::from_secs(9));
        assert_eq!(pace.rule().gap_bytes, ((1 << 20) as f64 * 0.6) as u64);
        // One that is slow does not change much; bounds hold.
        for _ in 0..200 {
            pace.began(Duration::from_secs(9));
        }
        assert_eq!(pace.rule().gap_bytes, GAP_BYTES_MAX);
        for _ in 0..500 {
            pace.began(Duration::from_micros(1));
        }
        assert_eq!(pace.rule().gap_bytes, GAP_BYTES_MIN);
    }

    #[test]
    fn a_flag_fixes_it() {
        let pace = pace(Some(1000));
        pace.began(Duration::from_secs(9));
        pace.came(1 << 30, Duration::from_secs(1));
        assert_eq!(pace.rule(), JoinRule { gap_free_bytes: 1000, gap_bytes: 1000, fetched_per_wanted: 2 });
    }
}
