//! What a transaction holds, and its records.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram};
use model::{Exemplar, MetricMetadata, MetricType};
use storage::append::HistogramValue;
use wal::record::{
    BucketHistogram, ExemplarRow, MetadataRow, encode_exemplars, encode_histograms, encode_histograms_with_starts,
    encode_metadata, encode_samples, encode_samples_with_starts,
};

use crate::head::Records;

/// Rows of one kind. A row keeps its number among those that the writer gave.
#[derive(Debug)]
pub(super) struct Column<T> {
    pub numbers: Vec<u64>,
    pub times_ms: Vec<i64>,
    pub starts_ms: Vec<i64>,
    pub values: Vec<T>,
    pub rows: Vec<u32>,
    /// Rows that the writer gave, refused ones included.
    pub given: u32,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { numbers: vec![], times_ms: vec![], starts_ms: vec![], values: vec![], rows: vec![], given: 0 }
    }
}

impl<T> Column<T> {
    pub fn push(&mut self, number: u64, (time_ms, start_ms): (i64, i64), value: T, row: u32) {
        self.numbers.push(number);
        self.times_ms.push(time_ms);
        self.starts_ms.push(start_ms);
        self.values.push(value);
        self.rows.push(row);
    }

    /// Drops rows by their place.
    pub fn drop_rows(&mut self, dropped: &[usize]) {
        if dropped.is_empty() {
            return;
        }
        fn column<C>(column: &mut Vec<C>, dropped: &[usize]) {
            let mut at = 0;
            column.retain(|_| {
                at += 1;
                dropped.binary_search(&(at - 1)).is_err()
            });
        }
        column(&mut self.numbers, dropped);
        column(&mut self.times_ms, dropped);
        column(&mut self.starts_ms, dropped);
        column(&mut self.values, dropped);
        column(&mut self.rows, dropped);
    }
}

/// Everything that a commit logs, but for labels.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub floats: Column<f64>,
    pub histograms: Column<HistogramValue>,
    pub exemplars: Column<Exemplar>,
    pub metadata: Vec<(u64, MetricMetadata)>,
}

impl Transaction {
    /// Records in the order of Prometheus.
    pub fn put(&self, with_starts: bool, out: &mut Records) {
        let rows = self.metadata.iter().map(|(number, metadata)| MetadataRow {
            series_ref: *number,
            metric_type: metric_type(&metadata.metric_type),
            unit: &metadata.unit,
            help: &metadata.help,
        });
        if rows.len() > 0 {
            out.push(|out| encode_metadata(out, rows));
        }
        let floats = &self.floats;
        if !floats.numbers.is_empty() {
            let with_starts = with_starts && floats.starts_ms.iter().any(|start| *start != 0);
            out.push(|out| match with_starts {
                true => {
                    encode_samples_with_starts(
                        out,
                        &floats.numbers,
                        &floats.times_ms,
                        &floats.starts_ms,
                        &floats.values,
                    );
                }
                false => encode_samples(out, &floats.numbers, &floats.times_ms, &floats.values),
            });
        }
        self.put_histograms(with_starts, out);
        let exemplars = self.exemplars.numbers.iter().zip(&self.exemplars.values);
        let exemplars = exemplars.map(|(number, exemplar)| ExemplarRow {
            series_ref: *number,
            time_ms: exemplar.timestamp_ms,
            value: exemplar.value,
            labels: exemplar.labels.iter(),
        });
        if exemplars.len() > 0 {
            out.push(|out| encode_exemplars(out, exemplars));
        }
    }

    fn put_histograms(&self, with_starts: bool, out: &mut Records) {
        let (mut ints, mut floats) = (Vec::<Of<'_, Histogram>>::new(), Vec::<Of<'_, FloatHistogram>>::new());
        let column = &self.histograms;
        for (n, value) in column.values.iter().enumerate() {
            let (number, time_ms, start_ms) = (column.numbers[n], column.times_ms[n], column.starts_ms[n]);
            match value {
                HistogramValue::Int(h) => ints.push((number, time_ms, start_ms, h)),
                HistogramValue::Float(h) => floats.push((number, time_ms, start_ms, h)),
            }
        }
        put_kind(&ints, |h| h.schema == CUSTOM_BUCKETS_SCHEMA, with_starts, out);
        put_kind(&floats, |h| h.schema == CUSTOM_BUCKETS_SCHEMA, with_starts, out);
    }
}

/// A row of histograms of one kind: number, time, start, value.
type Of<'a, H> = (u64, i64, i64, &'a H);

fn put_kind<H: BucketHistogram>(rows: &[Of<'_, H>], is_custom: impl Fn(&H) -> bool, starts: bool, out: &mut Records) {
    if rows.is_empty() {
        return;
    }
    if starts && rows.iter().any(|(_, _, start, _)| *start != 0) {
        out.push(|out| encode_histograms_with_starts(out, rows.iter().copied()));
        return;
    }
    for custom in [false, true] {
        if rows.iter().any(|(.., h)| is_custom(h) == custom) {
            let rows = rows.iter().map(|(number, time_ms, _, h)| (*number, *time_ms, *h));
            out.push(|out| _ = encode_histograms(out, custom, rows));
        }
    }
}

fn metric_type(text: &str) -> MetricType {
    use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    let all = [Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet];
    all.into_iter().find(|t| t.as_str() == text).unwrap_or(Unknown)
}
