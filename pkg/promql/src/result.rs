//! What a query answers with. Range results stay columns over the query's grid, so that they can be written out as they
//! are.

use std::sync::Arc;

use chunkenc::Column;
use histogram::FloatHistogram;
use labels::Labels;
use model::{Annotations, Grid};
use storage::Reservation;

use crate::native::size_bytes;
use crate::series::StepColumn;

/// The answer to a query.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// The data, by the type of the expression.
    pub value: Value,
    /// Warnings and infos of the evaluation and of the sources, complete with positions.
    pub annotations: Annotations,
    /// What the evaluation took, in time and samples.
    pub stats: QueryStats,
    /// The memory that the answer counts for in the request's budget. Keep it as long as the data.
    pub held: Option<Arc<Reservation>>,
}

/// The data of an answer.
#[derive(Debug, Clone)]
pub enum Value {
    /// One number, for an instant query of a scalar expression.
    Scalar {
        /// The time of evaluation, ms since the epoch.
        time_ms: i64,
        /// The number at that time; NaN where `scalar()` found none.
        value: f64,
    },
    /// One string, for an instant query of a string literal.
    String {
        /// The time of evaluation, ms since the epoch.
        time_ms: i64,
        /// The string without its quotes.
        value: String,
    },
    /// One sample per series, all at the evaluation time; the order is the evaluation's (`sort` shows).
    Vector {
        /// The time of evaluation, ms since the epoch.
        time_ms: i64,
        /// One sample for each series of the result.
        samples: Vec<InstantSample>,
    },
    /// Many samples per series, the series in label order.
    Matrix(Matrix),
}

/// One sample of an instant vector.
#[derive(Debug, Clone)]
pub struct InstantSample {
    /// The labels of the series, without `__name__` where the expression drops names.
    pub labels: Labels,
    /// The value, when it is no histogram.
    pub value: f64,
    /// The native histogram, when it is one.
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// A range vector: the result of a range query, or of an instant query of a range selector.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// The steps that [`Points::Steps`] are over.
    pub grid: Grid,
    /// The series, sorted by labels.
    pub series: Vec<MatrixSeries>,
}

/// One series of a range vector.
#[derive(Debug, Clone)]
pub struct MatrixSeries {
    /// The labels of the series.
    pub labels: Labels,
    /// The samples, over steps or at times of their own.
    pub points: Points,
}

/// The samples of a series.
#[derive(Debug, Clone)]
pub enum Points {
    /// Over the matrix' grid, where present.
    Steps(StepColumn),
    /// At their own times (an instant query of a range selector).
    Samples(RangeSamples),
}

/// Samples at times of their own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RangeSamples {
    /// The floats.
    pub floats: Column,
    /// The native histograms with their times, ms, ascending.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

impl RangeSamples {
    /// The number of samples of both kinds.
    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the samples take, bytes.
    pub fn size_bytes(&self) -> usize {
        let histogram = |(_, h): &(i64, Arc<FloatHistogram>)| size_bytes(h) + 16;
        self.floats.times.capacity() * 16 + self.histograms.iter().map(histogram).sum::<usize>()
    }
}

impl From<Column> for RangeSamples {
    fn from(floats: Column) -> Self {
        Self { floats, histograms: Vec::new() }
    }
}

impl MatrixSeries {
    /// The float samples: time in ms, value.
    pub fn floats(&self, grid: Grid) -> Box<dyn Iterator<Item = (i64, f64)> + '_> {
        match &self.points {
            Points::Steps(column) => Box::new(column.floats().map(move |(i, v)| (grid.time(i), v))),
            Points::Samples(samples) => Box::new(samples.floats.iter()),
        }
    }

    /// The native histogram samples: time in ms, histogram.
    pub fn histograms(&self, grid: Grid) -> Box<dyn Iterator<Item = (i64, &FloatHistogram)> + '_> {
        match &self.points {
            Points::Steps(column) => Box::new(column.histograms().map(move |(i, h)| (grid.time(i), h))),
            Points::Samples(samples) => Box::new(samples.histograms.iter().map(|(t, h)| (*t, &**h))),
        }
    }

    /// The number of samples, floats and histograms.
    pub fn len(&self) -> usize {
        match &self.points {
            Points::Steps(column) => column.count(),
            Points::Samples(samples) => samples.len(),
        }
    }

    /// True if the series has neither a float nor a histogram.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a query took, as `stats=true` of the HTTP API shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryStats {
    /// Waiting for a place, seconds.
    pub queue_seconds: f64,
    /// From text to operators, seconds.
    pub prepare_seconds: f64,
    /// Time of the evaluation, reading included, seconds.
    pub eval_seconds: f64,
    /// Samples that steps looked at, a sample once for every window it is in.
    pub total_samples: u64,
    /// Samples that were decoded, each counted once.
    pub decoded_samples: u64,
    /// Series that were read from the source.
    pub series: u64,
    /// Bytes of the encoded chunks that were read.
    pub chunk_bytes: u64,
    /// The most samples held at one time.
    pub peak_samples: u64,
    /// The most bytes held at one time.
    pub peak_bytes: u64,
    /// `total_samples` by step, when asked for.
    pub samples_per_step: Option<Vec<(i64, u64)>>,
    /// What each operator took, when asked for; the highest ones, each with those below.
    pub operators: Vec<OperatorStats>,
}

/// What an operator of a running query took. All but `series` and `samples` include what lies below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorStats {
    /// What it is: its kind in brackets, then what it does.
    pub name: String,
    /// Time, waiting for data included, seconds.
    pub seconds: f64,
    /// Series that it gave; one may come in several parts.
    pub series: u64,
    /// Values that it gave.
    pub samples: u64,
    /// As [`QueryStats::total_samples`].
    pub total_samples: u64,
    /// As [`QueryStats::decoded_samples`].
    pub decoded_samples: u64,
    /// As [`QueryStats::series`].
    pub series_read: u64,
    /// As [`QueryStats::chunk_bytes`].
    pub chunk_bytes: u64,
    /// The most samples that the whole query held while it was at work.
    pub peak_samples: u64,
    /// The operators that it reads.
    pub children: Vec<OperatorStats>,
}
