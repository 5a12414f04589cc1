//! Prometheus' metrics of scraping.

use telemetry::{Counter, CounterVec, Gauge, GaugeVec, HistogramVec, Metrics, SummaryVec};

#[derive(Debug, Clone)]
pub(crate) struct ScrapeMetrics {
    pub(crate) interval_length: SummaryVec,
    pub(crate) interval_spread: HistogramVec,
    pub(crate) pools: Counter,
    pub(crate) pools_failed: Counter,
    pub(crate) reloads: Counter,
    pub(crate) reloads_failed: Counter,
    pub(crate) syncs: CounterVec,
    pub(crate) sync_length: SummaryVec,
    pub(crate) sync_spread: HistogramVec,
    pub(crate) sync_failed: CounterVec,
    pub(crate) targets: GaugeVec,
    pub(crate) target_limit: GaugeVec,
    pub(crate) target_limit_exceeded: Counter,
    pub(crate) metadata_entries: GaugeVec,
    pub(crate) over_body_size: Counter,
    pub(crate) over_sample_limit: Counter,
    pub(crate) over_bucket_limit: Counter,
    pub(crate) over_label_limits: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    pub(crate) late: Counter,
    pub(crate) cache_entries: Gauge,
    pub(crate) twins: Gauge,
}

impl ScrapeMetrics {
    pub(crate) fn new(m: &Metrics) -> Self {
        let job = &["scrape_job"];
        let seconds = [0.01, 0.1, 1.0, 10.0];
        Self {
            interval_length: m.summaries(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes",
                "interval",
            ),
            interval_spread: m.histograms(
                "prometheus_target_interval_length_histogram_seconds",
                "Actual intervals between scrapes, by length.",
                &["interval"],
                &[0.1, 1.0, 5.0, 10.0, 14.9, 15.1, 29.9, 30.1, 59.9, 60.1, 120.0, 300.0],
            ),
            pools: m.counter("prometheus_target_scrape_pools_total", "Scrape pool creation attempts."),
            pools_failed: m
                .counter("prometheus_target_scrape_pools_failed_total", "Scrape pool creations that failed."),
            reloads: m.counter("prometheus_target_scrape_pool_reloads_total", "Scrape pool reloads."),
            reloads_failed: m
                .counter("prometheus_target_scrape_pool_reloads_failed_total", "Failed scrape pool reloads."),
            syncs: m.counters("prometheus_target_scrape_pool_sync_total", "Syncs of a scrape pool.", job),
            sync_length: m.summaries(
                "prometheus_target_sync_length_seconds",
                "Length of the syncs of a scrape pool",
                "scrape_job",
            ),
            sync_spread: m.histograms(
                "prometheus_target_sync_length_histogram_seconds",
                "Length of the syncs of a scrape pool, by length.",
                job,
                &seconds,
            ),
            sync_failed: m.counters("prometheus_target_sync_failed_total", "Targets that were invalid at a sync.", job),
            targets: m.gauges("prometheus_target_scrape_pool_targets", "Targets of a scrape pool.", job),
            target_limit: m.gauges(
                "prometheus_target_scrape_pool_target_limit",
                "Most targets that a scrape pool may have.",
                job,
            ),
            target_limit_exceeded: m.counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Times that a scrape pool had more targets than its limit.",
            ),
            metadata_entries: m.gauges(
                "prometheus_target_metadata_cache_entries",
                "Metric families whose metadata is known.",
                job,
            ),
            over_body_size: m.counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Scrapes over the limit of the body's size.",
            ),
            over_sample_limit: m
                .counter("prometheus_target_scrapes_exceeded_sample_limit_total", "Scrapes over the limit of samples."),
            over_bucket_limit: m.counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Scrapes with native histograms over the limit of buckets.",
            ),
            over_label_limits: m.counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Scrapes over a limit on labels.",
            ),
            duplicates: m.counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Samples refused since there is another value of the same time.",
            ),
            out_of_order: m.counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Samples refused since they are out of order.",
            ),
            out_of_bounds: m.counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Samples refused since their time is out of bounds.",
            ),
            exemplars_out_of_order: m.counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Exemplars refused since they are out of order.",
            ),
            late: m.counter("aion_scrapes_skipped_total", "Scrapes skipped since the one before took too long."),
            twins: m.gauge("aion_scrape_twin_targets", "Targets whose labels a target before them has, too."),
            cache_entries: m.gauge("aion_scrape_cache_entries", "Series that the caches of all targets hold."),
        }
    }

    /// Forgets what is told of a job.
    pub(crate) fn forget(&self, job: &str) {
        self.syncs.remove(&[job]);
        self.sync_length.remove(job);
        self.sync_spread.remove(&[job]);
        self.sync_failed.remove(&[job]);
        self.targets.remove(&[job]);
        self.target_limit.remove(&[job]);
        self.metadata_entries.remove(&[job]);
    }
}
