//! What all parts use: rows in, series out.

use std::collections::BTreeMap;

use chunkenc::{Column as Samples, HistogramColumn, decode_floats, decode_histograms};
use histogram::FloatHistogram;
use labels::Matcher;
use model::TimeRange;

use storage::append::{AppendOptions, Appendable, Appender, Committed, Floats, Refusal, Refused, SeriesRef};
use storage::{
    ChunkData, Ctx, ExemplarsSource, LabelQuery, MetadataSource, PartialResponse, Select, SeriesSource, collect_series,
};

/// The first sample's time, ms.
pub const START_MS: i64 = 1_700_000_000_000;
/// The out-of-order window of stores that have one, ms.
pub const WINDOW_MS: i64 = 60_000;

/// Where stores may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// It takes samples up to [`WINDOW_MS`] older than its newest.
    pub out_of_order: bool,
    /// It keeps exemplars.
    pub exemplars: bool,
    /// It keeps metadata.
    pub metadata: bool,
}

/// What is written to and read from.
pub trait Store: Appendable + SeriesSource + ExemplarsSource + MetadataSource + 'static {}

impl<T: Appendable + SeriesSource + ExemplarsSource + MetadataSource + 'static> Store for T {}

pub(super) fn begin(store: &dyn Appendable) -> Box<dyn Appender> {
    store.appender(&Ctx::background(), AppendOptions::default())
}

/// The reference of `{__name__="<name>"}`.
pub(super) fn series(appender: &mut dyn Appender, name: &str) -> SeriesRef {
    resolve(appender, &[("__name__", name)])
}

pub(super) fn resolve(appender: &mut dyn Appender, pairs: &[(&str, &str)]) -> SeriesRef {
    let found = appender.resolve(&[pairs]).unwrap_or_else(|e| panic!("{pairs:?}: {e}"));
    assert_eq!(found.len(), 1, "{pairs:?}: one reference for one label set");
    found[0].clone().unwrap_or_else(|e| panic!("{pairs:?}: {e}"))
}

pub(super) fn floats(appender: &mut dyn Appender, rows: &[(SeriesRef, i64, f64)]) -> Vec<Refused> {
    let columns = Floats {
        series: &rows.iter().map(|r| r.0).collect::<Vec<_>>(),
        times_ms: &rows.iter().map(|r| r.1).collect::<Vec<_>>(),
        values: &rows.iter().map(|r| r.2).collect::<Vec<_>>(),
        starts_ms: &[],
    };
    appender.floats(columns).unwrap_or_else(|e| panic!("{rows:?}: {e}"))
}

/// One float sample, and why it was refused.
pub(super) fn float(appender: &mut dyn Appender, series: SeriesRef, time_ms: i64, value: f64) -> Option<Refusal> {
    floats(appender, &[(series, time_ms, value)]).pop().map(|r| r.why)
}

pub(super) async fn commit(appender: Box<dyn Appender>) -> Committed {
    appender.commit().await.unwrap_or_else(|e| panic!("commit: {e}"))
}

/// Samples of a series: floats by their bits, since NaN is not equal to itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Read {
    pub floats: Vec<(i64, u64)>,
    pub histograms: Vec<(i64, FloatHistogram)>,
}

/// All series and their samples.
pub(super) async fn read(store: &dyn SeriesSource) -> BTreeMap<String, Read> {
    let any = Matcher::new(labels::MatchType::Regex, "__name__", ".*").unwrap_or_else(|e| panic!("{e}"));
    let want = Select { partial_response: PartialResponse::Abort, ..Select::new(TimeRange::ALL, vec![any]) };
    let answer = collect_series(store.select(&Ctx::background(), want)).await.unwrap_or_else(|e| panic!("read: {e}"));
    let mut all = BTreeMap::new();
    for series in answer.value {
        let mut read = Read::default();
        let (mut samples, mut histograms) = (Samples::new(), HistogramColumn::default());
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("{}: not a raw chunk", series.labels) };
            let decoded = if raw.encoding.is_histogram() {
                decode_histograms(raw.encoding, &raw.data, &mut histograms)
            } else {
                decode_floats(raw.encoding, &raw.data, &mut samples)
            };
            decoded.unwrap_or_else(|e| panic!("{}: {e}", series.labels));
        }
        read.floats.extend(samples.iter().map(|(t, v)| (t, v.to_bits())));
        read.floats.sort_unstable();
        read.histograms.extend(histograms.times.into_iter().zip(histograms.values));
        assert!(!series.chunks.is_empty(), "{}: a series without samples is shown", series.labels);
        all.insert(series.labels.to_string(), read);
    }
    all
}

pub(super) async fn names(store: &dyn SeriesSource) -> Vec<String> {
    let all = LabelQuery::new(TimeRange::ALL, Vec::new());
    let answer = store.label_values(&Ctx::background(), "__name__", all).await;
    answer.unwrap_or_else(|e| panic!("label values: {e}")).value
}

/// The float samples of `{__name__="<name>"}`.
pub(super) async fn samples_of(store: &dyn SeriesSource, name: &str) -> Vec<(i64, f64)> {
    let all = read(store).await;
    let found = all.get(&format!("{{__name__=\"{name}\"}}"));
    found.map(|r| r.floats.iter().map(|(t, v)| (*t, f64::from_bits(*v))).collect()).unwrap_or_default()
}
