//! The ways to answer one query that must say the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assembly::{Component, Deps, Listeners};
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, LocalBlock, ThanosMeta};
use futures::future::BoxFuture;
use labels::{Labels, MatchType, Matcher};
use memory_store::{MemoryStore, MemoryStoreOptions};
use model::{Clock, FakeClock, Grid, TimeRange};
use objstore::Bucket;
use promql::{Engine, EngineOptions, Passes, Query, Times};
use promql_syntax::ParseOptions;
use querier::Querier;
use storage::{Ctx, MemorySource, Select, SeriesSource, collect_series};
use telemetry::Metrics;
use tempfile::TempDir;
use tests::client::Api;
use tokio_util::sync::{CancellationToken, DropGuard};
use transport::http::Probe;
use tsdb::db::{Tsdb, TsdbDeps, TsdbOptions};

use crate::answers::Answer;
use crate::grammar::OF_THE_RANGE;
use crate::random::Random;
use crate::replicas::Replicas;
use crate::world::{START_MS, TICK_MS, TICKS, World};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Case {
    pub query: String,
    pub grid: Grid,
}

/// Two ways of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Other settings of the engine that must not change an answer.
    Settings,
    /// As many threads.
    Threads(usize),
    /// No pass of the planner: the query as it is written.
    NoPass,
    /// All passes of the planner but this one.
    WithoutPass(&'static str),
    /// The range in two parts.
    Split,
    /// Each step as an instant query.
    Instants,
    /// A TSDB's head.
    Head,
    /// A block on disk.
    Block,
    /// The store gateway over a bucket.
    Store,
    /// The store gateway on one thread.
    OneThread,
    /// A querier over the store gateway, which evaluates what it can.
    Querier,
    /// A querier over the store gateway, whose series it reads.
    Reader,
    /// Two replicas with gaps, deduplicated.
    Replicas,
}

/// The checks of one case: all, and one of the planner's passes left out.
pub fn checks(random: &mut Random) -> [Check; 11] {
    let passes: Vec<&'static str> = Passes::names().collect();
    [
        Check::Settings,
        Check::Threads(*random.pick(&[1, 2, 8])),
        Check::NoPass,
        Check::WithoutPass(passes[random.below(passes.len())]),
        Check::Split,
        Check::Instants,
        Check::Head,
        Check::Block,
        if random.one_in(4) { Check::OneThread } else { Check::Store },
        if random.one_in(4) { Check::Reader } else { Check::Querier },
        Check::Replicas,
    ]
}

/// How far back instant selectors look, ms.
pub const LOOKBACK_MS: i64 = 300_000;

/// One world in all its places.
pub struct Sides {
    engine: Engine,
    other: Engine,
    memory: Arc<dyn SeriesSource>,
    labelled: Arc<dyn SeriesSource>,
    head: Arc<Tsdb>,
    block: Arc<dyn SeriesSource>,
    store: Arc<dyn SeriesSource>,
    replicas: Arc<dyn SeriesSource>,
    queriers: Queriers,
    _dir: TempDir,
}

/// Two queriers over one store gateway, by their HTTP API.
struct Queriers {
    evaluating_there: Api,
    reading: Api,
    _stop: DropGuard,
}

/// All that the language has.
pub fn options() -> EngineOptions {
    EngineOptions { parse: ParseOptions::ALL, max_concurrent: 0, ..EngineOptions::default() }
}

/// External labels of the block in the bucket.
fn external() -> Labels {
    Labels::from_pairs([("cluster", "eu")])
}

impl Sides {
    /// All places of a world; `seed` says where replicas have gaps.
    pub async fn of(world: &World, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let memory = MemoryStore::new(MemoryStoreOptions::default());
        world.write(&memory).await;
        let series = all_series(&memory).await;
        let labelled = MemorySource::with_external_labels(series.clone(), external());
        let head = head(&dir, world).await;
        let id = write_block(&dir, &series);
        let path = dir.path().join("blocks").join(id.to_string());
        let store = store(&dir, &path, id).await;
        let block = LocalBlock::open(&path).unwrap();
        let other = EngineOptions { max_query_bytes: 1 << 40, max_samples: 0, ..options() };
        Self {
            engine: Engine::new(options()),
            other: Engine::new(other),
            memory: Arc::new(memory),
            labelled: Arc::new(labelled),
            head,
            block: Arc::new(block),
            store: Arc::new(store.gateway.clone()),
            queriers: queriers(store).await,
            replicas: Arc::new(Replicas::of(world, seed).await),
            _dir: dir,
        }
    }

    /// The plain answer.
    pub async fn plain(&self, case: &Case) -> Answer {
        ask(&self.engine, &self.memory, case.query.clone(), Times::Range(case.grid)).await
    }

    /// How many queries the store gateway evaluated for a querier.
    pub async fn evaluated_at_store(&self) -> f64 {
        let metrics = self.queriers.evaluating_there.get_bytes("/metrics", &[]).await.unwrap();
        let metrics = String::from_utf8(metrics).unwrap();
        let of_all = |l: &str| l.strip_prefix("aion_query_evaluated_at_store_total{steps=\"all\"} ")?.parse().ok();
        metrics.lines().find_map(of_all).unwrap_or(0.0)
    }

    /// The difference that `check` finds to the plain answer.
    pub async fn difference(&self, check: Check, case: &Case, plain: &Answer) -> Option<String> {
        let (engine, grid) = (&self.engine, case.grid);
        let of_the_range = OF_THE_RANGE.iter().any(|text| case.query.contains(text));
        let got = |engine, source, times| ask(engine, source, case.query.clone(), times);
        let head: Arc<dyn SeriesSource> = self.head.clone();
        let answer = match check {
            Check::Split | Check::Instants if of_the_range => return None,
            Check::Settings => got(&self.other, &self.memory, Times::Range(grid)).await,
            Check::Threads(threads) => {
                // They help from the first series on.
                let several = Engine::new(EngineOptions { threads, alone_bytes_max: 0, ..options() });
                got(&several, &self.memory, Times::Range(grid)).await
            }
            Check::NoPass => got(&with(Passes::NONE), &self.memory, Times::Range(grid)).await,
            Check::WithoutPass(name) => {
                let passes = Passes::ALL.without([name]).unwrap();
                got(&with(passes), &self.memory, Times::Range(grid)).await
            }
            Check::Head => got(engine, &head, Times::Range(grid)).await,
            Check::Replicas => got(engine, &self.replicas, Times::Range(grid)).await,
            Check::Block | Check::Store | Check::OneThread | Check::Querier | Check::Reader => {
                let right = got(engine, &self.labelled, Times::Range(grid)).await;
                let answer = match check {
                    Check::Block => got(engine, &self.block, Times::Range(grid)).await,
                    Check::Querier => asked(&self.queriers.evaluating_there, case).await,
                    Check::Reader => asked(&self.queriers.reading, case).await,
                    Check::OneThread => on_one_thread(self.store.clone(), case.clone()).await,
                    _ => got(engine, &self.store, Times::Range(grid)).await,
                };
                return right.difference(&answer);
            }
            Check::Split => {
                let middle = grid.steps() / 2;
                let first = Grid { end_ms: grid.time(middle), ..grid };
                let second = Grid { start_ms: grid.time(middle) + grid.step_ms, ..grid };
                let mut parts = vec![got(engine, &self.memory, Times::Range(first)).await];
                if second.start_ms <= second.end_ms {
                    parts.push(got(engine, &self.memory, Times::Range(second)).await);
                }
                Answer::joined(parts)
            }
            Check::Instants => {
                let mut parts = Vec::new();
                for step in 0..grid.steps() {
                    parts.push(got(engine, &self.memory, Times::Instant(grid.time(step))).await);
                }
                Answer::joined(parts)
            }
        };
        plain.difference(&answer)
    }
}

/// An engine that runs these passes only.
fn with(passes: Passes) -> Engine {
    Engine::new(EngineOptions { passes, ..options() })
}

/// All series of a source.
pub async fn all_series(source: &dyn SeriesSource) -> Vec<storage::Series> {
    let all = Select::new(TimeRange::ALL, vec![Matcher::new(MatchType::Regex, "__name__", ".+").unwrap()]);
    collect_series(source.select(&Ctx::background(), all)).await.unwrap().value
}

/// The answer where the source's tasks share one thread.
async fn on_one_thread(source: Arc<dyn SeriesSource>, case: Case) -> Answer {
    let answer = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(&with(Passes::ALL), &source, case.query, Times::Range(case.grid)))
    };
    tokio::task::spawn_blocking(answer).await.unwrap()
}

/// Our answer to a query over a source.
pub fn ask<'a>(
    engine: &'a Engine,
    source: &Arc<dyn SeriesSource>,
    query: String,
    times: Times,
) -> BoxFuture<'a, Answer> {
    let query = match times {
        Times::Instant(at) => Query::instant(query, at),
        Times::Range(grid) => Query::range(query, grid.start_ms, grid.end_ms, grid.step_ms),
    };
    let source = source.clone();
    Box::pin(async move { engine.evaluate(&Ctx::background(), source, query).await.into() })
}

/// The answer of a range query by an HTTP API.
async fn asked(api: &Api, case: &Case) -> Answer {
    let [from, to, step] = [case.grid.start_ms, case.grid.end_ms, case.grid.step_ms].map(|ms| ms as f64 / 1000.0);
    Answer::from(&api.query_range(&case.query, from, to, step).await.unwrap())
}

/// Serves `store`, and queriers over it.
async fn queriers(store: store_gateway::Store) -> Queriers {
    let stop = CancellationToken::new();
    let listeners = Listeners::loopback().await.unwrap();
    let endpoint = format!("--endpoint={}", listeners.grpc_address().unwrap().unwrap());
    tokio::spawn(assembly::serve(store, listeners, stop.clone()));
    let start = async |more: &[&str]| {
        let features = "--enable-feature=promql-experimental-functions,promql-duration-expr,\
                        promql-extended-range-selectors,promql-binop-fill-modifiers";
        let args = [&endpoint, features].into_iter().chain(more.iter().copied());
        let deps = Deps::isolated(Metrics::new());
        let config = assembly::configured::<Querier>(args, &deps).unwrap();
        let querier = Querier::build(config, deps, Probe::new("starting")).await.unwrap();
        let listeners = Listeners::loopback().await.unwrap();
        let api = Api::new(&format!("http://{}", listeners.http_address().unwrap())).unwrap();
        tokio::spawn(assembly::serve(querier, listeners, stop.clone()));
        api
    };
    let evaluating_there = start(&[]).await;
    let reading = start(&["--no-query.evaluate-at-store"]).await;
    Queriers { evaluating_there, reading, _stop: stop.drop_guard() }
}

async fn head(dir: &TempDir, world: &World) -> Arc<Tsdb> {
    let random = AtomicU64::new(1);
    let random = move || u128::from(random.fetch_add(1, Ordering::Relaxed));
    let clock = Arc::new(FakeClock::at(START_MS + TICKS * TICK_MS)) as Arc<dyn Clock>;
    let mut options = TsdbOptions::default();
    options.retention.time_ms = 0;
    let deps = TsdbDeps::new(clock, Metrics::new(), Arc::new(random));
    let tsdb = Tsdb::open(&dir.path().join("tsdb"), options, deps).await.unwrap();
    tsdb.replayed().await;
    world.write(&*tsdb).await;
    tsdb
}

fn write_block(dir: &TempDir, series: &[storage::Series]) -> BlockId {
    let id = BlockId::new(START_MS as u64, 1);
    let parent = dir.path().join("blocks");
    let options = BlockWriterOptions { tombstones: false, ..BlockWriterOptions::default() };
    let mut writer = BlockWriter::create(&parent, id, options).unwrap();
    for s in series {
        let chunks: Vec<_> = s.chunks.iter().map(|c| chunkenc::TimedChunk::try_from(c).unwrap()).collect();
        writer.add_series(&s.labels, &chunks).unwrap();
    }
    let labels = external().iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let thanos = ThanosMeta { version: 1, labels, source: "sidecar".into(), ..Default::default() };
    let (min_time, max_time) = (START_MS, START_MS + (TICKS + 2) * TICK_MS);
    writer.finish(BlockMeta { min_time, max_time, thanos: Some(thanos), ..Default::default() }).unwrap();
    id
}

async fn store(dir: &TempDir, path: &std::path::Path, id: BlockId) -> store_gateway::Store {
    let bucket = Bucket::in_memory();
    let chunks = std::fs::read_dir(path.join("chunks")).unwrap().map(|entry| entry.unwrap().file_name());
    let chunks = chunks.map(|name| format!("chunks/{}", name.display()));
    for file in chunks.chain(["index".to_owned(), "meta.json".to_owned()]) {
        bucket.put(&format!("{id}/{file}"), std::fs::read(path.join(&file)).unwrap()).await.unwrap();
    }
    let isolated = Deps::isolated(Metrics::new());
    let mut config = store_gateway::Config::with_defaults(&isolated).unwrap();
    config.data_dir = Some(dir.path().join("store"));
    config.fetch.cache_dir = None;
    let clock = Arc::new(FakeClock::at(1_800_000_000_000)) as Arc<dyn Clock>;
    let deps = Deps { bucket: Some(bucket), clock, ..isolated };
    let store = store_gateway::Store::new(config, deps, Probe::new("starting")).unwrap();
    store.syncer.sync().await.unwrap();
    store
}
