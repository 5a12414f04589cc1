//! What a database answers.

use std::collections::BTreeMap;

use chunkenc::{Column, HistogramColumn, decode_floats, decode_histograms};
use histogram::{FloatHistogram, ResetHint, indexed};
use labels::{MatchType, Matcher};
use model::TimeRange;
use storage::{ChunkData, Ctx, ExemplarsQuery, ExemplarsSource, PartialResponse, Select, SeriesSource, collect_series};

use super::super::super::tsdb::Tsdb;

/// Values by series and time.
pub(super) type Data = BTreeMap<(String, i64), String>;

pub(super) fn everything() -> Matcher {
    Matcher::new(MatchType::Regex, "__name__", ".+").unwrap()
}

/// A stale marker is of the kind of the sample before.
const STALE: &str = "stale";

/// A value without what depends on how it is laid out.
pub(super) fn float(value: f64) -> String {
    if model::is_stale(value) { STALE.to_owned() } else { format!("{:x}", value.to_bits()) }
}

/// The same of a histogram, which is a gauge or not.
pub(super) fn histogram(h: &FloatHistogram) -> String {
    if model::is_stale(h.sum) {
        return STALE.to_owned();
    }
    let buckets =
        |spans, counts| indexed(spans, counts).filter(|(_, count): &(i32, f64)| *count != 0.0).collect::<Vec<_>>();
    let gauge = h.reset_hint == ResetHint::Gauge;
    let (positive, negative) =
        (buckets(&h.positive_spans, &h.positive_buckets), buckets(&h.negative_spans, &h.negative_buckets));
    let zero = (h.zero_threshold, h.zero_count);
    format!(
        "{gauge} {} {zero:?} {} {} {positive:?} {negative:?} {:?}",
        h.schema,
        h.count,
        float(h.sum),
        h.custom_values
    )
}

/// All samples, and with them which resets of counters are known.
pub(super) async fn data(tsdb: &Tsdb) -> (Data, Data) {
    let want = Select::new(TimeRange::ALL, vec![everything()]);
    let answer = collect_series(tsdb.select(&Ctx::background(), want)).await.unwrap();
    let (mut data, mut hints) = (Data::new(), Data::new());
    for series in &answer.value {
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("{chunk:?}") };
            if raw.encoding.is_float() {
                let mut column = Column::new();
                decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
                data.extend(column.iter().map(|(t, v)| ((series.labels.to_string(), t), float(v))));
            } else {
                let mut column = HistogramColumn::default();
                decode_histograms(raw.encoding, &raw.data, &mut column).unwrap();
                for (t, h) in column.times.iter().zip(&column.values) {
                    data.insert((series.labels.to_string(), *t), histogram(h));
                    // What is not known is compared.
                    let hint = Some(h.reset_hint).filter(|hint| *hint != ResetHint::NotReset).unwrap_or_default();
                    hints.insert((series.labels.to_string(), *t), format!("{hint:?}"));
                }
            }
        }
    }
    (data, hints)
}

/// All exemplars.
pub(super) async fn exemplars(tsdb: &Tsdb) -> String {
    let want = ExemplarsQuery {
        query: String::new(),
        selectors: vec![vec![everything()]],
        range: TimeRange::ALL,
        partial_response: PartialResponse::Abort,
    };
    format!("{:?}", tsdb.exemplars(&Ctx::background(), want).await.unwrap().value)
}

/// The first few differences.
pub(super) fn difference(got: &Data, want: &Data) -> Option<String> {
    let missing: Vec<_> = want.iter().filter(|(key, value)| got.get(*key) != Some(value)).collect();
    let extra: Vec<_> = got.iter().filter(|(key, value)| want.get(*key) != Some(value)).collect();
    let first = |all: &[_]| format!("{:?}", &all[..all.len().min(3)]);
    (!missing.is_empty() || !extra.is_empty())
        .then(|| format!("{} missing: {}; {} too many: {}", missing.len(), first(&missing), extra.len(), first(&extra)))
}
