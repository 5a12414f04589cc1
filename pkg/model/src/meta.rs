//! What a metric says of itself, and exemplars.

use labels::Labels;

/// The type in `# TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// The source does not say.
    Unknown,
    /// A value that rises, or falls to zero at a reset.
    Counter,
    /// A value that may rise and fall.
    Gauge,
    /// Counts of observations by bucket, classic or native, since the start.
    Histogram,
    /// Counts of a current state by bucket, which may fall.
    GaugeHistogram,
    /// Quantiles that the client computed.
    Summary,
    /// A constant 1 whose labels are the information.
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
    /// What the metric measures, for people.
    pub help: String,
    /// The unit, such as `seconds`; mostly empty.
    pub unit: String,
}

/// One observation that stands for others, with a link to a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels, such as a trace id.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed, ms since the epoch.
    pub timestamp_ms: i64,
}

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarSeries {
    /// The labels of the series.
    pub labels: Labels,
    /// Its exemplars, ascending by time.
    pub exemplars: Vec<Exemplar>,
}
