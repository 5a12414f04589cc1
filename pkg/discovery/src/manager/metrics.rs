//! Metrics of a manager, under Prometheus' names.

use telemetry::{Counter, Gauge, GaugeVec, Metrics};

use super::{Snapshot, TargetSet};

#[derive(Debug)]
pub(super) struct ManagerMetrics {
    pub(super) failed_configs: Gauge,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    targets: GaugeVec,
    updated: GaugeVec,
}

impl ManagerMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        // There is nothing to wait for: whoever reads snapshots takes the latest one.
        metrics
            .counter("prometheus_sd_updates_delayed_total", "Snapshots that had to wait for their reader; always 0.");
        Self {
            failed_configs: metrics
                .gauge("prometheus_sd_failed_configs", "Configurations that no discoverer could be made of."),
            received: metrics.counter("prometheus_sd_received_updates_total", "Updates received from discoverers."),
            sent: metrics.counter("prometheus_sd_updates_total", "Snapshots of all targets handed on."),
            targets: metrics.gauges("prometheus_sd_discovered_targets", "Targets found.", &["config"]),
            updated: metrics.gauges(
                "prometheus_sd_last_update_timestamp_seconds",
                "When the targets last changed.",
                &["config"],
            ),
        }
    }

    /// Shows the sets that there are now and no others.
    pub(super) fn show(&self, before: &Snapshot, now: &Snapshot, now_ms: i64) {
        for name in before.keys().filter(|name| !now.contains_key(*name)) {
            self.targets.remove(&[name]);
            self.updated.remove(&[name]);
        }
        let count = |set: &TargetSet| -> usize { set.groups.iter().map(|group| group.targets.len()).sum() };
        for (name, set) in now.iter().filter(|(name, set)| before.get(*name) != Some(*set)) {
            self.targets.with(&[name]).set(count(set) as f64);
            self.updated.with(&[name]).set(now_ms as f64 / 1000.0);
        }
    }
}
