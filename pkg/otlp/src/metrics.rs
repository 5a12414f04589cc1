//! What the receiver counts.

use telemetry::{Counter, CounterVec, Gauge, Metrics};

use crate::answer::Failure;
use crate::batch::Batch;
use crate::take::Taken;

#[derive(Debug)]
pub(crate) struct ReceiverMetrics {
    floats: Counter,
    histograms: Counter,
    exemplars: Counter,
    rejected: Counter,
    late_exemplars: Counter,
    lost_exemplars: Counter,
    target_info_refused: Counter,
    warnings: CounterVec,
    requests: CounterVec,
    pub streams: Gauge,
}

impl ReceiverMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let written = metrics.counters(
            "aion_otlp_received_total",
            "Samples and exemplars that came by OTLP and were written.",
            &["kind"],
        );
        Self {
            floats: written.with(&["float"]),
            histograms: written.with(&["histogram"]),
            exemplars: written.with(&["exemplar"]),
            rejected: metrics.counter(
                "aion_otlp_rejected_data_points_total",
                "Data points of OTLP that were rejected; their senders were told.",
            ),
            late_exemplars: metrics.counter(
                "prometheus_api_otlp_out_of_order_exemplars_total",
                "The total number of received OTLP exemplars which were rejected because they were out of order.",
            ),
            lost_exemplars: metrics.counter(
                "aion_otlp_exemplars_dropped_total",
                "Exemplars of OTLP that were dropped for another reason than their order. Senders are not told, as in Prometheus.",
            ),
            target_info_refused: metrics.counter(
                "aion_otlp_target_info_refused_total",
                "Samples of target_info that were not written since they came late; no data of the sender is lost.",
            ),
            warnings: metrics.counters(
                "prometheus_api_otlp_translation_warnings_total",
                "The total number of warnings produced while translating OTLP metrics to the Prometheus model, by category. Warnings about labels count once for each new series.",
                &["category"],
            ),
            requests: metrics.counters("aion_otlp_requests_total", "Requests of OTLP, by HTTP status.", &["code"]),
            streams: metrics.gauge("aion_otlp_delta_streams", "Streams of deltas that are summed up."),
        }
    }

    pub fn taken(&self, taken: &Taken, batch: &Batch<'_>) {
        self.floats.inc_by(taken.floats);
        self.histograms.inc_by(taken.histograms);
        self.exemplars.inc_by(taken.exemplars);
        self.rejected.inc_by(batch.rejected.points());
        self.late_exemplars.inc_by(taken.late_exemplars);
        self.lost_exemplars.inc_by(taken.lost_exemplars);
        self.target_info_refused.inc_by(taken.target_info_refused);
        for (category, count) in &batch.warnings {
            self.warnings.with(&[category]).inc_by(*count);
        }
    }

    pub fn answered(&self, outcome: &Result<crate::answer::Done, Failure>) {
        let status = outcome.as_ref().map_or_else(Failure::status, |done| done.status());
        self.requests.with(&[status.as_str()]).inc();
    }
}
