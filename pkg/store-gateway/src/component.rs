//! The component: its parts put together, its listeners, its life.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bucket::{MetaFetcher, SyncMetrics};
use flags::Parsed;
use model::{Clock, SystemClock};
use objstore::{Bucket, BufferPool, OpenOptions};
use parking_lot::RwLock;
use service::{Ended, Group};
use storage::{Budget, SeriesSource};
use storeapi::{InfoServer, Served, ServerOptions, store_routes};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use transport::grpc::{ServerMetrics, ServerStack};
use transport::http::{HttpMetrics, Probe, common_routes};

use crate::blocks_api::BlocksApi;
use crate::chunk_cache::ChunkCache;
use crate::config::{Config, budgets};
use crate::error::Error;
use crate::gateway::{Shared, StoreGateway};
use crate::index_cache::IndexCache;
use crate::metrics::GatewayMetrics;
use crate::read::{FetchOptions, JoinRule, ReadOptions};
use crate::sync::Syncer;

/// A longer series entry or chunk is taken for damaged: no writer makes one.
const ITEM_BYTES_MAX: u64 = 64 << 20;
/// No request asks for more, unless a single item is larger.
const PART_BYTES: u64 = 16 << 20;
/// Memory for reads that is kept between them.
const IDLE_BUFFER_BYTES: usize = 16 << 20;
/// How often unused index-headers are looked for.
const CLOSE_EVERY: Duration = Duration::from_secs(60);
/// After a sync that failed, or that left blocks of which nothing is known, the next one comes after this; then after
/// twice as long, and so on.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// After a block turned out to be gone, the next sync comes no sooner than this.
const RESYNC_PAUSE: Duration = Duration::from_secs(1);

/// What comes from outside.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The bucket with the blocks.
    pub bucket: Bucket,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Where metrics go.
    pub metrics: Metrics,
}

/// A store gateway that is put together and not started.
pub struct Component {
    /// Its series.
    pub gateway: StoreGateway,
    /// Its syncs; [`Component::serve`] runs them by itself.
    pub syncer: Arc<Syncer>,
    config: Config,
    deps: Deps,
    probe: Probe,
    budget: Arc<dyn Fn() -> Arc<Budget> + Send + Sync>,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Component {
    /// Puts a store gateway together.
    pub fn build(config: Config, deps: Deps) -> Self {
        let metrics = &deps.metrics;
        let shared = Arc::new(Shared {
            bucket: deps.bucket.with_pool(BufferPool::new(IDLE_BUFFER_BYTES)),
            clock: deps.clock.clone(),
            cache: IndexCache::new(config.index_cache, metrics),
            chunk_cache: config.chunk_cache.map(|options| ChunkCache::new(options, metrics)),
            metrics: GatewayMetrics::new(metrics, config.series_concurrency),
            read: ReadOptions {
                fetch: FetchOptions {
                    join: JoinRule {
                        gap_free_bytes: config.gap_free_bytes,
                        gap_bytes: config.gap_bytes,
                        fetched_per_wanted: config.fetched_per_wanted.max(1),
                        part_bytes: PART_BYTES,
                    },
                    permits: Arc::new(Semaphore::new(config.requests_max.clamp(1, Semaphore::MAX_PERMITS))),
                },
                header: config.header,
                batch_series: config.batch_series.max(1),
                series_bytes: config.series_bytes,
                chunk_bytes: config.chunk_bytes,
                item_bytes_max: ITEM_BYTES_MAX,
            },
            resync: Notify::new(),
        });
        let gateway = StoreGateway::new(shared, config.times.clone(), config.limits, config.series_concurrency);
        let sync_metrics = SyncMetrics::new(metrics);
        let probe = Probe::new("the bucket was not read yet");
        let syncer = Arc::new(Syncer {
            gateway: gateway.clone(),
            fetcher: MetaFetcher::new(deps.bucket.clone(), config.fetch.clone(), sync_metrics.clone()),
            filters: config.filters.clone(),
            metrics: sync_metrics,
            data_dir: config.data_dir.clone(),
            probe: probe.clone(),
            seen: RwLock::default(),
            deletions: RwLock::new(Arc::from([])),
        });
        let budget = budgets(&config);
        Self { gateway, syncer, config, deps, probe, budget }
    }

    /// The byte budget of one call.
    pub fn budget(&self) -> Arc<Budget> {
        (self.budget)()
    }

    /// The gRPC routes: Store and Info.
    pub fn grpc_router(&self) -> Router {
        let mut routes: RoutesBuilder = Routes::builder();
        let source: Arc<dyn SeriesSource> = Arc::new(self.gateway.clone());
        let options = ServerOptions {
            limits: self.config.store_limits,
            budget: self.budget.clone(),
            metrics: self.deps.metrics.clone(),
        };
        store_routes(&mut routes, source, options);
        let gateway = self.gateway.clone();
        InfoServer::new(move || gateway.endpoint_info()).add_to(&mut routes);
        let served = Served { store: true, ..Served::default() };
        ServerStack::new(ServerMetrics::new(&self.deps.metrics), self.probe.clone())
            .reflecting(storeapi::DESCRIPTORS, served.service_names())
            .logging(self.config.request_log.clone())
            .router(routes.routes())
    }

    /// The HTTP routes.
    pub fn http_router(&self) -> Router {
        let api = BlocksApi {
            syncer: self.syncer.clone(),
            bucket: self.deps.bucket.clone(),
            clock: self.deps.clock.clone(),
            label: self.config.web_label.clone(),
            prefixes: self.config.prefixes.clone(),
            admin_disabled: self.config.admin_disabled,
            cors_disabled: self.config.cors_disabled,
            page_disabled: self.config.web_disabled,
            flags: self.config.shown_flags.iter().cloned().collect(),
            start_ms: self.deps.clock.now_ms(),
            build: self.deps.metrics.build(),
        };
        let router = common_routes(self.deps.metrics.clone(), self.probe.clone()).merge(api.routes());
        let router = HttpMetrics::new(&self.deps.metrics).wrap(router);
        self.config.web.wrap(self.config.request_log.http(router))
    }

    /// Serves until `shutdown`, or until a part fails.
    ///
    /// # Errors
    /// The part that failed.
    pub async fn serve(self, http: TcpListener, grpc: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
        let mut group = Group::new(shutdown);
        let (http_router, grpc_router) = (self.http_router(), self.grpc_router());
        let (http_options, grpc_options) = (self.config.http.clone(), self.config.grpc.clone());
        let grace = http_options.grace.max(grpc_options.grace);
        for (name, listener, router, options) in
            [("http", http, http_router, http_options), ("grpc", grpc, grpc_router, grpc_options)]
        {
            let token = group.shutdown();
            group.spawn(name, async move {
                transport::serve(listener, router, options, token).await;
                Ok::<_, Error>(())
            });
        }
        let token = group.shutdown();
        let (syncer, gateway, config) = (self.syncer.clone(), self.gateway.clone(), self.config.clone());
        let probe = self.probe.clone();
        let shared = gateway.inner.shared.clone();
        group.spawn("sync", async move {
            token.run_until_cancelled(sync_forever(&syncer, &shared, &config, &probe)).await;
            Ok::<_, Error>(())
        });
        if !self.config.header_idle.is_zero() {
            let token = group.shutdown();
            let idle_ms = self.config.header_idle.as_millis() as i64;
            group.spawn("index-headers", async move {
                let every = service::Every { interval: CLOSE_EVERY, wait_first: true };
                service::repeat(every, token, || async {
                    gateway.close_unused(idle_ms);
                })
                .await;
                Ok::<_, Error>(())
            });
        }
        match group.run(grace + Duration::from_secs(5)).await {
            Ended::Asked => Ok(()),
            Ended::Failed(text) => Err(Error::Ended(text)),
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
                syncer.prepare_headers(config.header_concurrency).await;
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
/// Flags, listeners, or a part that failed.
pub async fn run(parsed: &Parsed, shutdown: CancellationToken, metrics: Metrics) -> Result<(), Error> {
    let config = Config::new(parsed)?;
    if config.objstore.is_empty() {
        return Err(Error::Config("a bucket is needed: give --objstore.config-file or --objstore.config".to_owned()));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let env = |name: &str| std::env::var(name).ok();
    let bucket = objstore::Config::parse(&config.objstore, &env)
        .and_then(|c| {
            c.open(&OpenOptions { metrics: Some(metrics.clone()), clock: clock.clone(), ..OpenOptions::default() })
        })
        .map_err(|e| Error::Config(format!("{}: {e}", config.objstore_origin)))?;
    let http = transport::bind(parsed.text("http-address")).await?;
    let grpc = transport::bind(parsed.text("grpc-address")).await?;
    Component::build(config, Deps { bucket, clock, metrics }).serve(http, grpc, shutdown).await
}
