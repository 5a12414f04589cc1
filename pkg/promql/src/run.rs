//! A planned query, run to its answer.

use labels::Labels;

use crate::eval::{Cx, Result, Stream};
use crate::merge::Collector;
use crate::plan::{Plan, Root};
use crate::select_plan::METADATA_LABELS;
use crate::series::StepSeries;
use crate::sorting::sort_by;
use crate::{Grid, InstantSample, Matrix, MatrixSeries, Points, StepColumn, Value, measured, open, range};

pub(crate) fn instant(root: &Root, time_ms: i64, cx: &mut Cx) -> Result<Value> {
    let grid = Grid::instant(time_ms);
    match root {
        Root::String(value) => Ok(Value::String { time_ms, value: value.clone() }),
        Root::Scalar(plan) => {
            let values = open::scalar(plan, grid, cx)?.eval(cx)?;
            Ok(Value::Scalar { time_ms, value: values.first().copied().unwrap_or(f64::NAN) })
        }
        Root::Vector(plan @ Plan::Matrix(select, range_ms)) => {
            let all = measured::matrix(plan, cx, |cx| range::top_matrix(select, *range_ms, grid, cx))?;
            let series = all
                .into_iter()
                .map(|(labels, samples)| MatrixSeries { labels, points: Points::Samples(samples) })
                .collect();
            Ok(Value::Matrix(sorted(Matrix { grid, series }, cx)?))
        }
        Root::Vector(Plan::Subquery(sub)) => {
            let (stream, inner) = open::subquery(sub, grid, cx)?;
            let series = collect(stream, cx)?;
            Ok(Value::Matrix(matrix(series, inner, cx)?))
        }
        Root::Vector(plan) => {
            let stream = open::open(plan, grid, cx)?;
            let series = collect(stream, cx)?;
            let samples = series
                .into_iter()
                .map(|s| InstantSample {
                    value: s.column.get(0).unwrap_or(f64::NAN),
                    histogram: s.column.native_histograms.first().map(|(_, h)| h.clone()),
                    labels: s.labels,
                })
                .collect();
            Ok(Value::Vector { time_ms, samples })
        }
    }
}

pub(crate) fn range(root: &Root, grid: Grid, cx: &mut Cx) -> Result<Value> {
    match root {
        Root::String(value) => Ok(Value::String { time_ms: grid.start_ms, value: value.clone() }),
        Root::Scalar(plan) => {
            let values = open::scalar(plan, grid, cx)?.eval(cx)?;
            let points = Points::Steps(StepColumn::full(values));
            Ok(Value::Matrix(Matrix { grid, series: vec![MatrixSeries { labels: Labels::empty(), points }] }))
        }
        Root::Vector(plan) => {
            let stream = open::open(plan, grid, cx)?;
            let series = collect(stream, cx)?;
            Ok(Value::Matrix(matrix(series, grid, cx)?))
        }
    }
}

/// All series, names dropped where they are to go, parts joined.
fn collect(mut stream: Stream, cx: &mut Cx) -> Result<Vec<StepSeries>> {
    let mut all = Collector::default();
    while let Some(mut series) = cx.next(&mut stream)? {
        if series.drop_name && cx.delayed() {
            series.labels = series.labels.without(&METADATA_LABELS);
        }
        all.add(series, cx)?;
    }
    Ok(all.finish(cx))
}

fn matrix(series: Vec<StepSeries>, grid: Grid, cx: &mut Cx) -> Result<Matrix> {
    let series =
        series.into_iter().map(|s| MatrixSeries { labels: s.labels, points: Points::Steps(s.column) }).collect();
    sorted(Matrix { grid, series }, cx)
}

fn sorted(mut matrix: Matrix, cx: &mut Cx) -> Result<Matrix> {
    if !matrix.series.is_sorted_by(|a, b| a.labels <= b.labels) {
        sort_by(&mut matrix.series, cx, |s| s.labels.size_bytes(), |a, b| a.labels.cmp(&b.labels))?;
    }
    Ok(matrix)
}
