//! Small blocks, and what can be read of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, LocalBlock};
use chunkenc::{Column, Encoding, TimedChunk, decode_floats, encode_xor};
use labels::{Labels, Matcher};
use model::{FakeClock, TimeRange};
use service::Failpoints;
use storage::{ChunkData, Ctx, MemorySource, Select, collect_series};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use super::super::blocks::Blocks;
use super::super::options::{TsdbDeps, TsdbOptions};
use super::super::source::Reading;

/// Samples by series and time.
pub(super) type Samples = BTreeMap<(String, i64), f64>;

pub(super) fn everything() -> TimeRange {
    TimeRange::new(i64::MIN, i64::MAX)
}

pub(super) fn deps(failpoints: Failpoints) -> TsdbDeps {
    // Two databases, one after the other, must not give the same id.
    static RANDOM: AtomicU64 = AtomicU64::new(1);
    let random = || u128::from(RANDOM.fetch_add(1, Ordering::Relaxed));
    let mut deps = TsdbDeps::new(Arc::new(FakeClock::at(1_000_000)), Metrics::new(), Arc::new(random));
    deps.failpoints = failpoints;
    deps
}

/// Blocks of 20 ms, merged up to 180 ms, kept for ever.
pub(super) fn options() -> TsdbOptions {
    let mut options = TsdbOptions { block_ms: 20, block_ms_max: 180, ..TsdbOptions::default() };
    options.retention.time_ms = 0;
    options
}

/// A block of some series with a sample each millisecond of `[min, max)`; values tell series, time and block.
pub(super) fn make(
    dir: &Path,
    id: u64,
    range: (i64, i64),
    series: &[&str],
    change: impl FnOnce(&mut BlockMeta),
) -> BlockId {
    let id = BlockId::new(id, 0);
    let mut writer = BlockWriter::create(dir, id, BlockWriterOptions::default()).unwrap();
    for name in series {
        let samples = (range.0..range.1).map(|t| (t, t as f64 + name.len() as f64 / 10.0));
        let data = encode_xor(samples).unwrap().into();
        let chunk = TimedChunk { min_time: range.0, max_time: range.1 - 1, encoding: Encoding::Xor, data };
        writer.add_series(&Labels::from_pairs([("__name__", *name)]), &[chunk]).unwrap();
    }
    let mut meta = BlockMeta { min_time: range.0, max_time: range.1, ..BlockMeta::default() };
    change(&mut meta);
    writer.finish(meta).unwrap();
    id
}

pub(super) fn open(dir: &Path, options: TsdbOptions) -> Blocks {
    Blocks::open(dir, options, deps(Failpoints::none())).unwrap()
}

/// All samples, and the warnings.
pub(super) async fn read(blocks: &Blocks, range: TimeRange) -> (Samples, Vec<String>) {
    let head = Arc::new(MemorySource::default());
    let reading = Reading { view: blocks.views.current(), head, unfinished: None, lost: None };
    let want = Select::new(range, vec![Matcher::new(labels::MatchType::Regex, "__name__", ".+").unwrap()]);
    let answer = collect_series(reading.select(&Ctx::background(), want)).await.unwrap();
    let mut samples = Samples::new();
    for series in &answer.value {
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("{chunk:?}") };
            let mut column = Column::new();
            decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
            samples.extend(column.iter().map(|(t, v)| ((series.labels.to_string(), t), v)));
        }
    }
    samples.retain(|(_, t), _| range.contains(*t));
    (samples, answer.warnings)
}

/// Merges until there is nothing to merge.
pub(super) async fn merge_all(blocks: &Blocks) -> super::super::Result<()> {
    let changing = blocks.changing().await;
    blocks.reload(&changing, 0)?;
    blocks.merge_all(&changing, 0, &CancellationToken::new(), &|| false).await
}

/// The ranges of the blocks, by begin.
pub(super) fn ranges(blocks: &Blocks) -> Vec<(i64, i64)> {
    blocks.views.current().blocks.iter().map(|b| (b.meta.min_time, b.meta.max_time)).collect()
}

/// Names in `dir` that are no whole blocks.
pub(super) fn rest(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| LocalBlock::open(&dir.join(name)).is_err()).collect()
}
