//! The querier as a whole.

use std::sync::Arc;
use std::time::Duration;

use api::{ApiState, StoreStatus, StoresAnswer};
use assembly::{Component, Deps, Error, GrpcServices, Reloads};
use axum::Router;
use discovery::dns::{Resolver, SystemResolver};
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use labels::Labels;
use parking_lot::Mutex;
use promql::{Engine, Evaluate, LocalEvaluator};
use queryapi::{QueryServer, Queue};
use relabel::Rule;
use service::{BoxError, Every, Group, repeat};
use storage::{Budget, Inspect, SeriesSource};
use storeapi::{ComponentType, EndpointInfo, Served, ServerOptions, StoreSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::http::Probe;
use ui::{Page, Site};

use crate::at_store::AtStore;
use crate::chosen_sets::kept;
use crate::config::Config;
use crate::distributed::Distributed;
use crate::endpoints::{EndpointFiles, EndpointSet, Mode, SetOptions};
use crate::fanout::{FanOut, FanOutOptions};
use crate::inspect::InspectFanOut;
use crate::source::Sources;

/// Endpoints are asked who they are this often.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The same while some have never answered.
const CHECK_INTERVAL_NEW: Duration = Duration::from_secs(1);

/// Small files: reading them again is cheaper than being told by the file system, and works for mounted ones.
const FILES_INTERVAL_MAX: Duration = Duration::from_secs(30);
/// Pages of the web interface.
const PAGES: &[Page] = &[
    Page::Query,
    Page::Explore,
    Page::Topology,
    Page::Targets,
    Page::Alerts,
    Page::Rules,
    Page::Cardinality,
    Page::Queries,
    Page::Status,
];

/// `aion query`.
#[derive(Debug)]
pub struct Querier {
    config: Config,
    deps: Deps,
    probe: Probe,
    set: Arc<EndpointSet>,
    files: Arc<Mutex<EndpointFiles>>,
    sources: Arc<Sources>,
    inspect: Inspect,
    state: ApiState,
}

impl Querier {
    /// Builds the parts; nothing is asked yet. Names are looked up by `resolver`.
    pub fn new(config: Config, resolver: Arc<dyn Resolver>, deps: Deps, probe: Probe) -> Self {
        let metrics = &deps.metrics;
        let options = SetOptions {
            resolver,
            clock: deps.clock.clone(),
            unhealthy_timeout: config.unhealthy_timeout,
            check_timeout: config.info_timeout,
            metric_labels: config.metric_labels.clone(),
        };
        let set = Arc::new(EndpointSet::new(options, metrics));
        let (sd_file, sd_targets) = (config.sd_file.clone(), config.sd_targets.clone());
        let files = EndpointFiles::new(sd_file, sd_targets, config.endpoint_base.clone(), metrics);
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
        let sources = Arc::new(Sources {
            fanout,
            replica_labels: config.replica_labels.clone(),
            method: config.method,
            limits: config.limits,
        });
        let inspect = InspectFanOut::new(set.clone(), config.replica_labels.clone(), config.response_timeout);
        let inspect = Inspect::all(Arc::new(inspect));
        let (shown, rules) = (set.clone(), config.relabel.clone());
        let budget = Budget::new("all queries together", "--query.max-bytes-total", config.bytes_total_max, None);
        let engine = Engine::new(config.engine.clone());
        let evaluator: Arc<dyn Evaluate> = match config.distributed {
            true => {
                let labels = config.partition_labels.clone();
                Arc::new(Distributed::new(set.clone(), sources.clone(), engine, labels, metrics))
            }
            false if config.at_store => Arc::new(AtStore::new(sources.clone(), engine, metrics)),
            false => Arc::new(LocalEvaluator::new(engine, sources.clone())),
        };
        let state = ApiState {
            evaluator: Arc::new(Queue::new(evaluator, config.queue.clone(), budget.clone(), metrics)),
            source: sources.clone(),
            inspect: inspect.clone(),
            stores: Arc::new(move || stores(&shown, &rules)),
            flags: Arc::new(config.http.shown_flags.clone()),
            build: metrics.build(),
            options: Arc::new(config.api.clone()),
            metrics: metrics.clone(),
            clock: deps.clock.clone(),
            budget,
            server: None,
        };
        Self { config, deps, probe, set, files: Arc::new(Mutex::new(files)), sources, inspect, state }
    }

    /// The endpoints, for those who want to wait until some answer.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.set.clone()
    }

    /// Keeps the set up to date: files, DNS, health.
    async fn watch_endpoints(self: Arc<Self>, shutdown: CancellationToken) {
        let every =
            |interval: Duration, wait_first| Every { interval: interval.max(Duration::from_millis(100)), wait_first };
        let (config, set) = (&self.config, &self.set);
        let read = async {
            if !self.files.lock().any() {
                return shutdown.cancelled().await;
            }
            let interval = config.sd_interval.min(config.sd_targets_interval).min(FILES_INTERVAL_MAX);
            repeat(every(interval, true), shutdown.clone(), || async {
                // What does not load is in the log.
                let _ = self.read_files().await;
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

    /// Reads the limits of tenants again.
    async fn watch_tenants(self: Arc<Self>, shutdown: CancellationToken) {
        let Some(file) = self.config.tenant_file.clone() else { return shutdown.cancelled().await };
        repeat(Every { interval: FILES_INTERVAL_MAX, wait_first: true }, shutdown, || async {
            if let Err(err) = file.reload() {
                warn!(err, "the former limits of tenants stay in force");
            }
        })
        .await;
    }

    /// Reads the files of endpoints again. One that does not load keeps its endpoints, and is in the error.
    async fn read_files(&self) -> Result<(), BoxError> {
        let (configured, outcome) = {
            let mut files = self.files.lock();
            let outcome = files.reload();
            (files.with(&self.config.endpoints), outcome)
        };
        self.set.configure(configured);
        self.set.lookup().await;
        outcome.map_err(Into::into)
    }
}

impl Component for Querier {
    type Config = Config;

    fn command() -> Command {
        crate::command()
    }

    async fn build(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        if config.endpoints.is_empty() && config.sd_file.is_none() && config.sd_targets.is_empty() {
            warn!(
                "no endpoints are configured, queries will find nothing: give --endpoint or --endpoint.sd-config-file"
            );
        }
        if config.endpoints.iter().any(|e| e.mode == Mode::Group) {
            info!("endpoint groups are asked in turn, one address a request");
        }
        let resolver = Arc::new(SystemResolver::new().map_err(Error::Config)?);
        Ok(Self::new(config, resolver, deps, probe))
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
        let version = self.state.build.version.to_owned();
        let site = Site { component: "query", version, pages: PAGES, thanos: true };
        let routes = ui::routes(&site).merge(api::router(self.state.clone()));
        self.config.http.mount("graph", ui::home(), routes, &self.deps.metrics, &self.probe)
    }

    fn grpc_services(&self) -> Option<GrpcServices> {
        let (parent, bytes_max) = (self.state.budget.clone(), self.config.engine.max_query_bytes);
        let budget = Arc::new(move || {
            Budget::new("this StoreAPI request", "--query.max-bytes", bytes_max, Some(parent.clone()))
        });
        let options = ServerOptions { limits: self.config.limits, budget, metrics: self.deps.metrics.clone() };
        let served = Served { store: true, query: true, ..Served::of(&self.inspect) };
        let fanout = self.sources.fanout.clone();
        let info = move || {
            let source = fanout.info();
            // More than `source` names, where somebody is there whose label sets are not known.
            let (label_sets, _) = fanout.label_sets();
            let sets = label_sets.into_iter().map(|labels| StoreSet { labels, range: source.range });
            Some(EndpointInfo {
                component: ComponentType::Query,
                served,
                sets: sets.collect(),
                source,
                evaluator: String::new(),
            })
        };
        let query = QueryServer::new(self.state.evaluator.clone(), self.state.budget.clone());
        let services = GrpcServices::new(served, info).store(Arc::new(self.sources.fanout.clone()), options);
        Some(services.inspect(self.inspect.clone()).with(|routes| query.add_to(routes)))
    }

    fn on_reload(self: &Arc<Self>, reloads: &mut Reloads) {
        if self.files.lock().any() {
            let this = self.clone();
            reloads.add("endpoint.sd-config-file, store.sd-files", move || {
                let this = this.clone();
                async move { this.read_files().await }
            });
        }
        if let Some(file) = self.config.tenant_file.clone() {
            reloads.add("query.tenant-limits-file", move || std::future::ready(file.reload()));
        }
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        group.spawn("endpoints", self.clone().watch_endpoints(group.shutdown()));
        group.spawn("tenants", self.clone().watch_tenants(group.shutdown()));
        self.probe.ready();
    }
}

/// The endpoints as `/api/v1/stores` shows them: without label sets that relabelling drops.
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

/// Runs `aion query` with parsed flags until `shutdown`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(assembly::run::<Querier>(parsed, deps, shutdown))
}
