//! What the logs tell of themselves.

use std::sync::Arc;

use telemetry::{Counter, Gauge, Histogram, Metrics, Occasionally, exponential_buckets};

#[derive(Debug, Clone)]
pub(super) struct LogMetrics {
    pub(super) sync_seconds: Histogram,
    pub(super) syncs_failed: Counter,
    pub(super) writes_failed: Counter,
    pub(super) segment: Gauge,
    /// For log lines of what may fail with every commit.
    pub(super) occasionally: Arc<Occasionally>,
}

impl LogMetrics {
    pub(super) fn new(m: &Metrics) -> Self {
        Self {
            sync_seconds: m.histogram(
                "prometheus_tsdb_wal_fsync_duration_seconds",
                "How long it took to make the log durable.",
                &exponential_buckets(0.0005, 4.0, 8),
            ),
            syncs_failed: m
                .counter("aion_tsdb_wal_fsyncs_failed_total", "How often the log could not be made durable."),
            writes_failed: m
                .counter("prometheus_tsdb_wal_writes_failed_total", "Writes to the write-ahead log that failed."),
            segment: m.gauge("prometheus_tsdb_wal_segment_current", "The segment of the log that is written."),
            occasionally: Arc::new(Occasionally::minutely()),
        }
    }
}
