//! What the head tells of itself, under Prometheus' names.

use telemetry::{Counter, CounterVec, Gauge, Metrics};

#[derive(Debug)]
pub(crate) struct HeadMetrics {
    pub active_appenders: Gauge,
    pub series_created: Counter,
    pub series_removed: Counter,
    pub series_not_found: Counter,
    pub chunks_created: Counter,
    pub chunks_removed: Counter,
    pub chunks_mapped: Counter,
    /// Of floats and of histograms.
    pub appended: [Counter; 2],
    pub late: [Counter; 2],
    pub out_of_order: CounterVec,
    pub out_of_bound: CounterVec,
    pub too_old: CounterVec,
    pub exemplars_appended: Counter,
    pub exemplars_out_of_order: Counter,
    pub exemplars: Gauge,
    pub exemplars_max: Gauge,
    pub exemplar_series: Gauge,
    pub series: Gauge,
    pub stale_series: Gauge,
    pub chunks: Gauge,
    pub min_time_ms: Gauge,
    pub max_time_ms: Gauge,
    pub min_time_s: Gauge,
    pub max_time_s: Gauge,
}

impl HeadMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.counter(&format!("prometheus_tsdb_{name}_total"), help);
        let typed =
            |name: &str, help: &str| metrics.counters(&format!("prometheus_tsdb_{name}_total"), help, &["type"]);
        let both = |name: &str, help: &str| {
            let all = typed(name, help);
            [all.with(&["float"]), all.with(&["histogram"])]
        };
        let gauge = |name: &str, help: &str| metrics.gauge(&format!("prometheus_tsdb_head_{name}"), help);
        Self {
            active_appenders: gauge("active_appenders", "Transactions that are open."),
            series_created: counter("head_series_created", "Series that were made in the head."),
            series_removed: counter("head_series_removed", "Series that were removed from the head."),
            series_not_found: counter("head_series_not_found", "Samples for series that are not in the head."),
            chunks_created: counter("head_chunks_created", "Chunks that were begun in the head."),
            chunks_removed: counter("head_chunks_removed", "Chunks that were removed from the head."),
            chunks_mapped: counter("mmap_chunks", "Full chunks of the head that were written to disk."),
            appended: both("head_samples_appended", "Samples that the head took."),
            late: both("head_out_of_order_samples_appended", "Late samples that the head took."),
            out_of_order: typed("out_of_order_samples", "Samples refused since they are older than their series'."),
            out_of_bound: typed("out_of_bound_samples", "Samples refused since they are older than the head."),
            too_old: typed("too_old_samples", "Samples refused since they are older than the window for late ones."),
            exemplars_appended: counter("exemplar_exemplars_appended", "Exemplars that were taken."),
            exemplars_out_of_order: counter(
                "exemplar_out_of_order_exemplars",
                "Exemplars refused since they are older than their series'.",
            ),
            exemplars: metrics.gauge("prometheus_tsdb_exemplar_exemplars_in_storage", "Exemplars that are held."),
            exemplars_max: metrics.gauge("prometheus_tsdb_exemplar_max_exemplars", "Exemplars that are held at most."),
            exemplar_series: metrics.gauge(
                "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
                "Series of which exemplars are held.",
            ),
            series: gauge("series", "Series in the head."),
            stale_series: gauge("stale_series", "Series in the head whose newest sample is a stale marker."),
            chunks: gauge("chunks", "Chunks in the head."),
            min_time_ms: gauge("min_time", "The oldest sample's time in the head, ms."),
            max_time_ms: gauge("max_time", "The newest sample's time in the head, ms."),
            min_time_s: gauge("min_time_seconds", "The oldest sample's time in the head, seconds."),
            max_time_s: gauge("max_time_seconds", "The newest sample's time in the head, seconds."),
        }
    }
}
