//! The registry, passed by parameter.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::env::consts::{ARCH, OS};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::build::BuildInfo;
use crate::summary::{Summary, SummaryVec};
use crate::text;
use crate::vec::{
    Buckets, Counter, CounterVec, FloatCounter, FloatCounterVec, Gauge, GaugeVec, HistogramVec, LabelSet, Names,
};

/// A handle on the process' metrics. Clones and [`with_labels`](Self::with_labels) views share one registry.
///
/// Asking for a name twice gives the same family, so two parts of a program may count into one metric.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    shared: Arc<Mutex<Shared>>,
    constant: Arc<LabelSet>,
    build: BuildInfo,
}

#[derive(Debug, Default)]
struct Shared {
    registry: Registry,
    families: HashMap<String, Box<dyn Any + Send>>,
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A view whose metrics all carry `labels` besides their own.
    #[must_use]
    pub fn with_labels(&self, labels: &[(&str, &str)]) -> Self {
        let mut constant = (*self.constant).clone();
        constant.extend(labels.iter().map(|(n, v)| (Cow::Owned((*n).to_owned()), (*v).to_owned())));
        Self { shared: self.shared.clone(), constant: Arc::new(constant), build: self.build }
    }

    /// The registry of the program `build`, with `aion_build_info` and, with the labels dashboards know,
    /// `thanos_build_info`; both are always 1.
    pub fn of_program(build: BuildInfo) -> Self {
        let metrics = Self { build, ..Self::default() };
        let values = [build.version, build.revision, build.branch, build.rustc, OS, ARCH];
        let labels = &["version", "revision", "branch", "rustc", "os", "arch"];
        metrics.gauges("aion_build_info", "The running program.", labels).with(&values).set(1.0);
        // `goversion` names the compiler, whichever it is: dashboards join on the label's presence.
        let labels = &["version", "revision", "branch", "goversion", "goos", "goarch"];
        let help = "The running program, under the name Thanos' dashboards ask for.";
        metrics.gauges("thanos_build_info", help, labels).with(&values).set(1.0);
        metrics
    }

    /// The program whose metrics these are.
    pub fn build(&self) -> BuildInfo {
        self.build
    }

    /// A counter without labels. `name` ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counters(name, help, &[]).with(&[])
    }

    /// Counters with the label names `labels`.
    pub fn counters(&self, name: &str, help: &str, labels: &'static [&'static str]) -> CounterVec {
        let make: fn() -> Counter = Counter::default;
        CounterVec {
            names: self.names(labels),
            family: self.family(bare(name), help, || Family::new_with_constructor(make)),
        }
    }

    /// Counters of fractions (seconds) with the label names `labels`.
    pub fn float_counters(&self, name: &str, help: &str, labels: &'static [&'static str]) -> FloatCounterVec {
        let make: fn() -> FloatCounter = FloatCounter::default;
        FloatCounterVec {
            names: self.names(labels),
            family: self.family(bare(name), help, || Family::new_with_constructor(make)),
        }
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauges(name, help, &[]).with(&[])
    }

    /// Gauges with the label names `labels`.
    pub fn gauges(&self, name: &str, help: &str, labels: &'static [&'static str]) -> GaugeVec {
        let make: fn() -> Gauge = Gauge::default;
        GaugeVec { names: self.names(labels), family: self.family(name, help, || Family::new_with_constructor(make)) }
    }

    /// A histogram without labels; `buckets` are upper bounds, ascending, without +Inf.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.histograms(name, help, &[], buckets).with(&[])
    }

    /// Histograms with the label names `labels`. The first registration's buckets hold.
    pub fn histograms(&self, name: &str, help: &str, labels: &'static [&'static str], buckets: &[f64]) -> HistogramVec {
        let make = || Family::new_with_constructor(Buckets(buckets.into()));
        HistogramVec { names: self.names(labels), family: self.family(name, help, make) }
    }

    /// Quantiles of the last ten minutes, without labels. To be asked for once.
    pub fn summary(&self, name: &'static str, help: &'static str) -> Summary {
        self.summaries(name, help, "").with("")
    }

    /// Quantiles of the last ten minutes, for each value of `label`. To be asked for once.
    pub fn summaries(&self, name: &'static str, help: &'static str, label: &'static str) -> SummaryVec {
        SummaryVec::register(self, name, help, label)
    }

    /// Adds metrics that are read when scraped.
    pub fn collect(&self, collector: impl Collector) {
        self.shared.lock().registry.register_collector(Box::new(collector));
    }

    /// All metrics in Prometheus' text format, to be served as [`CONTENT_TYPE`](crate::CONTENT_TYPE).
    pub fn encode(&self) -> String {
        text::from_openmetrics(&self.encode_openmetrics())
    }

    /// All metrics as OpenMetrics 1.0 text.
    pub fn encode_openmetrics(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail; a collector that refuses loses its own lines only.
        if prometheus_client::encoding::text::encode(&mut out, &self.shared.lock().registry).is_err() {
            tracing::warn!("a metrics collector failed, its metrics are missing");
        }
        out
    }

    fn names(&self, variable: &'static [&'static str]) -> Names {
        Names { constant: self.constant.clone(), variable }
    }

    fn family<M: Metric + Clone + Send>(&self, name: &str, help: &str, make: impl FnOnce() -> M) -> M {
        let mut shared = self.shared.lock();
        if let Some(there) = shared.families.get(name) {
            if let Some(family) = there.downcast_ref::<M>() {
                return family.clone();
            }
            // Two kinds under one name would make the whole page invalid; the second is counted but not shown.
            tracing::error!(name, "metric registered twice with different kinds");
            return make();
        }
        let family = make();
        // The encoder ends help texts with a full stop of its own.
        shared.registry.register(name, help.trim_end_matches('.'), family.clone());
        shared.families.insert(name.to_owned(), Box::new(family.clone()));
        family
    }
}

/// The encoder appends `_total` to counters.
fn bare(name: &str) -> &str {
    debug_assert!(name.ends_with("_total"), "counter {name} does not end in _total");
    name.strip_suffix("_total").unwrap_or(name)
}

/// `count` bounds from `start`, each `factor` times the one before.
pub fn exponential_buckets(start: f64, factor: f64, count: u16) -> Vec<f64> {
    prometheus_client::metrics::histogram::exponential_buckets(start, factor, count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_known_to_all_views() {
        let build = BuildInfo { version: "1.2.3", revision: "abc", branch: "main", rustc: "1.95.0" };
        let metrics = Metrics::of_program(build);
        assert_eq!(metrics.with_labels(&[("component", "store")]).build(), build);
        assert_eq!(Metrics::new().build(), BuildInfo::default());
        let text = metrics.encode();
        for start in ["aion_build_info{version=\"1.2.3\",revision=\"abc\"", "thanos_build_info{version=\"1.2.3\""] {
            assert!(text.contains(start), "{text}");
        }
    }

    #[test]
    fn one_family_whoever_asks() {
        let all = Metrics::new();
        let a = all.with_labels(&[("bucket", "a")]);
        let b = all.with_labels(&[("bucket", "b")]);
        a.counters("x_total", "Help.", &["op"]).with(&["get"]).inc_by(2);
        a.counters("x_total", "Help.", &["op"]).with(&["get"]).inc();
        b.counters("x_total", "Help.", &["op"]).with(&["get"]).inc();
        let text = all.encode();
        assert_eq!(text.matches("# TYPE x_total counter").count(), 1, "{text}");
        assert!(text.contains("x_total{bucket=\"a\",op=\"get\"} 3\n"), "{text}");
        assert!(text.contains("x_total{bucket=\"b\",op=\"get\"} 1\n"), "{text}");
    }

    #[test]
    fn values_that_are_no_numbers() {
        let m = Metrics::new();
        for (name, value) in [("a", f64::INFINITY), ("b", f64::NEG_INFINITY), ("c", f64::NAN)] {
            m.gauge(name, "Help.").set(value);
        }
        let text = m.encode();
        for line in ["\na +Inf\n", "\nb -Inf\n", "\nc NaN\n"] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn whole_page() {
        let m = Metrics::new();
        m.gauge("up", "Is it up.").set(1.0);
        m.histogram("d_seconds", "How long", &[0.1, 1.0]).observe(0.5);
        assert_eq!(
            m.encode(),
            "# HELP up Is it up.\n# TYPE up gauge\nup 1.0\n# HELP d_seconds How long.\n# TYPE d_seconds histogram\n\
             d_seconds_sum 0.5\nd_seconds_count 1\nd_seconds_bucket{le=\"0.1\"} 0\nd_seconds_bucket{le=\"1.0\"} 1\n\
             d_seconds_bucket{le=\"+Inf\"} 1\n"
        );
    }
}
