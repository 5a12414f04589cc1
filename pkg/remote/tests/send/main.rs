//! The sender of remote write: from a log to storages that answer, fail and go away.
#![allow(missing_docs, clippy::new_without_default, reason = "tests")]

mod failures;
mod hostile;
mod logs;
mod places;
mod protocol;
mod shards;
mod storages;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use labels::Labels;
use model::{Clock, MetricMetadata, SystemClock};
use remote::send::{QueueConfig, RemoteWrite, SendDeps};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use logs::Log;

/// A sender that runs in a runtime of its own, so that it can die at any moment.
pub struct Rig {
    pub sender: Arc<RemoteWrite>,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Rig {
    pub fn new(log: &Log, queues: Vec<QueueConfig>) -> Self {
        Self::with(log, queues, Labels::empty())
    }

    pub fn with(log: &Log, queues: Vec<QueueConfig>, external: Labels) -> Self {
        Self::at(log, queues, external, Arc::new(SystemClock))
    }

    pub fn at(log: &Log, queues: Vec<QueueConfig>, external: Labels, clock: Arc<dyn Clock>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let metrics = Metrics::new();
        let metadata =
            MetricMetadata { metric_type: "counter".to_owned(), help: "Requests.".to_owned(), unit: String::new() };
        let families = BTreeMap::from([("requests_total".to_owned(), vec![metadata])]);
        let deps = SendDeps {
            wal_dir: log.dir(),
            cursor_dir: log.cursor_dir(),
            written: log.written.subscribe(),
            newest_ms: Arc::new(|| Some(5000)),
            metadata: Arc::new(move || {
                let families = families.clone();
                Box::pin(async move { families })
            }),
            clock,
            env: Arc::new(|_| None),
            metrics: metrics.clone(),
        };
        let sender = Arc::new(RemoteWrite::new(deps, Duration::from_secs(30)));
        sender.apply(sender.prepare(queues, external).unwrap());
        let shutdown = CancellationToken::new();
        let task = runtime.spawn(sender.clone().run(shutdown.clone()));
        Self { sender, metrics, shutdown, runtime: Some(runtime), task: Some(task) }
    }

    /// The value of the first metric whose line begins so.
    pub fn metric(&self, begin: &str) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(begin));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Nothing is awaited any more: as with SIGKILL, but for a system call that is under way.
    pub fn die(mut self) {
        let runtime = self.runtime.take().unwrap();
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_millis(200))).join().unwrap();
    }

    pub async fn end(mut self) {
        self.shutdown.cancel();
        self.task.take().unwrap().await.unwrap();
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A queue that sends soon.
pub fn queue(url: &str) -> QueueConfig {
    QueueConfig {
        batch_send_deadline: Duration::from_millis(20),
        min_backoff: Duration::from_millis(5),
        max_backoff: Duration::from_millis(50),
        metadata: None,
        ..QueueConfig::new(url)
    }
}

pub async fn wait(what: &str, condition: impl AsyncFnMut() -> bool) {
    testkit::wait_for(what, Duration::from_secs(60), condition).await;
}
