//! The server as a whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{ApiState, Notifications, ServerParts, StoresAnswer};
use assembly::{Component, Deps, Error, GrpcServices, ReloadTrigger, Reloads};
use axum::Router;
use axum::routing::get;
use bucket::shipper::{Schedule, Shipper, ShipperOptions};
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use model::TimeRange;
use parking_lot::Mutex;
use promql::{Engine, LocalEvaluator};
use service::Group;
use storage::{Budget, Inspect, SeriesSource, TsdbAdmin, TsdbView, WithExternalLabels};
use storeapi::{ComponentType, EndpointInfo, Served, ServerOptions, StoreSet};
use tokio_util::sync::CancellationToken;
use tracing::info;
use transport::http::{Probe, common_routes};
use tsdb::db::{Admin, Tsdb};

use crate::config::Config;
use crate::guard::Guard;
use crate::in_force::{self, InForce};
use crate::outside::Outside;
use crate::routes::Routes;
use crate::scraping::Scraping;
use crate::source::Local;
use crate::{database, features};

/// How long the last pass of uploads may take, at the end.
const LAST_PASS: Duration = Duration::from_secs(20);
/// From the start of one pass of uploads to the next.
const SHIP_INTERVAL: Duration = Duration::from_secs(30);
/// How long the database may take to close.
const CLOSE: Duration = Duration::from_secs(60);
/// How often is looked whether the replay is over.
const REPLAY_SHOWN: Duration = Duration::from_millis(200);

/// `aion server`.
#[derive(Debug)]
pub struct Server {
    config: Config,
    deps: Deps,
    probe: Probe,
    in_force: Arc<InForce>,
    tsdb: Arc<Tsdb>,
    scraping: Arc<Scraping>,
    inspect: Inspect,
    state: ApiState,
    shipper: Option<Arc<Shipper>>,
    trigger: Mutex<Option<ReloadTrigger>>,
}

impl Server {
    /// Reads the configuration and opens the data directory. Nothing is scraped yet.
    ///
    /// # Errors
    /// A configuration that cannot be used, a data directory that cannot be opened, a bucket configuration likewise.
    pub async fn new(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        let loaded = in_force::load(&config.config_file, config.features, &*deps.env)
            .map_err(|e| Error::Config(format!("--config.file: {e}")))?;
        let in_force = Arc::new(InForce::new(loaded, config.tsdb.clone(), deps.clock.now_ms()));
        let tsdb = database::open(&config, &deps, &in_force).await?;
        let queries =
            Budget::new("all queries together", "--query.max-bytes-total", config.limits.query_bytes_total, None);
        let scraping = Arc::new(Scraping::new(&config, &deps, tsdb.clone(), &in_force.loaded())?);
        let inspect = Inspect {
            rules: None,
            targets: Some(Arc::new(scraping.scrapes().clone())),
            metadata: Some(Arc::new(scraping.scrapes().clone())),
            exemplars: Some(tsdb.clone()),
            statistics: Some(Arc::new(tsdb.head().clone())),
        };
        let notifications = Notifications::new(config.notifications_subscribers_max, deps.clock.clone(), &deps.metrics);
        let parts = server_parts(&config, &tsdb, &scraping, &in_force, notifications);
        let source = Arc::new(Local(tsdb.clone()));
        let state = ApiState {
            evaluator: Arc::new(LocalEvaluator::new(Engine::new(config.engine.clone()), source.clone())),
            source,
            inspect: inspect.clone(),
            stores: Arc::new(StoresAnswer::default),
            flags: Arc::new(config.http.shown_flags.clone()),
            build: deps.metrics.build(),
            options: Arc::new(config.api.clone()),
            metrics: deps.metrics.clone(),
            clock: deps.clock.clone(),
            budget: queries,
            server: Some(parts),
        };
        let shipper = shipper(&config, &deps, &in_force)?;
        probe.not_ready("opening the data directory");
        let trigger = Mutex::new(None);
        Ok(Self { config, deps, probe, in_force, tsdb, scraping, inspect, state, shipper, trigger })
    }

    /// The database.
    pub fn tsdb(&self) -> &Arc<Tsdb> {
        &self.tsdb
    }

    /// Reads the configuration again and puts it in force as a whole, or leaves the one that is.
    async fn reload(&self) -> Result<(), String> {
        let outcome = match in_force::load(&self.config.config_file, self.config.features, &*self.deps.env) {
            Ok(loaded) => self.scraping.apply(&loaded).await.map(|()| loaded),
            Err(e) => Err(e.to_string()),
        };
        match outcome {
            Ok(loaded) => {
                database::apply(&self.tsdb, &self.config, &self.in_force, &loaded);
                self.in_force.replace(loaded, self.deps.clock.now_ms());
                Ok(())
            }
            Err(why) => {
                self.in_force.failed(config::checksum(&self.config.config_file).ok());
                Err(why)
            }
        }
    }

    /// Asks for a reload when the files change.
    async fn watch_files(self: Arc<Self>, interval: Duration, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            // Files that are just being replaced cannot be read for a moment.
            let Ok(checksum) = config::checksum(&self.config.config_file) else { continue };
            if self.in_force.is_new(&checksum)
                && let Some(trigger) = &*self.trigger.lock()
            {
                info!("the configuration's files have changed");
                trigger.pull();
            }
        }
    }

    /// Shows the progress of the replay until it is over.
    async fn follow_replay(self: Arc<Self>, shutdown: CancellationToken) {
        let replayed = async {
            while let Some(unfinished) = self.tsdb.unfinished() {
                self.probe.not_ready(&unfinished);
                let _ = tokio::time::timeout(REPLAY_SHOWN, self.tsdb.replayed()).await;
            }
            self.probe.ready();
        };
        shutdown.run_until_cancelled(replayed).await;
        shutdown.cancelled().await;
    }

    /// Works on the database until the shutdown, stops the scrapes first and closes the database last.
    async fn work(self: Arc<Self>, shutdown: CancellationToken) {
        let closing = CancellationToken::new();
        let database = tokio::spawn(self.tsdb.clone().run(closing.clone()));
        self.scraping.clone().run(self.in_force.loaded(), shutdown).await;
        closing.cancel();
        if let Err(error) = database.await {
            tracing::error!(%error, "the database's background work ended");
        }
        if let Err(error) = self.tsdb.close().await {
            tracing::error!(%error, "the database could not be closed in good order, its log is read at the next start");
        }
    }
}

fn server_parts(
    config: &Config,
    tsdb: &Arc<Tsdb>,
    scraping: &Arc<Scraping>,
    in_force: &Arc<InForce>,
    notifications: Notifications,
) -> ServerParts {
    let unfinished = tsdb.clone();
    ServerParts {
        admin: config.admin.then(|| Arc::new(Admin(tsdb.clone())) as Arc<dyn TsdbAdmin>),
        tsdb: tsdb.clone() as Arc<dyn TsdbView>,
        scrapes: Arc::new(scraping.scrapes().clone()),
        config: in_force.clone(),
        notifications,
        features: Arc::new(features::shown(config.features)),
        search: config.features.search_api,
        search_limit_max: config.search_results_max,
        ready: Arc::new(|| true),
        warnings: Arc::new(move || unfinished.unfinished().into_iter().collect()),
    }
}

fn shipper(config: &Config, deps: &Deps, in_force: &Arc<InForce>) -> Result<Option<Arc<Shipper>>, Error> {
    let Some(bucket) = config.bucket.open(deps)? else { return Ok(None) };
    let options = ShipperOptions {
        dir_flag: "--storage.tsdb.path",
        list_file: config.ship.meta_file_name.clone(),
        upload_compacted: config.ship.upload_compacted,
        verify: config.ship.verify,
        clock: deps.clock.clone(),
        failpoints: deps.failpoints.clone(),
        ..ShipperOptions::new(&config.tsdb.path)
    };
    let known = in_force.clone();
    let labels = move || known.external_labels();
    if in_force.external_labels().is_empty() {
        let why =
            "no external labels are configured: blocks in a bucket are told apart by them, give global.external_labels";
        return Err(Error::Config(why.to_owned()));
    }
    Ok(Some(Arc::new(Shipper::new(bucket, options, labels, &deps.metrics))))
}

impl Component for Server {
    type Config = Config;

    fn command() -> Command {
        crate::command()
    }

    fn reload_metrics() -> String {
        "prometheus_config_last_reload".to_owned()
    }

    async fn build(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        Self::new(config, deps, probe).await
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
        let own = Routes {
            config: &self.config,
            deps: &self.deps,
            tsdb: &self.tsdb,
            in_force: &self.in_force,
            state: &self.state,
        };
        let mut routes = own.all();
        let prefixes = &self.config.http.prefixes;
        if !prefixes.is_root() {
            routes = routes.merge(common_routes(self.deps.metrics.clone(), self.probe.clone()));
        }
        prefixes.mount("graph", get(own.page()), routes)
    }

    fn grpc_services(&self) -> Option<GrpcServices> {
        self.config.grpc.as_ref()?;
        let (total_max, bytes_max) = (self.config.requests_bytes_max, self.config.request_bytes_max);
        let all = Budget::new("all StoreAPI requests together", "--store.max-request-bytes-total", total_max, None);
        let budget = Arc::new(move || {
            Budget::new("this StoreAPI request", "--store.max-request-bytes", bytes_max, Some(all.clone()))
        });
        let options = ServerOptions { limits: self.config.store_limits, budget, metrics: self.deps.metrics.clone() };
        let known = self.in_force.clone();
        let inspect = Outside::inspect(self.inspect.clone(), move || known.external_labels());
        let served = Served { store: true, ..Served::of(&inspect) };
        let known = self.in_force.clone();
        let live = WithExternalLabels::new(self.tsdb.clone(), move || known.external_labels());
        let told = live.clone();
        let info = move || {
            let mut source = told.info();
            // Samples come all the time: who asked a moment ago must not think that there are none yet.
            source.range = TimeRange::new(if source.range.is_empty() { 0 } else { source.range.min }, i64::MAX);
            let sets = source.label_sets.iter().map(|labels| StoreSet { labels: labels.clone(), range: source.range });
            Some(EndpointInfo { component: ComponentType::Sidecar, served, sets: sets.collect(), source })
        };
        Some(GrpcServices::new(served, info).store(Arc::new(live), options).inspect(inspect))
    }

    fn on_reload(self: &Arc<Self>, reloads: &mut Reloads) {
        *self.trigger.lock() = Some(reloads.trigger());
        let this = self.clone();
        reloads.add("config.file", move || {
            let this = this.clone();
            async move { this.reload().await }
        });
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        if let Some(interval) = self.config.auto_reload {
            group.spawn("auto-reload", self.clone().watch_files(interval, group.shutdown()));
        }
        if let Some(shipper) = &self.shipper {
            group.allow(LAST_PASS);
            let (shipper, shutdown) = (shipper.clone(), group.shutdown());
            let schedule = Schedule { interval: SHIP_INTERVAL, last_pass_timeout: LAST_PASS };
            group.spawn("shipper", async move { shipper.run(schedule, &shutdown).await });
        }
        let guard = Guard::new(
            self.config.limits.memory_bytes,
            PathBuf::from("/"),
            self.tsdb.clone(),
            self.state.budget.clone(),
            &self.deps.metrics,
        );
        group.spawn("memory", guard.run(group.shutdown()));
        group.spawn("replay", self.clone().follow_replay(group.shutdown()));
        group.allow(CLOSE);
        group.spawn("database", self.clone().work(group.shutdown()));
    }
}

/// Runs `aion server` with parsed flags until `shutdown`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a data directory that is in use, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(assembly::run::<Server>(parsed, deps, shutdown))
}
