//! Input series in a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use histogram::FloatHistogram;
use labels::Labels;
use memory_store::MemoryStore;
use promql::{QuerySource, ReadOptions};
use promql_syntax::{SequenceValue, parse_series_description};
use storage::append::{AppendOptions, Appendable, Appender, Floats, HistogramValue, Histograms};
use storage::{Ctx, SeriesSource};

use super::file::TestGroup;

/// Points of one series.
const POINTS_MAX: usize = 10_000_000;

/// The store for every request.
#[derive(Debug)]
pub(super) struct Source(pub MemoryStore);

impl QuerySource for Source {
    fn for_request(&self, _: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// The values of one series by time.
#[derive(Default)]
struct Columns {
    float_times: Vec<i64>,
    floats: Vec<f64>,
    histogram_times: Vec<i64>,
    histograms: Vec<HistogramValue>,
}

/// A store with the input series of a group. A series that is given again has its last values alone.
pub(super) async fn load(group: &TestGroup) -> Result<MemoryStore, String> {
    let mut given: BTreeMap<Labels, (&str, Columns)> = BTreeMap::new();
    for input in &group.input_series {
        let text = format!("{} {}", input.series, input.values);
        let at = |why: String| at(&input.series, why);
        let described = parse_series_description(&text, POINTS_MAX).map_err(|e| at(e.to_string()))?;
        let columns = columns(group, described.expand(combine).map_err(at)?);
        given.insert(described.labels, (&input.series, columns));
    }
    let store = MemoryStore::default();
    let mut appender = store.appender(&Ctx::background(), AppendOptions::default());
    for (labels, (text, columns)) in &given {
        append(&mut *appender, labels, columns).map_err(|why| at(text, why))?;
    }
    appender.commit().await.map_err(|e| e.to_string())?;
    Ok(store)
}

fn at(series: &str, why: String) -> String {
    format!("input series {series:?}: {why}")
}

fn append(appender: &mut dyn Appender, labels: &Labels, columns: &Columns) -> Result<(), String> {
    let pairs: Vec<(&str, &str)> = labels.iter().collect();
    let mut found = appender.resolve(&[&pairs]).map_err(|e| e.to_string())?;
    let series = found.pop().ok_or("no series")?.map_err(|why| why.to_string())?;
    let mut refused = Vec::new();
    if !columns.floats.is_empty() {
        let series = vec![series; columns.floats.len()];
        let rows = Floats { series: &series, times_ms: &columns.float_times, values: &columns.floats, starts_ms: &[] };
        refused.extend(appender.floats(rows).map_err(|e| e.to_string())?);
    }
    if !columns.histograms.is_empty() {
        let series = vec![series; columns.histograms.len()];
        let (times_ms, values) = (&columns.histogram_times, &columns.histograms);
        let rows = Histograms { series: &series, times_ms, values, starts_ms: &[] };
        refused.extend(appender.histograms(rows).map_err(|e| e.to_string())?);
    }
    refused.first().map_or(Ok(()), |first| Err(first.why.to_string()))
}

fn columns(group: &TestGroup, values: Vec<SequenceValue>) -> Columns {
    let mut columns = Columns::default();
    let mut seen = false;
    for (at, value) in values.into_iter().enumerate() {
        let time_ms = group.start_timestamp.0 + at as i64 * group.interval.0;
        match value {
            SequenceValue::Missing => {}
            // A series that begins with a stale marker is none yet.
            SequenceValue::Float(value) if model::is_stale(value) && !seen => {}
            SequenceValue::Float(value) => {
                seen = true;
                columns.float_times.push(time_ms);
                columns.floats.push(value);
            }
            SequenceValue::Histogram { histogram, .. } => {
                seen = true;
                columns.histogram_times.push(time_ms);
                columns.histograms.push(HistogramValue::Float(Arc::new(histogram)));
            }
        }
    }
    columns
}

fn combine(a: &FloatHistogram, b: &FloatHistogram, negative: bool) -> Result<FloatHistogram, String> {
    let mut out = a.clone();
    let combined = if negative { out.sub(b) } else { out.add(b) };
    combined.map(|_| out).map_err(|e| e.to_string())
}
