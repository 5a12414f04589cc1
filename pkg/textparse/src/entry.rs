//! What a parser finds in a body.

use std::borrow::Cow;
use std::sync::Arc;

use histogram::{FloatHistogram, Histogram};
use labels::{BUCKET_LABEL, Labels, QUANTILE_LABEL};
use model::MetricType;

use crate::escape::unescape;
use crate::number::normalised;

/// One thing of a body, in the body's order.
#[derive(Debug, Clone)]
pub enum Entry<'a> {
    /// The type of the family whose samples follow.
    Type {
        /// The family's name.
        family: Cow<'a, str>,
        /// What the body calls it.
        metric_type: MetricType,
    },
    /// What the family measures, for people.
    Help {
        /// The family's name.
        family: Cow<'a, str>,
        /// The text, without escapes.
        text: Cow<'a, str>,
    },
    /// The unit of the family.
    Unit {
        /// The family's name.
        family: Cow<'a, str>,
        /// The unit; may be empty.
        unit: Cow<'a, str>,
    },
    /// A float of a series.
    Sample(Sample<'a>),
    /// A native histogram of a series.
    Histogram(HistogramEntry<'a>),
    /// A line that says nothing to machines. Only the old text format has such lines.
    Comment,
}

/// A float sample.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Whose sample it is.
    pub series: Series<'a>,
    /// The value; every NaN is Prometheus' normal one, never the stale marker.
    pub value: f64,
    /// The time that the target gives, ms since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Since when the value accumulates, ms since the epoch; 0 = unknown.
    pub start_ms: i64,
    /// Exemplars, if they were asked for.
    pub exemplars: &'a [Exemplar],
}

/// A native histogram.
#[derive(Debug, Clone, Copy)]
pub struct HistogramEntry<'a> {
    /// Whose histogram it is.
    pub series: Series<'a>,
    /// The histogram, without empty buckets.
    pub value: &'a NativeHistogram,
    /// As in [`Sample`].
    pub timestamp_ms: Option<i64>,
    /// As in [`Sample`].
    pub start_ms: i64,
    /// As in [`Sample`]. Those without a time are left out.
    pub exemplars: &'a [Exemplar],
}

/// A native histogram of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum NativeHistogram {
    /// With integer counts.
    Int(Arc<Histogram>),
    /// With float counts.
    Float(Arc<FloatHistogram>),
}

/// An exemplar as a target shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed, ms since the epoch, if the target says so.
    pub timestamp_ms: Option<i64>,
}

/// A part of a series' bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where a label's name and value stand in a series' bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LabelSpan {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// A series as it stands in a body.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) name: Span,
    pub(crate) labels: &'a [LabelSpan],
    /// Whether backslashes stand for other characters.
    pub(crate) has_escapes: bool,
    /// The type of the family above it, which says which label is a bound.
    pub(crate) family_type: MetricType,
}

impl<'a> Series<'a> {
    /// Bytes that name the series: two series of one body with equal bytes are one, and a target mostly writes a series
    /// with the same bytes at each scrape.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        self.bytes
    }

    /// The metric's name.
    pub fn name(&self) -> Cow<'a, str> {
        self.part(self.name)
    }

    /// The labels without the metric's name, in the order of the body. Bounds of histograms (`le`) and summaries
    /// (`quantile`) are written as OpenMetrics does it, so that `1` and `1.0` are one series.
    pub fn labels(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        let series = *self;
        let bound = match series.family_type {
            MetricType::Histogram => BUCKET_LABEL,
            MetricType::Summary => QUANTILE_LABEL,
            _ => "",
        };
        series.labels.iter().map(move |label| {
            let (name, mut value) = (series.part(label.name), series.part(label.value));
            if name == bound
                && let Some(normalised) = normalised(&value)
            {
                value = Cow::Owned(normalised);
            }
            (name, value)
        })
    }

    /// How many labels there are beside the metric's name.
    pub fn label_count(&self) -> usize {
        self.labels.len()
    }

    /// The parsers have checked that names and values are UTF-8.
    fn part(&self, span: Span) -> Cow<'a, str> {
        let text = String::from_utf8_lossy(span.of(self.bytes));
        if self.has_escapes { unescape(text, true) } else { text }
    }
}
