//! Samples on their way from the log to a request.

use labels::Labels;
use storage::append::HistogramValue;
use wal::Position;

/// A sample, histogram or exemplar of a series.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The number of the series in the log.
    pub series: u64,
    pub time_ms: i64,
    /// When the counter started, ms since the epoch; 0 where that is not known.
    pub start_ms: i64,
    pub value: Value,
    /// Which row of its record it is.
    pub index: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Float(f64),
    Histogram(HistogramValue),
    Exemplar(Box<(f64, Labels)>),
}

/// What rows are counted as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub floats: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Counts {
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Self {
        let mut counts = Self::default();
        rows.into_iter().for_each(|row| counts.add(&row.value));
        counts
    }

    pub fn add(&mut self, value: &Value) {
        match value {
            Value::Float(_) => self.floats += 1,
            Value::Histogram(_) => self.histograms += 1,
            Value::Exemplar(_) => self.exemplars += 1,
        }
    }
}

/// How far a shard has come in the log: all its rows of records that end before `end` are done, and of the record that
/// ends there those before number `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) struct Done {
    pub end: At,
    pub index: u32,
}

/// A [`Position`] that can be stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) struct At {
    pub segment: u64,
    pub offset: u64,
}

impl From<Position> for At {
    fn from(position: Position) -> Self {
        Self { segment: position.segment, offset: position.offset }
    }
}

impl From<At> for Position {
    fn from(at: At) -> Self {
        Self { segment: at.segment, offset: at.offset }
    }
}

impl Done {
    /// All records up to `end`.
    pub fn all(end: Position) -> Self {
        Self { end: end.into(), index: u32::MAX }
    }

    /// Whether a row of the record that ends at `end` is done.
    pub fn has(&self, end: Position, index: u32) -> bool {
        let end = At::from(end);
        end < self.end || (end == self.end && index < self.index)
    }
}

/// The shard of a series.
pub(super) fn shard_of(series: u64, shards: usize) -> usize {
    // Numbers are given in order: neighbours go to different shards.
    (series % shards.max(1) as u64) as usize
}
