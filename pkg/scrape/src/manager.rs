//! All jobs: configurations in, targets in, and what others want to know.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use discovery::Snapshot;
use futures::future::BoxFuture;
use model::TargetGroup;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use transport::http::HttpClient;

use crate::config::ScrapeConfig;
use crate::failure_log::FailureLogs;
use crate::job::{Job, Shared};
use crate::metrics::ScrapeMetrics;
use crate::options::{Deps, Options};
use crate::pool::Pool;
use crate::twins::Twins;

/// A configuration that cannot be taken over. Everything goes on as before.
#[derive(Debug, thiserror::Error)]
#[error("scrape job {job:?}: {why}")]
pub struct ApplyError {
    /// The job's name.
    pub job: String,
    /// What is wrong with its HTTP client, or with its log file.
    pub why: String,
}

/// Scrapes the targets of all jobs. Clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct Manager {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    shared: Arc<Shared>,
    tracker: TaskTracker,
    /// No scrape waits for this lock.
    pub(crate) pools: Mutex<Pools>,
    /// One configuration is taken over at a time; its clients are built while nobody waits for the pools.
    applying: Mutex<()>,
}

#[derive(Debug, Default)]
pub(crate) struct Pools {
    pub(crate) by_job: BTreeMap<String, Pool>,
    /// What was discovered last.
    groups: HashMap<String, Vec<Arc<TargetGroup>>>,
    failures: FailureLogs,
    is_stopped: bool,
    twins: Option<Twins>,
}

impl Manager {
    /// A manager without jobs. Loops run on the runtime that [`Manager::apply`] and [`Manager::run`] are called on.
    pub fn new(options: Options, deps: Deps) -> Self {
        let metrics = ScrapeMetrics::new(&deps.metrics);
        let shared =
            Arc::new(Shared { options, deps, metrics, interner: Arc::default(), shutdown: CancellationToken::new() });
        let twins = Twins::new(shared.options.keep_one_twin, shared.metrics.twins.clone());
        let pools = Mutex::new(Pools { twins: Some(twins), ..Pools::default() });
        let applying = Mutex::default();
        let inner = Inner { shared, tracker: TaskTracker::new(), pools, applying };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a configuration over: the jobs that there are from now on. Jobs that stay as they are notice nothing; others
    /// keep the caches and connections of the targets that they still have, and no running scrape is interrupted.
    ///
    /// # Errors
    /// [`ApplyError`] for a job whose client cannot be built; nothing has changed then.
    pub fn apply(&self, configs: Vec<ScrapeConfig>) -> Result<(), ApplyError> {
        let _one = self.inner.applying.lock();
        let (before, mut logs) = {
            let mut pools = self.inner.pools.lock();
            let jobs = pools.by_job.iter().map(|(name, pool)| (name.clone(), pool.job.clone()));
            (jobs.collect::<HashMap<String, Arc<Job>>>(), std::mem::take(&mut pools.failures))
        };
        let jobs = self.jobs(configs, &before, &mut logs);
        drop(before);
        let mut pools = self.inner.pools.lock();
        if let Ok(jobs) = jobs {
            pools.replace(jobs, &self.inner.tracker);
            logs.close_unused();
            pools.failures = logs;
            return Ok(());
        }
        pools.failures = logs;
        jobs.map(drop)
    }

    /// The jobs to be, by name; `None`: it stays as it is.
    fn jobs(
        &self,
        configs: Vec<ScrapeConfig>,
        before: &HashMap<String, Arc<Job>>,
        logs: &mut FailureLogs,
    ) -> Result<Vec<(String, Option<Arc<Job>>)>, ApplyError> {
        let metrics = &self.inner.shared.metrics;
        let mut jobs = Vec::new();
        for config in configs {
            let before = before.get(&config.job_name);
            if before.is_some_and(|job| job.config == config) {
                jobs.push((config.job_name, None));
                continue;
            }
            let client = client(before, &config).map_err(|e| e.to_string());
            let (tried, failed) = match before.is_some() {
                true => (&metrics.reloads, &metrics.reloads_failed),
                false => (&metrics.pools, &metrics.pools_failed),
            };
            tried.inc();
            let name = config.job_name.clone();
            let job = self.job(config, client, logs).inspect_err(|_| {
                failed.inc();
            })?;
            jobs.push((name, Some(Arc::new(job))));
        }
        Ok(jobs)
    }

    fn job(
        &self,
        config: ScrapeConfig,
        client: Result<HttpClient, String>,
        logs: &mut FailureLogs,
    ) -> Result<Job, ApplyError> {
        let job = config.job_name.clone();
        let log = config.scrape_failure_log_file.as_ref().map(|path| {
            let opened = logs.open(path, &self.inner.tracker);
            opened.map_err(|e| format!("scrape_failure_log_file {}: {e}", path.display()))
        });
        let made = log.transpose().and_then(|log| {
            let client = client?;
            Ok(Job::new(config, client, self.inner.shared.clone(), log))
        });
        made.map_err(|why| ApplyError { job, why })
    }

    /// Takes over what was discovered, by job. Targets of jobs that are not named are gone.
    pub fn sync(&self, discovered: &Snapshot) {
        let mut pools = self.inner.pools.lock();
        pools.groups = discovered.iter().map(|(job, set)| (job.clone(), set.groups.clone())).collect();
        let Pools { by_job, groups, is_stopped, .. } = &mut *pools;
        if *is_stopped {
            return;
        }
        for (job, pool) in by_job.iter_mut() {
            pool.sync(groups.get(job).map_or(&[][..], Vec::as_slice), false);
        }
        pools.look_for_twins();
    }

    /// Takes over every snapshot, until `shutdown`; then ends all loops, and waits for the scrapes that are being stored.
    pub fn run(
        &self,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let manager = self.clone();
        Box::pin(async move {
            loop {
                let snapshot = snapshots.borrow_and_update().clone();
                manager.sync(&snapshot);
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    changed = snapshots.changed() => if changed.is_err() {
                        shutdown.cancelled().await;
                        break;
                    }
                }
            }
            let pools = {
                let mut pools = manager.inner.pools.lock();
                pools.is_stopped = true;
                pools.failures = FailureLogs::default();
                std::mem::take(&mut pools.by_job)
            };
            pools.into_values().for_each(|pool| pool.stop(true));
            manager.inner.shared.shutdown.cancel();
            manager.inner.tracker.close();
            manager.inner.tracker.wait().await;
            info!("scrapes have ended");
        })
    }
}

/// The client for `config`, of a job that was `before`.
fn client(before: Option<&Arc<Job>>, config: &ScrapeConfig) -> Result<HttpClient, transport::Error> {
    if let Some(job) = before {
        let client = job.shared_client();
        if job.config.http == config.http {
            return Ok(client);
        }
        // A job that has a client keeps it rather than to lose it by mistake.
        if client.is_open() {
            return Job::http(config).build();
        }
    }
    let client = Job::http(config).build_early()?;
    if !client.is_open() {
        warn!(job = config.job_name, "TLS files of a job cannot be used: its scrapes fail until they can");
    }
    Ok(client)
}

impl Pools {
    /// Jobs by name; `None`: the job stays as it is.
    fn replace(&mut self, jobs: Vec<(String, Option<Arc<Job>>)>, tracker: &TaskTracker) {
        if self.is_stopped {
            return;
        }
        let mut before = std::mem::take(&mut self.by_job);
        for (name, job) in jobs {
            let pool = match (before.remove(&name), job) {
                (Some(pool), None) => Some(pool),
                (Some(mut pool), Some(job)) => {
                    pool.reconfigure(job);
                    Some(pool)
                }
                (None, Some(job)) => {
                    let mut pool = Pool::new(job, tracker.clone());
                    pool.sync(self.groups.get(&name).map_or(&[][..], Vec::as_slice), false);
                    Some(pool)
                }
                (None, None) => None,
            };
            self.by_job.extend(pool.map(|pool| (name, pool)));
        }
        before.into_values().for_each(|pool| pool.stop(false));
        self.look_for_twins();
    }

    fn look_for_twins(&self) {
        if let Some(twins) = &self.twins {
            twins.look(self.by_job.values());
        }
    }
}
