//! The component: its parts put together, its tasks.

use std::sync::Arc;
use std::time::Duration;

use assembly::{Component, Deps, Error, GrpcServices};
use axum::Router;
use bucket::{MetaFetcher, SyncMetrics};
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use objstore::{Bucket, BufferPool};
use parking_lot::RwLock;
use promql::{Engine, EngineOptions};
use queryapi::evaluator::{self, EvaluatorOptions, EvaluatorServer};
use service::{Every, Group, repeat};
use storage::Budget;
use storeapi::{EndpointInfo, Served, ServerOptions};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use transport::http::Probe;

use crate::blocks_api::BlocksApi;
use crate::chunk_cache::ChunkCache;
use crate::config::{Config, budgets};
use crate::gateway::StoreGateway;
use crate::index_cache::IndexCache;
use crate::metrics::GatewayMetrics;
use crate::read::{FetchOptions, Pace, ReadOptions};
use crate::shared::Shared;
use crate::sync::Syncer;

/// A longer series entry or chunk is taken for corrupt: no writer makes one.
const ITEM_BYTES_MAX: u64 = 64 << 20;
/// Bodies of range requests that may stay open at a time.
const BODIES_MAX: usize = 256;
/// Memory for reads that is kept between them.
const IDLE_BUFFER_BYTES: usize = 8 << 20;
/// How often unused index-headers are looked for.
const CLOSE_EVERY: Duration = Duration::from_secs(60);
/// After a sync that failed, or that left blocks of which nothing is known, the next one comes after this; then after
/// twice as long, and so on.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// After a block turned out to be gone, the next sync comes no sooner than this.
const RESYNC_PAUSE: Duration = Duration::from_secs(1);

/// `aion store`.
pub struct Store {
    pub gateway: StoreGateway,
    /// Its syncs; they run by themselves once the store is served.
    pub syncer: Arc<Syncer>,
    config: Config,
    deps: Deps,
    probe: Probe,
    bucket: Bucket,
    budget: Arc<dyn Fn() -> Arc<Budget> + Send + Sync>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Store {
    /// Builds the parts; the bucket is not read yet.
    ///
    /// # Errors
    /// A bucket configuration that is missing or cannot be used.
    pub fn new(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        let bucket = config.bucket.open_required(&deps)?;
        let metrics = &deps.metrics;
        let chunk_cache = config.chunk_cache.clone().map(|options| ChunkCache::new(options, metrics));
        let pool = BufferPool::new(IDLE_BUFFER_BYTES);
        // A body that is open takes a request of those that the bucket lets run: some are left for what is read at once.
        let bodies_max = bucket.settings().requests_max.map_or(BODIES_MAX, |max| BODIES_MAX.min(max / 2));
        let shared = Arc::new(Shared {
            pooled: bucket.with_pool(pool.clone()),
            bucket: bucket.clone(),
            clock: deps.clock.clone(),
            cache: IndexCache::new(config.index_cache, metrics),
            chunk_cache: chunk_cache.transpose().map_err(|e| Error::flag("store.caching-bucket.config", e))?,
            metrics: GatewayMetrics::new(metrics, config.series_concurrency),
            read: ReadOptions {
                fetch: FetchOptions {
                    pace: Arc::new(Pace::new(config.pace, metrics)),
                    permits: Arc::new(Semaphore::new(config.requests_max.clamp(1, Semaphore::MAX_PERMITS))),
                    bodies: Arc::new(Semaphore::new(bodies_max)),
                    pool,
                },
                header: config.header,
                whole_index_bytes: config.whole_index_bytes,
                index_disk_bytes: config.index_disk_bytes,
                batch_series: config.batch_series.max(1),
                series_bytes: config.series_bytes,
                chunk_bytes: config.chunk_bytes,
                item_bytes_max: ITEM_BYTES_MAX,
            },
            resync: Notify::new(),
        });
        let gateway = StoreGateway::new(shared, config.times.clone(), config.limits, config.series_concurrency);
        let sync_metrics = SyncMetrics::new(metrics);
        probe.not_ready("the bucket was not read yet");
        let syncer = Arc::new(Syncer {
            gateway: gateway.clone(),
            fetcher: MetaFetcher::new(bucket.clone(), config.fetch.clone(), sync_metrics.clone()),
            filters: config.filters.clone(),
            metrics: sync_metrics,
            data_dir: config.data_dir.clone(),
            probe: probe.clone(),
            seen: RwLock::default(),
            deletions: RwLock::new(Arc::from([])),
        });
        let budget = budgets(&config);
        Ok(Self { gateway, syncer, config, deps, probe, bucket, budget })
    }

    /// The byte budget of one call.
    pub fn budget(&self) -> Arc<Budget> {
        (self.budget)()
    }

    async fn sync_forever(self: Arc<Self>, shutdown: CancellationToken) {
        let shared = &self.gateway.inner.shared;
        shutdown.run_until_cancelled(sync_forever(&self.syncer, shared, &self.config, &self.probe)).await;
    }
}

impl Component for Store {
    type Config = Config;

    fn command() -> Command {
        crate::command()
    }

    async fn build(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        Self::new(config, deps, probe)
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn deps(&self) -> &Deps {
        &self.deps
    }

    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn http_routes(&self) -> Router {
        let http = &self.config.http;
        let api = BlocksApi {
            syncer: self.syncer.clone(),
            bucket: self.bucket.clone(),
            clock: self.deps.clock.clone(),
            label: self.config.web_label.clone(),
            prefixes: http.prefixes.clone(),
            admin_disabled: http.admin_disabled,
            cors_disabled: http.cors_disabled,
            page_disabled: http.pages_disabled,
            flags: http.shown_flags.iter().cloned().collect(),
            start_ms: self.deps.clock.now_ms(),
            build: self.deps.metrics.build(),
        };
        api.routes()
    }

    fn grpc_services(&self) -> Option<GrpcServices> {
        let options = ServerOptions {
            limits: self.config.store_limits,
            budget: self.budget.clone(),
            metrics: self.deps.metrics.clone(),
        };
        let evaluations_max = self.config.evaluations_max;
        let served = Served { store: true, evaluator: evaluations_max > 0, ..Served::default() };
        let version = evaluator::version(self.deps.metrics.build());
        let (gateway, known) = (self.gateway.clone(), version.clone());
        let info = move || Some(EndpointInfo { served, evaluator: known.clone(), ..gateway.endpoint_info()? });
        let (limits, budget) = (options.limits, options.budget.clone());
        let services = GrpcServices::new(served, info).store(Arc::new(self.gateway.clone()), options);
        if evaluations_max == 0 {
            return Some(services);
        }
        let engine = Engine::new(EngineOptions { max_concurrent: evaluations_max, ..EngineOptions::default() });
        let options = EvaluatorOptions { version, kind: "store", limits, budget };
        let evaluator = EvaluatorServer::new(Arc::new(self.gateway.clone()), engine, options);
        Some(services.with(|routes| evaluator.add_to(routes)))
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        group.spawn("sync", self.clone().sync_forever(group.shutdown()));
        if !self.config.header_idle.is_zero() {
            let (gateway, idle_ms) = (self.gateway.clone(), self.config.header_idle.as_millis() as i64);
            let every = Every { interval: CLOSE_EVERY, wait_first: true };
            let close = move || {
                gateway.close_unused(idle_ms);
                std::future::ready(())
            };
            group.spawn("index-headers", repeat(every, group.shutdown(), close));
        }
    }
}

/// Syncs now, then at each interval, and soon after a query found a block gone. What the store did not answer is asked
/// again sooner.
async fn sync_forever(syncer: &Syncer, shared: &Shared, config: &Config, probe: &Probe) {
    let mut pause = RETRY_PAUSE;
    loop {
        let outcome = syncer.sync().await;
        if let Err(e) = &outcome {
            tracing::warn!(err = %e, "cannot sync blocks, serving those known");
            if syncer.gateway.loaded().is_none() {
                probe.not_ready(&format!("the bucket cannot be read: {e}"));
            }
        }
        let interval = if outcome.is_ok() && !syncer.seen().is_incomplete {
            pause = RETRY_PAUSE;
            config.sync_interval
        } else if syncer.gateway.loaded().is_none() {
            // Until there is a first view, nothing is served: try again soon.
            RETRY_PAUSE.min(config.sync_interval)
        } else {
            pause = pause.saturating_mul(2);
            pause.min(config.sync_interval)
        };
        let prepare = async {
            if config.eager_headers {
                syncer.prepare(config.header_concurrency).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shared.resync.notified() => tokio::time::sleep(RESYNC_PAUSE).await,
            () = prepare => {}
        }
    }
}

/// Runs `aion store` with parsed flags until `shutdown`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(assembly::run::<Store>(parsed, deps, shutdown))
}
