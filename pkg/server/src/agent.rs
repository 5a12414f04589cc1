//! `aion server --agent`: scrapes and receives into a write-ahead log that remote write sends on. Nothing is kept for
//! queries.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{Alertmanagers, ApiState, Notifications, ServerParts, StoresAnswer};
use assembly::{Component, Deps, Error, ReloadTrigger, Reloads};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, http::StatusCode};
use config::Loaded;
use flags::Command;
use parking_lot::Mutex;
use promql::{Engine, LocalEvaluator, QuerySource, ReadOptions};
use remote::send::{RemoteWrite, SendDeps, cursor_dir};
use service::Group;
use storage::{Inspect, MemorySource, SeriesSource};
use tokio_util::sync::CancellationToken;
use transport::http::Probe;
use tsdb::agent::{AgentOptions, AgentStore};
use tsdb::journal::JournalOptions;
use ui::{Page, Site};

use crate::budgets::{Queries, writes};
use crate::component::watch_files;
use crate::config::{AgentConfig, Config};
use crate::guard::{Growing, Guard};
use crate::in_force::{self, InForce};
use crate::receivers::receivers;
use crate::scraping::{Scraping, discoverers};
use crate::{build_info, capabilities, database, sending};

/// How long the log may take to close.
const CLOSE: Duration = Duration::from_secs(30);

/// Pages of the web interface.
const PAGES: &[Page] = &[Page::Targets, Page::Discovery, Page::Status];

/// What Prometheus' agent answers to queries; clients look for these words.
const UNAVAILABLE: &str = "unavailable with Prometheus Agent";

/// Paths below `/api/v1/` that an agent has no answer for.
const WITHOUT_ANSWER: [&str; 12] = [
    "query",
    "query_range",
    "query_exemplars",
    "format_query",
    "parse_query",
    "labels",
    "series",
    "alertmanagers",
    "alerts",
    "rules",
    "status/tsdb",
    "status/tsdb/blocks",
];

/// What queries would read: an agent has nothing for them.
#[derive(Debug)]
struct Nothing;

impl QuerySource for Nothing {
    fn for_request(&self, _: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>> {
        Ok(Arc::new(MemorySource::default()))
    }
}

/// `aion server --agent`.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    deps: Deps,
    probe: Probe,
    in_force: Arc<InForce>,
    store: AgentStore,
    send: Arc<RemoteWrite>,
    scraping: Arc<Scraping>,
    state: ApiState,
    trigger: Mutex<Option<ReloadTrigger>>,
}

impl Agent {
    /// Reads the configuration and the log. Nothing is scraped yet.
    ///
    /// # Errors
    /// A configuration that cannot be used by an agent, a data directory that cannot be opened.
    pub async fn new(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        let wrong = |e: String| Error::Config(format!("--config.file: {e}"));
        let loaded = load(&config, &deps).map_err(wrong)?;
        let in_force = Arc::new(InForce::new(loaded, config.tsdb.clone(), deps.clock.now_ms()));
        let loaded = in_force.loaded();
        let store = open(&config, &deps, &loaded).await?;
        let scraping =
            Arc::new(Scraping::new(&config, &deps, Arc::new(store.clone()), discoverers(&config, &deps), &loaded)?);
        let send = Arc::new(sender(&config, &deps, &store, &scraping));
        let prepared = sending::prepare(&send, &loaded).map_err(wrong)?;
        send.apply(prepared);
        let state = api_state(&config, &deps, (&store, &scraping, &in_force));
        probe.not_ready("starting");
        let trigger = Mutex::new(None);
        Ok(Self { config, deps, probe, in_force, store, send, scraping, state, trigger })
    }

    /// Reads the configuration again and puts it in force as a whole, or leaves the one that is.
    async fn reload(&self) -> Result<(), String> {
        match self.try_reload().await {
            Ok(loaded) => {
                self.in_force.replace(loaded, self.deps.clock.now_ms());
                Ok(())
            }
            Err(why) => {
                self.in_force.failed(config::checksum(&self.config.config_file).ok());
                Err(why)
            }
        }
    }

    async fn try_reload(&self) -> Result<Loaded, String> {
        let loaded = load(&self.config, &self.deps)?;
        let prepared = sending::prepare(&self.send, &loaded)?;
        self.scraping.apply(&loaded).await?;
        self.send.apply(prepared);
        Ok(loaded)
    }

    /// Works until the shutdown: scrapes end first, then what is in the log is sent, then the log is closed.
    async fn work(self: Arc<Self>, shutdown: CancellationToken) {
        let ending = CancellationToken::new();
        let needed = self.send.clone();
        let sending = tokio::spawn(self.send.clone().run(ending.clone()));
        let truncating = self.store.clone().run(move || needed.needed_segment(), shutdown.clone());
        self.probe.ready();
        tokio::join!(self.scraping.clone().run(self.in_force.loaded(), shutdown), truncating);
        ending.cancel();
        if let Err(error) = sending.await {
            tracing::error!(%error, "remote write ended: what is not sent yet is sent after the next start");
        }
        let store = self.store.clone();
        // A panic there is in the log.
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

/// Labels are in the log alone, so that nobody can say which grew.
impl Growing for AgentStore {
    fn refuse_new_series(&self, why: Option<String>) {
        Self::refuse_new_series(self, why);
    }

    fn fastest_growing_metric(&self) -> Option<(String, usize)> {
        None
    }

    fn label_values(&self) -> HashMap<String, u64> {
        HashMap::new()
    }
}

/// Reads the configuration. What an agent cannot do must not be in it.
fn load(config: &Config, deps: &Deps) -> Result<Loaded, String> {
    let loaded = in_force::load(&config.config_file, config.features, &*deps.env).map_err(|e| e.to_string())?;
    let file = &loaded.config;
    let alerting = !file.alerting.alertmanagers.is_empty() || !file.alerting.alert_relabel_configs.is_empty();
    for (is_there, field) in [
        (alerting, "alerting"),
        (!file.rule_files.is_empty(), "rule_files"),
        (!file.remote_read.is_empty(), "remote_read"),
    ] {
        if is_there {
            return Err(format!("field {field} is not allowed in agent mode"));
        }
    }
    if file.remote_write.is_empty() {
        tracing::warn!("no remote_write is configured: what is scraped goes into the log, to nobody, and is deleted");
    }
    Ok(loaded)
}

async fn open(config: &Config, deps: &Deps, loaded: &Loaded) -> Result<AgentStore, Error> {
    let flags: &AgentConfig = &config.agent;
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let wal = wal::Options {
        segment_bytes: flags.wal_segment_bytes,
        compression: database::compression(flags.wal_compression.as_deref()),
        ..wal::Options::default()
    };
    let options = AgentOptions {
        journal: JournalOptions { wal, sync_interval: config.tsdb.wal_sync_interval },
        no_lockfile: !flags.lockfile,
        retention_min_ms: millis(flags.retention_min),
        retention_max_ms: millis(flags.retention_max),
        retention_bytes: flags.retention_bytes,
        truncate_interval: flags.truncate_interval,
        out_of_order_ms: loaded.config.storage.tsdb.out_of_order_time_window.0,
        series_max: config.limits.series,
        start_timestamps: config.features.start_timestamps,
        metadata_records: config.features.metadata_records,
        seed: (deps.random)() as u64,
        ..AgentOptions::new(deps.clock.clone())
    };
    let (path, metrics) = (flags.path.clone(), deps.metrics.clone());
    let opened = tokio::task::spawn_blocking(move || AgentStore::open(&path, options, &metrics)).await;
    let opened = opened.map_err(|e| Error::flag("storage.agent.path", e))?;
    opened.map_err(|e| Error::flag("storage.agent.path", e))
}

fn sender(config: &Config, deps: &Deps, store: &AgentStore, scraping: &Arc<Scraping>) -> RemoteWrite {
    let newest = store.clone();
    let send_deps = SendDeps {
        wal_dir: store.log_dir().to_owned(),
        cursor_dir: cursor_dir(&config.agent.path),
        written: store.written(),
        newest_ms: Arc::new(move || newest.newest_ms()),
        metadata: sending::metadata(scraping.scrapes().clone()),
        clock: deps.clock.clone(),
        env: deps.env.clone(),
        metrics: deps.metrics.clone(),
    };
    RemoteWrite::new(send_deps, config.flush_deadline)
}

fn api_state(
    config: &Config,
    deps: &Deps,
    (store, scraping, in_force): (&AgentStore, &Arc<Scraping>, &Arc<InForce>),
) -> ApiState {
    let notifications = Notifications::new(config.notifications_subscribers_max, deps.clock.clone(), &deps.metrics);
    let parts = ServerParts {
        admin: None,
        tsdb: Arc::new(store.clone()),
        scrapes: Arc::new(scraping.scrapes().clone()),
        config: in_force.clone(),
        notifications,
        features: Arc::new(capabilities::shown(config, true)),
        search: false,
        search_limit_max: 0,
        ready: Arc::new(|| true),
        alertmanagers: Arc::new(Alertmanagers::default),
        warnings: Arc::new(Vec::new),
    };
    let source = Arc::new(Nothing);
    ApiState {
        evaluator: Arc::new(LocalEvaluator::new(Engine::new(config.engine.clone()), source.clone())),
        source,
        inspect: Inspect {
            targets: Some(Arc::new(scraping.scrapes().clone())),
            metadata: Some(Arc::new(scraping.scrapes().clone())),
            ..Inspect::default()
        },
        stores: Arc::new(StoresAnswer::default),
        flags: Arc::new(config.http.shown_flags.clone()),
        build: build_info::show(&deps.metrics),
        options: Arc::new(config.api.clone()),
        metrics: deps.metrics.clone(),
        clock: deps.clock.clone(),
        budget: Queries::new(config.limits.query_bytes_total).others,
        server: Some(parts),
    }
}

/// Refuses what only data could answer, as Prometheus' agent does.
async fn refuse_queries(request: Request, next: Next) -> Response {
    let path = request.uri().path().rsplit_once("/api/v1/").map_or("", |(_, path)| path);
    let is_values = path.starts_with("label/") && path.ends_with("/values");
    if WITHOUT_ANSWER.contains(&path) || is_values || path.starts_with("admin/tsdb/") || path.starts_with("search/") {
        let body = serde_json::json!({"status": "error", "errorType": "execution", "error": UNAVAILABLE});
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
    }
    next.run(request).await
}

impl Component for Agent {
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
        let build = self.state.build;
        let version = get(move || async move {
            Json(serde_json::json!({"version": build.version, "revision": build.revision, "branch": build.branch}))
        });
        let site = Site { component: "server", version: build.version.to_owned(), pages: PAGES, thanos: true };
        let store = Arc::new(self.store.clone());
        let routes = Router::new()
            .route("/version", version)
            .merge(ui::routes(&site))
            .merge(api::router(self.state.clone()).layer(from_fn(refuse_queries)))
            .merge(receivers(&self.config, &self.deps, &self.in_force, store, writes(&self.config)));
        self.config.http.mount("targets", ui::home(), routes, &self.deps.metrics, &self.probe)
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
        group.allow(self.send.longest_end());
        group.allow(CLOSE);
        let guard = Guard::new(
            self.config.limits.memory_bytes,
            0,
            PathBuf::from("/"),
            Arc::new(self.store.clone()),
            self.state.budget.clone(),
            &self.deps.metrics,
        );
        group.spawn("memory", guard.run(group.shutdown()));
        group.spawn("agent", self.clone().work(group.shutdown()));
    }
}
