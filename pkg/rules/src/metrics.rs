//! Metrics of rules, under Prometheus' names.

use storage::PartialResponse;
use telemetry::{Counter, CounterVec, Gauge, GaugeVec, Histogram, Summary};

const GROUP: &[&str] = &["rule_group"];
/// Thanos' ruler has two managers, which this label tells apart.
const GROUP_AND_STRATEGY: &[&str] = &["rule_group", "strategy"];
const SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    by_strategy: bool,
    pub(crate) evaluation_seconds: Durations,
    pub(crate) iteration_seconds: Durations,
    missed: CounterVec,
    scheduled: CounterVec,
    evaluations: CounterVec,
    failures: CounterVec,
    with_warnings: CounterVec,
    dropped: CounterVec,
    interval: GaugeVec,
    last_evaluation: GaugeVec,
    last_seconds: GaugeVec,
    last_restore_seconds: GaugeVec,
    rules: GaugeVec,
    samples: GaugeVec,
}

/// Durations under both of Prometheus' names for them.
#[derive(Debug, Clone)]
pub(crate) struct Durations {
    quantiles: Summary,
    buckets: Histogram,
}

impl Durations {
    pub fn observe(&self, seconds: f64) {
        self.quantiles.observe(seconds);
        self.buckets.observe(seconds);
    }
}

/// Those of one group.
#[derive(Debug, Clone)]
pub(crate) struct GroupMetrics {
    pub all: Metrics,
    pub missed: Counter,
    pub scheduled: Counter,
    pub evaluations: Counter,
    pub failures: Counter,
    pub with_warnings: Counter,
    pub dropped: Counter,
    pub interval: Gauge,
    pub last_evaluation: Gauge,
    pub last_seconds: Gauge,
    pub last_restore_seconds: Gauge,
    pub rules: Gauge,
    pub samples: Gauge,
}

impl Metrics {
    pub fn new(metrics: &telemetry::Metrics) -> Self {
        Self::with(metrics, false)
    }

    /// Those of groups have a label `strategy` (`abort`, `warn`), as Thanos' ruler has it.
    pub fn by_strategy(metrics: &telemetry::Metrics) -> Self {
        Self::with(metrics, true)
    }

    fn with(metrics: &telemetry::Metrics, by_strategy: bool) -> Self {
        let of = if by_strategy { GROUP_AND_STRATEGY } else { GROUP };
        let counters = |name: &str, help: &str| metrics.counters(name, help, of);
        let gauges = |name: &str, help: &str| metrics.gauges(name, help, of);
        Self {
            by_strategy,
            evaluation_seconds: Durations {
                quantiles: metrics
                    .summary("prometheus_rule_evaluation_duration_seconds", "The duration for a rule to execute."),
                buckets: metrics.histogram(
                    "prometheus_rule_evaluation_duration_histogram_seconds",
                    "The duration for a rule to execute, by length.",
                    SECONDS,
                ),
            },
            iteration_seconds: Durations {
                quantiles: metrics
                    .summary("prometheus_rule_group_duration_seconds", "The duration of rule group evaluations."),
                buckets: metrics.histogram(
                    "prometheus_rule_group_duration_histogram_seconds",
                    "The duration of rule group evaluations, by length.",
                    SECONDS,
                ),
            },
            missed: counters(
                "prometheus_rule_group_iterations_missed_total",
                "Rule group evaluations missed because an earlier one was slow.",
            ),
            scheduled: counters(
                "prometheus_rule_group_iterations_total",
                "Rule group evaluations scheduled, whether executed or missed.",
            ),
            evaluations: counters("prometheus_rule_evaluations_total", "Rule evaluations."),
            failures: counters("prometheus_rule_evaluation_failures_total", "Rule evaluations that failed."),
            with_warnings: counters(
                "aion_rule_evaluations_with_warnings_total",
                "Rule evaluations whose data may have been incomplete.",
            ),
            dropped: counters("aion_rule_samples_dropped_total", "Samples of rules that the storage did not take."),
            interval: gauges("prometheus_rule_group_interval_seconds", "The interval of a rule group."),
            last_evaluation: gauges(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The time of the last rule group evaluation in seconds.",
            ),
            last_seconds: gauges(
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
            ),
            last_restore_seconds: gauges(
                "prometheus_rule_group_last_restore_duration_seconds",
                "The duration of the last restoration of alerts from the series ALERTS_FOR_STATE.",
            ),
            rules: gauges("prometheus_rule_group_rules", "The number of rules."),
            samples: gauges(
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
            ),
        }
    }

    pub(crate) fn group(&self, key: &str, strategy: PartialResponse) -> GroupMetrics {
        let values = &[key, shown(strategy)][..if self.by_strategy { 2 } else { 1 }];
        GroupMetrics {
            missed: self.missed.with(values),
            scheduled: self.scheduled.with(values),
            evaluations: self.evaluations.with(values),
            failures: self.failures.with(values),
            with_warnings: self.with_warnings.with(values),
            dropped: self.dropped.with(values),
            interval: self.interval.with(values),
            last_evaluation: self.last_evaluation.with(values),
            last_seconds: self.last_seconds.with(values),
            last_restore_seconds: self.last_restore_seconds.with(values),
            rules: self.rules.with(values),
            samples: self.samples.with(values),
            all: self.clone(),
        }
    }

    /// A group that is gone has no metrics.
    pub(crate) fn forget(&self, key: &str) {
        let counters =
            [&self.missed, &self.scheduled, &self.evaluations, &self.failures, &self.with_warnings, &self.dropped];
        let gauges = [
            &self.interval,
            &self.last_evaluation,
            &self.last_seconds,
            &self.last_restore_seconds,
            &self.rules,
            &self.samples,
        ];
        for strategy in [PartialResponse::Abort, PartialResponse::Warn] {
            let values = &[key, shown(strategy)][..if self.by_strategy { 2 } else { 1 }];
            for family in counters {
                family.remove(values);
            }
            for family in gauges {
                family.remove(values);
            }
        }
    }
}

fn shown(strategy: PartialResponse) -> &'static str {
    match strategy {
        PartialResponse::Abort => "abort",
        PartialResponse::Warn => "warn",
    }
}
