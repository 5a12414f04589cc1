//! What a commit puts into the logs, in the order that Prometheus has.

use std::ops::Range;

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram};
use model::MetricType;
use storage::append::{Column, HistogramValue, SeriesRef};
use wal::record::{
    BucketHistogram, ExemplarRow, MetadataRow, encode_exemplars, encode_histograms, encode_histograms_with_starts,
    encode_metadata, encode_samples, encode_samples_with_starts, encode_series,
};

use super::appender::Transaction;
use super::core::Core;
use super::encode::Row;
use super::parts::Value;
use super::rows::{Columns, RowNumber};
use super::seams::Records;

/// Series, metadata, then the samples by batch, exemplars last.
pub(crate) fn put_transaction(core: &Core, transaction: &Transaction, out: &mut Records) {
    put_series(core, &transaction.unlogged, out);
    if core.options.metadata_records {
        put_metadata(core, transaction, out);
    }
    for batch in &transaction.batches {
        put_floats(&batch.floats, core.options.xor2, out);
        let with_starts = core.options.xor2 || core.options.histogram_starts;
        put_histograms(&batch.histograms, with_starts, out);
    }
    let exemplars = transaction.exemplars.iter().map(|row| ExemplarRow {
        series_ref: row.number,
        time_ms: row.exemplar.timestamp_ms,
        value: row.exemplar.value,
        labels: row.exemplar.labels.iter(),
    });
    if exemplars.len() > 0 {
        out.push(|out| encode_exemplars(out, exemplars));
    }
}

fn put_series(core: &Core, series: &[SeriesRef], out: &mut Records) {
    if series.is_empty() {
        return;
    }
    let symbols = core.symbols.read();
    let (mut all, mut values) = (Vec::with_capacity(series.len()), Vec::<u32>::new());
    for one in series {
        let Some(series) = core.slab.find(*one) else { continue };
        let begin = values.len();
        values.extend_from_slice(&series.labels.values);
        all.push((series.reference, series.labels.shape, begin..values.len()));
    }
    let texts =
        |of: &(u64, u32, Range<usize>)| (of.0, symbols.texts(of.1, values.get(of.2.clone()).unwrap_or_default()));
    out.push(|out| encode_series(out, all.iter().map(texts)));
}

fn put_metadata(core: &Core, transaction: &Transaction, out: &mut Records) {
    let new = transaction.metadata.iter().filter(|row| core.is_new_metadata(row));
    let rows: Vec<_> = new
        .map(|row| MetadataRow {
            series_ref: row.number,
            metric_type: metric_type(&row.metadata.metric_type),
            unit: &row.metadata.unit,
            help: &row.metadata.help,
        })
        .collect();
    if !rows.is_empty() {
        out.push(|out| encode_metadata(out, rows));
    }
}

fn metric_type(text: &str) -> MetricType {
    use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    let all = [Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet];
    all.into_iter().find(|t| t.as_str() == text).unwrap_or(Unknown)
}

fn put_floats(rows: &Columns<f64>, with_starts: bool, out: &mut Records) {
    if rows.is_empty() {
        return;
    }
    if with_starts && !rows.starts_ms.is_empty() {
        let mut starts_ms = rows.starts_ms.clone();
        starts_ms.resize(rows.len(), 0);
        out.push(|out| encode_samples_with_starts(out, &rows.numbers, &rows.times_ms, &starts_ms, &rows.values));
    } else {
        out.push(|out| encode_samples(out, &rows.numbers, &rows.times_ms, &rows.values));
    }
}

/// A row of histograms of one kind.
type Of<'a, H> = (u64, i64, i64, &'a H);

fn put_histograms(rows: &Columns<HistogramValue>, with_starts: bool, out: &mut Records) {
    let (mut ints, mut floats) = (Vec::<Of<'_, Histogram>>::new(), Vec::<Of<'_, FloatHistogram>>::new());
    for (n, value) in rows.values.iter().enumerate() {
        let (number, time_ms, start_ms) = (rows.numbers[n], rows.times_ms[n], rows.start_ms(n));
        match value {
            HistogramValue::Int(h) => ints.push((number, time_ms, start_ms, h)),
            HistogramValue::Float(h) => floats.push((number, time_ms, start_ms, h)),
        }
    }
    let with_starts = with_starts && !rows.starts_ms.is_empty();
    put_kind(&ints, |h| h.schema == CUSTOM_BUCKETS_SCHEMA, with_starts, out);
    put_kind(&floats, |h| h.schema == CUSTOM_BUCKETS_SCHEMA, with_starts, out);
}

fn put_kind<H: BucketHistogram>(
    rows: &[Of<'_, H>],
    is_custom: impl Fn(&H) -> bool,
    with_starts: bool,
    out: &mut Records,
) {
    if rows.is_empty() {
        return;
    }
    if with_starts {
        out.push(|out| encode_histograms_with_starts(out, rows.iter().copied()));
        return;
    }
    for custom in [false, true] {
        if rows.iter().any(|(.., h)| is_custom(h) == custom) {
            out.push(|out| {
                encode_histograms(out, custom, rows.iter().map(|(number, time_ms, _, h)| (*number, *time_ms, *h)));
            });
        }
    }
}

/// Late samples, for their own log.
pub(crate) fn put_late(rows: &[(u64, Row)], out: &mut Records) {
    let mut floats = Columns::<f64>::default();
    let mut histograms = Columns::<HistogramValue>::default();
    for (number, row) in rows {
        let of = super::rows::Row {
            series: SeriesRef(0),
            number: *number,
            time_ms: row.time_ms,
            start_ms: row.start_ms,
            value: (),
            row: RowNumber::new(Column::Floats, 0),
        };
        match &row.value {
            Value::Float(value) => floats.push(of.with(*value)),
            Value::Histogram(value) => histograms.push(of.with(value.clone())),
        }
    }
    put_floats(&floats, true, out);
    put_histograms(&histograms, true, out);
}
