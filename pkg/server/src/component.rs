//! The server as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{Alertmanagers, ApiState, Notifications, ServerParts, StoresAnswer};
use assembly::{Component, Deps, Error, GrpcServices, ReloadTrigger, Reloads};
use axum::Router;
use bucket::shipper::{Schedule, Shipper, ShipperOptions};
use config::Loaded;
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use model::TimeRange;
use notifier::Known;
use parking_lot::Mutex;
use promql::{Engine, Evaluate, LocalEvaluator};
use remote::send::RemoteWrite;
use service::Group;
use storage::{Budget, Inspect, SeriesSource, TsdbAdmin, TsdbView, WithExternalLabels};
use storeapi::{ComponentType, EndpointInfo, Served, StoreSet};
use tokio_util::sync::CancellationToken;
use tracing::info;
use transport::http::Probe;
use tsdb::db::{Admin, Tsdb};

use crate::agent::Agent;
use crate::budgets::Queries;
use crate::config::Config;
use crate::evaluating::Evaluating;
use crate::guard::Guard;
use crate::in_force::{self, InForce};
use crate::notifying::Notifying;
use crate::outside::Outside;
use crate::routes::Routes;
use crate::scraping::{Scraping, discoverers};
use crate::source::Local;
use crate::unfinished::Noting;
use crate::{build_info, capabilities, database, sending};

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
    notifying: Arc<Notifying>,
    /// Answers all queries of this server.
    engine: LocalEvaluator,
    evaluating: Arc<Evaluating>,
    sender: Arc<RemoteWrite>,
    local: Arc<Local>,
    inspect: Inspect,
    state: ApiState,
    /// What all queries hold.
    queries: Arc<Budget>,
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
        let queries = Queries::new(config.limits.query_bytes_total);
        let (discoverers, loaded) = (discoverers(&config, &deps), in_force.loaded());
        let notifying = Arc::new(Notifying::new(&config, &deps, discoverers.clone(), &loaded)?);
        let scraping = Arc::new(Scraping::new(&config, &deps, tsdb.clone(), discoverers, &loaded)?);
        let source = Arc::new(Local::new(tsdb.clone(), &deps));
        source.apply(source.prepare(&loaded).map_err(|e| Error::Config(format!("--config.file: {e}")))?);
        let local = source.clone();
        let engine = LocalEvaluator::new(Engine::new(config.engine.clone()), source.clone());
        engine.set_subquery_step(loaded.config.global.evaluation_interval.0);
        let evaluator: Arc<dyn Evaluate> = Arc::new(engine.clone());
        let concurrent = config.engine.max_concurrent;
        let evaluator = Noting::over(evaluator, &config.tsdb.path, concurrent, deps.clock.clone());
        let (notifier, budget) = (notifying.notifier().clone(), queries.rules.clone());
        let evaluating = Evaluating::new(&config, &deps, tsdb.clone(), evaluator.clone(), notifier, budget);
        let groups = evaluating.prepare(&loaded).map_err(|e| Error::Config(format!("rule_files: {e}")))?;
        evaluating.apply(groups, &loaded).await;
        let evaluating = Arc::new(evaluating);
        let sender = sending::open(&config, &deps, &tsdb, scraping.scrapes(), &loaded)?;
        let inspect = Inspect {
            rules: Some(evaluating.manager().clone()),
            targets: Some(Arc::new(scraping.scrapes().clone())),
            metadata: Some(Arc::new(scraping.scrapes().clone())),
            exemplars: Some(tsdb.clone()),
            statistics: Some(Arc::new(tsdb.head().clone())),
        };
        let notifications = Notifications::new(config.notifications_subscribers_max, deps.clock.clone(), &deps.metrics);
        let parts = server_parts(&config, &tsdb, (&scraping, &notifying), &in_force, notifications);
        let state = ApiState {
            evaluator,
            source,
            inspect: inspect.clone(),
            stores: Arc::new(StoresAnswer::default),
            flags: Arc::new(config.http.shown_flags.clone()),
            build: build_info::show(&deps.metrics),
            options: Arc::new(config.api.clone()),
            metrics: deps.metrics.clone(),
            clock: deps.clock.clone(),
            budget: queries.others,
            server: Some(parts),
        };
        let shipper = shipper(&config, &deps, &in_force)?;
        probe.not_ready("opening the data directory");
        let trigger = Mutex::new(None);
        Ok(Self {
            config,
            deps,
            probe,
            in_force,
            tsdb,
            scraping,
            notifying,
            engine,
            evaluating,
            sender,
            local,
            inspect,
            state,
            queries: queries.rules,
            shipper,
            trigger,
        })
    }

    /// The database.
    pub fn tsdb(&self) -> &Arc<Tsdb> {
        &self.tsdb
    }

    /// Reads the configuration again and puts it in force as a whole, or leaves the one that is.
    async fn reload(&self) -> Result<(), String> {
        match self.try_reload().await {
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

    /// What can fail comes before anything changes.
    async fn try_reload(&self) -> Result<Loaded, String> {
        let loaded = in_force::load(&self.config.config_file, self.config.features, &*self.deps.env);
        let loaded = loaded.map_err(|e| e.to_string())?;
        let notifier = self.notifying.prepare(&loaded)?;
        let groups = self.evaluating.prepare(&loaded)?;
        let queues = sending::prepare(&self.sender, &loaded)?;
        let remotes = self.local.prepare(&loaded)?;
        self.scraping.apply(&loaded).await?;
        self.notifying.apply(notifier, &loaded).await;
        self.engine.set_subquery_step(loaded.config.global.evaluation_interval.0);
        self.evaluating.apply(groups, &loaded).await;
        self.sender.apply(queues);
        self.local.apply(remotes);
        Ok(loaded)
    }

    /// Shows the progress of the replay until it is over.
    async fn follow_replay(self: Arc<Self>, shutdown: CancellationToken) {
        let replayed = async {
            while let Some(unfinished) = self.tsdb.unfinished() {
                self.probe.not_ready(&unfinished);
                let _ = tokio::time::timeout(REPLAY_SHOWN, self.tsdb.replayed()).await;
            }
            self.probe.ready();
            if let (Some(lost), Some(parts)) = (self.tsdb.lost(), &self.state.server) {
                parts.notifications.add(&lost);
            }
        };
        shutdown.run_until_cancelled(replayed).await;
        shutdown.cancelled().await;
    }

    /// Works on the database until the shutdown, stops scrapes and rules first and closes the database last.
    async fn work(self: Arc<Self>, shutdown: CancellationToken) {
        let closing = CancellationToken::new();
        let database = tokio::spawn(self.tsdb.clone().run(closing.clone()));
        let unsent = CancellationToken::new();
        let sender = tokio::spawn(self.sender.clone().run(unsent.clone()));
        let scraping = self.scraping.clone().run(self.in_force.loaded(), shutdown.clone());
        tokio::join!(scraping, self.evaluating.run(shutdown));
        // The last samples are in the log now.
        unsent.cancel();
        if let Err(error) = sender.await {
            tracing::error!(%error, "the sender of remote write ended");
        }
        closing.cancel();
        if let Err(error) = database.await {
            tracing::error!(%error, "the database's background work ended");
        }
        if let Err(error) = self.tsdb.close().await {
            tracing::error!(%error, "the database could not be closed in good order, its log is read at the next start");
        }
    }
}

/// Asks for a reload when the files of the configuration change.
pub(crate) async fn watch_files(
    path: &Path,
    in_force: &InForce,
    trigger: &Mutex<Option<ReloadTrigger>>,
    interval: Duration,
    shutdown: CancellationToken,
) {
    while shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        // Files that are just being replaced cannot be read for a moment.
        let Ok(checksum) = config::checksum(path) else { continue };
        if in_force.is_new(&checksum)
            && let Some(trigger) = &*trigger.lock()
        {
            info!("the configuration's files have changed");
            trigger.pull();
        }
    }
}

fn server_parts(
    config: &Config,
    tsdb: &Arc<Tsdb>,
    (scraping, notifying): (&Arc<Scraping>, &Arc<Notifying>),
    in_force: &Arc<InForce>,
    notifications: Notifications,
) -> ServerParts {
    let (unfinished, notifier) = (tsdb.clone(), notifying.notifier().clone());
    ServerParts {
        admin: config.admin.then(|| Arc::new(Admin(tsdb.clone())) as Arc<dyn TsdbAdmin>),
        tsdb: tsdb.clone() as Arc<dyn TsdbView>,
        scrapes: Arc::new(scraping.scrapes().clone()),
        config: in_force.clone(),
        notifications,
        features: Arc::new(capabilities::shown(config, false)),
        search: config.features.search_api,
        search_limit_max: config.search_results_max,
        ready: Arc::new(|| true),
        alertmanagers: Arc::new(move || {
            let Known { active, dropped } = notifier.known();
            Alertmanagers { active, dropped }
        }),
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
        let routes = own.all();
        self.config.http.mount("graph", ui::home(), routes, &self.deps.metrics, &self.probe)
    }

    fn grpc_services(&self) -> Option<GrpcServices> {
        self.config.grpc.as_ref()?;
        let options = self.config.store.options(&self.deps.metrics);
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
            Some(EndpointInfo {
                component: ComponentType::Sidecar,
                served,
                sets: sets.collect(),
                source,
                evaluator: String::new(),
            })
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
            let (this, shutdown) = (self.clone(), group.shutdown());
            group.spawn("auto-reload", async move {
                watch_files(&this.config.config_file, &this.in_force, &this.trigger, interval, shutdown).await;
            });
        }
        if let Some(shipper) = &self.shipper {
            group.allow(LAST_PASS);
            let (shipper, shutdown) = (shipper.clone(), group.shutdown());
            let schedule = Schedule { interval: SHIP_INTERVAL, last_pass_timeout: LAST_PASS };
            group.spawn("shipper", async move { shipper.run(schedule, &shutdown).await });
        }
        let guard = Guard::new(
            self.config.limits.memory_bytes,
            self.config.limits.query_bytes_total,
            PathBuf::from("/"),
            self.tsdb.clone(),
            self.queries.clone(),
            &self.deps.metrics,
        );
        group.spawn("memory", guard.run(group.shutdown()));
        group.spawn("replay", self.clone().follow_replay(group.shutdown()));
        group.allow(self.notifying.longest_end());
        group.spawn("notifier", self.notifying.clone().run(self.in_force.loaded(), group.shutdown()));
        group.allow(CLOSE + self.sender.longest_end());
        group.spawn("database", self.clone().work(group.shutdown()));
    }
}

/// Runs `aion server` with parsed flags until `shutdown`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a data directory that is in use, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    match parsed.switch("agent") {
        true => Box::pin(assembly::run::<Agent>(parsed, deps, shutdown)),
        false => Box::pin(assembly::run::<Server>(parsed, deps, shutdown)),
    }
}
