//! Thanos' metrics of a ruler. Those of evaluations are `prometheus_rule_…`; the notifier has those of sending.

use telemetry::{Counter, CounterVec, GaugeVec, Metrics};

#[derive(Debug)]
pub struct RulerMetrics {
    pub loaded_rules: GaugeVec,
    pub with_warnings: CounterVec,
    pub duplicated_addresses: Counter,
    pub alerts_pushed: Counter,
    pub query_failures: Counter,
}

impl RulerMetrics {
    pub fn new(m: &Metrics) -> Self {
        let with_warnings = m.counters(
            "thanos_rule_evaluation_with_warnings_total",
            "The total number of rule evaluation that were successful but had non PromQL warnings which can indicate partial error.",
            &["strategy"],
        );
        for strategy in ["abort", "warn"] {
            with_warnings.with(&[strategy]);
        }
        Self {
            loaded_rules: m.gauges(
                "thanos_rule_loaded_rules",
                "Loaded rules partitioned by file and group.",
                &["strategy", "file", "group"],
            ),
            with_warnings,
            duplicated_addresses: m.counter(
                "thanos_rule_duplicated_query_addresses_total",
                "The number of times a duplicated query addresses is detected from the different configs in rule.",
            ),
            alerts_pushed: m
                .counter("thanos_alert_queue_alerts_pushed_total", "Total number of alerts pushed to the queue."),
            query_failures: m.counter(
                "aion_rule_query_failures_total",
                "Queries that a querier could not answer; the next one was asked.",
            ),
        }
    }
}
