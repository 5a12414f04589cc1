//! `thanos_compact_*` by Thanos' names, and a few of our own.

use model::Resolution;
use telemetry::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Metrics};

#[derive(Debug, Clone)]
pub struct CompactMetrics {
    pub(crate) halted: Gauge,
    pub(crate) retries: Counter,
    pub(crate) iterations: Counter,
    pub(crate) cleanups: Counter,
    pub(crate) partial_deletions: Counter,
    pub(crate) cleaned: Counter,
    pub(crate) clean_failures: Counter,
    pub(crate) unfinished_uploads: Gauge,
    pub(crate) uploads_aborted: Counter,
    pub(crate) upload_abort_failures: Counter,
    pub(crate) marked: CounterVec,
    pub(crate) garbage_blocks: Counter,
    pub(crate) garbage: Counter,
    pub(crate) garbage_failures: Counter,
    pub(crate) garbage_seconds: Histogram,
    pub(crate) compactions: CounterVec,
    pub(crate) runs_started: CounterVec,
    pub(crate) runs_completed: CounterVec,
    pub(crate) failures: CounterVec,
    pub(crate) vertical: CounterVec,
    pub(crate) downsamples: CounterVec,
    pub(crate) downsample_failures: CounterVec,
    pub(crate) downsample_seconds: HistogramVec,
    pub(crate) todo_compactions: Gauge,
    pub(crate) todo_compaction_blocks: Gauge,
    pub(crate) todo_downsample: Gauge,
    pub(crate) todo_deletion: Gauge,
    pub(crate) quarantined: GaugeVec,
    pub(crate) withheld: GaugeVec,
    pub(crate) running: GaugeVec,
    pub(crate) rewrites: CounterVec,
    pub(crate) repairs: CounterVec,
    pub(crate) bytes: CounterVec,
    pub(crate) leases_lost: Counter,
    pub(crate) recovered: CounterVec,
    pub(crate) requests_pending: Gauge,
    pub(crate) skew_seconds: Gauge,
}

/// The value of `resolution` labels.
pub(crate) fn resolution(ms: i64) -> String {
    ms.to_string()
}

impl CompactMetrics {
    pub fn new(metrics: &Metrics, delete_delay_ms: i64) -> Self {
        metrics
            .gauge("thanos_delete_delay_seconds", "Configured delete delay in seconds.")
            .set(delete_delay_ms as f64 / 1000.0);
        let garbage = [0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
        let downsampling = [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0];
        let by_resolution = &["resolution"];
        let found = Self {
            halted: metrics.gauge(
                "thanos_compact_halted",
                "1 while nothing can be done because the bucket refuses the credentials; a bad block never sets it.",
            ),
            retries: metrics.counter("thanos_compact_retries_total", "Tasks that ended early and will be tried again."),
            iterations: metrics
                .counter("thanos_compact_iterations_total", "Passes of compaction that found no more to do."),
            cleanups: metrics.counter("thanos_compact_block_cleanup_loops_total", "Passes of cleaning."),
            partial_deletions: metrics.counter(
                "thanos_compact_aborted_partial_uploads_deletion_attempts_total",
                "Deletions begun of partial uploads.",
            ),
            cleaned: metrics.counter("thanos_compact_blocks_cleaned_total", "Blocks deleted."),
            clean_failures: metrics
                .counter("thanos_compact_block_cleanup_failures_total", "Deletions of blocks that failed."),
            marked: metrics.counters("thanos_compact_blocks_marked_total", "Blocks marked.", &["marker", "reason"]),
            garbage_blocks: metrics.counter(
                "thanos_compact_garbage_collected_blocks_total",
                "Blocks marked for deletion because others hold their data.",
            ),
            garbage: metrics
                .counter("thanos_compact_garbage_collection_total", "Searches for blocks whose data others hold."),
            garbage_failures: metrics
                .counter("thanos_compact_garbage_collection_failures_total", "Such searches that failed."),
            garbage_seconds: metrics.histogram(
                "thanos_compact_garbage_collection_duration_seconds",
                "How long such a search took.",
                &garbage,
            ),
            compactions: metrics.counters(
                "thanos_compact_group_compactions_total",
                "Merges that made a new block.",
                by_resolution,
            ),
            runs_started: metrics.counters(
                "thanos_compact_group_compaction_runs_started_total",
                "Merges begun.",
                by_resolution,
            ),
            runs_completed: metrics.counters(
                "thanos_compact_group_compaction_runs_completed_total",
                "Merges ended without an error.",
                by_resolution,
            ),
            failures: metrics.counters(
                "thanos_compact_group_compactions_failures_total",
                "Merges that failed.",
                by_resolution,
            ),
            vertical: metrics.counters(
                "thanos_compact_group_vertical_compactions_total",
                "Merges of blocks that overlapped.",
                by_resolution,
            ),
            downsamples: metrics.counters(
                "thanos_compact_downsample_total",
                "Blocks downsampled, by their resolution before.",
                by_resolution,
            ),
            downsample_failures: metrics.counters(
                "thanos_compact_downsample_failures_total",
                "Blocks that could not be downsampled, by their resolution before.",
                by_resolution,
            ),
            downsample_seconds: metrics.histograms(
                "thanos_compact_downsample_duration_seconds",
                "How long it took to downsample a block, by its resolution before.",
                by_resolution,
                &downsampling,
            ),
            unfinished_uploads: metrics
                .gauge("aion_compact_unfinished_uploads", "Abandoned multipart uploads of blocks, to be aborted."),
            uploads_aborted: metrics
                .counter("aion_compact_uploads_aborted_total", "Abandoned multipart uploads that were aborted."),
            upload_abort_failures: metrics
                .counter("aion_compact_upload_abort_failures_total", "Multipart uploads that could not be aborted."),
            todo_compactions: metrics.gauge("thanos_compact_todo_compactions", "Merges to be done."),
            todo_compaction_blocks: metrics.gauge("thanos_compact_todo_compaction_blocks", "Blocks to be merged."),
            todo_downsample: metrics.gauge("thanos_compact_todo_downsample_blocks", "Blocks to be downsampled."),
            todo_deletion: metrics.gauge("thanos_compact_todo_deletion_blocks", "Blocks past their retention."),
            quarantined: metrics.gauges(
                "aion_compact_quarantined",
                "Groups and blocks left alone for now because they failed.",
                &["what"],
            ),
            withheld: metrics.gauges(
                "aion_compact_deletions_withheld",
                "Blocks not deleted because what should replace them is not there.",
                &["reason"],
            ),
            running: metrics.gauges("aion_compact_running", "Tasks under way.", &["kind"]),
            rewrites: metrics.counters(
                "aion_compact_rewrites_total",
                "Blocks rewritten without some series.",
                &["reason"],
            ),
            repairs: metrics.counters(
                "aion_compact_repairs_total",
                "Things put right in blocks while they were merged.",
                &["what"],
            ),
            bytes: metrics.counters("aion_compact_bytes_total", "Bytes that merges read and wrote.", &["direction"]),
            leases_lost: metrics
                .counter("aion_compact_leases_lost_total", "Leases lost to another compactor, or not renewed."),
            recovered: metrics.counters(
                "aion_compact_recovered_total",
                "Commits of compactors that died, finished or given up.",
                &["outcome"],
            ),
            requests_pending: metrics
                .gauge("aion_compact_deletion_requests_pending", "Requests to delete series with blocks left."),
            skew_seconds: metrics.gauge("aion_compact_clock_skew_seconds", "This machine's clock less the store's."),
        };
        for by in Resolution::ALL.map(|r| resolution(r.ms())) {
            for counters in [
                &found.compactions,
                &found.runs_started,
                &found.runs_completed,
                &found.failures,
                &found.vertical,
                &found.downsamples,
                &found.downsample_failures,
            ] {
                counters.with(&[&by]);
            }
        }
        for (marker, reason) in [
            (bucket::marks::NO_COMPACT_MARK, "block-index-out-of-order-chunk"),
            (bucket::marks::NO_COMPACT_MARK, "index-size-exceeding"),
            (bucket::marks::DELETION_MARK, ""),
        ] {
            found.marked.with(&[marker, reason]);
        }
        found
    }
}
