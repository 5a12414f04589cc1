//! Annotations of a query: warnings and infos in Prometheus' words, with places. Equal ones merge.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use labels::Labels;
use model::{Annotation, Annotations, Severity, format_duration, format_rfc3339_ms};
use promql_syntax::Span;

use crate::go_float::{format_g, format_g2};
use crate::notes::{Note, Notes};

/// Collects annotations while a query runs. One text counts once, at the last place in the query that gave rise to it, as
/// in Prometheus.
#[derive(Debug)]
pub(crate) struct QueryAnnotations {
    query: Arc<str>,
    sources: Annotations,
    found: BTreeMap<(Severity, String), Span>,
    forced: BTreeMap<String, (Span, Forced)>,
    /// By metric: in how many windows start times overlap samples.
    overlaps: BTreeMap<String, (Span, u64)>,
}

/// Histogram buckets that had to be made monotonic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forced {
    pub min_time: i64,
    pub max_time: i64,
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
    pub count: u64,
}

impl QueryAnnotations {
    pub fn new(query: &str) -> Self {
        Self {
            query: query.into(),
            sources: Annotations::new(),
            found: BTreeMap::new(),
            forced: BTreeMap::new(),
            overlaps: BTreeMap::new(),
        }
    }

    /// None yet, of the same query.
    pub fn fresh(&self) -> Self {
        Self {
            query: self.query.clone(),
            sources: Annotations::new(),
            found: BTreeMap::new(),
            forced: BTreeMap::new(),
            overlaps: BTreeMap::new(),
        }
    }

    /// Takes those that were collected elsewhere for the same query.
    pub fn absorb(&mut self, other: Self) {
        self.sources.merge(other.sources);
        for ((severity, text), span) in other.found {
            self.add(severity, format_args!("{text}"), span);
        }
        for (metric, (span, forced)) in other.forced {
            self.forced_monotonic(&metric, forced, span);
        }
        for (metric, (span, count)) in other.overlaps {
            self.overlapping(metric, count, span);
        }
    }

    fn overlapping(&mut self, metric: String, count: u64, span: Span) {
        let counted = self.overlaps.entry(metric).or_insert((span, 0));
        counted.0 = if span.start > counted.0.start { span } else { counted.0 };
        counted.1 += count;
    }

    fn warn(&mut self, text: std::fmt::Arguments<'_>, span: Span) {
        self.add(Severity::Warning, text, span);
    }

    fn info(&mut self, text: std::fmt::Arguments<'_>, span: Span) {
        self.add(Severity::Info, text, span);
    }

    fn add(&mut self, severity: Severity, text: std::fmt::Arguments<'_>, span: Span) {
        if self.found.len() >= Annotations::KEPT_MAX {
            return;
        }
        let place = self.found.entry((severity, text.to_string())).or_insert(span);
        if span.start > place.start {
            *place = span;
        }
    }

    /// What a source said of itself.
    pub fn source_warning(&mut self, text: String) {
        self.sources.warn(cut(&text, WARNING_MAX));
    }

    pub fn bad_quantile(&mut self, q: f64, span: Span) {
        self.warn(format_args!("quantile value should be between 0 and 1, got {}", format_g(q)), span);
    }

    pub fn bad_ratio(&mut self, r: f64, capped: f64, span: Span) {
        let (r, capped) = (format_g(r), format_g(capped));
        self.warn(format_args!("ratio value should be between -1 and 1, got {r}, capping to {capped}"), span);
    }

    pub fn bad_bucket(&mut self, metric: &str, value: &str, span: Span) {
        let (of, value) = (for_metric(metric), shown(value));
        self.warn(format_args!("bucket label \"le\" is missing or has a malformed value of {value:?}{of}"), span);
    }

    pub fn sort_in_range(&mut self, span: Span) {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        self.warn(format_args!("{text}"), span);
    }

    pub fn maybe_no_counter(&mut self, metric: &str, span: Span) {
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        self.info(format_args!("{text} {:?}", shown(metric)), span);
    }

    pub fn maybe_no_counter_type(&mut self, metric: &str, of_type: &str, span: Span) {
        let text = "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"";
        self.info(format_args!("{text}, got {:?}: {:?}", shown(of_type), shown(metric)), span);
    }

    pub fn histograms_unread(&mut self, metric: &str, span: Span) {
        let of = for_metric(metric);
        self.warn(format_args!("downsampled native histograms were left out, they are not evaluated yet{of}"), span);
    }

    /// All of `notes`, about one metric.
    pub fn notes(&mut self, notes: Notes, metric: &str, span: Span) {
        if notes.is_empty() {
            return;
        }
        for note in Note::ALL.into_iter().filter(|note| notes.has(*note)) {
            self.note(note, metric, span);
        }
        if notes.overlaps > 0 {
            self.overlapping(shown(metric).into_owned(), notes.overlaps, span);
        }
    }

    fn note(&mut self, note: Note, metric: &str, span: Span) {
        let metric = shown(metric);
        let mixed = "encountered a mix of histograms and floats for";
        let reconciled = "mismatched custom buckets were reconciled during";
        let colliding = "conflicting counter resets during histogram";
        match note {
            Note::MixedRange => self.warn(format_args!("{mixed} metric name {metric:?}"), span),
            Note::MixedGroup => self.warn(format_args!("{mixed} aggregation"), span),
            Note::NotCounter => {
                self.warn(format_args!("this native histogram metric is not a counter: {metric:?}"), span);
            }
            Note::NotGauge => {
                self.warn(format_args!("this native histogram metric is not a gauge: {metric:?}"), span);
            }
            Note::MixedSchemas => self.warn(
                format_args!(
                    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name \
                     {metric:?}"
                ),
                span,
            ),
            Note::ReconciledAddition => self.info(format_args!("{reconciled} addition"), span),
            Note::ReconciledSubtraction => self.info(format_args!("{reconciled} subtraction"), span),
            Note::ReconciledAggregation => self.info(format_args!("{reconciled} aggregation"), span),
            Note::CollidingAddition => self.warn(format_args!("{colliding} addition"), span),
            Note::CollidingSubtraction => self.warn(format_args!("{colliding} subtraction"), span),
            Note::CollidingAggregation => self.warn(format_args!("{colliding} aggregation"), span),
            Note::IgnoredInRange => self.info(
                format_args!(
                    "ignored histograms in a range containing both floats and histograms for metric name {metric:?}"
                ),
                span,
            ),
        }
    }

    /// An aggregation has no use for histograms.
    pub fn histogram_ignored(&mut self, aggregation: &str, span: Span) {
        self.info(format_args!("ignored histogram in {aggregation} aggregation"), span);
    }

    /// An operator that is not for samples of these kinds.
    pub fn incompatible_types(&mut self, left: &str, op: &str, right: &str, span: Span) {
        let text = "incompatible sample types encountered for binary operator";
        self.info(format_args!("{text} {op:?}: {left} {op} {right}"), span);
    }

    /// An operator between custom and exponential buckets.
    pub fn incompatible_buckets(&mut self, op: &str, span: Span) {
        self.warn(format_args!("incompatible bucket layout encountered for binary operator {op}"), span);
    }

    /// Classic and native histograms of one name and labels.
    pub fn classic_and_native(&mut self, metric: &str, span: Span) {
        let of = for_metric(metric);
        self.warn(format_args!("vector contains a mix of classic and native histograms{of}"), span);
    }

    /// Observations of NaN make a quantile NaN, or larger than it is.
    pub fn quantile_of_nans(&mut self, is_nan: bool, metric: &str, span: Span) {
        let (what, of) = (if is_nan { "NaN" } else { "skewed higher" }, for_metric(metric));
        self.info(format_args!("input to histogram_quantile has NaN observations, result is {what}{of}"), span);
    }

    /// Observations of NaN are in no share.
    pub fn fraction_of_nans(&mut self, metric: &str, span: Span) {
        let of = for_metric(metric);
        self.info(
            format_args!("input to histogram_fraction has NaN observations, which are excluded from all fractions{of}"),
            span,
        );
    }

    pub fn long_windows(&mut self, range_ms: i64, resolution_ms: i64, span: Span) {
        let (range, resolution) = (format_duration(range_ms), format_duration(resolution_ms));
        self.info(
            format_args!(
                "some data is downsampled to {resolution}, too coarse for a range of {range}: wider windows were taken, and \
                 scaled"
            ),
            span,
        );
    }

    pub fn forced_monotonic(&mut self, metric: &str, forced: Forced, span: Span) {
        let metric = &*shown(metric);
        let is_full = self.forced.len() >= Annotations::KEPT_MAX;
        match self.forced.get_mut(metric) {
            None if is_full => {}
            None => {
                self.forced.insert(metric.to_owned(), (span, forced));
            }
            Some((place, f)) => {
                if span.start > place.start {
                    *place = span;
                }
                f.min_time = f.min_time.min(forced.min_time);
                f.max_time = f.max_time.max(forced.max_time);
                f.min_bucket = f.min_bucket.min(forced.min_bucket);
                f.max_bucket = f.max_bucket.max(forced.max_bucket);
                f.max_diff = f.max_diff.max(forced.max_diff);
                f.count += forced.count;
            }
        }
    }

    /// All annotations, each with its place.
    pub fn finish(mut self) -> Annotations {
        for (metric, (place, f)) in std::mem::take(&mut self.forced) {
            let of = for_metric(&metric);
            let seconds = |ms: i64| format_rfc3339_ms(ms / 1000 * 1000);
            let (from, to) = (seconds(f.min_time), seconds(f.max_time));
            let (low, high, diff) = (format_g(f.min_bucket), format_g(f.max_bucket), format_g2(f.max_diff));
            self.info(
                format_args!(
                    "input to histogram_quantile needed to be fixed for monotonicity (see \
                     https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){of}, from \
                     buckets {low} to {high}, with a max diff of {diff}, over {} samples from {from} to {to}",
                    f.count
                ),
                place,
            );
        }
        for (metric, (place, count)) in std::mem::take(&mut self.overlaps) {
            let times = if count > 1 { format!(" ({count} occurrences)") } else { String::new() };
            let text = "sample has start time that overlaps with previous sample timestamp for metric";
            self.warn(format_args!("{text} {metric:?}{times}"), place);
        }
        let mut all = self.sources;
        for ((severity, text), span) in self.found {
            let at = position(&self.query, span);
            let class = if severity == Severity::Warning { "warning" } else { "info" };
            all.add(Annotation { severity, text: format!("PromQL {class}: {text} ({at})") });
        }
        all
    }
}

/// `span` of the query as annotations name places.
pub(crate) fn position(query: &str, span: Span) -> String {
    let start = span.start;
    if start > query.len() {
        return "invalid position".to_owned();
    }
    let before = &query.as_bytes()[..start];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    format!("{line}:{column}")
}

fn for_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {:?}", shown(metric)) }
}

/// The longest piece of data that an annotation or an error repeats, bytes.
const SHOWN_MAX: usize = 1024;
/// The longest warning of a source that is passed on, bytes.
const WARNING_MAX: usize = 16 << 10;
/// The most labels of a series that an error shows.
const LABELS_SHOWN_MAX: usize = 64;

/// `text` as annotations and errors show it: what is long is cut.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    cut(text, SHOWN_MAX)
}

fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}… ({} bytes)", &text[..text.floor_char_boundary(max)], text.len()))
}

/// The series as errors show it.
pub(crate) fn shown_labels(labels: &Labels) -> String {
    if labels.size_bytes() <= SHOWN_MAX {
        return labels.to_string();
    }
    let pairs = labels.iter().take(LABELS_SHOWN_MAX).map(|(name, value)| (shown(name), shown(value)));
    Labels::from_pairs(pairs).to_string()
}
