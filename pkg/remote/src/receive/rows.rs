//! The rows of a request by kind, in columns. A row names its series by its place in the request.

use histogram::FloatHistogram;
use model::{Exemplar, MetricMetadata};
use storage::append::{
    Appender, Exemplars, Floats, HistogramValue, Histograms, Metadata, Refused as RefusedRow, SeriesRef,
};

/// What a row takes.
pub(super) const FLOAT_BYTES: usize = 28;
pub(super) const HISTOGRAM_BYTES: usize = 44 + size_of::<FloatHistogram>();
pub(super) const EXEMPLAR_BYTES: usize = 4 + size_of::<Exemplar>();

#[derive(Debug, Default)]
pub(super) struct FloatRows {
    pub series: Vec<u32>,
    pub times_ms: Vec<i64>,
    pub values: Vec<f64>,
    /// Empty as long as no sample has one.
    pub starts_ms: Vec<i64>,
}

#[derive(Debug, Default)]
pub(super) struct HistogramRows {
    pub series: Vec<u32>,
    pub times_ms: Vec<i64>,
    pub values: Vec<HistogramValue>,
    pub starts_ms: Vec<i64>,
}

#[derive(Debug, Default)]
pub(super) struct ExemplarRows {
    pub series: Vec<u32>,
    pub exemplars: Vec<Exemplar>,
}

/// Metadata that differs from what was noted before, or may differ.
#[derive(Debug, Default)]
pub(super) struct MetadataRows {
    pub series: Vec<u32>,
    pub families: Vec<String>,
    pub metadata: Vec<MetricMetadata>,
    pub digests: Vec<u64>,
}

/// Columns whose rows name their series by its place.
pub(super) trait Rows: Sized {
    fn series(&self) -> &[u32];

    /// Time of a row, for messages.
    fn time_ms(&self, row: usize) -> Option<i64>;

    /// Keeps the rows that `keep` says of their series.
    fn retain(&mut self, keep: impl Fn(u32) -> bool);

    /// The rows of these numbers.
    fn picked(&self, rows: &[usize]) -> Self;

    /// Appends all rows; `refs` has the reference of each.
    fn append(&self, refs: &[SeriesRef], appender: &mut dyn Appender) -> storage::Result<Vec<RefusedRow>>;
}

/// Keeps the items of a column whose row is kept.
fn keep_rows<T>(column: &mut Vec<T>, series: &[u32], keep: impl Fn(u32) -> bool) {
    let mut rows = series.iter();
    column.retain(|_| rows.next().is_some_and(|s| keep(*s)));
}

fn pick<T: Clone>(column: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|row| column.get(*row).cloned()).collect()
}

impl FloatRows {
    #[inline]
    pub fn push(&mut self, series: u32, time_ms: i64, value: f64, start_ms: i64) {
        if start_ms != 0 && self.starts_ms.is_empty() {
            self.starts_ms.resize(self.series.len(), 0);
        }
        if start_ms != 0 || !self.starts_ms.is_empty() {
            self.starts_ms.push(start_ms);
        }
        self.series.push(series);
        self.times_ms.push(time_ms);
        self.values.push(value);
    }
}

impl Rows for FloatRows {
    fn series(&self) -> &[u32] {
        &self.series
    }

    fn time_ms(&self, row: usize) -> Option<i64> {
        self.times_ms.get(row).copied()
    }

    fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        keep_rows(&mut self.times_ms, &self.series, &keep);
        keep_rows(&mut self.values, &self.series, &keep);
        keep_rows(&mut self.starts_ms, &self.series, &keep);
        self.series.retain(|s| keep(*s));
    }

    fn picked(&self, rows: &[usize]) -> Self {
        Self {
            series: pick(&self.series, rows),
            times_ms: pick(&self.times_ms, rows),
            values: pick(&self.values, rows),
            starts_ms: pick(&self.starts_ms, rows),
        }
    }

    fn append(&self, refs: &[SeriesRef], appender: &mut dyn Appender) -> storage::Result<Vec<RefusedRow>> {
        appender.floats(Floats {
            series: refs,
            times_ms: &self.times_ms,
            values: &self.values,
            starts_ms: &self.starts_ms,
        })
    }
}

impl HistogramRows {
    pub fn push(&mut self, series: u32, time_ms: i64, value: HistogramValue, start_ms: i64) {
        self.series.push(series);
        self.times_ms.push(time_ms);
        self.values.push(value);
        self.starts_ms.push(start_ms);
    }
}

impl Rows for HistogramRows {
    fn series(&self) -> &[u32] {
        &self.series
    }

    fn time_ms(&self, row: usize) -> Option<i64> {
        self.times_ms.get(row).copied()
    }

    fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        keep_rows(&mut self.times_ms, &self.series, &keep);
        keep_rows(&mut self.values, &self.series, &keep);
        keep_rows(&mut self.starts_ms, &self.series, &keep);
        self.series.retain(|s| keep(*s));
    }

    fn picked(&self, rows: &[usize]) -> Self {
        Self {
            series: pick(&self.series, rows),
            times_ms: pick(&self.times_ms, rows),
            values: pick(&self.values, rows),
            starts_ms: pick(&self.starts_ms, rows),
        }
    }

    fn append(&self, refs: &[SeriesRef], appender: &mut dyn Appender) -> storage::Result<Vec<RefusedRow>> {
        appender.histograms(Histograms {
            series: refs,
            times_ms: &self.times_ms,
            values: &self.values,
            starts_ms: &self.starts_ms,
        })
    }
}

impl Rows for ExemplarRows {
    fn series(&self) -> &[u32] {
        &self.series
    }

    fn time_ms(&self, row: usize) -> Option<i64> {
        self.exemplars.get(row).map(|e| e.timestamp_ms)
    }

    fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        keep_rows(&mut self.exemplars, &self.series, &keep);
        self.series.retain(|s| keep(*s));
    }

    fn picked(&self, rows: &[usize]) -> Self {
        Self { series: pick(&self.series, rows), exemplars: pick(&self.exemplars, rows) }
    }

    fn append(&self, refs: &[SeriesRef], appender: &mut dyn Appender) -> storage::Result<Vec<RefusedRow>> {
        appender.exemplars(Exemplars { series: refs, exemplars: &self.exemplars })
    }
}

impl Rows for MetadataRows {
    fn series(&self) -> &[u32] {
        &self.series
    }

    fn time_ms(&self, _: usize) -> Option<i64> {
        None
    }

    fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        keep_rows(&mut self.families, &self.series, &keep);
        keep_rows(&mut self.metadata, &self.series, &keep);
        keep_rows(&mut self.digests, &self.series, &keep);
        self.series.retain(|s| keep(*s));
    }

    fn picked(&self, rows: &[usize]) -> Self {
        Self {
            series: pick(&self.series, rows),
            families: pick(&self.families, rows),
            metadata: pick(&self.metadata, rows),
            digests: pick(&self.digests, rows),
        }
    }

    fn append(&self, refs: &[SeriesRef], appender: &mut dyn Appender) -> storage::Result<Vec<RefusedRow>> {
        let families: Vec<&str> = self.families.iter().map(String::as_str).collect();
        appender.metadata(Metadata { series: refs, families: &families, metadata: &self.metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_and_picked_together() {
        let mut rows = FloatRows::default();
        rows.push(0, 1, 1.0, 0);
        assert!(rows.starts_ms.is_empty());
        rows.push(1, 2, 2.0, 7);
        rows.push(0, 3, 3.0, 0);
        assert_eq!(rows.starts_ms, [0, 7, 0]);
        let picked = rows.picked(&[1, 2]);
        assert_eq!((picked.series, picked.times_ms, picked.starts_ms), (vec![1, 0], vec![2, 3], vec![7, 0]));
        rows.retain(|series| series == 0);
        assert_eq!((&rows.series, &rows.times_ms, &rows.values), (&vec![0, 0], &vec![1, 3], &vec![1.0, 3.0]));
        assert_eq!(rows.starts_ms, [0, 0]);
    }
}
