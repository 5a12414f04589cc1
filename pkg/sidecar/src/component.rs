//! The sidecar as a whole.

use std::sync::Arc;

use assembly::{Component, Deps, Error, GrpcServices};
use axum::Router;
use axum::routing::get;
use bucket::shipper::{Schedule, Shipped, Shipper, ShipperOptions};
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use promclient::{ClientOptions, PromClient};
use service::Group;
use storage::{Inspect, SeriesSource};
use storeapi::{ComponentType, EndpointInfo, Served, StoreSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::http::Probe;

use crate::config::Config;
use crate::inspect::PrometheusInspect;
use crate::page;
use crate::prometheus::{FlagCheck, FollowOptions, PrometheusError, PrometheusState};
use crate::reloader::Reloader;
use crate::source::source;

/// `aion sidecar`.
#[derive(Debug)]
pub struct Sidecar {
    config: Config,
    deps: Deps,
    probe: Probe,
    state: Arc<PrometheusState>,
    shipper: Option<Arc<Shipper>>,
}

impl Sidecar {
    /// Builds the parts; nothing is asked yet.
    ///
    /// # Errors
    /// A bucket configuration that cannot be used.
    pub fn new(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        let client = PromClient::new(&config.prometheus_url, config.http_client.clone(), ClientOptions::default());
        let state = Arc::new(PrometheusState::new(client, deps.clock.clone(), &deps.metrics));
        let shipper = match config.bucket.open(&deps)? {
            None => {
                info!("no bucket is configured, blocks are not uploaded");
                None
            }
            Some(bucket) => {
                let options = ShipperOptions {
                    list_file: config.meta_file_name.clone(),
                    upload_compacted: config.upload_compacted,
                    allow_out_of_order: config.allow_out_of_order,
                    verify: config.verify,
                    hash: config.hash,
                    clock: deps.clock.clone(),
                    failpoints: deps.failpoints.clone(),
                    ..ShipperOptions::new(&config.tsdb_path)
                };
                let known = state.clone();
                Some(Arc::new(Shipper::new(bucket, options, move || known.external_labels(), &deps.metrics)))
            }
        };
        if shipper.is_some() && !config.tsdb_path.join("wal").is_dir() {
            let path = config.tsdb_path.display();
            warn!(%path, "no wal directory is to be seen: is --tsdb.path the data directory of prometheus?");
        }
        probe.not_ready("waiting for prometheus");
        Ok(Self { config, deps, probe, state, shipper })
    }

    /// What is known of Prometheus, for those who want to wait until it is reached.
    pub fn state(&self) -> Arc<PrometheusState> {
        self.state.clone()
    }

    async fn follow_prometheus(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), PrometheusError> {
        let config = &self.config;
        let options = FollowOptions {
            interval: config.config_interval,
            timeout: config.config_timeout,
            ready_timeout: config.ready_timeout,
            min_time: config.min_time.clone(),
            check_flags: self.shipper.is_some().then(|| FlagCheck {
                shipped_file: config.tsdb_path.join(&config.meta_file_name),
                ignore_unequal_block_size: config.ignore_unequal_block_size,
            }),
        };
        self.state.follow(&options, &self.probe, &shutdown).await
    }
}

impl Component for Sidecar {
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
        let state = self.state.clone();
        let list = self.shipper.as_ref().map(|s| s.list_path());
        let page = get(move || {
            // A list that cannot be read counts as empty here; the shipper logs it.
            let shipped = list.as_deref().map(|path| Shipped::read(path).map_or(0, |list| list.0.len()));
            let shown = page::render(&state, shipped);
            async move { shown }
        });
        Router::new().route("/", page)
    }

    fn grpc_services(&self) -> Option<GrpcServices> {
        let options = self.config.store.options(&self.deps.metrics);
        let inspect = Inspect::all(Arc::new(PrometheusInspect::new(self.state.clone())));
        let served = Served { store: true, ..Served::of(&inspect) };
        let live = source(&self.state, self.config.read.clone());
        let (told, probe) = (live.clone(), self.probe.clone());
        let info = move || {
            let source = probe.is_ready().then(|| told.info())?;
            let sets = source.label_sets.iter().map(|labels| StoreSet { labels: labels.clone(), range: source.range });
            Some(EndpointInfo {
                component: ComponentType::Sidecar,
                served,
                sets: sets.collect(),
                source,
                evaluator: String::new(),
            })
        };
        let services = GrpcServices::new(served, info).store(Arc::new(live), options);
        Some(services.inspect(inspect))
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        let Deps { env, clock, metrics, .. } = &self.deps;
        let client = self.state.client().clone();
        let reloader = Reloader::new(self.config.reloader.clone(), client, env.clone(), clock.clone(), metrics);
        group.spawn("reloader", reloader.run(group.shutdown()));
        if let Some(shipper) = &self.shipper {
            group.allow(self.config.last_pass_timeout);
            let (shipper, shutdown) = (shipper.clone(), group.shutdown());
            let schedule =
                Schedule { interval: self.config.ship_interval, last_pass_timeout: self.config.last_pass_timeout };
            group.spawn("shipper", async move { shipper.run(schedule, &shutdown).await });
        }
        group.spawn("prometheus", self.clone().follow_prometheus(group.shutdown()));
    }
}

/// Runs `aion sidecar` with parsed flags until `shutdown`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a Prometheus without external labels or with unfit flags, a
/// part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(assembly::run::<Sidecar>(parsed, deps, shutdown))
}
