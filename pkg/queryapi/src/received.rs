//! The frames of an answer, checked and put together.

use std::sync::Arc;

use chunkenc::Column;
use labels::Labels;
use model::Annotations;
use promql::{Grid, InstantSample, Matrix, MatrixSeries, Points, QueryError, QueryResult, QueryStats, Value};
use proto::prometheus_copy::TimeSeries;
use proto::thanos as wire;
use storage::{Ctx, Error, Reservation};

use crate::frame::Frame;

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
    /// Series whose native histograms were left out.
    without_histograms: usize,
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
            without_histograms: 0,
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
        self.without_histograms += usize::from(!series.histograms.is_empty());
        if series.samples.is_empty() {
            return Ok(());
        }
        if !series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            return Err(self.corrupt(format_args!("times of {labels} do not ascend")));
        }
        let samples = series.samples.len() as u64;
        self.held.grow(SERIES_BYTES + labels.size_bytes() as u64 + samples * SAMPLE_BYTES)?;
        let mut column = Column::new();
        series.samples.iter().for_each(|s| column.push(s.timestamp, s.value));
        self.series.push(MatrixSeries { labels, points: Points::Samples(column) });
        Ok(())
    }

    pub fn finish(mut self) -> Result<QueryResult, QueryError> {
        if self.without_histograms > 0 {
            let (name, count) = (&self.name, self.without_histograms);
            self.annotations.warn(format!("{name}: native histograms of {count} series were left out"));
        }
        let value = match self.kind {
            Kind::Scalar { time_ms } => {
                let [only] = &self.series[..] else {
                    return Err(self.corrupt(format_args!("{} series for a scalar", self.series.len())));
                };
                Value::Scalar { time_ms, value: self.only(only)? }
            }
            Kind::Vector { time_ms } => {
                let sample = |s: &MatrixSeries| {
                    Ok(InstantSample { labels: s.labels.clone(), value: self.only(s)?, histogram: None })
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
    fn only(&self, series: &MatrixSeries) -> Result<f64, QueryError> {
        match &series.points {
            Points::Samples(column) if column.len() == 1 => Ok(column.values[0]),
            _ => Err(self.corrupt(format_args!("{} samples of {} at one time", series.len(), series.labels))),
        }
    }

    fn corrupt(&self, what: std::fmt::Arguments<'_>) -> QueryError {
        QueryError::Storage(Error::Corrupt(format!("{}: {what}", self.name)))
    }
}
