//! The component: its parts put together, its listener, its loops.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use block::BlockId;
use flags::Parsed;
use model::{Clock, SystemClock};
use objstore::{Bucket, ConditionalCreate, OpenOptions};
use rand::{Rng, RngExt};
use service::{Ended, Failpoints, Group};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use transport::http::{HttpMetrics, Probe, common_routes};

use crate::compactor::{Compactor, Deps};
use crate::config::Config;
use crate::error::Error;
use crate::http::Api;
use crate::merge_engine::MergeEngine;
use crate::progress;
use crate::schedule::{Pass, Work};

/// After a look at the bucket that failed, the next try comes no later than this.
const RETRY: Duration = Duration::from_secs(30);
/// After the first failure to reach it, at the start.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// `aion compact` put together and not started.
#[derive(Debug)]
pub struct Component {
    /// What does the work.
    pub compactor: Arc<Compactor>,
    config: Config,
    metrics: Metrics,
    probe: Probe,
}

impl Component {
    /// Puts it together over `bucket`.
    pub fn new(
        config: Config,
        bucket: Bucket,
        conditional: ConditionalCreate,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> Self {
        let of_ids = clock.clone();
        let deps = Deps {
            engine: Arc::new(MergeEngine {
                bucket: bucket.clone(),
                memory_bytes: config.memory_bytes,
                shards: config.shards,
                segment_bytes: config.segment_bytes,
                index_bytes_max: config.settings.index_bytes_max,
                series_max: config.settings.series_max,
                hash: config.hash,
                failpoints: failpoints.clone(),
            }),
            bucket,
            conditional,
            clock,
            store_clock: None,
            metrics: metrics.clone(),
            holder: holder(&mut rand::rng()),
            next_id: Arc::new(move || BlockId::new(of_ids.now_ms().max(0) as u64, rand::rng().random())),
            fetch: config.fetch.clone(),
            failpoints,
        };
        let compactor = Arc::new(Compactor::new(config.settings.clone(), deps));
        Self { compactor, config, metrics, probe: Probe::new("the bucket was not read yet") }
    }

    /// The HTTP routes.
    pub fn http_router(&self) -> Router {
        let api = Api {
            compactor: self.compactor.clone(),
            label: self.config.web_label.clone(),
            prefixes: self.config.prefixes.clone(),
            admin_disabled: self.config.admin_disabled,
            cors_disabled: self.config.cors_disabled,
            page_disabled: self.config.web_disabled,
            flags: self.config.shown_flags.iter().cloned().collect(),
            start_ms: self.compactor.clock.now_ms(),
            build: self.metrics.build(),
        };
        let router = common_routes(self.metrics.clone(), self.probe.clone()).merge(api.routes());
        self.config.web.wrap(HttpMetrics::new(&self.metrics).wrap(router))
    }

    /// All work there is, once.
    ///
    /// # Errors
    /// When the bucket cannot be looked at, or something failed: the rest was done all the same.
    pub async fn once(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let compactor = &self.compactor;
        let (mut merged, mut downsampled, mut failed) = (0, 0, 0);
        loop {
            let finer = compactor.pass(Work::Compaction, cancel).await?;
            self.probe.ready();
            let coarser = compactor.pass(Work::Downsampling, cancel).await?;
            merged += finer.done;
            downsampled += coarser.done;
            failed += finer.failed + coarser.failed;
            // what was made coarser may now be merged with its neighbours
            if coarser.done == 0 || cancel.is_cancelled() {
                break;
            }
        }
        let cleaned = compactor.clean().await?;
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

    /// Serves, and works: once, or until `shutdown`.
    ///
    /// # Errors
    /// The part that failed.
    pub async fn serve(self, http: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
        let this = Arc::new(self);
        if let Some(kept) = this.config.settings.replicas_kept() {
            tracing::info!(labels = ?this.config.settings.replica_labels, "{kept}");
        }
        let mut group = Group::new(shutdown);
        let (router, options) = (this.http_router(), this.config.http.clone());
        let grace = options.grace;
        let token = group.shutdown();
        group.spawn("http", async move {
            transport::serve(http, router, options, token).await;
            Ok::<_, Error>(())
        });
        if this.config.progress {
            let (compactor, token) = (this.compactor.clone(), group.shutdown());
            group.spawn("progress", async move {
                progress::show(compactor, token.clone()).await;
                Ok::<_, Error>(())
            });
        }
        if this.config.wait {
            this.spawn_loops(&mut group);
        } else {
            let (component, token) = (this.clone(), group.shutdown());
            group.spawn("work", async move { component.once(&token).await });
        }
        match group.run(grace + Duration::from_secs(5)).await {
            Ended::Asked => Ok(()),
            Ended::Failed(text) => Err(Error::Ended(text)),
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
                Ok::<_, Error>(())
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
            Ok::<_, Error>(())
        });
        let (component, token) = (self.clone(), group.shutdown());
        group.spawn("view", async move {
            let mut shown_ms = i64::MIN;
            while !token.is_cancelled() {
                component.refresh(&mut shown_ms).await;
                wait(component.config.view_interval, &token).await;
            }
            Ok::<_, Error>(())
        });
    }

    fn after(&self, name: &str, outcome: Result<Pass, Error>) -> Duration {
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

    /// Brings the view of the blocks up to date if nobody did lately, and the gauges of what is to be done.
    async fn refresh(&self, shown_ms: &mut i64) {
        let compactor = &self.compactor;
        let age_ms = compactor.clock.now_ms().saturating_sub(compactor.latest().taken_ms);
        if !self.config.web_disabled && age_ms > self.config.view_interval.as_millis() as i64 {
            match tokio::time::timeout(self.config.view_timeout, compactor.sync()).await {
                Ok(Ok(_)) => self.probe.ready(),
                Ok(Err(e)) => tracing::debug!(err = %e, "view of the blocks not brought up to date"),
                Err(_) => tracing::debug!("view of the blocks not brought up to date in time"),
            }
        }
        let (now_ms, every_ms) = (compactor.clock.now_ms(), self.config.progress_interval.as_millis() as i64);
        if every_ms > 0 && now_ms.saturating_sub(*shown_ms) >= every_ms {
            *shown_ms = now_ms;
            compactor.show_backlog(&compactor.latest());
        }
    }
}

async fn wait(pause: Duration, token: &CancellationToken) {
    tokio::select! {
        () = token.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// What the store can do, and `http` again. One that goes on for ever waits for a store that cannot be reached or written to,
/// and says so on `http` meanwhile. `None` at `shutdown`.
async fn first_contact(
    config: &Config,
    bucket: &Bucket,
    clock: &dyn Clock,
    metrics: &Metrics,
    http: TcpListener,
    shutdown: &CancellationToken,
) -> Result<Option<(TcpListener, ConditionalCreate)>, Error> {
    let mut rng = rand::make_rng::<rand::rngs::StdRng>();
    if !config.wait {
        return Ok(Some((http, bucket.probe_conditional_create(clock, &mut rng).await?)));
    }
    let listen = |e: std::io::Error| Error::Config(format!("--http-address: {e}"));
    let http = http.into_std().map_err(listen)?;
    let meanwhile = TcpListener::from_std(http.try_clone().map_err(listen)?).map_err(listen)?;
    let (probe, stop) = (Probe::new("the bucket was not reached yet"), shutdown.child_token());
    let routes = config.web.wrap(common_routes(metrics.clone(), probe.clone()));
    let server = tokio::spawn(transport::serve(meanwhile, routes, config.http.clone(), stop.clone()));
    let mut pause = FIRST_RETRY;
    let found = loop {
        let asked = tokio::select! {
            asked = bucket.probe_conditional_create(clock, &mut rng) => asked,
            () = shutdown.cancelled() => break None,
        };
        match asked {
            Ok(conditional) => break Some(conditional),
            Err(e) => {
                tracing::warn!(err = %e, "cannot read and write the bucket, trying again");
                probe.not_ready(&format!("cannot read and write the bucket: {e}"));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY).min(config.wait_interval),
            () = shutdown.cancelled() => break None,
        }
    };
    stop.cancel();
    let _ = server.await;
    let Some(conditional) = found else { return Ok(None) };
    Ok(Some((TcpListener::from_std(http).map_err(listen)?, conditional)))
}

/// A name that no other process has or had.
fn holder(rng: &mut impl Rng) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "compactor".to_owned());
    format!("{host}-{}-{:016x}", std::process::id(), rng.next_u64())
}

/// Runs `aion compact` with parsed flags until it is done or `shutdown`.
///
/// # Errors
/// Flags, listeners, or a part that failed.
pub async fn run(parsed: &Parsed, shutdown: CancellationToken, metrics: Metrics) -> Result<(), Error> {
    let config = Config::new(parsed)?;
    if config.objstore.is_empty() {
        return Err(Error::Config("a bucket is needed: give --objstore.config-file or --objstore.config".to_owned()));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let env = |name: &str| std::env::var(name).ok();
    let options = OpenOptions { metrics: Some(metrics.clone()), clock: clock.clone(), ..OpenOptions::default() };
    let bucket = objstore::Config::parse(&config.objstore, &env)
        .and_then(|c| c.open(&options))
        .map_err(|e| Error::Config(format!("{}: {e}", config.objstore_origin)))?;
    let bucket = match config.upload_concurrency {
        0 => bucket,
        n => bucket.with_settings(objstore::Settings { parts_in_flight: n, ..bucket.settings().clone() }),
    };
    let failpoints = Failpoints::from_env(&env);
    if config.dry_run {
        let component = Component::new(config, bucket, ConditionalCreate::Ignored, clock, metrics, failpoints);
        let snapshot = component.compactor.sync().await?;
        let plan = progress::dry_run(&component.compactor, &snapshot).await;
        // A reader that has seen enough is no failure.
        let _ = std::io::stdout().write_all(plan.as_bytes());
        return Ok(());
    }
    let http = transport::bind(parsed.text("http-address")).await?;
    let Some((http, conditional)) = first_contact(&config, &bucket, &*clock, &metrics, http, &shutdown).await? else {
        return Ok(());
    };
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
    Component::new(config, bucket, conditional, clock, metrics, failpoints).serve(http, shutdown).await
}
