//! The component: its parts put together, its loops.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use assembly::{Component, Deps, Error};
use axum::Router;
use block::BlockId;
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use merge::Limits;
use objstore::{Bucket, ConditionalCreate};
use service::Group;
use tokio_util::sync::CancellationToken;
use transport::http::Probe;

use crate::compactor::{self, Compactor};
use crate::config::Config;
use crate::http::Api;
use crate::merge_engine::MergeEngine;
use crate::pass::Pass;
use crate::planning::Work;
use crate::progress;

/// After a sync that failed, the next try comes no later than this.
const RETRY: Duration = Duration::from_secs(30);
/// After the first failure to reach the bucket, at the start.
const FIRST_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Compact {
    pub compactor: Arc<Compactor>,
    config: Config,
    deps: Deps,
    probe: Probe,
}

impl Compact {
    /// Builds the parts over `bucket`, which honours conditional creates or does not.
    pub fn new(config: Config, bucket: Bucket, conditional: ConditionalCreate, deps: Deps, probe: Probe) -> Self {
        let (clock, random) = (deps.clock.clone(), deps.random.clone());
        let of_compactor = compactor::Deps {
            engine: Arc::new(MergeEngine {
                bucket: bucket.clone(),
                limits: Limits {
                    memory_bytes: config.memory_bytes,
                    shards: config.shards,
                    segment_bytes: config.segment_bytes,
                    index_bytes_max: config.settings.index_bytes_max,
                    series_max: config.settings.series_max,
                    hash: config.hash,
                },
                failpoints: deps.failpoints.clone(),
            }),
            bucket,
            conditional,
            clock: clock.clone(),
            store_clock: None,
            metrics: deps.metrics.clone(),
            holder: deps.process_name("compactor"),
            next_id: Arc::new(move || BlockId::new(clock.now_ms().max(0) as u64, random())),
            fetch: config.fetch.clone(),
            failpoints: deps.failpoints.clone(),
        };
        let compactor = Arc::new(Compactor::new(config.settings.clone(), of_compactor));
        probe.not_ready("the bucket was not read yet");
        Self { compactor, config, deps, probe }
    }

    /// All work there is, once.
    ///
    /// # Errors
    /// The bucket cannot be listed, or some tasks failed; the others were done all the same.
    pub async fn once(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let compactor = &self.compactor;
        let (mut merged, mut downsampled, mut failed) = (0, 0, 0);
        loop {
            let pass = compactor.pass(Work::Compaction, cancel).await.map_err(bucket_error)?;
            self.probe.ready();
            merged += pass.done;
            failed += pass.failed;
            // A pass of downsampling leaves nothing to do, until blocks are merged again.
            if downsampled > 0 && pass.done == 0 {
                break;
            }
            let pass = compactor.pass(Work::Downsampling, cancel).await.map_err(bucket_error)?;
            downsampled += pass.done;
            failed += pass.failed;
            // Downsampled blocks may now be merged with their neighbours.
            if pass.done == 0 || cancel.is_cancelled() {
                break;
            }
        }
        let cleaned = compactor.clean().await.map_err(bucket_error)?;
        compactor.show_backlog(&compactor.latest());
        tracing::info!(
            merged,
            downsampled,
            marked = cleaned.marked,
            deleted = cleaned.deleted,
            "all work done that there was"
        );
        match failed + cleaned.failed {
            0 => Ok(()),
            n => Err(Error::Undone(format!("{n} tasks failed, see the log; the others were done"))),
        }
    }

    /// Three loops that do not wait for one another, and one that keeps what is shown up to date.
    fn spawn_loops(self: &Arc<Self>, group: &mut Group) {
        for (name, work) in [("compaction", Work::Compaction), ("downsampling", Work::Downsampling)] {
            let (component, token) = (self.clone(), group.shutdown());
            group.spawn(name, async move {
                while !token.is_cancelled() {
                    let outcome = component.compactor.pass(work, &token).await;
                    let pause = component.after(name, outcome);
                    wait(pause, &token).await;
                }
            });
        }
        let (component, token) = (self.clone(), group.shutdown());
        group.spawn("cleaning", async move {
            while !token.is_cancelled() {
                let pause = match component.compactor.clean().await {
                    Ok(cleaned) => {
                        tracing::debug!(deleted = cleaned.deleted, marked = cleaned.marked, "cleaned");
                        component.config.cleanup_interval
                    }
                    Err(e) => {
                        tracing::warn!(err = %e, "not cleaned, trying again");
                        RETRY.min(component.config.cleanup_interval)
                    }
                };
                wait(pause, &token).await;
            }
        });
        let (component, token) = (self.clone(), group.shutdown());
        group.spawn("view", async move {
            let mut shown_ms = i64::MIN;
            while !token.is_cancelled() {
                component.refresh(&mut shown_ms).await;
                wait(component.config.view_interval, &token).await;
            }
        });
    }

    fn after(&self, name: &str, outcome: Result<Pass, crate::error::Error>) -> Duration {
        match outcome {
            Ok(pass) => {
                self.probe.ready();
                if pass.done + pass.failed > 0 {
                    tracing::info!(work = name, done = pass.done, failed = pass.failed, busy = pass.busy, "pass done");
                }
                self.config.wait_interval
            }
            Err(e) => {
                tracing::warn!(work = name, err = %e, "pass ended early, trying again");
                RETRY.min(self.config.wait_interval)
            }
        }
    }

    /// Syncs the view of the blocks if nobody did lately, and updates the backlog gauges.
    async fn refresh(&self, shown_ms: &mut i64) {
        let compactor = &self.compactor;
        let age_ms = compactor.deps.clock.now_ms().saturating_sub(compactor.latest().taken_ms);
        if !self.config.http.pages_disabled && age_ms > self.config.view_interval.as_millis() as i64 {
            match tokio::time::timeout(self.config.view_timeout, compactor.sync()).await {
                Ok(Ok(_)) => self.probe.ready(),
                Ok(Err(e)) => tracing::debug!(err = %e, "view of the blocks not synced"),
                Err(_) => tracing::debug!("view of the blocks not synced in time"),
            }
        }
        let (now_ms, every_ms) = (compactor.deps.clock.now_ms(), self.config.progress_interval.as_millis() as i64);
        if every_ms > 0 && now_ms.saturating_sub(*shown_ms) >= every_ms {
            *shown_ms = now_ms;
            compactor.show_backlog(&compactor.latest());
        }
    }
}

impl Component for Compact {
    type Config = Config;

    fn command() -> Command {
        crate::command()
    }

    async fn build(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        let bucket = config.bucket.open_required(&deps)?;
        let conditional = first_contact(&config, &bucket, &deps, &probe).await?;
        match (conditional, config.settings.single_instance) {
            (ConditionalCreate::Honoured, false) => {}
            (ConditionalCreate::Honoured, true) => {
                tracing::warn!("single instance: leases of other compactors are taken over, there must be none");
            }
            (ConditionalCreate::Ignored, _) => {
                tracing::warn!(
                    "the store does not honour conditional creates: single instance, there must be no other compactor on this bucket"
                );
            }
        }
        if let Some(kept) = config.settings.replicas_kept() {
            tracing::info!(labels = ?config.settings.replica_labels, "{kept}");
        }
        Ok(Self::new(config, bucket, conditional, deps, probe))
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
        let http = &self.config.http;
        let api = Api {
            compactor: self.compactor.clone(),
            label: self.config.web_label.clone(),
            prefixes: http.prefixes.clone(),
            admin_disabled: http.admin_disabled,
            cors_disabled: http.cors_disabled,
            page_disabled: http.pages_disabled,
            flags: http.shown_flags.iter().cloned().collect(),
            start_ms: self.deps.clock.now_ms(),
            build: self.deps.metrics.build(),
        };
        api.routes()
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        if self.config.progress {
            group.spawn("progress", progress::show(self.compactor.clone(), group.shutdown()));
        }
        if self.config.wait {
            self.spawn_loops(group);
        } else {
            let (this, shutdown) = (self.clone(), group.shutdown());
            group.spawn("work", async move { this.once(&shutdown).await });
        }
    }
}

fn bucket_error(e: crate::error::Error) -> Error {
    Error::Bucket(e.into())
}

async fn wait(pause: Duration, token: &CancellationToken) {
    tokio::select! {
        () = token.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// What the store can do. A compactor that goes on for ever waits for a store that cannot be reached or written to, and
/// its probe says so meanwhile.
async fn first_contact(
    config: &Config,
    bucket: &Bucket,
    deps: &Deps,
    probe: &Probe,
) -> Result<ConditionalCreate, Error> {
    let mut rng = deps.rng();
    probe.not_ready("the bucket was not reached yet");
    let mut pause = FIRST_RETRY;
    loop {
        match bucket.probe_conditional_create(&*deps.clock, &mut rng).await {
            Ok(conditional) => return Ok(conditional),
            Err(e) if !config.wait => return Err(e.into()),
            Err(e) => {
                tracing::warn!(err = %e, "cannot read and write the bucket, trying again");
                probe.not_ready(&format!("cannot read and write the bucket: {e}"));
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY).min(config.wait_interval);
    }
}

/// Prints what a compactor would do.
async fn dry_run(config: Config, deps: Deps) -> Result<(), Error> {
    let bucket = config.bucket.open_required(&deps)?;
    let compact = Compact::new(config, bucket, ConditionalCreate::Ignored, deps, Probe::new("dry run"));
    let snapshot = compact.compactor.sync().await.map_err(bucket_error)?;
    let plan = progress::dry_run(&compact.compactor, &snapshot).await;
    // A reader that has seen enough is no failure.
    let _ = std::io::stdout().write_all(plan.as_bytes());
    Ok(())
}

/// Runs `aion compact` with parsed flags until it is done or `shutdown`.
///
/// # Errors
/// Settings that cannot be used, sockets that cannot be bound, a part that failed, work that was left undone.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        let config = <Config as assembly::Config>::from_flags(parsed, &deps)?;
        match config.dry_run {
            true => dry_run(config, deps).await,
            false => assembly::run_configured::<Compact>(config, deps, shutdown).await,
        }
    })
}
