//! Blocks, a bucket that notes what is asked of it, and a gateway over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assembly::Deps;
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, LocalBlock, ThanosMeta};
use futures::future::{BoxFuture, FutureExt};
use labels::{MatchType, Matcher};
use model::{Clock, FakeClock, TimeRange};
use objstore::decorate::Hook;
use objstore::faults::Faults;
use objstore::{Bucket, Op};
use parking_lot::Mutex;
use storage::{Answer, Ctx, Select, Series, SeriesSource, collect_series, merge_streams};
use store_gateway::{Config, Store};
use telemetry::Metrics;
use tempfile::TempDir;
use transport::http::Probe;

/// Now, in all tests.
pub const NOW_MS: i64 = 1_800_000_000_000;

/// What was asked of the bucket.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<(Op, String)>>>);

impl Log {
    /// How many operations since the last call: GETs of indexes, GETs of segments, all others.
    pub fn take(&self) -> (usize, usize, usize) {
        let all = std::mem::take(&mut *self.0.lock());
        let gets = |what: &str| {
            all.iter().filter(|(op, path)| matches!(op, Op::Get | Op::GetRange) && path.contains(what)).count()
        };
        let (index, chunks) = (gets("/index"), gets("/chunks/"));
        (index, chunks, all.len() - index - chunks)
    }
}

impl Hook for Log {
    type Guard = ();

    fn before<'a>(&'a self, op: Op, path: &'a str) -> BoxFuture<'a, object_store::Result<()>> {
        self.0.lock().push((op, path.to_owned()));
        futures::future::ok(()).boxed()
    }

    fn after(&self, (): (), _: Op, _: &str, _: u64, _: Option<&object_store::Error>) -> Option<object_store::Error> {
        None
    }
}

/// A bucket and what was put into it.
pub struct Fixture {
    pub dir: TempDir,
    /// Without log and faults.
    pub plain: Bucket,
    pub bucket: Bucket,
    pub log: Log,
    pub faults: Faults,
    pub clock: Arc<FakeClock>,
    pub metrics: Metrics,
    locals: BTreeMap<BlockId, LocalBlock>,
}

/// One block to write.
pub struct Spec<'a> {
    pub n: u128,
    pub external: &'a [(&'a str, &'a str)],
    pub range: (i64, i64),
    pub resolution_ms: i64,
    pub series: Vec<Series>,
}

impl Fixture {
    pub fn new() -> Self {
        let (plain, log, faults) = (Bucket::in_memory(), Log::default(), Faults::new());
        let bucket = plain.decorated(faults.clone()).decorated(log.clone());
        Self {
            dir: tempfile::tempdir().unwrap(),
            plain,
            bucket,
            log,
            faults,
            clock: Arc::new(FakeClock::at(NOW_MS)),
            metrics: Metrics::new(),
            locals: BTreeMap::new(),
        }
    }

    /// Writes a raw block of series that are sorted already.
    pub async fn raw(&mut self, n: u128, external: &[(&str, &str)], range: (i64, i64), series: Vec<Series>) -> BlockId {
        self.block(Spec { n, external, range, resolution_ms: 0, series }).await
    }

    pub async fn block(&mut self, spec: Spec<'_>) -> BlockId {
        let id = BlockId::new(1_700_000_000_000, spec.n);
        let parent = self.dir.path().join("blocks");
        let mut writer = BlockWriter::create(&parent, id, BlockWriterOptions::default()).unwrap();
        let mut series = spec.series;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        for s in &series {
            let chunks: Vec<chunkenc::TimedChunk> =
                s.chunks.iter().map(|c| chunkenc::TimedChunk::try_from(c).unwrap()).collect();
            writer.add_series(&s.labels, &chunks).unwrap();
        }
        let labels = spec.external.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let downsample = block::meta::Downsample { resolution: spec.resolution_ms };
        let thanos = ThanosMeta { version: 1, labels, source: "sidecar".into(), downsample, ..Default::default() };
        let meta =
            BlockMeta { min_time: spec.range.0, max_time: spec.range.1, thanos: Some(thanos), ..Default::default() };
        writer.finish(meta).unwrap();
        let dir = parent.join(id.to_string());
        upload(&self.plain, &dir, id).await;
        self.locals.insert(id, LocalBlock::open(&dir).unwrap());
        id
    }

    /// Uploads a block's directory as it is.
    pub async fn copy(&mut self, dir: &Path) -> BlockId {
        let id = BlockId::parse(dir.file_name().unwrap().to_str().unwrap()).unwrap();
        upload(&self.plain, dir, id).await;
        // Tombstones do not travel with a block.
        let copy = self.dir.path().join("blocks").join(id.to_string());
        std::fs::create_dir_all(copy.join("chunks")).unwrap();
        for file in ["meta.json", "index"] {
            std::fs::copy(dir.join(file), copy.join(file)).unwrap();
        }
        for entry in std::fs::read_dir(dir.join("chunks")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join("chunks").join(entry.file_name())).unwrap();
        }
        self.locals.insert(id, LocalBlock::open(&copy).unwrap());
        id
    }

    /// What the blocks hold, read from the local files.
    pub async fn right(&self, want: &Select) -> Vec<Series> {
        let ctx = Ctx::background();
        let inputs = self.locals.iter().map(|(id, block)| (id.to_string(), block.select(&ctx, want.clone())));
        collect_series(merge_streams(inputs.collect())).await.unwrap().value
    }

    /// A gateway after its first sync, with settings changed by `change`.
    pub async fn gateway(&self, change: impl FnOnce(&mut Config)) -> Store {
        let component = self.component(change);
        component.syncer.sync().await.unwrap();
        self.log.take();
        component
    }

    pub fn component(&self, change: impl FnOnce(&mut Config)) -> Store {
        let mut config = config();
        config.data_dir = Some(self.data_dir());
        change(&mut config);
        build(config, self.bucket.clone(), self.clock.clone(), self.metrics.clone())
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Changes an object's bytes.
    pub async fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.plain.get(path).await.unwrap().to_vec();
        change(&mut bytes);
        self.plain.put(path, bytes).await.unwrap();
    }
}

/// A store over a bucket.
pub fn build(config: Config, bucket: Bucket, clock: Arc<dyn Clock>, metrics: Metrics) -> Store {
    let deps = Deps { bucket: Some(bucket), clock, ..Deps::isolated(metrics) };
    Store::new(config, deps, Probe::new("starting")).unwrap()
}

/// The flags' defaults, with one listing for a sync.
pub fn config() -> Config {
    let mut config = Config::with_defaults(&Deps::isolated(Metrics::new())).unwrap();
    config.fetch.listing = bucket::Listing::Recursive;
    config.fetch.cache_dir = None;
    config.eager_headers = false;
    config.index_disk_bytes = 0;
    config
}

async fn upload(bucket: &Bucket, dir: &Path, id: BlockId) {
    for entry in std::fs::read_dir(dir.join("chunks")).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{id}/chunks/{}", entry.file_name().to_str().unwrap());
        bucket.put(&path, std::fs::read(entry.path()).unwrap()).await.unwrap();
    }
    for file in ["index", "meta.json"] {
        bucket.put(&format!("{id}/{file}"), std::fs::read(dir.join(file)).unwrap()).await.unwrap();
    }
}

/// `count` series of metric `name`, each with `samples` samples every 15 s from `start`.
pub fn fleet(name: &str, count: usize, start: i64, samples: i64) -> Vec<Series> {
    (0..count)
        .map(|i| {
            let (instance, job) = (format!("host-{i:05}"), format!("job-{}", i % 7));
            let points: Vec<_> =
                (0..samples).map(|k| (start + k * 15_000, (i as f64) + (k * k) as f64 * 0.1)).collect();
            testkit::series(&[("__name__", name), ("instance", &instance), ("job", &job)], &points)
        })
        .collect()
}

/// `name op value` with op as PromQL writes it.
pub fn m(text: &str) -> Matcher {
    let at = text.find(['=', '!']).unwrap();
    let (name, rest) = text.split_at(at);
    let kinds =
        [("=~", MatchType::Regex), ("!~", MatchType::NotRegex), ("!=", MatchType::NotEqual), ("=", MatchType::Equal)];
    let (kind, value) = kinds.iter().find_map(|(op, kind)| Some((*kind, rest.strip_prefix(op)?))).unwrap();
    Matcher::new(kind, name, value).unwrap()
}

pub fn select(range: (i64, i64), matchers: &[&str]) -> Select {
    Select::new(TimeRange::new(range.0, range.1), matchers.iter().map(|t| m(t)).collect::<Vec<_>>())
}

pub async fn ask(component: &Store, want: &Select) -> Answer<Vec<Series>> {
    let answer = ask_with(component, &Ctx::background(), want).await.unwrap();
    assert!(answer.value.is_sorted_by(|a, b| a.labels < b.labels), "out of order");
    answer
}

pub async fn ask_with(component: &Store, ctx: &Ctx, want: &Select) -> storage::Result<Answer<Vec<Series>>> {
    collect_series(component.gateway.select(ctx, want.clone())).await
}

/// The labels of each series.
pub fn names(series: &[Series]) -> Vec<String> {
    series.iter().map(|s| s.labels.to_string()).collect()
}
