//! Results against expectations.

use std::collections::BTreeMap;

use labels::Labels;
use model::Grid;
use promql::{Matrix, Value};
use promql_syntax::testlang::Eval;
use promql_syntax::{SequenceValue, SeriesDescription};

use super::case::describe;

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

fn points(description: &SeriesDescription) -> Result<Vec<Option<f64>>, String> {
    let values = description.expand(|_, _, _| Err("native histograms cannot be compared yet".to_owned()))?;
    values
        .into_iter()
        .map(|v| match v {
            SequenceValue::Missing => Ok(None),
            SequenceValue::Float(v) => Ok(Some(v)),
            SequenceValue::Histogram { .. } => Err("native histograms cannot be compared yet".to_owned()),
        })
        .collect()
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
            if samples.iter().any(|s| s.histogram.is_some()) {
                return Err("native histogram in the result".to_owned());
            }
            vector(eval, samples.iter().map(|s| (&s.labels, s.value)).collect(), eval.expect.ordered)
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
        let at = series.floats(matrix.grid).find(|(t, _)| *t == time_ms);
        found.extend(at.map(|(_, v)| (&series.labels, v)));
    }
    if let (Some(_), [(_, v)]) = (eval.scalar, found.as_slice()) {
        return scalar(eval, *v);
    }
    vector(eval, found, false)
}

fn vector(eval: &Eval, got: Vec<(&Labels, f64)>, ordered: bool) -> Result<(), String> {
    if let Some(expected) = eval.scalar {
        return Err(format!("expected scalar {expected}, got a vector of {}", got.len()));
    }
    let mut expected: BTreeMap<&Labels, (usize, f64)> = BTreeMap::new();
    for (i, series) in eval.series.iter().enumerate() {
        let points = points(&series.description)?;
        // A series without value is one that must not be.
        if let Some(Some(v)) = points.first() {
            expected.insert(&series.description.labels, (i, *v));
        }
    }
    let mut wrong = Vec::new();
    for (i, (labels, v)) in got.iter().enumerate() {
        match expected.remove(labels) {
            None => wrong.push(format!("+ {labels} {v}")),
            Some((_, want)) if !almost_equal(want, *v) => {
                wrong.push(format!("- {labels} {want}"));
                wrong.push(format!("+ {labels} {v}"));
            }
            Some((place, _)) if ordered && place != i => {
                wrong.push(format!("! {labels} comes at {} in place of {}", i + 1, place + 1));
            }
            Some(_) => {}
        }
    }
    wrong.extend(expected.iter().map(|(labels, (_, v))| format!("- {labels} {v}")));
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
    let mut expected: BTreeMap<&Labels, Vec<(i64, f64)>> = BTreeMap::new();
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
        let got: Vec<(i64, f64)> = series.floats(matrix.grid).collect();
        let Some(want) = expected.remove(&series.labels) else {
            wrong.push(format!("+ {} {}", series.labels, show(&got)));
            continue;
        };
        let same =
            want.len() == got.len() && want.iter().zip(&got).all(|((t, v), (u, w))| t == u && almost_equal(*v, *w));
        if !same {
            wrong.push(format!("- {} {}", series.labels, show(&want)));
            wrong.push(format!("+ {} {}", series.labels, show(&got)));
        }
    }
    wrong.extend(expected.iter().map(|(labels, want)| format!("- {labels} {}", show(want))));
    if wrong.is_empty() { Ok(()) } else { Err(format!("expected (-) and result (+) differ:\n{}", wrong.join("\n"))) }
}

fn show(points: &[(i64, f64)]) -> String {
    let list: Vec<String> = points.iter().map(|(t, v)| format!("{v}@{t}")).collect();
    format!("[{}]", list.join(" "))
}
