//! The rows that a transaction has taken, in columns.

use hashbrown::HashMap;
use model::{Exemplar, MetricMetadata};
use storage::append::{Column, HistogramValue, SeriesRef};

use super::newest::NewestOfEach;
use super::parts::Value;

/// Rows that are logged and applied together: floats, then histograms.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub floats: Columns<f64>,
    pub histograms: Columns<HistogramValue>,
}

#[derive(Debug)]
pub(crate) struct Columns<T> {
    pub series: Vec<SeriesRef>,
    /// The series' numbers in the log.
    pub numbers: Vec<u64>,
    pub times_ms: Vec<i64>,
    pub values: Vec<T>,
    /// Empty as long as all are unknown.
    pub starts_ms: Vec<i64>,
    pub rows: Vec<RowNumber>,
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self {
            series: Vec::new(),
            numbers: Vec::new(),
            times_ms: Vec::new(),
            values: Vec::new(),
            starts_ms: Vec::new(),
            rows: Vec::new(),
        }
    }
}

/// Which row it was among those of its kind in the transaction, and of which kind: the end of histograms comes as a float.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowNumber(u32);

impl RowNumber {
    const HISTOGRAM: u32 = 1 << 31;

    pub fn new(column: Column, row: usize) -> Self {
        let histogram = if column == Column::Histograms { Self::HISTOGRAM } else { 0 };
        Self(row as u32 & !Self::HISTOGRAM | histogram)
    }

    pub fn column(self) -> Column {
        if self.0 & Self::HISTOGRAM == 0 { Column::Floats } else { Column::Histograms }
    }

    pub fn row(self) -> usize {
        (self.0 & !Self::HISTOGRAM) as usize
    }
}

/// A row that was judged well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<T> {
    pub series: SeriesRef,
    pub number: u64,
    pub time_ms: i64,
    pub start_ms: i64,
    pub value: T,
    pub row: RowNumber,
}

impl Row<()> {
    pub fn with<T>(self, value: T) -> Row<T> {
        let Self { series, number, time_ms, start_ms, row, .. } = self;
        Row { series, number, time_ms, start_ms, value, row }
    }
}

impl<T> Columns<T> {
    #[inline]
    pub fn push(&mut self, row: Row<T>) {
        if row.start_ms != 0 || !self.starts_ms.is_empty() {
            self.starts_ms.resize(self.series.len(), 0);
            self.starts_ms.push(row.start_ms);
        }
        self.series.push(row.series);
        self.numbers.push(row.number);
        self.times_ms.push(row.time_ms);
        self.values.push(row.value);
        self.rows.push(row.row);
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn start_ms(&self, row: usize) -> i64 {
        self.starts_ms.get(row).copied().unwrap_or(0)
    }

    pub fn reserve(&mut self, more: usize) {
        self.series.reserve(more);
        self.numbers.reserve(more);
        self.times_ms.reserve(more);
        self.values.reserve(more);
        self.rows.reserve(more);
    }
}

/// An exemplar that was judged well, and its row.
#[derive(Debug)]
pub(crate) struct ExemplarRow {
    pub series: SeriesRef,
    pub number: u64,
    pub exemplar: Exemplar,
    pub row: usize,
}

#[derive(Debug)]
pub(crate) struct MetadataRow {
    pub series: SeriesRef,
    pub number: u64,
    pub family: String,
    pub metadata: MetricMetadata,
}

/// What a transaction has taken, by series.
#[derive(Debug)]
pub(crate) struct Taken {
    pub newest: NewestOfEach,
    pub all: All,
    /// Of all series.
    pub newest_ms: i64,
    pub oldest_ms: i64,
}

impl Default for Taken {
    fn default() -> Self {
        Self { newest: NewestOfEach::default(), all: All::default(), newest_ms: i64::MIN, oldest_ms: i64::MAX }
    }
}

/// All samples by series and time, once somebody asked for one that is not the newest of its series.
#[derive(Debug, Default)]
pub(crate) struct All(Option<HashMap<(SeriesRef, i64), Value>>);

impl All {
    /// The sample of a time.
    pub fn find<'a>(&'a mut self, series: SeriesRef, time_ms: i64, batches: &[Batch]) -> Option<&'a Value> {
        let all = self.0.get_or_insert_with(|| {
            let floats = batches.iter().flat_map(|b| {
                let columns = &b.floats;
                let keys = columns.series.iter().copied().zip(columns.times_ms.iter().copied());
                keys.zip(columns.values.iter().map(|v| Value::Float(*v)))
            });
            let histograms = batches.iter().flat_map(|b| {
                let columns = &b.histograms;
                let keys = columns.series.iter().copied().zip(columns.times_ms.iter().copied());
                keys.zip(columns.values.iter().map(|h| Value::Histogram(h.clone())))
            });
            floats.chain(histograms).collect()
        });
        all.get(&(series, time_ms))
    }

    pub fn add(&mut self, series: SeriesRef, time_ms: i64, value: &Value) {
        if let Some(all) = &mut self.0 {
            all.insert((series, time_ms), value.clone());
        }
    }
}
