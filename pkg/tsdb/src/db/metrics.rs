//! The database's metrics, under Prometheus' names where it has them.

use chunkenc::TimedChunk;
use telemetry::{Counter, Gauge, Histogram, Metrics, exponential_buckets};

use super::options::Retention;

/// Metrics of blocks, compaction and retention.
#[derive(Debug, Clone)]
pub(crate) struct DbMetrics {
    pub(crate) blocks_loaded: Gauge,
    pub(crate) blocks_set_aside: Gauge,
    pub(crate) blocks_bytes: Gauge,
    pub(crate) replay_seconds: Gauge,
    pub(crate) chunk_corruptions: Counter,
    pub(crate) lowest_timestamp: Gauge,
    pub(crate) lowest_timestamp_seconds: Gauge,
    pub(crate) reloads: Counter,
    pub(crate) reload_failures: Counter,
    pub(crate) compactions: Counter,
    pub(crate) vertical_compactions: Counter,
    pub(crate) compactions_triggered: Counter,
    pub(crate) compactions_failed: Counter,
    pub(crate) compactions_skipped: Counter,
    pub(crate) stale_triggered: Counter,
    pub(crate) stale_failed: Counter,
    pub(crate) stale_seconds: Histogram,
    pub(crate) compaction_seconds: Histogram,
    pub(crate) chunk_bytes: Histogram,
    pub(crate) chunk_samples: Histogram,
    pub(crate) chunk_range: Histogram,
    pub(crate) populating_block: Gauge,
    pub(crate) last_success: Gauge,
    pub(crate) size_retentions: Counter,
    pub(crate) time_retentions: Counter,
    pub(crate) limit_bytes: Gauge,
    pub(crate) limit_percentage: Gauge,
    pub(crate) limit_seconds: Gauge,
    pub(crate) tombstone_cleanup_seconds: Histogram,
    pub(crate) wal_bytes: Gauge,
    pub(crate) head_chunks_bytes: Gauge,
    pub(crate) clean_start: Gauge,
}

impl DbMetrics {
    pub(crate) fn new(m: &Metrics) -> Self {
        let seconds = exponential_buckets(1.0, 2.0, 14);
        // It stays 0.
        m.gauge(
            "prometheus_tsdb_symbol_table_size_bytes",
            "Memory of the symbol tables of loaded blocks: none, they are read in place.",
        );
        Self {
            blocks_loaded: m.gauge("prometheus_tsdb_blocks_loaded", "Blocks that are served."),
            blocks_set_aside: m.gauge("aion_tsdb_blocks_set_aside", "Blocks in the data directory that cannot be read."),
            blocks_bytes: m.gauge("prometheus_tsdb_storage_blocks_bytes", "Bytes of all blocks."),
            replay_seconds: m.gauge(
                "prometheus_tsdb_data_replay_duration_seconds",
                "How long the replay of the log took at the start.",
            ),
            chunk_corruptions: m.counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Corrupt places that were found in the files of the head's chunks.",
            ),
            lowest_timestamp: m.gauge("prometheus_tsdb_lowest_timestamp", "Time of the oldest data, in milliseconds."),
            lowest_timestamp_seconds: m.gauge(
                "prometheus_tsdb_lowest_timestamp_seconds",
                "Time of the oldest data, in seconds.",
            ),
            reloads: m.counter("prometheus_tsdb_reloads_total", "Searches for blocks in the data directory."),
            reload_failures: m.counter("prometheus_tsdb_reloads_failures_total", "Searches for blocks that failed."),
            compactions: m.counter("prometheus_tsdb_compactions_total", "Blocks written, from the head or from blocks."),
            vertical_compactions: m
                .counter("prometheus_tsdb_vertical_compactions_total", "Compactions of overlapping blocks."),
            compactions_triggered: m
                .counter("prometheus_tsdb_compactions_triggered_total", "Rounds of compaction that were begun."),
            compactions_failed: m
                .counter("prometheus_tsdb_compactions_failed_total", "Rounds of compaction that failed."),
            compactions_skipped: m.counter(
                "prometheus_tsdb_compactions_skipped_total",
                "Rounds in which blocks were not merged, since compaction is off.",
            ),
            stale_triggered: m.counter(
                "prometheus_tsdb_stale_series_compactions_triggered_total",
                "How often series that had ended were written to blocks early.",
            ),
            stale_failed: m.counter(
                "prometheus_tsdb_stale_series_compactions_failed_total",
                "How often that failed.",
            ),
            stale_seconds: m.histogram(
                "prometheus_tsdb_stale_series_compaction_duration_seconds",
                "How long it took to write series that had ended to blocks early.",
                &seconds,
            ),
            compaction_seconds: m.histogram(
                "prometheus_tsdb_compaction_duration_seconds",
                "How long it took to write a block.",
                &seconds,
            ),
            chunk_bytes: m.histogram(
                "prometheus_tsdb_compaction_chunk_size_bytes",
                "Bytes of the chunks of blocks from the head.",
                &exponential_buckets(32.0, 1.5, 12),
            ),
            chunk_samples: m.histogram(
                "prometheus_tsdb_compaction_chunk_samples",
                "Samples of the chunks of blocks from the head.",
                &exponential_buckets(4.0, 1.5, 12),
            ),
            chunk_range: m.histogram(
                "prometheus_tsdb_compaction_chunk_range_seconds",
                "Milliseconds that the chunks of blocks from the head span; the name is Prometheus'.",
                &exponential_buckets(100.0, 4.0, 10),
            ),
            populating_block: m
                .gauge("prometheus_tsdb_compaction_populating_block", "1 while a block is being written."),
            last_success: m.gauge(
                "aion_tsdb_compaction_last_success_timestamp_seconds",
                "When a round of compaction ended without an error last.",
            ),
            size_retentions: m
                .counter("prometheus_tsdb_size_retentions_total", "Deletions of blocks because of the limit of size."),
            time_retentions: m
                .counter("prometheus_tsdb_time_retentions_total", "Deletions of blocks because of their age."),
            limit_bytes: m.gauge("prometheus_tsdb_retention_limit_bytes", "Limit of size; 0 = none."),
            limit_percentage: m.gauge(
                "prometheus_tsdb_retention_limit_percentage",
                "Limit of size in percent of the file system; 0 = none.",
            ),
            limit_seconds: m.gauge("prometheus_tsdb_retention_limit_seconds", "How long data is kept; 0 = for ever."),
            tombstone_cleanup_seconds: m.histogram(
                "prometheus_tsdb_tombstone_cleanup_seconds",
                "How long it took to write blocks without their deleted samples.",
                &seconds,
            ),
            wal_bytes: m.gauge("prometheus_tsdb_wal_storage_size_bytes", "Bytes of the write-ahead log."),
            head_chunks_bytes: m
                .gauge("prometheus_tsdb_head_chunks_storage_size_bytes", "Bytes of the head's chunks on disk."),
            clean_start: m.gauge(
                "prometheus_tsdb_clean_start",
                "-1 without a lock file; 1 with one. The kernel frees the lock of a killed server, so that it is never stale.",
            ),
        }
    }

    pub(crate) fn set_limits(&self, retention: &Retention) {
        self.limit_bytes.set(retention.size_bytes as f64);
        self.limit_percentage.set(retention.percentage);
        self.limit_seconds.set(retention.time_ms as f64 / 1000.0);
    }

    /// Counts the chunks of a series of a block from the head.
    pub(crate) fn observe_chunks(&self, chunks: &[TimedChunk]) {
        for chunk in chunks {
            self.chunk_bytes.observe(chunk.data.len() as f64);
            self.chunk_samples.observe(chunk.num_samples().map_or(0.0, |n| n as f64));
            self.chunk_range.observe((chunk.max_time - chunk.min_time) as f64);
        }
    }
}
