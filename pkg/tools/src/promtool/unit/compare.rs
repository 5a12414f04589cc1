//! What was expected beside what came.

use std::sync::Arc;

use gotemplate::format_float;
use histogram::FloatHistogram;
use labels::Labels;
use promql::InstantSample;
use promql_syntax::{SequenceValue, parse_metric_labels, parse_series_description};

use super::file::{ExpectedAlert, ExpectedSample};
use super::histogram_text::test_expression;

/// A sample to be compared.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub labels: Labels,
    pub value: f64,
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// Labels and annotations of an alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Firing {
    pub labels: Labels,
    pub annotations: Labels,
}

impl From<InstantSample> for Sample {
    fn from(sample: InstantSample) -> Self {
        Self { labels: sample.labels, value: sample.value, histogram: sample.histogram }
    }
}

impl Sample {
    /// What a test expects.
    ///
    /// # Errors
    /// Labels or a histogram that cannot be read.
    pub fn expected(sample: &ExpectedSample) -> Result<Self, String> {
        let at = |why: String| format!("labels {:?}: {why}", sample.labels);
        let labels = match sample.labels.trim() {
            "" => Labels::empty(),
            text => parse_metric_labels(text).map_err(|e| at(e.to_string()))?,
        };
        let histogram = match sample.histogram.as_str() {
            "" => None,
            text => Some(histogram(text).map_err(at)?),
        };
        Ok(Self { labels, value: sample.value, histogram })
    }

    fn is_like(&self, other: &Self, fuzzy: bool) -> bool {
        self.labels == other.labels
            && match (&self.histogram, &other.histogram) {
                (Some(a), Some(b)) => test_expression(a) == test_expression(b),
                (None, None) => same_value(self.value, other.value, fuzzy),
                _ => false,
            }
    }
}

fn histogram(text: &str) -> Result<Arc<FloatHistogram>, String> {
    let described = parse_series_description(&format!("{{}} {text}"), 2).map_err(|e| e.to_string())?;
    let values = described.expand(|_, _, _| Err("expected one histogram".to_owned()))?;
    match values.as_slice() {
        [SequenceValue::Histogram { histogram, .. }] => Ok(Arc::new(histogram.clone())),
        [_] => Err(format!("expected histogram, got {text}")),
        values => Err(format!("expected 1 value, got {}", values.len())),
    }
}

fn same_value(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (fuzzy && (a.next_down() == b || a.next_up() == b))
}

/// Whether two lists of samples are the same, whatever their order.
pub(super) fn same_samples(expected: &mut [Sample], got: &mut [Sample], fuzzy: bool) -> bool {
    expected.sort_by(|a, b| a.labels.cmp(&b.labels));
    got.sort_by(|a, b| a.labels.cmp(&b.labels));
    expected.len() == got.len() && expected.iter().zip(got.iter()).all(|(a, b)| a.is_like(b, fuzzy))
}

/// Samples as messages show them.
pub(super) fn samples_text(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let shown = samples.iter().map(|sample| match &sample.histogram {
        Some(h) => format!("{} {}", sample.labels, test_expression(h)),
        None => format!("{} {}", sample.labels, format_float(sample.value, 'E', None).replace('e', "E")),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The alerts that a test expects: it does not give their names.
pub(super) fn expected_alerts(alertname: &str, alerts: &[ExpectedAlert]) -> Vec<Firing> {
    let named = alerts.iter().map(|alert| {
        let labels = alert.exp_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Firing {
            labels: Labels::from_pairs(labels.chain([("alertname", alertname)])),
            annotations: Labels::with_empty_values(&alert.exp_annotations),
        }
    });
    let mut all: Vec<Firing> = named.collect();
    all.sort();
    all
}

/// Alerts as messages show them.
pub(super) fn alerts_text(alerts: &[Firing]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let one = |(at, alert): (usize, &Firing)| {
        let text = format!("\nLabels:{}\nAnnotations:{}", alert.labels, alert.annotations);
        format!("{at}:{}", indented(&text, "  "))
    };
    let all: Vec<String> = alerts.iter().enumerate().map(one).collect();
    format!("[\n{}\n]", all.join(",\n"))
}

/// All lines but the first further to the right.
pub(super) fn indented(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

/// The lines of two texts that differ: `-` expected, `+` came.
pub(super) fn diff(expected: &str, got: &str) -> String {
    let (expected, got): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    let same_start = expected.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let most = expected.len().min(got.len()) - same_start;
    let same_end = expected.iter().rev().zip(got.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let mut out = String::new();
    let mut push = |mark: char, lines: &[&str]| lines.iter().for_each(|line| out.push_str(&format!("\n{mark} {line}")));
    push(' ', &expected[..same_start]);
    push('-', &expected[same_start..expected.len() - same_end]);
    push('+', &got[same_start..got.len() - same_end]);
    push(' ', &expected[expected.len() - same_end..]);
    out
}
