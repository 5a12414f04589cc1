//! The ruler as a whole.

use std::sync::Arc;
use std::time::Duration;

use api::{ApiOptions, ApiState, StoresAnswer};
use assembly::{Component, Deps, Error, GrpcServices, ReloadTrigger, Reloads};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bucket::shipper::{Schedule, Shipper};
use discovery::Snapshot;
use discovery::dns::{Resolver, SystemResolver};
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use notifier::{AlertmanagerSet, Notifier, NotifierConfig, NotifierOptions};
use parking_lot::Mutex;
use promql::{Engine, EngineOptions, LocalEvaluator, QuerySource, ReadOptions};
use rules::{GroupSettings, Manager};
use service::Group;
use storage::{Budget, Inspect, MemorySource, RulesSource, SeriesSource, WithExternalLabels};
use storeapi::{ComponentType, EndpointInfo, Served, StoreSet};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport::http::Probe;
use ui::{Page, Site};

use crate::addresses::AddressBook;
use crate::alerts::{Linked, set_name, snapshot};
use crate::clients::Servers;
use crate::config::{Config, PARTIAL_RESPONSE};
use crate::grpc_query::GrpcQueriers;
use crate::http_query::Asking;
use crate::labelled::Labelled;
use crate::metrics::RulerMetrics;
use crate::queriers::{Evaluator, HttpSet, Queriers, Restore};
use crate::recorded::{self, Recorded};
use crate::rule_files;

/// From the start of one pass of uploads to the next.
const SHIP_INTERVAL: Duration = Duration::from_secs(30);
/// How long the last pass of uploads may take, at the end.
const LAST_PASS: Duration = Duration::from_secs(20);
/// How long the end of evaluations and of the data directory may take.
const CLOSE: Duration = Duration::from_secs(60);

/// Pages of the web interface.
const PAGES: &[Page] = &[Page::Alerts, Page::Rules, Page::Status];

/// `aion rule`.
#[derive(Debug)]
pub struct Ruler {
    config: Config,
    deps: Deps,
    probe: Probe,
    queriers: Arc<Queriers>,
    alertmanagers: Arc<AddressBook>,
    notifier: Arc<Notifier>,
    found: watch::Sender<Arc<Snapshot>>,
    manager: Arc<Manager>,
    recorded: Recorded,
    shipper: Option<Arc<Shipper>>,
    metrics: Arc<RulerMetrics>,
    state: ApiState,
    reloading: Arc<Reloading>,
}

/// Reloads that were asked for over HTTP wait here for their outcome.
#[derive(Debug)]
struct Reloading {
    trigger: Mutex<Option<ReloadTrigger>>,
    /// How often the rules were read, and what came of it last.
    done: watch::Sender<(u64, Result<(), String>)>,
}

/// What the API and the restoration of alerts read: the ruler's own series.
#[derive(Debug, Clone)]
struct Own(Arc<dyn SeriesSource>);

impl QuerySource for Own {
    fn for_request(&self, _: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>> {
        Ok(self.0.clone())
    }
}

impl Ruler {
    /// Opens the data directory and reads the rules. Nothing is evaluated yet. Names are looked up by `resolver`.
    ///
    /// # Errors
    /// Settings that cannot be used, rule files that are wrong, a data directory that is in use.
    pub async fn new(config: Config, resolver: Arc<dyn Resolver>, deps: Deps, probe: Probe) -> Result<Self, Error> {
        let metrics = Arc::new(RulerMetrics::new(&deps.metrics));
        let groups = rule_files::load(&config.rule_files, &config.parse).map_err(Error::Config)?;
        let recorded = Recorded::open(&config, &deps).await?;
        let shipper = recorded::shipper(&config, &deps, &recorded)?;
        let source: Arc<dyn SeriesSource> = match recorded.own() {
            Some(tsdb) => tsdb.clone(),
            None => Arc::new(MemorySource::default()),
        };
        let own = Arc::new(Own(source));
        let budget = Budget::new("all evaluations together", "--limits.query-bytes", config.query_bytes_max, None);
        let queriers = Arc::new(queriers(&config, &deps, resolver.clone(), (&recorded, own.clone()), metrics.clone())?);
        let (notifier, alertmanagers) = notifying(&config, &deps, resolver)?;
        let linked = Linked { template: config.link.clone(), to: notifier.clone(), metrics: metrics.clone() };
        let rule_deps = rules::Deps {
            evaluator: Arc::new(Evaluator(queriers.clone())),
            appendable: recorded.appendable(),
            notify: Arc::new(linked),
            clock: deps.clock.clone(),
            budget: budget.clone(),
            metrics: rules::Metrics::by_strategy(&deps.metrics),
        };
        let manager = Arc::new(Manager::new(config.rules.clone(), rule_deps));
        rule_files::show(&groups, PARTIAL_RESPONSE, &metrics);
        manager.update(groups, settings(&config)).await;
        let state = ApiState {
            evaluator: Arc::new(Evaluator(queriers.clone())),
            source: own,
            inspect: Inspect { rules: Some(manager.clone()), ..Inspect::default() },
            stores: Arc::new(StoresAnswer::default),
            flags: Arc::new(config.http.shown_flags.clone()),
            build: deps.metrics.build(),
            options: Arc::new(api_options(&config, &deps)),
            metrics: deps.metrics.clone(),
            clock: deps.clock.clone(),
            budget,
            server: None,
        };
        let reloading = Arc::new(Reloading { trigger: Mutex::new(None), done: watch::Sender::new((0, Ok(()))) });
        let found = watch::Sender::default();
        probe.not_ready("reading what was recorded before");
        Ok(Self {
            config,
            deps,
            probe,
            queriers,
            alertmanagers,
            notifier,
            found,
            manager,
            recorded,
            shipper,
            metrics,
            state,
            reloading,
        })
    }

    /// Reads the rule files again and puts them in force, all or none.
    async fn reload(&self) -> Result<(), String> {
        let outcome = match rule_files::load(&self.config.rule_files, &self.config.parse) {
            Ok(groups) => {
                rule_files::show(&groups, PARTIAL_RESPONSE, &self.metrics);
                self.manager.update(groups, settings(&self.config)).await;
                Ok(())
            }
            Err(why) => Err(why),
        };
        self.reloading.done.send_modify(|done| *done = (done.0 + 1, outcome.clone()));
        outcome
    }

    /// Evaluates until the shutdown; the data directory is closed last.
    async fn work(self: Arc<Self>, shutdown: CancellationToken) {
        let closing = CancellationToken::new();
        let (recorded, until) = (self.recorded.clone(), closing.clone());
        let background = tokio::spawn(async move { recorded.run(until).await });
        let evaluating = async {
            // Queriers and the state of alerts come before the first evaluation.
            self.recorded.replayed().await;
            self.queriers.book.refresh().await;
            self.probe.ready();
            self.manager.run(shutdown.clone()).await;
        };
        shutdown.run_until_cancelled(async { self.recorded.replayed().await }).await;
        evaluating.await;
        closing.cancel();
        if let Err(error) = background.await {
            tracing::error!(%error, "the background work on recorded series ended");
        }
        self.recorded.close().await;
    }

    async fn tell(self: Arc<Self>, shutdown: CancellationToken) {
        let sending = self.notifier.clone().run(self.found.subscribe(), shutdown.clone());
        let found = &self.found;
        let looking = self.alertmanagers.run(|book| _ = found.send_replace(Arc::new(snapshot(book))), shutdown);
        tokio::join!(sending, looking);
    }
}

fn settings(config: &Config) -> GroupSettings {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    GroupSettings {
        interval_ms: millis(config.eval_interval),
        query_offset_ms: millis(config.query_offset),
        external_labels: config.labels.clone(),
    }
}

fn api_options(config: &Config, deps: &Deps) -> ApiOptions {
    ApiOptions {
        start_time_ms: deps.clock.now_ms(),
        component: "rule".to_owned(),
        auto_downsampling: false,
        dynamic_lookback: false,
        disable_cors: config.http.cors_disabled,
        ..ApiOptions::default()
    }
}

fn queriers(
    config: &Config,
    deps: &Deps,
    resolver: Arc<dyn Resolver>,
    (recorded, own): (&Recorded, Arc<Own>),
    metrics: Arc<RulerMetrics>,
) -> Result<Queriers, Error> {
    let of = |set: &Servers| (set.addresses.clone(), set.files.clone());
    let mut sets: Vec<_> = config.queriers.http.iter().map(of).collect();
    sets.push((config.queriers.grpc.clone(), Vec::new()));
    let named = ("thanos_rule_query_apis", &deps.metrics);
    let book = Arc::new(AddressBook::new(sets, resolver, config.query_dns_interval, named));
    let http = |set: &Servers| {
        let client = set.client.clone().build().map_err(|e| Error::flag("query.config", e))?;
        Ok(HttpSet { client, scheme: set.scheme.clone(), path_prefix: set.path_prefix.clone() })
    };
    let timeout = config.queriers.http.first().map_or(Duration::from_secs(120), |set| set.timeout);
    Ok(Queriers {
        http: config.queriers.http.iter().map(http).collect::<Result<_, Error>>()?,
        book,
        grpc: GrpcQueriers::new(&deps.metrics),
        asking: Asking { by_get: config.query_by_get, thanos_params: config.thanos_params, timeout },
        restore: match recorded.own() {
            Some(_) => Restore::Own(Arc::new(LocalEvaluator::new(Engine::new(EngineOptions::default()), own))),
            None => Restore::Queriers { ignored_labels: config.restore_ignored_labels.clone() },
        },
        random: deps.random.clone(),
        metrics,
    })
}

fn notifying(
    config: &Config,
    deps: &Deps,
    resolver: Arc<dyn Resolver>,
) -> Result<(Arc<Notifier>, Arc<AddressBook>), Error> {
    if config.alertmanagers.is_empty() {
        tracing::warn!("no alertmanager configured: alerts are evaluated and told to nobody");
    }
    let options = NotifierOptions { batch_size: 100, thanos_metrics: true, ..NotifierOptions::default() };
    let notifier = Arc::new(Notifier::new(options, deps.clock.clone(), &deps.metrics));
    let set = |(number, servers): (usize, &Servers)| {
        let client = servers.client.clone().build().map_err(|e| Error::flag("alertmanagers.config", e))?;
        Ok(AlertmanagerSet {
            name: set_name(number),
            scheme: servers.scheme.clone(),
            path_prefix: servers.path_prefix.clone(),
            timeout: servers.timeout,
            relabel: Arc::default(),
            alert_relabel: Arc::default(),
            client,
            signer: None,
        })
    };
    let sets = config.alertmanagers.iter().enumerate().map(set).collect::<Result<_, Error>>()?;
    notifier.apply(NotifierConfig {
        external_labels: config.labels.clone(),
        alert_relabel: config.alert_relabel.clone(),
        sets,
    });
    let of = |set: &Servers| (set.addresses.clone(), set.files.clone());
    let named = ("thanos_rule_alertmanagers", &deps.metrics);
    let sets: Vec<_> = config.alertmanagers.iter().map(of).collect();
    Ok((notifier, Arc::new(AddressBook::new(sets, resolver, config.alert_dns_interval, named))))
}

impl Component for Ruler {
    type Config = Config;

    fn command() -> Command {
        crate::command()
    }

    async fn build(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        let resolver = Arc::new(SystemResolver::new().map_err(Error::Config)?);
        Self::new(config, resolver, deps, probe).await
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
        let reloading = self.reloading.clone();
        let reload = move || async move {
            let mut done = reloading.done.subscribe();
            let before = done.borrow_and_update().0;
            if let Some(trigger) = &*reloading.trigger.lock() {
                trigger.pull();
            }
            match done.wait_for(|(number, _)| *number > before).await.map(|done| done.1.clone()) {
                Ok(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n")),
                _ => (StatusCode::OK, String::new()),
            }
        };
        let site = Site { component: "rule", version: self.state.build.version.to_owned(), pages: PAGES, thanos: true };
        let routes = Router::new()
            .merge(ui::routes(&site))
            .route("/-/reload", post(reload.clone()).put(reload))
            .merge(api::router(self.state.clone()));
        self.config.http.mount("alerts", ui::home(), routes, &self.deps.metrics, &self.probe)
    }

    fn grpc_services(&self) -> Option<GrpcServices> {
        let labels = self.config.labels.clone();
        let rules: Arc<dyn RulesSource> = Arc::new(Labelled { rules: self.manager.clone(), labels: labels.clone() });
        let inspect = Inspect { rules: Some(rules), ..Inspect::default() };
        let Some(tsdb) = self.recorded.own() else {
            let served = Served::of(&inspect);
            let info = move || {
                let source = MemorySource::default().info();
                Some(EndpointInfo {
                    component: ComponentType::Rule,
                    served,
                    sets: Vec::new(),
                    source,
                    evaluator: String::new(),
                })
            };
            return Some(GrpcServices::new(served, info).inspect(inspect));
        };
        let options = self.config.store.options(&self.deps.metrics);
        let served = Served { store: true, ..Served::of(&inspect) };
        let live = WithExternalLabels::new(tsdb.clone(), move || labels.clone());
        let (told, probe) = (live.clone(), self.probe.clone());
        let info = move || {
            let source = probe.is_ready().then(|| told.info())?;
            let sets = source.label_sets.iter().map(|labels| StoreSet { labels: labels.clone(), range: source.range });
            Some(EndpointInfo {
                component: ComponentType::Rule,
                served,
                sets: sets.collect(),
                source,
                evaluator: String::new(),
            })
        };
        Some(GrpcServices::new(served, info).store(Arc::new(live), options).inspect(inspect))
    }

    fn on_reload(self: &Arc<Self>, reloads: &mut Reloads) {
        *self.reloading.trigger.lock() = Some(reloads.trigger());
        let this = self.clone();
        reloads.add("rule-file", move || {
            let this = this.clone();
            async move { this.reload().await }
        });
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        let (this, shutdown) = (self.clone(), group.shutdown());
        group.spawn("queriers", async move { this.queriers.book.run(|_| {}, shutdown).await });
        group.allow(self.notifier.longest_end());
        group.spawn("alertmanagers", self.clone().tell(group.shutdown()));
        if let Some(shipper) = &self.shipper {
            group.allow(LAST_PASS);
            let (shipper, shutdown) = (shipper.clone(), group.shutdown());
            let schedule = Schedule { interval: SHIP_INTERVAL, last_pass_timeout: LAST_PASS };
            group.spawn("shipper", async move { shipper.run(schedule, &shutdown).await });
        }
        group.allow(CLOSE);
        group.spawn("rules", self.clone().work(group.shutdown()));
    }
}

/// Runs `aion rule` with parsed flags until `shutdown`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a data directory that is in use, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(assembly::run::<Ruler>(parsed, deps, shutdown))
}
