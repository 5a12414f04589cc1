//! What a metric says of itself, and exemplars.

use labels::Labels;

/// The type in `# TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Not told.
    Unknown,
    /// Goes up, or back to zero.
    Counter,
    /// Goes anywhere.
    Gauge,
    /// Classic or native histogram.
    Histogram,
    /// A histogram of now.
    GaugeHistogram,
    /// Quantiles of the client.
    Summary,
    /// Labels only.
    Info,
    /// One of a set of states.
    StateSet,
}

impl MetricType {
    /// The word used in the exposition format and the HTTP API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// One `# TYPE`/`# HELP`/`# UNIT` of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MetricMetadata {
    /// As the source spells it; unknown words pass through.
    pub metric_type: String,
    /// The help text.
    pub help: String,
    /// The unit, often empty.
    pub unit: String,
}

/// One exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels, such as a trace id.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When, ms.
    pub timestamp_ms: i64,
}

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarSeries {
    /// The series.
    pub labels: Labels,
    /// By time.
    pub exemplars: Vec<Exemplar>,
}
