//! The sidecar as a whole: built from its settings, run until told to stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bucket::shipper::{Schedule, Shipped, Shipper, ShipperOptions};
use flags::Parsed;
use labels::Matcher;
use model::{Clock, SystemClock};
use objstore::{Bucket, OpenOptions};
use remote::{ClientOptions, PromClient};
use service::{Ended, Failpoints, Group};
use storage::{Budget, SeriesSource};
use storeapi::{
    ComponentType, EndpointInfo, InfoServer, InspectApis, Served, ServerOptions, StoreSet, inspect_routes, store_routes,
};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{info, warn};
use transport::ConfigError;
use transport::grpc::{ServerMetrics, ServerStack};
use transport::http::{HttpMetrics, Probe, common_routes};

use crate::config::Config;
use crate::inspect::PrometheusInspect;
use crate::page;
use crate::prometheus::{FlagCheck, FollowOptions, PrometheusState};
use crate::reloader::{Env, Reloader};
use crate::source::source;

/// Bound sockets, so that tests can use port 0.
#[derive(Debug)]
pub struct Listeners {
    /// Metrics, probes and the page.
    pub http: TcpListener,
    /// StoreAPI and the other gRPC services.
    pub grpc: TcpListener,
}

/// A sidecar, built but not running.
#[derive(Debug)]
pub struct Sidecar {
    config: Config,
    state: Arc<PrometheusState>,
    shipper: Option<Arc<Shipper>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    probe: Probe,
}

impl Sidecar {
    /// Builds the parts; nothing is bound or asked yet. `env` is for the bucket's configuration.
    ///
    /// # Errors
    /// A bucket configuration that cannot be used.
    pub fn new(
        config: Config,
        env: &dyn Fn(&str) -> Option<String>,
        clock: Arc<dyn Clock>,
        failpoints: Failpoints,
        metrics: Metrics,
    ) -> Result<Self, ConfigError> {
        let client = PromClient::new(&config.prometheus_url, config.http_client.clone(), ClientOptions::default());
        let state = Arc::new(PrometheusState::new(client, clock.clone(), &metrics));
        let shipper = match &config.objstore {
            None => {
                info!("no bucket is configured, blocks are not uploaded");
                None
            }
            Some(yaml) => {
                let bucket = open_bucket(yaml, env, &config, &clock, &metrics)?;
                let options = ShipperOptions {
                    list_file: config.meta_file_name.clone(),
                    upload_compacted: config.upload_compacted,
                    allow_out_of_order: config.allow_out_of_order,
                    verify: config.verify,
                    hash: config.hash,
                    clock: clock.clone(),
                    failpoints,
                    ..ShipperOptions::new(&config.tsdb_path)
                };
                let known = state.clone();
                Some(Arc::new(Shipper::new(bucket, options, move || known.external_labels(), &metrics)))
            }
        };
        Ok(Self { config, state, shipper, clock, metrics, probe: Probe::new("waiting for prometheus") })
    }

    /// What is known of Prometheus, for those who want to wait until it is reached.
    pub fn state(&self) -> Arc<PrometheusState> {
        self.state.clone()
    }

    /// Runs until `shutdown`, or until a part fails.
    pub async fn serve(self, listeners: Listeners, shutdown: CancellationToken) -> Ended {
        let mut group = Group::new(shutdown);
        let token = group.shutdown();
        let (http, grpc) = (self.http_router(), self.grpc_router());
        let Self { config, state, shipper, clock, metrics, probe } = self;
        let http = transport::serve(listeners.http, http, config.http.clone(), token.clone());
        group.spawn("http", async move {
            http.await;
            Ok::<_, String>(())
        });
        let grpc = transport::serve(listeners.grpc, grpc, config.grpc.clone(), token.clone());
        group.spawn("grpc", async move {
            grpc.await;
            Ok::<_, String>(())
        });
        let env: Env = Arc::new(|name| std::env::var(name).ok());
        let reloader = Reloader::new(config.reloader.clone(), state.client().clone(), env, clock, &metrics);
        group.spawn("reloader", reloader.run(token.clone()));
        let mut grace = config.http.grace.max(config.grpc.grace);
        if let Some(shipper) = &shipper {
            grace = grace.max(config.last_pass_timeout);
            let (shipper, token) = (shipper.clone(), token.clone());
            let schedule = Schedule { interval: config.ship_interval, last_pass_timeout: config.last_pass_timeout };
            group.spawn("shipper", async move {
                shipper.run(schedule, &token).await;
                Ok::<_, String>(())
            });
        }
        let options = FollowOptions {
            interval: config.config_interval,
            timeout: config.config_timeout,
            ready_timeout: config.ready_timeout,
            min_time: config.min_time.clone(),
            check_flags: shipper.is_some().then(|| FlagCheck {
                shipped_file: config.tsdb_path.join(&config.meta_file_name),
                ignore_unequal_block_size: config.ignore_unequal_block_size,
            }),
        };
        let ready = probe.clone();
        group.spawn("prometheus", async move { state.follow(&options, &ready, &token).await });
        let ended = group.run(grace + Duration::from_secs(1)).await;
        probe.not_ready("shutting down");
        ended
    }

    fn http_router(&self) -> Router {
        let state = self.state.clone();
        let list = self.shipper.as_ref().map(|s| s.list_path());
        let page = get(move || {
            // A list that cannot be read counts as empty here; the shipper logs it.
            let shipped = list.as_deref().map(|path| Shipped::read(path).map_or(0, |list| list.0.len()));
            let shown = page::render(&state, shipped);
            async move { shown }
        });
        let pages = self.config.request_log.http(HttpMetrics::new(&self.metrics).wrap(Router::new().route("/", page)));
        self.config.web.wrap(pages.merge(common_routes(self.metrics.clone(), self.probe.clone())))
    }

    fn grpc_router(&self) -> Router {
        let mut routes = Routes::builder();
        let live = source(&self.state, self.config.read.clone());
        let all = Budget::new(
            "all StoreAPI requests together",
            "--store.max-request-bytes-total",
            self.config.requests_bytes_max,
            None,
        );
        let bytes_max = self.config.request_bytes_max;
        let budget = Arc::new(move || {
            Budget::new("this StoreAPI request", "--store.max-request-bytes", bytes_max, Some(all.clone()))
        });
        let options = ServerOptions { limits: self.config.limits, budget, metrics: self.metrics.clone() };
        store_routes(&mut routes, Arc::new(live.clone()), options);
        let served = Served {
            store: true,
            rules: true,
            targets: true,
            metadata: true,
            exemplars: true,
            query: false,
            status: true,
        };
        let inspect = Arc::new(PrometheusInspect::new(self.state.clone()));
        inspect_routes(&mut routes, &InspectApis { source: inspect, served, selectors: Arc::new(selectors) });
        let probe = self.probe.clone();
        InfoServer::new(move || {
            let source = probe.is_ready().then(|| live.info())?;
            let sets = source.label_sets.iter().map(|labels| StoreSet { labels: labels.clone(), range: source.range });
            Some(EndpointInfo { component: ComponentType::Sidecar, served, sets: sets.collect(), source })
        })
        .add_to(&mut routes);
        ServerStack::new(ServerMetrics::new(&self.metrics), self.probe.clone())
            .reflecting(storeapi::DESCRIPTORS, served.service_names())
            .logging(self.config.request_log.clone())
            .router(routes.routes())
    }
}

fn open_bucket(
    yaml: &str,
    env: &dyn Fn(&str) -> Option<String>,
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Bucket, ConfigError> {
    let named = |e: objstore::ConfigError| ConfigError(format!("{}: {e}", config.objstore_origin));
    let options = OpenOptions { metrics: Some(metrics.clone()), clock: clock.clone(), ..OpenOptions::default() };
    let bucket = objstore::Config::parse(yaml, env).map_err(named)?.open(&options).map_err(named)?;
    if config.upload_concurrency == 0 {
        return Ok(bucket);
    }
    let settings = objstore::Settings { parts_in_flight: config.upload_concurrency, ..bucket.settings().clone() };
    Ok(bucket.with_settings(settings))
}

/// The selectors of a PromQL text.
fn selectors(query: &str) -> Result<Vec<Vec<Matcher>>, String> {
    let expr = promql_syntax::parse(query).map_err(|e| e.to_string())?;
    Ok(promql_syntax::selectors(&expr).into_iter().map(|s| s.matchers.to_vec()).collect())
}

/// `aion sidecar`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a Prometheus without external labels or unfit flags, a
/// part that failed.
pub async fn run(
    parsed: &Parsed,
    shutdown: CancellationToken,
    metrics: Metrics,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let env = |name: &str| std::env::var(name).ok();
    let sidecar = Sidecar::new(Config::new(parsed)?, &env, Arc::new(SystemClock), Failpoints::from_env(&env), metrics)?;
    if sidecar.shipper.is_some() && !sidecar.config.tsdb_path.join("wal").is_dir() {
        let path = sidecar.config.tsdb_path.display();
        warn!(%path, "no wal directory is to be seen: is --tsdb.path the data directory of prometheus?");
    }
    let listeners = Listeners {
        http: transport::bind(parsed.text("http-address")).await?,
        grpc: transport::bind(parsed.text("grpc-address")).await?,
    };
    info!(http = parsed.text("http-address"), grpc = parsed.text("grpc-address"), "listening");
    match sidecar.serve(listeners, shutdown).await {
        Ended::Asked => Ok(()),
        Ended::Failed(why) => Err(why.into()),
    }
}
