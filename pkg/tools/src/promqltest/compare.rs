//! Results against expectations.

use std::collections::BTreeMap;
use std::fmt;

use histogram::{FloatHistogram, ResetHint};
use labels::Labels;
use model::Grid;
use promql::{Matrix, MatrixSeries, Value};
use promql_syntax::testlang::Eval;
use promql_syntax::{SequenceValue, SeriesDescription};

use super::case::describe;
use super::store;

/// Relative distance at which two floats count as equal.
const EPSILON: f64 = 1e-6;

fn almost_equal(a: f64, b: f64) -> bool {
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < EPSILON * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < EPSILON
}

/// A sample that is expected or was got.
#[derive(Debug, Clone, PartialEq)]
enum Sample {
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

impl Sample {
    fn histogram(h: &FloatHistogram) -> Self {
        let mut h = h.clone();
        promql::compact(&mut h);
        Self::Histogram(Box::new(h))
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(v) => write!(f, "{v}"),
            Self::Histogram(h) => write!(
                f,
                "{{{{schema:{} count:{} sum:{} z:{}/{} +:{:?}{:?} -:{:?}{:?} custom:{:?} {:?}}}}}",
                h.schema,
                h.count,
                h.sum,
                h.zero_count,
                h.zero_threshold,
                h.positive_spans.iter().map(|s| (s.offset, s.length)).collect::<Vec<_>>(),
                h.positive_buckets,
                h.negative_spans.iter().map(|s| (s.offset, s.length)).collect::<Vec<_>>(),
                h.negative_buckets,
                h.custom_values,
                h.reset_hint
            ),
        }
    }
}

/// An expected sample; of a histogram the hint only where it is named.
#[derive(Debug, Clone)]
struct Expected {
    sample: Sample,
    hint: Option<ResetHint>,
}

impl Expected {
    fn is(&self, got: &Sample) -> bool {
        match (&self.sample, got) {
            (Sample::Float(a), Sample::Float(b)) => almost_equal(*a, *b),
            (Sample::Histogram(a), Sample::Histogram(b)) => {
                same_histogram(a, b) && self.hint.is_none_or(|hint| hint == b.reset_hint)
            }
            _ => false,
        }
    }
}

fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let floats = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b));
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.custom_values == b.custom_values
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && floats(&[a.count, a.sum, a.zero_count], &[b.count, b.sum, b.zero_count])
        && floats(&a.positive_buckets, &b.positive_buckets)
        && floats(&a.negative_buckets, &b.negative_buckets)
}

fn points(description: &SeriesDescription) -> Result<Vec<Option<Expected>>, String> {
    let expected = |value| match value {
        SequenceValue::Missing => None,
        SequenceValue::Float(v) => Some(Expected { sample: Sample::Float(v), hint: None }),
        SequenceValue::Histogram { histogram, hint_given } => {
            let hint = hint_given.then_some(histogram.reset_hint);
            Some(Expected { sample: Sample::histogram(&histogram), hint })
        }
    };
    Ok(store::points(description)?.into_iter().map(expected).collect())
}

/// The samples of a series, by time.
fn samples(series: &MatrixSeries, grid: Grid) -> Vec<(i64, Sample)> {
    let floats = series.floats(grid).map(|(t, v)| (t, Sample::Float(v)));
    let mut all: Vec<_> = floats.chain(series.histograms(grid).map(|(t, h)| (t, Sample::histogram(h)))).collect();
    all.sort_by_key(|(t, _)| *t);
    all
}

/// An instant query's result.
pub(super) fn instant(eval: &Eval, value: &Value) -> Result<(), String> {
    if let Some(expected) = &eval.expect.string {
        return match value {
            Value::String { value, .. } if value == expected => Ok(()),
            other => Err(format!("expected the string {expected:?}, got {other:?}")),
        };
    }
    if let Some(grid) = eval.expect.range_vector {
        return range(eval, grid, value);
    }
    match value {
        Value::Scalar { value, .. } => scalar(eval, *value),
        Value::Vector { samples, .. } => {
            let sample = |s: &promql::InstantSample| match &s.histogram {
                Some(h) => Sample::histogram(h),
                None => Sample::Float(s.value),
            };
            vector(eval, samples.iter().map(|s| (&s.labels, sample(s))).collect(), eval.expect.ordered)
        }
        other => Err(format!("expected an instant vector, got a {}", describe(other))),
    }
}

fn scalar(eval: &Eval, got: f64) -> Result<(), String> {
    match eval.scalar {
        Some(expected) if almost_equal(expected, got) => Ok(()),
        Some(expected) => Err(format!("expected scalar {expected}, got {got}")),
        None => Err(format!("expected a vector, got scalar {got}")),
    }
}

/// The step at `time_ms` of the range variant.
pub(super) fn middle(eval: &Eval, value: &Value, time_ms: i64) -> Result<(), String> {
    let Value::Matrix(matrix) = value else { return Err(format!("expected a matrix, got a {}", describe(value))) };
    check_sorted(matrix)?;
    let mut found = Vec::new();
    for series in &matrix.series {
        let at = samples(series, matrix.grid).into_iter().find(|(t, _)| *t == time_ms);
        found.extend(at.map(|(_, v)| (&series.labels, v)));
    }
    if let (Some(_), [(_, Sample::Float(v))]) = (eval.scalar, found.as_slice()) {
        return scalar(eval, *v);
    }
    vector(eval, found, false)
}

fn vector(eval: &Eval, got: Vec<(&Labels, Sample)>, ordered: bool) -> Result<(), String> {
    if let Some(expected) = eval.scalar {
        return Err(format!("expected scalar {expected}, got a vector of {}", got.len()));
    }
    let mut expected: BTreeMap<&Labels, (usize, Expected)> = BTreeMap::new();
    for (i, series) in eval.series.iter().enumerate() {
        let points = points(&series.description)?;
        // A series without value is one that must not be.
        if let Some(Some(v)) = points.into_iter().next() {
            expected.insert(&series.description.labels, (i, v));
        }
    }
    let mut wrong = Vec::new();
    for (i, (labels, v)) in got.iter().enumerate() {
        match expected.remove(labels) {
            None => wrong.push(format!("+ {labels} {v}")),
            Some((_, want)) if !want.is(v) => {
                wrong.push(format!("- {labels} {}", want.sample));
                wrong.push(format!("+ {labels} {v}"));
            }
            Some((place, _)) if ordered && place != i => {
                wrong.push(format!("! {labels} comes at {} in place of {}", i + 1, place + 1));
            }
            Some(_) => {}
        }
    }
    wrong.extend(expected.iter().map(|(labels, (_, v))| format!("- {labels} {}", v.sample)));
    if wrong.is_empty() { Ok(()) } else { Err(format!("expected (-) and result (+) differ:\n{}", wrong.join("\n"))) }
}

fn check_sorted(matrix: &Matrix) -> Result<(), String> {
    if matrix.series.is_sorted_by(|a, b| a.labels < b.labels) {
        return Ok(());
    }
    Err("the series are not sorted by labels, or not unique".to_owned())
}

/// A range query's result.
pub(super) fn range(eval: &Eval, grid: Grid, value: &Value) -> Result<(), String> {
    let Value::Matrix(matrix) = value else { return Err(format!("expected a matrix, got a {}", describe(value))) };
    check_sorted(matrix)?;
    if let Some(expected) = eval.scalar {
        return Err(format!("expected scalar {expected}, got a matrix"));
    }
    let mut expected: BTreeMap<&Labels, Vec<(i64, Expected)>> = BTreeMap::new();
    for series in &eval.series {
        let mut list = Vec::new();
        for (i, v) in points(&series.description)?.into_iter().enumerate() {
            let t = grid.time(i);
            if t > grid.end_ms {
                return Err(format!("line {} expects a point beyond the end of the query", series.line));
            }
            list.extend(v.map(|v| (t, v)));
        }
        expected.insert(&series.description.labels, list);
    }
    let mut wrong = Vec::new();
    for series in &matrix.series {
        let got = samples(series, matrix.grid);
        let shown = || show(got.iter().map(|(t, v)| (*t, v)));
        let Some(want) = expected.remove(&series.labels) else {
            wrong.push(format!("+ {} {}", series.labels, shown()));
            continue;
        };
        let same = want.len() == got.len() && want.iter().zip(&got).all(|((t, v), (u, w))| t == u && v.is(w));
        if !same {
            wrong.push(format!("- {} {}", series.labels, show(want.iter().map(|(t, v)| (*t, &v.sample)))));
            wrong.push(format!("+ {} {}", series.labels, shown()));
        }
    }
    let missing = expected.iter();
    wrong.extend(missing.map(|(l, want)| format!("- {l} {}", show(want.iter().map(|(t, v)| (*t, &v.sample))))));
    if wrong.is_empty() { Ok(()) } else { Err(format!("expected (-) and result (+) differ:\n{}", wrong.join("\n"))) }
}

fn show<'a>(points: impl Iterator<Item = (i64, &'a Sample)>) -> String {
    let list: Vec<String> = points.map(|(t, v)| format!("{v}@{t}")).collect();
    format!("[{}]", list.join(" "))
}
