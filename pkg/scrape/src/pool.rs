//! All targets of one job.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use labels::Labels;
use model::TargetGroup;
use telemetry::Occasionally;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::job::Job;
use crate::schedule::Schedule;
use crate::status::Status;
use crate::target::{Relabelled, Target, relabel};
use crate::task::{self, Intervals, Order};
use crate::worker::Worker;

/// A target that is scraped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) target: Arc<Target>,
    pub(crate) status: Arc<Status>,
    orders: watch::Sender<Order>,
    task: JoinHandle<Option<Worker>>,
}

/// What relabelling made of a group.
#[derive(Debug)]
struct Sorted {
    group: Arc<TargetGroup>,
    targets: Vec<Arc<Target>>,
    /// Places of those that were dropped.
    dropped: Vec<usize>,
    /// Address and reason of those that cannot be scraped.
    invalid: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) job: Arc<Job>,
    /// By all labels.
    pub(crate) running: BTreeMap<Labels, Running>,
    groups: Vec<Sorted>,
    tracker: TaskTracker,
    invalid: Occasionally,
}

impl Pool {
    pub(crate) fn new(job: Arc<Job>, tracker: TaskTracker) -> Self {
        let pool =
            Self { job, running: BTreeMap::new(), groups: Vec::new(), tracker, invalid: Occasionally::minutely() };
        pool.tell_limit();
        pool
    }

    fn name(&self) -> &str {
        &self.job.config.job_name
    }

    fn tell_limit(&self) {
        let limit = self.job.config.target_limit as f64;
        self.job.shared.metrics.target_limit.with(&[self.name()]).set(limit);
    }

    /// Goes on under another configuration, with the same groups.
    pub(crate) fn reconfigure(&mut self, job: Arc<Job>) {
        self.job = job;
        self.tell_limit();
        let groups: Vec<_> = std::mem::take(&mut self.groups).into_iter().map(|sorted| sorted.group).collect();
        self.sync(&groups, true);
    }

    /// Takes over what was discovered. Groups that are the same ones as before are not looked at again.
    pub(crate) fn sync(&mut self, groups: &[Arc<TargetGroup>], is_new_job: bool) {
        let began = tokio::time::Instant::now();
        let mut before: HashMap<*const TargetGroup, Sorted> =
            self.groups.drain(..).map(|sorted| (Arc::as_ptr(&sorted.group), sorted)).collect();
        let job = self.job.clone();
        let sort = |group: &Arc<TargetGroup>| before.remove(&Arc::as_ptr(group)).unwrap_or_else(|| sorted(&job, group));
        self.groups = groups.iter().map(sort).collect();
        self.tell_invalid();
        let wanted: BTreeMap<Labels, Arc<Target>> =
            self.groups.iter().flat_map(|g| &g.targets).map(|t| (t.labels.clone(), t.clone())).collect();
        self.switch(wanted, is_new_job);
        self.force_errors();
        let metrics = &self.job.shared.metrics;
        metrics.targets.with(&[self.name()]).set(self.running.len() as f64);
        let families: usize = self.running.values().map(|running| running.status.families.lock().len()).sum();
        metrics.metadata_entries.with(&[self.name()]).set(families as f64);
        metrics.syncs.with(&[self.name()]).inc();
        let length_s = began.elapsed().as_secs_f64();
        metrics.sync_length.with(self.name()).observe(length_s);
        metrics.sync_spread.with(&[self.name()]).observe(length_s);
    }

    fn tell_invalid(&self) {
        // There from the first sync on, so that the first failure is an increase.
        let failed = self.job.shared.metrics.sync_failed.with(&[self.name()]);
        let mut invalid = self.groups.iter().flat_map(|group| &group.invalid);
        let Some((address, why)) = invalid.next() else { return };
        let count = invalid.count() + 1;
        failed.inc_by(count as u64);
        if self.invalid.count().is_some() {
            warn!(job = self.name(), count, address, why, "targets cannot be scraped; the first one is named");
        }
    }

    /// Starts and ends loops, until those of `wanted` run.
    fn switch(&mut self, wanted: BTreeMap<Labels, Arc<Target>>, is_new_job: bool) {
        let (mut kept, mut gone) = (BTreeMap::new(), Vec::new());
        for (labels, running) in std::mem::take(&mut self.running) {
            match wanted.get(&labels) {
                Some(target) if !is_new_job => {
                    // Other discovered labels may have led to the same target.
                    kept.insert(labels, Running { target: target.clone(), ..running });
                }
                _ => gone.push(running),
            }
        }
        // A target whose interval or the like has changed is the same target.
        let mut by_identity: HashMap<Labels, Running> = HashMap::new();
        let names: BTreeSet<Labels> = wanted.values().map(|target| target.identity()).collect();
        for running in gone {
            let identity = running.target.identity();
            if !names.contains(&identity) {
                running.end();
            } else if let Some(other) = by_identity.insert(identity, running) {
                other.end();
            }
        }
        for (labels, target) in wanted {
            if let Entry::Vacant(place) = kept.entry(labels) {
                let before = by_identity.remove(&target.identity());
                place.insert(self.start(target, before));
            }
        }
        by_identity.into_values().for_each(Running::end);
        self.running = kept;
    }

    /// Starts a loop, which goes on with what the loop before knows.
    fn start(&self, target: Arc<Target>, before: Option<Running>) -> Running {
        let job = self.job.clone();
        let shared = &job.shared;
        let schedule = Schedule::new(&target.labels, &target.url, shared.options.seed, target.interval_ms);
        let interval = model::format_duration(target.interval_ms);
        let metrics = &shared.metrics;
        let intervals = Intervals::new(metrics, &interval);
        let (orders, inbox) = watch::channel(Order::Run);
        let (status, before) = match before {
            Some(before) => {
                before.orders.send_replace(Order::HandOver);
                (before.status, Some((before.task, before.orders)))
            }
            None => (Arc::new(Status::default()), None),
        };
        let (for_task, its_status) = (target.clone(), status.clone());
        let task = self.tracker.spawn(async move {
            let worker = match before {
                // A loop whose orders nobody gives any more would interrupt its scrape.
                Some((task, _orders)) => task.await.ok().flatten(),
                None => None,
            };
            let worker = match worker {
                Some(mut worker) => {
                    worker.reconfigure(job, for_task);
                    worker
                }
                None => Worker::new(job, for_task, its_status),
            };
            task::run(worker, schedule, inbox, intervals).await
        });
        Running { target, status, orders, task }
    }

    /// With more targets than allowed all scrapes fail, so that it is seen.
    fn force_errors(&self) {
        let (is, limit) = (self.running.len(), self.job.config.target_limit);
        let is_over = limit > 0 && is as u64 > limit;
        if is_over {
            self.job.shared.metrics.target_limit_exceeded.inc();
        }
        let error: Option<Arc<str>> =
            is_over.then(|| format!("target_limit exceeded (number of targets: {is}, limit: {limit})").into());
        for running in self.running.values() {
            running.status.forced_error.lock().clone_from(&error);
        }
    }

    /// Targets that relabelling dropped.
    pub(crate) fn dropped_count(&self) -> u64 {
        self.groups.iter().map(|group| group.dropped.len() as u64).sum()
    }

    /// The discovered labels of dropped targets, as many as the configuration keeps.
    pub(crate) fn dropped(&self) -> Vec<Labels> {
        let kept = match self.job.config.keep_dropped_targets {
            0 => usize::MAX,
            kept => usize::try_from(kept).unwrap_or(usize::MAX),
        };
        let all = self.groups.iter().flat_map(|g| g.dropped.iter().map(move |at| (g, *at)));
        let labels = |(g, at): (&Sorted, usize)| {
            let target = g.group.targets.get(at)?;
            Some(crate::target::discovered_labels(&self.job.config, target, &g.group).build())
        };
        all.take(kept).filter_map(labels).collect()
    }

    /// Ends all loops. `is_shutdown`: the server stops, and the series go on after its next start.
    pub(crate) fn stop(self, is_shutdown: bool) {
        for running in self.running.into_values() {
            running.orders.send_replace(if is_shutdown { Order::Shutdown } else { Order::End });
        }
        if !is_shutdown {
            self.job.shared.metrics.forget(&self.job.config.job_name);
        }
    }
}

impl Running {
    fn end(self) {
        self.orders.send_replace(Order::End);
    }
}

fn sorted(job: &Job, group: &Arc<TargetGroup>) -> Sorted {
    let mut sorted = Sorted { group: group.clone(), targets: Vec::new(), dropped: Vec::new(), invalid: Vec::new() };
    for (at, target) in group.targets.iter().enumerate() {
        match relabel(&job.config, target, group) {
            Relabelled::Target(target) => sorted.targets.push(Arc::new(target)),
            Relabelled::Dropped => sorted.dropped.push(at),
            Relabelled::Invalid(why) => {
                sorted.invalid.push((target.value(model::ADDRESS_LABEL).to_owned(), why));
            }
        }
    }
    sorted
}
