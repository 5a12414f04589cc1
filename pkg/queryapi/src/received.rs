//! The frames of an answer, checked and put together.

use std::sync::Arc;

use chunkenc::Column;
use histogram::FloatHistogram;
use labels::Labels;
use model::Annotations;
use promql::{
    Grid, InstantSample, Matrix, MatrixSeries, Points, QueryError, QueryResult, QueryStats, RangeSamples, Value,
};
use proto::prometheus_copy::TimeSeries;
use proto::thanos as wire;
use storage::{Ctx, Error, Reservation};

use crate::frame::Frame;
use crate::histogram::{from_wire, size_bytes};

/// What the answer will be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Scalar { time_ms: i64 },
    Vector { time_ms: i64 },
    Matrix(Grid),
}

/// Bytes that a series counts for beside its labels and samples.
const SERIES_BYTES: u64 = 96;
const SAMPLE_BYTES: u64 = 16;

/// An answer so far; it counts in the request's budget.
pub(crate) struct Received {
    name: Arc<str>,
    kind: Kind,
    series: Vec<MatrixSeries>,
    annotations: Annotations,
    stats: QueryStats,
    held: Reservation,
}

impl Received {
    pub fn new(name: &Arc<str>, ctx: &Ctx, kind: Kind) -> Result<Self, QueryError> {
        Ok(Self {
            name: name.clone(),
            kind,
            series: Vec::new(),
            annotations: Annotations::new(),
            stats: QueryStats::default(),
            held: ctx.budget.reserve(0)?,
        })
    }

    pub fn frame(&mut self, frame: Frame) -> Result<(), QueryError> {
        match frame {
            Frame::Warning(text) => self.warning(&text),
            Frame::Series(series) => self.series(series)?,
            Frame::Batch(batch) => batch.into_iter().try_for_each(|s| self.series(s))?,
            Frame::Stats(stats) => self.stats(&stats),
            Frame::Unknown => {}
        }
        Ok(())
    }

    /// PromQL's own warnings are about the query; all others are about the endpoint's data and name it.
    fn warning(&mut self, text: &str) {
        if text.starts_with("PromQL ") {
            self.annotations.warn(text);
        } else {
            self.annotations.warn(format!("{}: {text}", self.name));
        }
    }

    fn stats(&mut self, stats: &wire::QueryStats) {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        self.stats.total_samples = self.stats.total_samples.saturating_add(count(stats.samples_total));
        self.stats.peak_samples = self.stats.peak_samples.max(count(stats.peak_samples));
    }

    fn series(&mut self, series: TimeSeries) -> Result<(), QueryError> {
        let labels = Labels::from_sorted(series.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())))
            .map_err(|e| self.corrupt(format_args!("labels of a series: {e}")))?;
        if series.samples.is_empty() && series.histograms.is_empty() {
            return Ok(());
        }
        if !series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp)
            || !series.histograms.is_sorted_by(|a, b| a.timestamp < b.timestamp)
        {
            return Err(self.corrupt(format_args!("times of {labels} do not ascend")));
        }
        let samples = series.samples.len() as u64;
        self.held.grow(SERIES_BYTES + labels.size_bytes() as u64 + samples * SAMPLE_BYTES)?;
        let mut column = Column::new();
        series.samples.iter().for_each(|s| column.push(s.timestamp, s.value));
        let mut histograms = Vec::with_capacity(series.histograms.len());
        for sent in &series.histograms {
            let h = from_wire(sent).map_err(|e| self.corrupt(format_args!("{labels}: {e}")))?;
            self.held.grow(size_bytes(&h))?;
            histograms.push((sent.timestamp, Arc::new(h)));
        }
        let points = Points::Samples(RangeSamples { floats: column, histograms });
        self.series.push(MatrixSeries { labels, points });
        Ok(())
    }

    pub fn finish(mut self) -> Result<QueryResult, QueryError> {
        let value = match self.kind {
            Kind::Scalar { time_ms } => {
                let [only] = &self.series[..] else {
                    return Err(self.corrupt(format_args!("{} series for a scalar", self.series.len())));
                };
                match self.only(only)? {
                    (value, None) => Value::Scalar { time_ms, value },
                    (_, Some(_)) => return Err(self.corrupt(format_args!("a native histogram for a scalar"))),
                }
            }
            Kind::Vector { time_ms } => {
                let sample = |s: &MatrixSeries| {
                    let (value, histogram) = self.only(s)?;
                    Ok(InstantSample { labels: s.labels.clone(), value, histogram })
                };
                let samples = self.series.iter().map(sample).collect::<Result<_, QueryError>>()?;
                Value::Vector { time_ms, samples }
            }
            Kind::Matrix(grid) => {
                let mut series = std::mem::take(&mut self.series);
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
                Value::Matrix(Matrix { grid, series })
            }
        };
        Ok(QueryResult { value, annotations: self.annotations, stats: self.stats, held: Some(Arc::new(self.held)) })
    }

    /// The value of a series that must have one.
    fn only(&self, series: &MatrixSeries) -> Result<(f64, Option<Arc<FloatHistogram>>), QueryError> {
        let Points::Samples(samples) = &series.points else {
            return Err(self.corrupt(format_args!("steps of {} at one time", series.labels)));
        };
        match (&samples.floats.values[..], &samples.histograms[..]) {
            ([value], []) => Ok((*value, None)),
            ([], [(_, histogram)]) => Ok((f64::NAN, Some(histogram.clone()))),
            _ => Err(self.corrupt(format_args!("{} samples of {} at one time", series.len(), series.labels))),
        }
    }

    fn corrupt(&self, what: std::fmt::Arguments<'_>) -> QueryError {
        QueryError::Storage(Error::Corrupt(format!("{}: {what}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use model::Severity;
    use proto::prometheus_copy::{Histogram, Label, Sample};
    use storage::Budget;

    use super::*;

    fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
        TimeSeries {
            labels: labels.iter().map(|(n, v)| Label { name: (*n).to_owned(), value: (*v).to_owned() }).collect(),
            samples: samples.iter().map(|(timestamp, value)| Sample { timestamp: *timestamp, value: *value }).collect(),
            ..TimeSeries::default()
        }
    }

    fn receive(kind: Kind, frames: Vec<Frame>) -> Result<QueryResult, QueryError> {
        let mut received = Received::new(&"h:1".into(), &Ctx::background(), kind)?;
        frames.into_iter().try_for_each(|frame| received.frame(frame))?;
        received.finish()
    }

    #[test]
    fn peers_may_send_batches_in_any_order() {
        let grid = Grid { start_ms: 0, end_ms: 2000, step_ms: 1000 };
        let (a, b) = (series(&[("job", "a")], &[(0, 1.0), (2000, 2.0)]), series(&[("job", "b")], &[(1000, 3.0)]));
        let stats = |samples_total| Frame::Stats(wire::QueryStats { samples_total, peak_samples: 3 });
        let frames = vec![Frame::Batch(vec![b]), stats(5), Frame::Unknown, Frame::Series(a), stats(2)];
        let result = receive(Kind::Matrix(grid), frames).unwrap();
        let Value::Matrix(matrix) = &result.value else { panic!("{:?}", result.value) };
        let shown: Vec<_> =
            matrix.series.iter().map(|s| (s.labels.value("job"), s.floats(grid).collect::<Vec<_>>())).collect();
        assert_eq!(shown, [("a", vec![(0, 1.0), (2000, 2.0)]), ("b", vec![(1000, 3.0)])]);
        assert_eq!((result.stats.total_samples, result.stats.peak_samples), (7, 3));
    }

    #[test]
    fn what_makes_no_sense_is_corrupt_and_names_the_peer() {
        let (vector, scalar) = (Kind::Vector { time_ms: 0 }, Kind::Scalar { time_ms: 0 });
        let matrix = Kind::Matrix(Grid::instant(0));
        for (kind, frames) in [
            (vector, vec![series(&[("b", "1"), ("a", "1")], &[(0, 1.0)])]),
            (vector, vec![series(&[("a", "1"), ("a", "2")], &[(0, 1.0)])]),
            (vector, vec![series(&[], &[(0, 1.0), (1, 1.0)])]),
            (matrix, vec![series(&[], &[(1, 1.0), (0, 1.0)])]),
            (matrix, vec![series(&[], &[(1, 1.0), (1, 1.0)])]),
            (scalar, vec![]),
            (scalar, vec![series(&[], &[(0, 1.0)]), series(&[], &[(0, 1.0)])]),
        ] {
            let shown = format!("{kind:?} {frames:?}");
            let error = receive(kind, frames.into_iter().map(Frame::Series).collect()).unwrap_err();
            assert!(
                matches!(&error, QueryError::Storage(Error::Corrupt(t)) if t.starts_with("h:1: ")),
                "{shown}: {error}"
            );
        }
    }

    #[test]
    fn native_histograms_and_warnings() {
        let sent = Histogram { sum: 1.5, ..Histogram::default() };
        let histogram = TimeSeries { histograms: vec![sent], ..series(&[("a", "1")], &[]) };
        let plain = series(&[("b", "1")], &[(0, 1.0)]);
        let frames = vec![
            Frame::Warning("store s:1 is away".to_owned()),
            Frame::Warning("PromQL warning: odd (1:1)".to_owned()),
            Frame::Batch(vec![histogram, plain]),
        ];
        let result = receive(Kind::Vector { time_ms: 0 }, frames).unwrap();
        let Value::Vector { samples, .. } = &result.value else { panic!("{:?}", result.value) };
        let sums: Vec<_> = samples.iter().map(|s| s.histogram.as_ref().map(|h| h.sum)).collect();
        assert_eq!(sums, [Some(1.5), None]);
        assert_eq!(
            result.annotations.texts(Severity::Warning, 0),
            ["h:1: store s:1 is away", "PromQL warning: odd (1:1)"]
        );
    }

    #[test]
    fn an_answer_without_end_is_refused() {
        let budget = Budget::new("the test", "--test.max-bytes", 10_000, None);
        let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
        let mut received = Received::new(&"h:1".into(), &ctx, Kind::Matrix(Grid::instant(0))).unwrap();
        let endless = std::iter::repeat_with(|| Frame::Series(series(&[("a", "1")], &[(0, 1.0)])));
        let error = endless.take(1000).try_for_each(|frame| received.frame(frame)).unwrap_err();
        assert!(matches!(&error, QueryError::Limit(t) if t.contains("--test.max-bytes")), "{error}");
        drop(received);
        assert_eq!(budget.used_bytes(), 0);
    }
}
