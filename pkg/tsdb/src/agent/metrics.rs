//! What the store counts, under the names of Prometheus' agent.

use telemetry::{Counter, Gauge, Metrics};

#[derive(Debug)]
pub(super) struct AgentMetrics {
    pub series: Gauge,
    pub deleted: Gauge,
    pub floats: Counter,
    pub histograms: Counter,
    pub exemplars: Counter,
    pub out_of_order: Counter,
    pub corruptions: Counter,
    pub replay_seconds: Gauge,
    pub checkpoints: Counter,
    pub checkpoints_failed: Counter,
    pub deletions: Counter,
    pub deletions_failed: Counter,
    pub unsent: Counter,
}

impl AgentMetrics {
    pub fn new(m: &Metrics) -> Self {
        let samples = m.counters(
            "prometheus_agent_samples_appended_total",
            "Total number of samples appended to the storage.",
            &["type"],
        );
        Self {
            series: m
                .gauge("prometheus_agent_active_series", "Number of active series being tracked by the WAL storage."),
            deleted: m.gauge("prometheus_agent_deleted_series", "Number of series pending deletion from the WAL."),
            floats: samples.with(&["float"]),
            histograms: samples.with(&["histogram"]),
            exemplars: m.counter(
                "prometheus_agent_exemplars_appended_total",
                "Total number of exemplars appended to the storage.",
            ),
            out_of_order: m.counter(
                "prometheus_agent_out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts.",
            ),
            corruptions: m.counter("prometheus_agent_corruptions_total", "Total number of WAL corruptions."),
            replay_seconds: m
                .gauge("prometheus_agent_data_replay_duration_seconds", "Time taken to replay the data on disk."),
            checkpoints: m.counter(
                "prometheus_agent_checkpoint_creations_total",
                "Total number of checkpoint creations attempted.",
            ),
            checkpoints_failed: m.counter(
                "prometheus_agent_checkpoint_creations_failed_total",
                "Total number of checkpoint creations that failed.",
            ),
            deletions: m.counter(
                "prometheus_agent_checkpoint_deletions_total",
                "Total number of checkpoint deletions attempted.",
            ),
            deletions_failed: m.counter(
                "prometheus_agent_checkpoint_deletions_failed_total",
                "Total number of checkpoint deletions that failed.",
            ),
            unsent: m.counter(
                "aion_agent_unsent_segments_deleted_total",
                "Segments of the log that were deleted before all remote writes had sent them, by age or size.",
            ),
        }
    }
}
