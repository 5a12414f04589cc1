//! Quantiles of recent durations under the name and labels of Prometheus' own summary, for dashboards that show them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use telemetry::Metrics;

/// Older observations no longer count towards quantiles; Prometheus' summaries forget after the same time.
const AGE_MAX: Duration = Duration::from_secs(600);
/// The most observations kept for quantiles; of more, the last.
const KEPT_MAX: usize = 1024;
const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)];

/// `prometheus_engine_query_duration_seconds`.
#[derive(Debug, Clone, Default)]
pub(crate) struct DurationSummary {
    slices: Arc<Mutex<Vec<(&'static str, Window)>>>,
}

#[derive(Debug, Default)]
struct Window {
    recent: VecDeque<(Instant, f64)>,
    count: i64,
    sum: f64,
}

impl DurationSummary {
    /// A summary shown by `metrics`.
    pub fn register(metrics: &Metrics) -> Self {
        let summary = Self::default();
        metrics.collect(summary.clone());
        summary
    }

    /// Notes one duration of one part of query execution.
    pub fn observe(&self, slice: &'static str, seconds: f64, now: Instant) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let at = slices.iter().position(|(name, _)| *name == slice).unwrap_or_else(|| {
            slices.push((slice, Window::default()));
            slices.len() - 1
        });
        let window = &mut slices[at].1;
        window.forget(now);
        if window.recent.len() == KEPT_MAX {
            window.recent.pop_front();
        }
        window.recent.push_back((now, seconds));
        window.count += 1;
        window.sum += seconds;
    }
}

impl Window {
    fn forget(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > AGE_MAX) {
            self.recent.pop_front();
        }
    }

    /// The values at `QUANTILES`; NaN without observations.
    fn quantiles(&mut self, now: Instant) -> [f64; QUANTILES.len()] {
        self.forget(now);
        let mut values: Vec<f64> = self.recent.iter().map(|(_, v)| *v).collect();
        values.sort_by(f64::total_cmp);
        QUANTILES.map(|(_, q)| {
            let rank = (q * values.len() as f64).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        })
    }
}

impl Collector for DurationSummary {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        const NAME: &str = "prometheus_engine_query_duration_seconds";
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if slices.is_empty() {
            return Ok(());
        }
        // The registry knows no summaries: three families without a type, of which the text makes one.
        let mut family = encoder.encode_descriptor(NAME, "Query timings", None, MetricType::Unknown)?;
        for (slice, window) in slices.iter_mut() {
            for ((quantile, _), value) in QUANTILES.into_iter().zip(window.quantiles(Instant::now())) {
                family.encode_family(&[("quantile", quantile), ("slice", *slice)])?.encode_gauge(&value)?;
            }
        }
        let (sum, count) = (format!("{NAME}_sum"), format!("{NAME}_count"));
        let mut family = encoder.encode_descriptor(&sum, "Query timings, all together", None, MetricType::Unknown)?;
        for (slice, window) in slices.iter() {
            family.encode_family(&[("slice", *slice)])?.encode_gauge(&window.sum)?;
        }
        let mut family = encoder.encode_descriptor(&count, "Query timings noted", None, MetricType::Unknown)?;
        for (slice, window) in slices.iter() {
            family.encode_family(&[("slice", *slice)])?.encode_gauge(&window.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_recent_observations() {
        let metrics = Metrics::new();
        let summary = DurationSummary::register(&metrics);
        let now = Instant::now();
        for i in 1..=100 {
            summary.observe("inner_eval", f64::from(i), now);
        }
        let text = metrics.encode();
        for line in [
            "# TYPE prometheus_engine_query_duration_seconds summary",
            "prometheus_engine_query_duration_seconds{quantile=\"0.5\",slice=\"inner_eval\"} 50.0",
            "prometheus_engine_query_duration_seconds{quantile=\"0.99\",slice=\"inner_eval\"} 99.0",
            "prometheus_engine_query_duration_seconds_sum{slice=\"inner_eval\"} 5050.0",
            "prometheus_engine_query_duration_seconds_count{slice=\"inner_eval\"} 100",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
        assert_eq!(text.matches("# TYPE prometheus_engine_query_duration_seconds").count(), 1, "{text}");
        summary.observe("inner_eval", 7.0, now + AGE_MAX + Duration::from_secs(1));
        let mut slices = summary.slices.lock().unwrap();
        assert_eq!(slices[0].1.quantiles(now), [7.0; 3]);
        assert_eq!(slices[0].1.count, 101);
        assert!(Window::default().quantiles(now)[0].is_nan());
    }
}
