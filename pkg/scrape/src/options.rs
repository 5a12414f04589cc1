//! What holds for all jobs and comes from flags, not from the configuration.

use std::sync::Arc;

use model::Clock;
use storage::Budget;
use storage::append::Appendable;
use telemetry::Metrics;

/// What becomes of the start times ("created timestamps") of counters, histograms and summaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartTimes {
    /// They are passed over; OpenMetrics' `_created` series are series like others.
    #[default]
    Ignored,
    /// A sample of zero is written at the start time of a series that is new or was reset (`created-timestamp-zero-ingestion`).
    ZeroSamples,
    /// They are stored with each sample (`st-storage`).
    Stored,
}

/// How all targets are scraped.
#[derive(Debug, Clone)]
pub struct Options {
    /// Spreads the phases of targets; two replicas with different seeds scrape at different times.
    pub seed: u64,
    /// A number that no target can know, such as a random one: it keys the digests that series are recognised by.
    pub cache_key: u64,
    /// Exemplars are stored (`exemplar-storage`).
    pub exemplars: bool,
    /// What becomes of start times.
    pub start_times: StartTimes,
    /// Type, help and unit are stored with series (`metadata-wal-records`).
    pub metadata: bool,
    /// Series get the labels `__type__` and `__unit__` (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes` are stored for all jobs
    /// (`extra-scrape-metrics`), not only for those that ask for it.
    pub extra_metrics: bool,
    /// Scrapes that begin a little late get the time when they were due, which makes chunks smaller.
    pub adjust_timestamps: bool,
    /// How late that may be, ms; at most 1 % of the interval.
    pub timestamp_tolerance_ms: i64,
    /// Of several targets with the same labels one alone is scraped.
    pub keep_one_twin: bool,
    /// Samples may lie so far in the future, ms; later ones are out of bounds.
    pub future_max_ms: i64,
    /// Bytes of an inflated body where the job has no `body_size_limit`.
    pub body_bytes_max: u64,
    /// Where others reach this server: its host stands for `localhost` in the URLs that are shown. Empty = that stays.
    pub external_url: String,
    /// The port that this server listens on.
    pub own_port: Option<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            cache_key: 0,
            exemplars: false,
            start_times: StartTimes::Ignored,
            metadata: false,
            type_and_unit_labels: false,
            extra_metrics: false,
            adjust_timestamps: true,
            timestamp_tolerance_ms: 2,
            keep_one_twin: false,
            future_max_ms: 10 * 60 * 1000,
            body_bytes_max: 1 << 30,
            external_url: String::new(),
            own_port: None,
        }
    }
}

/// What scraping needs from outside.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Where samples go.
    pub appendable: Arc<dyn Appendable>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where to count.
    pub metrics: Metrics,
    /// Bytes that all bodies together may take at one time.
    pub budget: Arc<Budget>,
}
