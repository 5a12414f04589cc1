//! From the jobs of the configuration to samples in the database: discovery finds targets, scrapes read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use assembly::{Deps, Error};
use config::{Discoverers, Loaded, ProviderConfig};
use discovery::{Manager as Discovery, ManagerHandle, ManagerOptions, Snapshot};
use discovery_kubernetes::{SERVICE_ACCOUNT, Surroundings};
use parking_lot::Mutex;
use scrape::{Manager as Scrapes, Options, StartTimes};
use storage::Budget;
use storage::append::Appendable;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Discovery and scrapes.
#[derive(Debug)]
pub struct Scraping {
    scrapes: Scrapes,
    jobs: ManagerHandle<ProviderConfig>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Until it runs.
    discovery: Mutex<Option<Discovery<ProviderConfig>>>,
}

impl Scraping {
    /// Both, for these jobs. Nothing is asked before [`Scraping::run`].
    ///
    /// # Errors
    /// A job whose client cannot be built.
    pub fn new(
        config: &Config,
        deps: &Deps,
        appendable: Arc<dyn Appendable>,
        discoverers: Arc<Discoverers>,
        loaded: &Loaded,
    ) -> Result<Self, Error> {
        let scrape_deps = scrape::Deps {
            appendable,
            clock: deps.clock.clone(),
            metrics: deps.metrics.clone(),
            budget: bodies(config),
        };
        let scrapes = Scrapes::new(options(config, deps, loaded), scrape_deps);
        scrapes.apply(configs(loaded)).map_err(|e| Error::Config(format!("--config.file: {e}")))?;
        let options = ManagerOptions {
            name: "scrape",
            interval: config.scrape.discovery_interval,
            clock: deps.clock.clone(),
            build: Box::new(move |set, config| discoverers.build(set, config)),
        };
        let (discovery, jobs, snapshots) = Discovery::new(options, &deps.metrics);
        Ok(Self { scrapes, jobs, snapshots, discovery: Mutex::new(Some(discovery)) })
    }

    /// Puts other jobs in force: all, or none.
    ///
    /// # Errors
    /// A job whose client cannot be built.
    pub async fn apply(&self, loaded: &Loaded) -> Result<(), String> {
        self.scrapes.apply(configs(loaded)).map_err(|e| e.to_string())?;
        self.discover(loaded).await;
        Ok(())
    }

    async fn discover(&self, loaded: &Loaded) {
        let providers = |job: &config::Job| (job.scrape.job_name.clone(), job.discovery.providers());
        let sets: BTreeMap<String, Vec<ProviderConfig>> = loaded.jobs.iter().map(providers).collect();
        for failure in self.jobs.apply(sets).await {
            tracing::error!(failure, "targets of a job cannot be discovered, the other jobs go on");
        }
    }

    /// Discovers and scrapes the jobs of `loaded`, and what is put in force later, until `shutdown`.
    pub async fn run(self: Arc<Self>, loaded: Arc<Loaded>, shutdown: CancellationToken) {
        let Some(discovery) = self.discovery.lock().take() else { return };
        let scrapes = self.scrapes.run(self.snapshots.clone(), shutdown.clone());
        tokio::join!(discovery.run(shutdown.clone()), scrapes, async {
            shutdown.run_until_cancelled(self.discover(&loaded)).await;
        });
    }

    /// The scrapes, which tell of targets and of metadata.
    pub fn scrapes(&self) -> &Scrapes {
        &self.scrapes
    }
}

/// Makes discoverers, those of jobs and those of Alertmanagers.
pub fn discoverers(config: &Config, deps: &Deps) -> Arc<Discoverers> {
    let surroundings = Surroundings {
        env: deps.env.clone(),
        random: deps.random.clone(),
        service_account: SERVICE_ACCOUNT.into(),
        limits: config.scrape.kubernetes,
    };
    Arc::new(Discoverers::new(&deps.metrics, config.scrape.discovery, surroundings))
}

fn configs(loaded: &Loaded) -> Vec<scrape::config::ScrapeConfig> {
    loaded.jobs.iter().map(|job| job.scrape.clone()).collect()
}

/// What all bodies that are read at one time may take.
fn bodies(config: &Config) -> Arc<Budget> {
    Budget::new("all scrapes together", "--limits.memory", config.limits.memory_bytes / 4, None)
}

fn options(config: &Config, deps: &Deps, loaded: &Loaded) -> Options {
    let features = config.features;
    Options {
        seed: seed(deps, loaded),
        cache_key: (deps.random)() as u64,
        exemplars: features.exemplars,
        start_times: match (features.start_timestamps, features.created_zero) {
            (true, _) => StartTimes::Stored,
            (_, true) => StartTimes::ZeroSamples,
            _ => StartTimes::Ignored,
        },
        metadata: features.metadata_records,
        type_and_unit_labels: features.type_and_unit_labels,
        extra_metrics: features.extra_scrape_metrics,
        adjust_timestamps: !config.scrape.timestamp_tolerance.is_zero(),
        timestamp_tolerance_ms: i64::try_from(config.scrape.timestamp_tolerance.as_millis()).unwrap_or(i64::MAX),
        keep_one_twin: config.scrape.keep_one_twin,
        body_bytes_max: match config.scrape.body_bytes_max {
            0 => u64::MAX,
            bytes => bytes,
        },
        external_url: config.rules.external_url.clone(),
        own_port: config.http.addresses.first().and_then(|address| address.rsplit_once(':')?.1.parse().ok()),
        ..Options::default()
    }
}

/// Of the host's name and the external labels: replicas scrape at different times, and each at the same after a restart.
fn seed(deps: &Deps, loaded: &Loaded) -> u64 {
    let host = (deps.env)("HOSTNAME").unwrap_or_default();
    let labels = loaded.config.global.external_labels().overlay(&labels::Labels::from_pairs([("__host__", host)]));
    labels.stable_hash()
}
