//! The metrics `thanos_blocks_meta_*` of syncs.

use telemetry::{Counter, GaugeVec, Histogram, Metrics};

use crate::filters::{Filtered, State};
use crate::view::{Partial, View};

/// Metrics of the syncs of one fetcher.
#[derive(Debug, Clone)]
pub struct SyncMetrics {
    pub(crate) syncs: Counter,
    pub(crate) failures: Counter,
    pub(crate) seconds: Histogram,
    synced: GaugeVec,
    modified: GaugeVec,
}

impl SyncMetrics {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        let seconds = [0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0];
        let found = Self {
            syncs: metrics.counter("thanos_blocks_meta_syncs_total", "Syncs of the blocks' metas."),
            failures: metrics.counter(
                "thanos_blocks_meta_sync_failures_total",
                "Syncs that failed or left blocks of which nothing is known.",
            ),
            seconds: metrics.histogram("thanos_blocks_meta_sync_duration_seconds", "How long a sync took.", &seconds),
            synced: metrics.gauges(
                "thanos_blocks_meta_synced",
                "Blocks by their state after the last sync.",
                &["state"],
            ),
            modified: metrics.gauges(
                "thanos_blocks_meta_modified",
                "Blocks whose metas were changed in memory by the last sync.",
                &["modified"],
            ),
        };
        for state in State::ALL {
            found.synced.with(&[state.name()]);
        }
        for state in ["failed", "no-meta-json", "corrupted-meta-json"] {
            found.synced.with(&[state]);
        }
        found.modified.with(&["replica-label-removed"]);
        found
    }

    /// Updates the gauges after a sync.
    pub fn show(&self, view: &View, filtered: &Filtered) {
        let corrupt = view.partial.values().filter(|p| matches!(p, Partial::CorruptMeta(_))).count();
        let set = |state: &str, count: usize| {
            self.synced.with(&[state]).set(count as f64);
        };
        set("failed", view.failed.len());
        set("corrupted-meta-json", corrupt);
        set("no-meta-json", view.partial.len() - corrupt);
        for state in State::ALL {
            let count = match state {
                State::Loaded => filtered.kept.len(),
                State::MarkedForNoCompact => filtered.no_compact,
                State::MarkedForNoDownsample => filtered.no_downsample,
                hidden => filtered.hidden.values().filter(|s| **s == hidden).count(),
            };
            set(state.name(), count);
        }
        self.modified.with(&["replica-label-removed"]).set(filtered.modified as f64);
    }
}
