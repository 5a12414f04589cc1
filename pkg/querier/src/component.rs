//! The querier as a whole: built from its settings, run until told to stop.

use std::sync::Arc;
use std::time::Duration;

use api::{ApiState, StoreStatus, StoresAnswer};
use axum::Router;
use axum::routing::get;
use flags::Parsed;
use labels::{Labels, Matcher};
use model::{Clock, SystemClock};
use promql::{Engine, LocalEvaluator};
use queryapi::QueryServer;
use relabel::Rule;
use service::{Ended, Every, Group, repeat};
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
use transport::http::{HttpMetrics, Probe, common_routes, pages};

use crate::chosen_sets::kept;
use crate::config::Config;
use crate::endpoints::{EndpointFiles, EndpointSet, Mode, SetOptions};
use crate::fanout::{FanOut, FanOutOptions};
use crate::inspect::InspectFanOut;
use crate::page;
use crate::resolve::{Resolver, SystemResolver};
use crate::source::Sources;

/// Endpoints are asked who they are this often.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The same while some have never answered.
const CHECK_INTERVAL_NEW: Duration = Duration::from_secs(1);

/// Bound sockets, so that tests can use port 0.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP API and page.
    pub http: TcpListener,
    /// StoreAPI and the other gRPC services.
    pub grpc: TcpListener,
}

/// A querier, built but not running.
#[derive(Debug)]
pub struct Querier {
    config: Config,
    set: Arc<EndpointSet>,
    state: ApiState,
    files: EndpointFiles,
    sources: Arc<Sources>,
    inspect: Arc<InspectFanOut>,
    metrics: Metrics,
    probe: Probe,
}

impl Querier {
    /// Builds the parts; nothing is bound or asked yet.
    pub fn new(config: Config, resolver: Arc<dyn Resolver>, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let options = SetOptions {
            resolver,
            clock: clock.clone(),
            unhealthy_timeout: config.unhealthy_timeout,
            check_timeout: config.info_timeout,
            metric_labels: config.metric_labels.clone(),
        };
        let set = Arc::new(EndpointSet::new(options, &metrics));
        let (sd_file, sd_targets) = (config.sd_file.clone(), config.sd_targets.clone());
        let files = EndpointFiles::new(sd_file, sd_targets, config.endpoint_base.clone(), &metrics);
        // From the first request on whoever is configured is a member.
        set.configure(files.with(&config.endpoints));
        let fanout = FanOut::new(
            set.clone(),
            FanOutOptions {
                response_timeout: config.response_timeout,
                selector_labels: config.selector_labels.clone(),
                relabel: config.relabel.clone(),
            },
        );
        let sources =
            Arc::new(Sources { fanout, replica_labels: config.replica_labels.clone(), method: config.method });
        let inspect = Arc::new(InspectFanOut::new(set.clone(), config.replica_labels.clone(), config.response_timeout));
        let (shown, rules) = (set.clone(), config.relabel.clone());
        let state = ApiState {
            evaluator: Arc::new(LocalEvaluator::new(Engine::new(config.engine.clone()), sources.clone())),
            source: sources.clone(),
            inspect: inspect.clone(),
            stores: Arc::new(move || stores(&shown, &rules)),
            flags: Arc::new(config.shown_flags.clone()),
            build: metrics.build(),
            options: Arc::new(config.api.clone()),
            metrics: metrics.clone(),
            clock,
            budget: Budget::new("all queries together", "--query.max-bytes-total", config.bytes_total_max, None),
        };
        Self { config, set, state, files, sources, inspect, metrics, probe: Probe::new("starting") }
    }

    /// The endpoints, for those who want to wait until some answer.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.set.clone()
    }

    /// Runs until `shutdown`, or until a part fails.
    pub async fn serve(self, listeners: Listeners, shutdown: CancellationToken) -> Ended {
        let mut group = Group::new(shutdown);
        let router = self.http_router();
        let grpc = self.grpc_router();
        let Self { config, set, files, probe, .. } = self;
        let grace = config.http.grace.max(config.grpc.grace) + Duration::from_secs(1);
        let token = group.shutdown();
        let http = transport::serve(listeners.http, router, config.http.clone(), token.clone());
        group.spawn("http", async move {
            http.await;
            Ok::<_, String>(())
        });
        let grpc = transport::serve(listeners.grpc, grpc, config.grpc.clone(), token.clone());
        group.spawn("grpc", async move {
            grpc.await;
            Ok::<_, String>(())
        });
        group.spawn("endpoints", async move {
            watch_endpoints(config, set, files, token).await;
            Ok::<_, String>(())
        });
        probe.ready();
        let ended = group.run(grace).await;
        probe.not_ready("shutting down");
        ended
    }

    fn http_router(&self) -> Router {
        let (set, rules) = (self.set.clone(), self.config.relabel.clone());
        let page = get(move || {
            let shown = page::render(&stores(&set, &rules));
            async move { pages::page("aion query", &shown) }
        });
        let common = common_routes(self.metrics.clone(), self.probe.clone());
        let mut routes = Router::new().route("/graph", page.clone()).route("/stores", page.clone());
        routes = routes.merge(api::router(self.state.clone()));
        if !self.config.prefixes.is_root() {
            // A page's link to the metrics is relative too.
            routes = routes.merge(common.clone());
        }
        let routes = self.config.request_log.http(self.config.prefixes.mount("graph", page, routes));
        let router = HttpMetrics::new(&self.metrics).wrap(routes).merge(common);
        self.config.web.wrap(router)
    }

    fn grpc_router(&self) -> Router {
        let mut routes = Routes::builder();
        let source: Arc<dyn SeriesSource> = Arc::new(self.sources.fanout.clone());
        let (parent, bytes_max) = (self.state.budget.clone(), self.config.engine.max_query_bytes);
        let budget = Arc::new(move || {
            Budget::new("this StoreAPI request", "--query.max-bytes", bytes_max, Some(parent.clone()))
        });
        store_routes(
            &mut routes,
            source,
            ServerOptions { limits: self.config.limits, budget, metrics: self.metrics.clone() },
        );
        let served = Served {
            store: true,
            rules: true,
            targets: true,
            metadata: true,
            exemplars: true,
            query: true,
            status: true,
        };
        let apis = InspectApis { source: self.inspect.clone(), served, selectors: Arc::new(selectors) };
        inspect_routes(&mut routes, &apis);
        QueryServer::new(self.state.evaluator.clone(), self.state.budget.clone()).add_to(&mut routes);
        let fanout = self.sources.fanout.clone();
        InfoServer::new(move || {
            let source = fanout.info();
            // More than `source` names, where somebody is there whose label sets are not known.
            let (label_sets, _) = fanout.label_sets();
            let sets = label_sets.into_iter().map(|labels| StoreSet { labels, range: source.range });
            Some(EndpointInfo { component: ComponentType::Query, served, sets: sets.collect(), source })
        })
        .add_to(&mut routes);
        ServerStack::new(ServerMetrics::new(&self.metrics), self.probe.clone())
            .reflecting(storeapi::DESCRIPTORS, served.service_names())
            .logging(self.config.request_log.clone())
            .router(routes.routes())
    }
}

/// The selectors of a PromQL text.
fn selectors(query: &str) -> Result<Vec<Vec<Matcher>>, String> {
    let expr = promql_syntax::parse(query).map_err(|e| e.to_string())?;
    Ok(promql_syntax::selectors(&expr).into_iter().map(|s| s.matchers.to_vec()).collect())
}

/// The endpoints as `/api/v1/stores` and the page show them: without label sets that relabelling drops.
fn stores(set: &EndpointSet, rules: &[Rule]) -> StoresAnswer {
    let status = |e: Arc<crate::endpoints::Endpoint>| {
        let health = e.health();
        let info = e.info();
        let named = e.label_sets();
        let label_sets: Vec<Labels> = kept(rules, &named).into_iter().cloned().collect();
        if label_sets.is_empty() && !named.is_empty() {
            return None;
        }
        Some(StoreStatus {
            component: health.info.as_ref().map_or("unknown component type", |i| i.component.as_str()).to_owned(),
            name: e.name.clone(),
            last_check_ns: health.last_check_ms.map(|ms| ms * 1_000_000),
            last_error: health.last_error,
            label_sets,
            min_time: info.range.min,
            max_time: info.range.max,
        })
    };
    StoresAnswer { stores: set.all().into_iter().filter_map(status).collect() }
}

/// Keeps the set up to date: files, DNS, health.
async fn watch_endpoints(config: Config, set: Arc<EndpointSet>, files: EndpointFiles, shutdown: CancellationToken) {
    let every =
        |interval: Duration, wait_first| Every { interval: interval.max(Duration::from_millis(100)), wait_first };
    let read = async {
        if !files.any() {
            return shutdown.cancelled().await;
        }
        // Small files: reading them again is cheaper than being told by the file system, and works for mounted ones.
        let interval = config.sd_interval.min(config.sd_targets_interval).min(Duration::from_secs(30));
        let files = parking_lot::Mutex::new(files);
        repeat(every(interval, true), shutdown.clone(), || async {
            let configured = {
                let mut files = files.lock();
                files.reload();
                files.with(&config.endpoints)
            };
            set.configure(configured);
            set.lookup().await;
        })
        .await;
    };
    let dns = repeat(every(config.dns_interval, false), shutdown.clone(), || async { set.lookup().await });
    let health = repeat(every(Duration::ZERO, false), shutdown.clone(), || async {
        set.check().await;
        // Who has just been started, here or there, should not have to wait long.
        let new = set.all().iter().any(|e| e.reachable() && e.health().info.is_none());
        tokio::time::sleep(if new { CHECK_INTERVAL_NEW } else { CHECK_INTERVAL }).await;
    });
    tokio::join!(read, dns, health);
}

/// `aion query`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a part that failed.
pub async fn run(
    parsed: &Parsed,
    shutdown: CancellationToken,
    metrics: Metrics,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = Config::new(parsed, clock.now_ms())?;
    if config.endpoints.is_empty() && config.sd_file.is_none() && config.sd_targets.is_empty() {
        warn!("no endpoints are configured, queries will find nothing: give --endpoint or --endpoint.sd-config-file");
    }
    let resolver = Arc::new(SystemResolver::new().map_err(ConfigError)?);
    let listeners = Listeners {
        http: transport::bind(parsed.text("http-address")).await?,
        grpc: transport::bind(parsed.text("grpc-address")).await?,
    };
    info!(http = parsed.text("http-address"), grpc = parsed.text("grpc-address"), "listening");
    if config.endpoints.iter().any(|e| e.mode == Mode::Group) {
        info!("endpoint groups are asked in turn, one address a request");
    }
    match Querier::new(config, resolver, clock, metrics).serve(listeners, shutdown).await {
        Ended::Asked => Ok(()),
        Ended::Failed(why) => Err(why.into()),
    }
}
