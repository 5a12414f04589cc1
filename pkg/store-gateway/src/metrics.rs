//! `thanos_bucket_store_*`, with the names and buckets that Thanos' dashboards know.

use telemetry::{Counter, CounterVec, Gauge, Histogram, HistogramVec, Metrics, exponential_buckets};

const TENANT: &[&str] = &["tenant"];
const DATA: &[&str] = &["data_type", "tenant"];
const FETCH_SECONDS: [f64; 12] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0];
const QUERY_SECONDS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// What a store gateway counts.
#[derive(Debug, Clone)]
pub(crate) struct GatewayMetrics {
    pub(crate) block_loads: Counter,
    pub(crate) block_load_failures: Counter,
    pub(crate) block_drops: Counter,
    pub(crate) block_drop_failures: Counter,
    pub(crate) blocks_loaded: Gauge,
    pub(crate) last_loaded: Gauge,
    pub(crate) block_load_seconds: Histogram,
    pub(crate) data_touched: HistogramVec,
    pub(crate) data_fetched: HistogramVec,
    pub(crate) bytes_touched: HistogramVec,
    pub(crate) bytes_fetched: HistogramVec,
    pub(crate) blocks_queried: HistogramVec,
    pub(crate) get_all_seconds: HistogramVec,
    pub(crate) merge_seconds: HistogramVec,
    pub(crate) result_series: HistogramVec,
    pub(crate) sent_chunk_bytes: HistogramVec,
    pub(crate) queries_dropped: CounterVec,
    pub(crate) series_refetches: CounterVec,
    pub(crate) chunk_refetches: CounterVec,
    pub(crate) postings_seconds: HistogramVec,
    pub(crate) series_seconds: HistogramVec,
    pub(crate) chunks_seconds: HistogramVec,
    pub(crate) empty_postings: CounterVec,
    pub(crate) gate_seconds: Histogram,
    pub(crate) gate_in_flight: Gauge,
    pub(crate) index_disk_bytes: Gauge,
    pub(crate) header_loads: Counter,
    pub(crate) header_unloads: Counter,
    pub(crate) header_load_failures: Counter,
    pub(crate) corrupt: CounterVec,
}

impl GatewayMetrics {
    /// Registers them; `concurrency` is shown as the gate's width.
    pub(crate) fn new(m: &Metrics, concurrency: usize) -> Self {
        m.gauge("thanos_bucket_store_series_gate_queries_max", "Series calls that may run at a time.")
            .set(concurrency as f64);
        let counts = exponential_buckets(200.0, 2.0, 15);
        let sizes = exponential_buckets(1024.0, 2.0, 15);
        Self {
            block_loads: m.counter("thanos_bucket_store_block_loads_total", "Attempts to load a block."),
            block_load_failures: m
                .counter("thanos_bucket_store_block_load_failures_total", "Blocks that could not be loaded."),
            block_drops: m.counter("thanos_bucket_store_block_drops_total", "Blocks that were dropped."),
            block_drop_failures: m.counter(
                "thanos_bucket_store_block_drop_failures_total",
                "Blocks whose local files could not be removed.",
            ),
            blocks_loaded: m.gauge("thanos_bucket_store_blocks_loaded", "Blocks that are served."),
            last_loaded: m
                .gauge("thanos_bucket_store_blocks_last_loaded_timestamp_seconds", "When a block was last loaded."),
            block_load_seconds: m.histogram(
                "thanos_bucket_store_block_load_duration_seconds",
                "How long it took to get a block's index-header ready.",
                &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0],
            ),
            data_touched: m.histograms(
                "thanos_bucket_store_series_data_touched",
                "Items of a kind that a Series call looked at.",
                DATA,
                &counts,
            ),
            data_fetched: m.histograms(
                "thanos_bucket_store_series_data_fetched",
                "Items of a kind that a Series call fetched.",
                DATA,
                &counts,
            ),
            bytes_touched: m.histograms(
                "thanos_bucket_store_series_data_size_touched_bytes",
                "Bytes of a kind that a Series call looked at.",
                DATA,
                &sizes,
            ),
            bytes_fetched: m.histograms(
                "thanos_bucket_store_series_data_size_fetched_bytes",
                "Bytes of a kind that a Series call fetched.",
                DATA,
                &sizes,
            ),
            blocks_queried: m.histograms(
                "thanos_bucket_store_series_blocks_queried",
                "Blocks that a Series call asked.",
                TENANT,
                &exponential_buckets(1.0, 2.0, 10),
            ),
            get_all_seconds: m.histograms(
                "thanos_bucket_store_series_get_all_duration_seconds",
                "Time until all blocks of a Series call were ready to be merged.",
                TENANT,
                &QUERY_SECONDS,
            ),
            merge_seconds: m.histograms(
                "thanos_bucket_store_series_merge_duration_seconds",
                "Time to merge and send the blocks of a Series call.",
                TENANT,
                &QUERY_SECONDS,
            ),
            result_series: m.histograms(
                "thanos_bucket_store_series_result_series",
                "Series that a Series call sent.",
                TENANT,
                &exponential_buckets(1.0, 2.0, 15),
            ),
            sent_chunk_bytes: m.histograms(
                "thanos_bucket_store_sent_chunk_size_bytes",
                "Bytes of chunks sent, per chunk.",
                TENANT,
                &[
                    32.0,
                    256.0,
                    512.0,
                    1024.0,
                    32.0 * 1024.0,
                    256.0 * 1024.0,
                    512.0 * 1024.0,
                    1048576.0,
                    33554432.0,
                    268435456.0,
                    536870912.0,
                ],
            ),
            queries_dropped: m.counters(
                "thanos_bucket_store_queries_dropped_total",
                "Series calls refused for a limit.",
                &["reason", "tenant"],
            ),
            series_refetches: m.counters(
                "thanos_bucket_store_series_refetches_total",
                "Series that were longer than the guess or arrived corrupt, and were fetched again.",
                TENANT,
            ),
            chunk_refetches: m.counters(
                "thanos_bucket_store_chunk_refetches_total",
                "Chunks that were longer than the guess or arrived corrupt, and were fetched again.",
                TENANT,
            ),
            postings_seconds: m.histograms(
                "thanos_bucket_store_postings_fetch_duration_seconds",
                "Time to fetch the postings of one block.",
                TENANT,
                &FETCH_SECONDS,
            ),
            series_seconds: m.histograms(
                "thanos_bucket_store_series_fetch_duration_seconds",
                "Time to fetch a batch of series of one block.",
                TENANT,
                &FETCH_SECONDS,
            ),
            chunks_seconds: m.histograms(
                "thanos_bucket_store_chunks_fetch_duration_seconds",
                "Time to fetch a batch of chunks of one block.",
                TENANT,
                &FETCH_SECONDS,
            ),
            empty_postings: m.counters(
                "thanos_bucket_store_empty_postings_total",
                "Blocks asked that had no matching series.",
                TENANT,
            ),
            gate_seconds: m.histogram(
                "thanos_bucket_store_series_gate_duration_seconds",
                "How long Series calls waited for their turn.",
                &[0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0],
            ),
            gate_in_flight: m.gauge("thanos_bucket_store_series_gate_queries_in_flight", "Series calls that run."),
            index_disk_bytes: m.gauge(
                "aion_store_whole_index_disk_bytes",
                "Size of the indexes whose series and postings have room on disk.",
            ),
            header_loads: m.counter("thanos_bucket_store_indexheader_lazy_load_total", "Index-headers opened."),
            header_unloads: m.counter(
                "thanos_bucket_store_indexheader_lazy_unload_total",
                "Index-headers closed since nobody used them.",
            ),
            header_load_failures: m.counter(
                "thanos_bucket_store_indexheader_lazy_load_failed_total",
                "Index-headers that could not be opened or built.",
            ),
            corrupt: m.counters(
                "thanos_bucket_store_damaged_reads_total",
                "Reads of a block that failed a checksum twice or did not parse.",
                &["data_type"],
            ),
        }
    }
}
