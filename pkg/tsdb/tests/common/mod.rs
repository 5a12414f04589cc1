//! What the tests of whole databases share.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub mod prometheus;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chunkenc::{Column, HistogramColumn, decode_floats, decode_histograms};
use labels::{MatchType, Matcher};
use model::{Clock, FakeClock, TimeRange, is_stale};
use storage::append::{AppendOptions, Appendable, Floats, Refused, SeriesRef};
use storage::{ChunkData, Ctx, Select, SeriesSource, collect_series};
use telemetry::Metrics;
use tsdb::db::{Tsdb, TsdbDeps, TsdbOptions};

pub use prometheus::{Data, Prometheus, canonical};
pub use testkit::copy_dir;

/// What the tests give a database.
pub fn deps(clock: &Arc<FakeClock>) -> TsdbDeps {
    static RANDOM: AtomicU64 = AtomicU64::new(1);
    let random = || u128::from(RANDOM.fetch_add(1, Ordering::Relaxed));
    TsdbDeps::new(clock.clone() as Arc<dyn Clock>, Metrics::new(), Arc::new(random))
}

/// Kept for ever, late samples taken.
pub fn options() -> TsdbOptions {
    let mut options = TsdbOptions::default();
    options.retention.time_ms = 0;
    options.block_ms_max = 3 * 6 * 3_600_000;
    options
}

pub async fn open(dir: &Path, clock: &Arc<FakeClock>) -> Arc<Tsdb> {
    let tsdb = Tsdb::open(dir, options(), deps(clock)).await.unwrap();
    tsdb.replayed().await;
    tsdb
}

pub fn all_series() -> Matcher {
    Matcher::new(MatchType::Regex, "__name__", ".+").unwrap()
}

/// All there is, without a warning.
pub async fn data(source: &dyn SeriesSource) -> Data {
    let want = Select::new(TimeRange::new(i64::MIN, i64::MAX), vec![all_series()]);
    let answer = collect_series(source.select(&Ctx::background(), want)).await.unwrap();
    assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
    let mut data = Data::new();
    for series in &answer.value {
        let labels: Vec<String> = series.labels.iter().map(|(n, v)| format!("{n}={}", serde_json::json!(v))).collect();
        let labels = labels.join(",");
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("{chunk:?}") };
            if raw.encoding.is_float() {
                let mut column = Column::new();
                decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
                let live = column.iter().filter(|(_, v)| !is_stale(*v));
                data.extend(live.map(|(t, v)| ((labels.clone(), t), vec![canonical(v)])));
            } else {
                let mut column = HistogramColumn::default();
                decode_histograms(raw.encoding, &raw.data, &mut column).unwrap();
                for (t, h) in column.times.iter().zip(&column.values).filter(|(_, h)| !is_stale(h.sum)) {
                    data.insert((labels.clone(), *t), vec![canonical(h.count), canonical(h.sum)]);
                }
            }
        }
    }
    data
}

/// The first few differences.
pub fn assert_same(got: &Data, want: &Data, what: &str) {
    let missing: Vec<_> = want.iter().filter(|(key, value)| got.get(*key) != Some(value)).take(3).collect();
    let extra: Vec<_> = got.iter().filter(|(key, value)| want.get(*key) != Some(value)).take(3).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: {} and {} samples; wanted {missing:?}, got {extra:?}",
        got.len(),
        want.len()
    );
}

/// Appends samples of one series in a transaction; what was refused.
pub async fn append(target: &dyn Appendable, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<Refused> {
    let mut appender = target.appender(&Ctx::background(), AppendOptions::default());
    let series: SeriesRef = appender.resolve(&[labels]).unwrap().remove(0).unwrap();
    let rows = Floats {
        series: &vec![series; samples.len()],
        times_ms: &samples.iter().map(|s| s.0).collect::<Vec<_>>(),
        values: &samples.iter().map(|s| s.1).collect::<Vec<_>>(),
        starts_ms: &[],
    };
    let mut refused = appender.floats(rows).unwrap();
    refused.extend(appender.commit().await.unwrap().refused.into_iter().map(|(_, refused)| refused));
    refused
}
