//! Summaries: quantiles of the last ten minutes, under the names and labels of Prometheus' own.
//!
//! Values are counted in buckets, each 0.02 % wider than the one below, so that a quantile is right to that. Values that are
//! spread so far that there would be too many buckets get coarser ones. The library for metrics knows no type of this kind:
//! the series say that theirs is unknown.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::{Duration, Instant};

use crate::Metrics;

/// As text, since it is a label's value.
const QUANTILES: [(&str, f64); 5] = [("0.01", 0.01), ("0.05", 0.05), ("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)];
/// Values are forgotten in parts of this age.
const PART_AGE: Duration = Duration::from_secs(120);
const PARTS: usize = 5;
/// Logarithm of the ratio of two neighbouring bounds.
const STEP: f64 = 0.0002;
/// Buckets of a part.
const BUCKETS_MAX: usize = 1024;
/// Smaller values count as this one.
const LEAST: f64 = 1e-9;

/// Summaries of one name, told apart by one label. See [`Metrics::summaries`].
#[derive(Debug, Clone)]
pub struct SummaryVec {
    /// Empty for a summary without a label.
    label: &'static str,
    all: Arc<Mutex<BTreeMap<String, Summary>>>,
}

/// Quantiles, sum and count of values. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Summary(Arc<Mutex<Values>>);

#[derive(Debug, Default)]
struct Values {
    count: u64,
    sum: f64,
    /// The newest one last.
    parts: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    began: Instant,
    buckets: BTreeMap<i32, u64>,
    /// How often the buckets became twice as wide.
    widened: u32,
}

impl SummaryVec {
    pub(crate) fn register(metrics: &Metrics, name: &'static str, help: &'static str, label: &'static str) -> Self {
        let this = Self { label, all: Arc::default() };
        metrics.collect(Shown { name, help, vec: this.clone() });
        this
    }

    /// The one of a value of the label.
    pub fn with(&self, value: &str) -> Summary {
        self.all.lock().entry(value.to_owned()).or_default().clone()
    }

    /// Forgets the one of a value of the label.
    pub fn remove(&self, value: &str) {
        self.all.lock().remove(value);
    }
}

impl Summary {
    /// Takes a value.
    pub fn observe(&self, value: f64) {
        let mut values = self.0.lock();
        values.count += 1;
        values.sum += value;
        values.current().add(value);
    }
}

impl Values {
    /// The part that takes values now; what is too old is forgotten.
    fn current(&mut self) -> &mut Part {
        let now = Instant::now();
        self.forget(now);
        let part = match self.parts.pop_back() {
            Some(part) if now - part.began < PART_AGE => part,
            full => {
                self.parts.extend(full);
                Part { began: now, buckets: BTreeMap::new(), widened: 0 }
            }
        };
        self.parts.push_back(part);
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    fn forget(&mut self, now: Instant) {
        while self.parts.front().is_some_and(|part| now - part.began >= PART_AGE * PARTS as u32) {
            self.parts.pop_front();
        }
    }

    /// The values at these shares of all; NaN where there is none.
    fn quantiles(&mut self) -> [f64; QUANTILES.len()] {
        self.forget(Instant::now());
        let mut all: Vec<(f64, u64)> = self.parts.iter().flat_map(Part::values).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count: u64 = all.iter().map(|(_, count)| count).sum();
        QUANTILES.map(|(_, share)| {
            let mut before = (count as f64 * share).ceil().max(1.0) as u64;
            let reached = all.iter().find(|(_, here)| {
                let is_here = *here >= before;
                before = before.saturating_sub(*here);
                is_here
            });
            reached.map_or(f64::NAN, |(value, _)| *value)
        })
    }
}

impl Part {
    fn add(&mut self, value: f64) {
        let index = (value.max(LEAST).ln() / STEP).round() as i32;
        *self.buckets.entry(index >> self.widened).or_default() += 1;
        while self.buckets.len() > BUCKETS_MAX {
            self.widened += 1;
            let mut wider = BTreeMap::new();
            for (index, count) in &self.buckets {
                *wider.entry(index >> 1).or_default() += count;
            }
            self.buckets = wider;
        }
    }

    fn values(&self) -> impl Iterator<Item = (f64, u64)> {
        // In the middle of the narrow buckets that were put together.
        let middle = f64::from((1 << self.widened) - 1) / 2.0;
        let value = move |index: i32| ((f64::from(index << self.widened) + middle) * STEP).exp();
        self.buckets.iter().map(move |(index, count)| (value(*index), *count))
    }
}

struct Shown {
    name: &'static str,
    help: &'static str,
    vec: SummaryVec,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all: Vec<(String, Summary)> =
            self.vec.all.lock().iter().map(|(value, summary)| (value.clone(), summary.clone())).collect();
        let label = self.vec.label;
        let mut family = encoder.encode_descriptor(self.name, self.help, None, MetricType::Unknown)?;
        for (value, summary) in &all {
            let quantiles = summary.0.lock().quantiles();
            for ((quantile, _), found) in QUANTILES.iter().zip(quantiles) {
                let labels = [(label, value.as_str()), ("quantile", *quantile)];
                ConstGauge::new(found).encode(family.encode_family(&named(&labels))?)?;
            }
        }
        for (suffix, help) in [("sum", "Sum of all"), ("count", "How many there were")] {
            let name = format!("{}_{suffix}", self.name);
            let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Unknown)?;
            for (value, summary) in &all {
                let all = [(label, value.as_str())];
                let labels = named(&all);
                let encoder = family.encode_family(&labels)?;
                let (count, sum) = {
                    let values = summary.0.lock();
                    (values.count, values.sum)
                };
                match suffix {
                    "sum" => ConstGauge::new(sum).encode(encoder)?,
                    _ => ConstGauge::new(count).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}

/// Without the label of a summary that has none.
fn named<'a>(labels: &'a [(&'static str, &'a str)]) -> &'a [(&'static str, &'a str)] {
    labels.first().filter(|(label, _)| label.is_empty()).map_or(labels, |_| &labels[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(summary: &Summary) -> [f64; 5] {
        summary.0.lock().quantiles()
    }

    #[tokio::test(start_paused = true)]
    async fn quantiles_of_ten_minutes() {
        let summary = Summary::default();
        assert!(quantiles(&summary).iter().all(|q| q.is_nan()));
        for i in 1..=100 {
            summary.observe(f64::from(i));
        }
        let got = quantiles(&summary);
        for (got, want) in got.iter().zip([1.0, 5.0, 50.0, 90.0, 99.0]) {
            assert!((got / want - 1.0).abs() < 0.0002, "{got} {want}");
        }
        tokio::time::advance(Duration::from_secs(590)).await;
        summary.observe(1000.0);
        assert!((quantiles(&summary)[2] / 51.0 - 1.0).abs() < 0.0002, "all of them are kept");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!((quantiles(&summary)[0] / 1000.0 - 1.0).abs() < 0.0002, "the old ones are gone");
        assert_eq!(summary.0.lock().count, 101);
    }

    #[tokio::test(start_paused = true)]
    async fn spread_values_take_no_more_memory() {
        let summary = Summary::default();
        for i in 1..20_000 {
            summary.observe(f64::from(i) / 100.0);
        }
        let got = quantiles(&summary);
        assert!((got[2] / 100.0 - 1.0).abs() < 0.01 && (got[4] / 198.0 - 1.0).abs() < 0.01, "{got:?}");
        assert!(summary.0.lock().parts.iter().all(|part| part.buckets.len() <= BUCKETS_MAX));
        summary.observe(0.0);
        summary.observe(f64::NAN);
    }

    #[tokio::test(start_paused = true)]
    async fn shown_as_prometheus_names_them() {
        let metrics = Metrics::new();
        let all = metrics.summaries("a_seconds", "Help", "interval");
        metrics.summary("b_seconds", "Help").observe(3.0);
        all.with("15s").observe(2.0);
        all.with("15s").observe(4.0);
        all.with("1m").observe(1.0);
        all.remove("1m");
        let text = metrics.encode();
        for line in
            ["a_seconds_sum{interval=\"15s\"} 6.0\n", "a_seconds_count{interval=\"15s\"} 2\n", "b_seconds_sum 3.0\n"]
        {
            assert!(text.contains(line), "{text}");
        }
        for (series, near) in
            [("a_seconds{interval=\"15s\",quantile=\"0.5\"} ", 2.0), ("b_seconds{quantile=\"0.99\"} ", 3.0)]
        {
            let value = text.lines().find_map(|l| l.strip_prefix(series)).unwrap();
            assert!((value.parse::<f64>().unwrap() / near - 1.0).abs() < 0.0002, "{text}");
        }
        assert!(!text.contains("1m"), "{text}");
    }
}
