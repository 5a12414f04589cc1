//! Queries at work, as metrics: those that dashboards for Thanos and Prometheus ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use promql::{QueryError, QueryResult};
use telemetry::{Counter, CounterVec, Gauge, Histogram, HistogramVec, Metrics, exponential_buckets};

use crate::summary::DurationSummary;

#[derive(Debug, Clone)]
pub(crate) struct ActiveQueries {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    count: AtomicU64,
    /// How many the engine lets run at one time; 0 = any number.
    max: u64,
    queries: Gauge,
    in_flight: Gauge,
    gate_duration: Histogram,
    durations: HistogramVec,
    summary: DurationSummary,
    samples: Counter,
    samples_read: Counter,
    failures: CounterVec,
    ranges: Histogram,
}

impl ActiveQueries {
    pub fn new(metrics: &Metrics, max_concurrent: usize) -> Self {
        let max = max_concurrent as u64;
        let shown_max = if max == 0 { -1.0 } else { max as f64 };
        metrics.gauge("thanos_query_concurrent_gate_queries_max", "Queries that may run at one time.").set(shown_max);
        metrics.gauge("prometheus_engine_queries_concurrent_max", "Queries that may run at one time.").set(shown_max);
        let inner = Inner {
            count: AtomicU64::new(0),
            max,
            queries: metrics.gauge("prometheus_engine_queries", "Queries running or waiting."),
            in_flight: metrics.gauge("thanos_query_concurrent_gate_queries_in_flight", "Queries running."),
            gate_duration: metrics.histogram(
                "thanos_query_concurrent_gate_duration_seconds",
                "How long queries waited for their turn.",
                &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0],
            ),
            durations: metrics.histograms(
                "prometheus_engine_query_duration_histogram_seconds",
                "How long the parts of query execution took.",
                &["slice"],
                &[0.01, 0.1, 1.0, 10.0],
            ),
            summary: DurationSummary::register(metrics),
            samples: metrics.counter("prometheus_engine_query_samples_total", "Samples that steps looked at."),
            samples_read: metrics.counter("prometheus_engine_query_samples_read_total", "Samples decoded."),
            failures: metrics.counters("aion_query_failures_total", "Failed queries.", &["type"]),
            ranges: metrics.histogram(
                "thanos_query_range_requested_timespan_duration_seconds",
                "The length of time that range queries are over.",
                &exponential_buckets(900.0, 2.0, 12),
            ),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A range query over `length_ms` has come in.
    pub fn requested_range(&self, length_ms: i64) {
        self.inner.ranges.observe(length_ms as f64 / 1000.0);
    }

    /// A query begins; it ends when the guard is dropped.
    pub fn start(&self) -> Running {
        self.show(self.inner.count.fetch_add(1, Ordering::SeqCst) + 1);
        Running { active: self.clone(), began: Instant::now() }
    }

    fn show(&self, count: u64) {
        self.inner.queries.set(count as f64);
        let running = if self.inner.max == 0 { count } else { count.min(self.inner.max) };
        self.inner.in_flight.set(running as f64);
    }
}

#[derive(Debug)]
pub(crate) struct Running {
    active: ActiveQueries,
    began: Instant,
}

impl Running {
    /// Counts the end of the query, by its outcome.
    pub fn end(self, outcome: Result<QueryResult, QueryError>) -> Result<QueryResult, QueryError> {
        let inner = &self.active.inner;
        match &outcome {
            Ok(result) => {
                let stats = &result.stats;
                for (slice, seconds) in [
                    ("queue_time", stats.queue_seconds),
                    ("prepare_time", stats.prepare_seconds),
                    ("inner_eval", stats.eval_seconds),
                ] {
                    inner.durations.with(&[slice]).observe(seconds);
                    inner.summary.observe(slice, seconds, Instant::now());
                }
                inner.gate_duration.observe(stats.queue_seconds);
                inner.samples.inc_by(stats.total_samples);
                inner.samples_read.inc_by(stats.decoded_samples);
            }
            Err(e) => {
                inner.failures.with(&[e.error_type()]).inc();
                if !matches!(e, QueryError::Parse(_) | QueryError::Bad(_) | QueryError::Canceled(_)) {
                    let seconds = self.began.elapsed().as_secs_f64();
                    tracing::debug!(error = %e, seconds, "query failed");
                }
            }
        }
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.active.show(self.active.inner.count.fetch_sub(1, Ordering::SeqCst).saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_those_running_and_those_waiting() {
        let metrics = Metrics::new();
        let active = ActiveQueries::new(&metrics, 1);
        let a = active.start();
        let b = active.start();
        let text = metrics.encode();
        assert!(text.contains("prometheus_engine_queries 2.0\n"), "{text}");
        assert!(text.contains("thanos_query_concurrent_gate_queries_in_flight 1.0\n"), "{text}");
        assert!(text.contains("thanos_query_concurrent_gate_queries_max 1.0\n"), "{text}");
        drop((a, b));
        assert!(metrics.encode().contains("thanos_query_concurrent_gate_queries_in_flight 0.0\n"));
    }
}
