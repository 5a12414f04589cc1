//! What is read again while a component runs.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use futures::future::{BoxFuture, FutureExt};
use model::Clock;
use service::{BoxError, Hangups};
use telemetry::{Gauge, Metrics};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

type Reload = Box<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// The named reloads of a component. One that fails leaves what was loaded before in force, and the others go on.
///
/// They run at SIGHUP, and at `POST /-/reload` where a flag enables it; one request at a time. The outcome is in the log
/// and in the metrics `<prefix>_successful` and `<prefix>_success_timestamp_seconds`.
pub struct Reloads {
    all: Vec<(&'static str, Reload)>,
    clock: Arc<dyn Clock>,
    successful: Gauge,
    success_seconds: Gauge,
    one_at_a_time: Mutex<()>,
    trigger: ReloadTrigger,
}

/// Asks for a reload from within a component, as SIGHUP does from outside. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct ReloadTrigger(Arc<Notify>);

impl ReloadTrigger {
    /// Has all reloads run soon. Requests that come before they do are one.
    pub fn pull(&self) {
        self.0.notify_one();
    }
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|(name, _)| name)).finish()
    }
}

impl Reloads {
    /// None yet. What the component was started with counts as the first success.
    pub fn new(metrics_prefix: &str, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let successful = metrics.gauge(
            &format!("{metrics_prefix}_successful"),
            "Whether the last reload of configuration files succeeded.",
        );
        let success_seconds = metrics.gauge(
            &format!("{metrics_prefix}_success_timestamp_seconds"),
            "When configuration files were last loaded with success.",
        );
        successful.set(1.0);
        success_seconds.set(clock.now_ms() as f64 / 1000.0);
        Self {
            all: Vec::new(),
            clock,
            successful,
            success_seconds,
            one_at_a_time: Mutex::new(()),
            trigger: ReloadTrigger::default(),
        }
    }

    /// What asks for a run.
    pub fn trigger(&self) -> ReloadTrigger {
        self.trigger.clone()
    }

    /// Registers a reload under a name that an operator knows: the flag of what it reads.
    pub fn add<F, E>(&mut self, name: &'static str, reload: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let reload = move || {
            let reloaded = reload();
            async move { reloaded.await.map_err(Into::into) }.boxed()
        };
        self.all.push((name, Box::new(reload)));
    }

    /// Runs all, each after the one before, and waits for a run that is under way.
    ///
    /// # Errors
    /// The names and errors of those that failed, in one sentence.
    pub async fn run(&self) -> Result<(), String> {
        let _one = self.one_at_a_time.lock().await;
        let (mut reloaded, mut failed, mut why) = (Vec::new(), Vec::new(), Vec::new());
        for (name, reload) in &self.all {
            match reload().await {
                Ok(()) => reloaded.push(*name),
                Err(e) => {
                    error!(what = name, err = %e, "not reloaded, what was loaded before stays in force");
                    failed.push(*name);
                    why.push(format!("{name}: {e}"));
                }
            }
        }
        let (reloaded, failed) = (reloaded.join(", "), failed.join(", "));
        info!(reloaded, failed, "reload done: flags change with a restart, certificates are read by themselves");
        if why.is_empty() {
            self.successful.set(1.0);
            self.success_seconds.set(self.clock.now_ms() as f64 / 1000.0);
            return Ok(());
        }
        self.successful.set(0.0);
        Err(why.join("; "))
    }

    /// Runs all at each of `hangups`, and whenever the trigger is pulled.
    pub(crate) async fn at(self: Arc<Self>, mut hangups: Hangups) {
        loop {
            tokio::select! {
                _ = hangups.next() => info!("SIGHUP: reloading"),
                () = self.trigger.0.notified() => info!("reloading"),
            }
            // The outcome is logged; the next signal tries again.
            let _ = self.run().await;
        }
    }

    /// `/-/reload` and `/-/quit`, with Prometheus' methods and answers.
    pub(crate) fn routes(self: Arc<Self>, enabled: bool, shutdown: CancellationToken) -> Router {
        if !enabled {
            let refuse = || async { (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.\n") };
            let refuse = post(refuse).put(refuse);
            return Router::new().route("/-/reload", refuse.clone()).route("/-/quit", refuse);
        }
        let quit = move || {
            info!("asked to end over HTTP");
            shutdown.cancel();
            async { "Requesting termination... Goodbye!\n" }
        };
        let reload = move || async move {
            match self.run().await {
                Ok(()) => (StatusCode::OK, String::new()),
                Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {e}\n")),
            }
        };
        let routes = Router::new().route("/-/reload", post(reload.clone()).put(reload));
        routes.route("/-/quit", post(quit.clone()).put(quit))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use model::FakeClock;

    use super::*;

    #[tokio::test]
    async fn one_failure_stops_no_other_and_shows() {
        let (clock, metrics) = (Arc::new(FakeClock::at(5_000)), Metrics::new());
        let mut reloads = Reloads::new("thanos_rule_config_last_reload", clock.clone(), &metrics);
        let (bad, done) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let is_bad = bad.clone();
        reloads.add("first", move || {
            let is_bad = is_bad.load(Ordering::SeqCst);
            async move { if is_bad { Err("line 3: no such key") } else { Ok(()) } }
        });
        let count = done.clone();
        reloads.add("second", move || {
            let count = count.clone();
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, String>(())
            }
        });
        let shown = |value: &str, seconds: &str| {
            let text = metrics.encode();
            assert!(text.contains(&format!("thanos_rule_config_last_reload_successful {value}")), "{text}");
            assert!(
                text.contains(&format!("thanos_rule_config_last_reload_success_timestamp_seconds {seconds}")),
                "{text}"
            );
        };
        shown("1", "5");
        clock.advance(1_000);
        assert_eq!(reloads.run().await.unwrap_err(), "first: line 3: no such key");
        assert_eq!(done.load(Ordering::SeqCst), 1);
        shown("0", "5");
        bad.store(false, Ordering::SeqCst);
        clock.advance(1_000);
        reloads.run().await.unwrap();
        shown("1", "7");
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time() {
        let mut reloads = Reloads::new("thanos_rule_config_last_reload", Arc::new(FakeClock::at(0)), &Metrics::new());
        let busy = Arc::new(AtomicBool::new(false));
        reloads.add("slow", move || {
            let busy = busy.clone();
            async move {
                assert!(!busy.swap(true, Ordering::SeqCst), "two at a time");
                tokio::time::sleep(Duration::from_secs(1)).await;
                busy.store(false, Ordering::SeqCst);
                Ok::<_, String>(())
            }
        });
        let (first, second) = tokio::join!(reloads.run(), reloads.run());
        assert!(first.is_ok() && second.is_ok());
    }
}
