//! Input series in a store.

use std::sync::Arc;

use histogram::FloatHistogram;
use memory_store::MemoryStore;
use promql::{QuerySource, ReadOptions};
use promql_syntax::{SequenceValue, parse_series_description};
use storage::append::{AppendOptions, Appendable, Floats, HistogramValue, Histograms};
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

/// A store with the input series of a group.
pub(super) async fn load(group: &TestGroup) -> Result<MemoryStore, String> {
    let store = MemoryStore::default();
    let mut appender = store.appender(&Ctx::background(), AppendOptions::default());
    for input in &group.input_series {
        let text = format!("{} {}", input.series, input.values);
        let at = |why: String| format!("input series {:?}: {why}", input.series);
        let described = parse_series_description(&text, POINTS_MAX).map_err(|e| at(e.to_string()))?;
        let columns = columns(group, described.expand(combine).map_err(at)?);
        let pairs: Vec<(&str, &str)> = described.labels.iter().collect();
        let mut found = appender.resolve(&[&pairs]).map_err(|e| at(e.to_string()))?;
        let series = match found.pop() {
            Some(Ok(series)) => series,
            Some(Err(why)) => return Err(at(why.to_string())),
            None => return Err(at("no series".to_owned())),
        };
        let mut refused = Vec::new();
        if !columns.floats.is_empty() {
            let series = vec![series; columns.floats.len()];
            let rows =
                Floats { series: &series, times_ms: &columns.float_times, values: &columns.floats, starts_ms: &[] };
            refused.extend(appender.floats(rows).map_err(|e| at(e.to_string()))?);
        }
        if !columns.histograms.is_empty() {
            let series = vec![series; columns.histograms.len()];
            let (times_ms, values) = (&columns.histogram_times, &columns.histograms);
            let rows = Histograms { series: &series, times_ms, values, starts_ms: &[] };
            refused.extend(appender.histograms(rows).map_err(|e| at(e.to_string()))?);
        }
        if let Some(first) = refused.first() {
            return Err(at(first.why.to_string()));
        }
    }
    appender.commit().await.map_err(|e| e.to_string())?;
    Ok(store)
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
