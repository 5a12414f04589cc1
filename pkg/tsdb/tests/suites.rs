//! A database against the suites of the seams.

mod common;

use std::path::Path;
use std::sync::Arc;

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions};
use chunkenc::{Column, TimedChunk, decode_floats};
use common::{deps, options};
use futures::future::BoxFuture;
use labels::Labels;
use model::FakeClock;
use storage::append::{AppendOptions, Appendable, Appender, Floats};
use storage::conformance::{self, CHUNKS, EXTERNAL, START_MS, Traits};
use storage::{
    Answer, ChunkData, Ctx, ExemplarsQuery, ExemplarsSource, LabelQuery, MetadataByMetric, MetadataQuery,
    MetadataSource, Result, Select, Series, SeriesSource, SeriesStream, SourceInfo,
};
use tempfile::TempDir;
use testkit::append::{self as appendable, Rules};
use tsdb::db::{Tsdb, TsdbOptions};

/// A database in a directory that goes with it.
#[derive(Debug)]
struct Held(Arc<Tsdb>, #[allow(dead_code, reason = "it is deleted when dropped")] TempDir);

impl Held {
    async fn open(options: TsdbOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(appendable::START_MS));
        let tsdb = Tsdb::open(dir.path(), options, deps(&clock)).await.unwrap();
        tsdb.replayed().await;
        Self(tsdb, dir)
    }
}

impl Appendable for Held {
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        self.0.appender(ctx, options)
    }
}

impl SeriesSource for Held {
    fn info(&self) -> SourceInfo {
        self.0.info()
    }
    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        self.0.select(ctx, want)
    }
    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.0.label_names(ctx, want)
    }
    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.0.label_values(ctx, name, want)
    }
}

impl ExemplarsSource for Held {
    fn exemplars(
        &self,
        ctx: &Ctx,
        want: ExemplarsQuery,
    ) -> BoxFuture<'static, Result<Answer<Vec<model::ExemplarSeries>>>> {
        self.0.exemplars(ctx, want)
    }
}

impl MetadataSource for Held {
    fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        self.0.metadata(ctx, want)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_appendable() {
    for window_ms in [0, appendable::WINDOW_MS] {
        let rules = Rules { out_of_order: window_ms > 0, exemplars: true, metadata: true };
        let mut options = options();
        options.head.exemplars_max = 100;
        options.head.out_of_order_window_ms = window_ms;
        let runtime = tokio::runtime::Handle::current();
        let make = || tokio::task::block_in_place(|| runtime.block_on(Held::open(options.clone())));
        appendable::run(&make, rules).await;
    }
}

/// The first chunk of each series in one block, the second in another.
fn write_blocks(dir: &Path, all: &[Series]) {
    for n in 0..2 {
        let begin = START_MS + n * 1_800_000;
        let mut writer =
            BlockWriter::create(dir, BlockId::new(n as u64 + 1, 0), BlockWriterOptions::default()).unwrap();
        for series in all {
            let inside = series.chunks.iter().filter(|c| (begin..begin + 1_800_000).contains(&c.min_time));
            let chunks: Vec<TimedChunk> = inside.map(|c| TimedChunk::try_from(c).unwrap()).collect();
            if !chunks.is_empty() {
                writer.add_series(&series.labels, &chunks).unwrap();
            }
        }
        writer.finish(BlockMeta { min_time: begin, max_time: begin + 1_800_000, ..BlockMeta::default() }).unwrap();
    }
}

#[tokio::test]
async fn it_is_a_source() {
    let dir = tempfile::tempdir().unwrap();
    let external = Labels::from_pairs(EXTERNAL);
    let mut all: Vec<Series> =
        conformance::series().into_iter().map(|s| Series { labels: s.labels.overlay(&external), ..s }).collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    write_blocks(dir.path(), &all);
    let clock = Arc::new(FakeClock::at(START_MS + CHUNKS * 1_800_000));
    let tsdb = Tsdb::open(dir.path(), options(), deps(&clock)).await.unwrap();
    tsdb.replayed().await;
    let mut appender = tsdb.appender(&Ctx::background(), AppendOptions::default());
    for series in &all {
        for chunk in series.chunks.iter().filter(|c| c.min_time >= START_MS + 2 * 1_800_000) {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("raw chunks only") };
            let mut column = Column::new();
            decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
            let pairs: Vec<_> = series.labels.iter().collect();
            let series = appender.resolve(&[&pairs]).unwrap().remove(0).unwrap();
            let rows = Floats {
                series: &vec![series; column.len()],
                times_ms: &column.times,
                values: &column.values,
                starts_ms: &[],
            };
            assert_eq!(appender.floats(rows).unwrap(), []);
        }
    }
    appender.commit().await.unwrap();
    conformance::run(&*tsdb, Traits { budgeted: true, exact_label_times: false }).await;
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let clock = Arc::new(FakeClock::at(START_MS));
    let dir = tempfile::tempdir().unwrap();
    let open = || Tsdb::open(dir.path(), options(), deps(&clock));
    let first = open().await.unwrap();
    let error = open().await.unwrap_err().to_string();
    assert!(error.contains("is in use by"), "{error}");
    first.close().await.unwrap();
    // The lock is free, though the database is still held.
    let second = open().await.unwrap();
    drop(first);
    second.close().await.unwrap();
}

/// prometheus#18291.
#[tokio::test]
async fn a_start_that_fails_leaves_the_lock_free() {
    let clock = Arc::new(FakeClock::at(START_MS));
    let dir = tempfile::tempdir().unwrap();
    // A file stands where the log has to be.
    std::fs::write(dir.path().join("wal"), "").unwrap();
    let error = Tsdb::open(dir.path(), options(), deps(&clock)).await.unwrap_err().to_string();
    assert!(error.contains("wal"), "{error}");
    std::fs::remove_file(dir.path().join("wal")).unwrap();
    Tsdb::open(dir.path(), options(), deps(&clock)).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let clock = Arc::new(FakeClock::at(START_MS));
    let error = Tsdb::open(&file, options(), deps(&clock)).await.unwrap_err().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}
