//! What the receiver counts.

use telemetry::{Counter, Metrics};

use super::answer::Failure;
use super::take::Taken;

#[derive(Debug)]
pub(super) struct ReceiverMetrics {
    invalid_labels: Counter,
    without_metadata: Counter,
    floats: Counter,
    histograms: Counter,
    exemplars: Counter,
    refused: Counter,
    lost_exemplars: Counter,
    busy: Counter,
}

impl ReceiverMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let written = metrics.counters(
            "aion_remote_write_received_total",
            "Samples and exemplars that came by remote write and were written.",
            &["kind"],
        );
        Self {
            invalid_labels: metrics.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "Samples of remote write that were refused since the labels of their series are invalid.",
            ),
            without_metadata: metrics.counter(
                "prometheus_api_remote_write_without_metadata_appended_samples_total",
                "Samples of remote write that were written without metadata of their series.",
            ),
            floats: written.with(&["float"]),
            histograms: written.with(&["histogram"]),
            exemplars: written.with(&["exemplar"]),
            refused: metrics.counter(
                "aion_remote_write_refused_total",
                "Samples, exemplars and whole series of remote write that were refused; their senders were told.",
            ),
            lost_exemplars: metrics.counter(
                "aion_remote_write_exemplars_dropped_total",
                "Exemplars of remote write that were dropped without telling their senders, as Prometheus does.",
            ),
            busy: metrics.counter(
                "aion_remote_write_busy_total",
                "Requests of remote write that were asked to come again, since there was no room for them.",
            ),
        }
    }

    pub fn taken(&self, taken: &Taken, without_metadata: u64) {
        self.invalid_labels.inc_by(taken.of_refused_series);
        self.without_metadata.inc_by(without_metadata);
        self.floats.inc_by(taken.floats.rows);
        self.histograms.inc_by(taken.histograms.rows);
        self.exemplars.inc_by(taken.exemplars.rows);
        self.refused.inc_by(taken.refused.count);
        self.lost_exemplars.inc_by(taken.lost_exemplars);
        if taken.refused.no_room.is_some() {
            self.busy.inc();
        }
    }

    pub fn failed(&self, failure: &Failure) {
        if matches!(failure, Failure::Busy(_)) {
            self.busy.inc();
        }
    }
}
