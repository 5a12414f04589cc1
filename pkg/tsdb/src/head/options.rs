//! What a head takes, and how it keeps it.

use super::encode::Encodings;

/// Options of a [`super::Head`]. Durations in ms.
#[derive(Debug, Clone)]
pub struct HeadOptions {
    /// Length of a block made of the head; chunks do not reach over its multiples.
    pub chunk_range_ms: i64,
    /// Samples up to this much older than the newest are taken; 0 = only those newer than their series'. Can be set
    /// anew while running.
    pub out_of_order_window_ms: i64,
    /// Late samples of a series that are held before they are made a chunk.
    pub out_of_order_samples_max: usize,
    /// The head's newest time counts as no later than this much after the wall clock, when it is decided what is too
    /// old: one sample of the future must not shut out those of now.
    pub ahead_max_ms: i64,
    /// Write XOR2 chunks, which keep start times.
    pub xor2: bool,
    /// Write histogram chunks that keep start times: Prometheus reads them from 3.14 on.
    pub histogram_starts: bool,
    /// Series in all; 0 = no limit.
    pub series_max: usize,
    /// Series of one metric; 0 = no limit.
    pub series_per_metric_max: usize,
    /// Series of one `job`; 0 = no limit.
    pub series_per_job_max: usize,
    /// Exemplars in all; 0 = none are kept.
    pub exemplars_max: usize,
    /// Log metadata of series.
    pub metadata_records: bool,
}

impl Default for HeadOptions {
    fn default() -> Self {
        Self {
            chunk_range_ms: 2 * 3_600_000,
            out_of_order_window_ms: 0,
            out_of_order_samples_max: 32,
            ahead_max_ms: 3_600_000,
            xor2: false,
            histogram_starts: false,
            series_max: 0,
            series_per_metric_max: 0,
            series_per_job_max: 0,
            exemplars_max: 0,
            metadata_records: false,
        }
    }
}

impl HeadOptions {
    pub(crate) fn encodings(&self) -> Encodings {
        Encodings { xor2: self.xor2, histogram_starts: self.histogram_starts }
    }
}
