//! All queues: which there are, and what they have in common.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloud_auth::Env;
use futures::future::BoxFuture;
use labels::Labels;
use model::Clock;
use parking_lot::Mutex;
use telemetry::Metrics;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wal::Position;

use super::client::Client;
use super::config::QueueConfig;
use super::cursor::{Cursor, CursorFile};
use super::decode::Wanted;
use super::metadata::{self, MetadataNow};
use super::metrics::{QueueMetrics, SendMetrics};
use super::past;
use super::queue::{Ending, Parts, Queue, Shared};
use super::rewrite::Rewrites;
use super::series::SeriesTable;
use super::tail::Tail;

/// How often series that left the log are looked for.
const TIDY_INTERVAL: Duration = Duration::from_secs(30);
/// So many seconds of failures in a row, and the end does not wait any longer.
const HOPELESS_LOOKS: u32 = 5;
/// How often the newest timestamp is shown.
const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// What sending gets from outside.
#[derive(Clone)]
pub struct SendDeps {
    /// The write-ahead log.
    pub wal_dir: PathBuf,
    /// Where the places of queues in the log are kept.
    pub cursor_dir: PathBuf,
    /// Up to where the log is written.
    pub written: watch::Receiver<Position>,
    /// The newest timestamp that was stored, ms.
    pub newest_ms: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
    /// Metadata of what is scraped.
    pub metadata: MetadataNow,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Variables of the environment, for credentials.
    pub env: Env,
    /// Where metrics are registered.
    pub metrics: Metrics,
}

impl fmt::Debug for SendDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendDeps").field("wal_dir", &self.wal_dir).finish_non_exhaustive()
    }
}

/// Queues that can be put in force: their clients are made.
#[derive(Debug)]
pub struct Prepared {
    queues: Vec<(QueueConfig, Client)>,
    external: Labels,
}

/// Sends what is written to a log to remote storages.
pub struct RemoteWrite {
    deps: SendDeps,
    flush_deadline: Duration,
    metrics: SendMetrics,
    table: Arc<SeriesTable>,
    state: Mutex<State>,
    applied: Notify,
}

#[derive(Default)]
struct State {
    next: Option<(Prepared, Position)>,
    /// Those that run.
    queues: Vec<Arc<Shared>>,
}

impl fmt::Debug for RemoteWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteWrite").field("deps", &self.deps).finish_non_exhaustive()
    }
}

/// A queue that runs.
struct Running {
    config: QueueConfig,
    external: Labels,
    shared: Arc<Shared>,
    ending: Ending,
    task: tokio::task::JoinHandle<()>,
}

impl RemoteWrite {
    /// Sends nothing yet. `flush_deadline`: how long what is left may be sent for at the end
    /// (`--storage.remote.flush-deadline`).
    pub fn new(deps: SendDeps, flush_deadline: Duration) -> Self {
        let metrics = SendMetrics::new(&deps.metrics);
        Self { deps, flush_deadline, metrics, table: Arc::default(), state: Mutex::default(), applied: Notify::new() }
    }

    /// Makes the clients of queues. Each series gets `external` labels unless it has one of that name.
    ///
    /// # Errors
    /// Two queues that are one, or a client that cannot be made; names the queue.
    pub fn prepare(&self, configs: Vec<QueueConfig>, external: Labels) -> Result<Prepared, String> {
        let mut queues: Vec<(QueueConfig, Client)> = Vec::new();
        for config in configs {
            let name = config.shown_name();
            if queues.iter().any(|(other, _)| other.key() == config.key()) {
                return Err(format!(
                    "remote_write {name}: two queues have this name or URL: give each a name, by which its place in the \
                     write-ahead log is kept"
                ));
            }
            let client = Client::new(&config, &self.deps.env, self.deps.clock.clone());
            let client = client.map_err(|why| format!("remote_write {name}: {why}"))?;
            queues.push((config, client));
        }
        Ok(Prepared { queues, external })
    }

    /// Puts queues in force. One that is as before goes on. Others go on where they were in the log; one that is new begins
    /// with what is written from now on.
    pub fn apply(&self, prepared: Prepared) {
        let now = *self.deps.written.borrow();
        self.state.lock().next = Some((prepared, now));
        self.applied.notify_one();
    }

    /// The first segment of the log that a queue still needs; `None` without queues.
    pub fn needed_segment(&self) -> Option<u64> {
        self.state.lock().queues.iter().map(|shared| shared.acknowledged().segment).min()
    }

    /// How long [`RemoteWrite::run`] may go on after the shutdown.
    pub fn longest_end(&self) -> Duration {
        self.flush_deadline
    }

    /// Sends until `shutdown`, then what is left of the log, if that takes no longer than the deadline for it. The rest is
    /// sent after the next start.
    pub fn run(self: Arc<Self>, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut queues: Vec<Running> = Vec::new();
            let mut loaded = false;
            let mut tidied = None;
            loop {
                let next = self.state.lock().next.take();
                if let Some((prepared, now)) = next {
                    if !loaded && !prepared.queues.is_empty() {
                        self.load(now).await;
                        loaded = true;
                    }
                    self.follow(prepared, now, &mut queues).await;
                }
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = self.applied.notified() => {}
                    () = self.show() => {}
                    () = sleep(TIDY_INTERVAL) => self.tidy(&mut tidied).await,
                }
            }
            self.end(queues).await;
        })
    }

    /// Notes the series that the log has already.
    async fn load(&self, until: Position) {
        let (dir, table) = (self.deps.wal_dir.clone(), self.table.clone());
        let loaded = tokio::task::spawn_blocking(move || past::load(&dir, until, &table)).await;
        if let Ok(Err(error)) = loaded {
            tracing::error!(%error, "the series of the write-ahead log cannot be read: their samples are not sent");
        }
    }

    async fn follow(&self, prepared: Prepared, now: Position, queues: &mut Vec<Running>) {
        let Prepared { queues: wanted, external } = prepared;
        let mut before = std::mem::take(queues);
        let mut kept: Vec<Option<Running>> = Vec::new();
        for (config, _) in &wanted {
            let same = before.iter().position(|running| running.config == *config && running.external == external);
            kept.push(same.map(|n| before.swap_remove(n)));
        }
        // Those that changed or are gone end before others take their places.
        for running in before {
            running.ending.stop.cancel();
            self.ended(running.task).await;
            self.metrics.forget(&running.shared.metrics);
        }
        for ((config, client), kept) in wanted.into_iter().zip(kept) {
            queues.push(match kept {
                Some(running) => running,
                None => self.begin(config, client, external.clone(), now),
            });
        }
        self.state.lock().queues = queues.iter().map(|running| running.shared.clone()).collect();
    }

    fn begin(&self, config: QueueConfig, client: Client, external: Labels, now: Position) -> Running {
        let file = CursorFile::new(&self.deps.cursor_dir, &config.key());
        let metrics = self.metrics.of(&config);
        let before = self.place(&config, &file, &metrics, now);
        let wal_dir = self.deps.wal_dir.clone();
        let parts = Parts {
            config: config.clone(),
            client,
            table: self.table.clone(),
            rewrites: Rewrites::new(self.table.clone(), config.relabel.clone(), &external),
            metrics: metrics.clone(),
            clock: self.deps.clock.clone(),
            wal_dir: wal_dir.clone(),
            file,
        };
        let shared = Arc::new(Shared::new(parts, before.as_ref(), now));
        let ending = Ending { flush: CancellationToken::new(), stop: CancellationToken::new() };
        let wanted = Wanted { exemplars: config.exemplars, histograms: config.histograms };
        let begin = shared.acknowledged();
        let tail = Tail::new(&wal_dir, begin, wanted, self.table.clone(), metrics, config.shown_name());
        let queue = Queue::new(shared.clone(), tail, self.deps.written.clone(), ending.clone(), before);
        let (of_metadata, now, sending) = (shared.clone(), self.deps.metadata.clone(), config.metadata);
        let stop = ending.stop.clone();
        let task = tokio::spawn(async move {
            let metadata = async {
                match sending {
                    Some(sending) => metadata::run(of_metadata, now, sending).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = queue.run() => {}
                () = metadata => {}
            }
            stop.cancel();
        });
        tracing::info!(remote_name = shared.name, url = shared.url, from = %begin, "samples are sent to a remote storage");
        Running { config, external, shared, ending, task }
    }

    /// Where the queue was, if the log still goes with it.
    fn place(&self, config: &QueueConfig, file: &CursorFile, metrics: &QueueMetrics, now: Position) -> Option<Cursor> {
        let name = config.shown_name();
        match file.load() {
            Ok(Some(cursor)) if cursor.resume() <= now => Some(cursor),
            Ok(Some(cursor)) => {
                metrics.log_cut.inc();
                tracing::error!(
                    remote_name = name, place = %cursor.resume(), log = %now,
                    "the write-ahead log is older than the place that the queue had in it: it begins with new samples"
                );
                None
            }
            Ok(None) => None,
            Err(error) => {
                metrics.log_cut.inc();
                tracing::error!(
                    remote_name = name, path = %file.path().display(), %error,
                    "the queue's place in the write-ahead log cannot be read: it begins with new samples"
                );
                None
            }
        }
    }

    /// Shows the newest timestamp.
    async fn show(&self) {
        loop {
            if let Some(newest_ms) = (self.deps.newest_ms)() {
                self.metrics.highest_timestamp.set(newest_ms as f64 / 1000.0);
            }
            let (series, symbols) = {
                let known = self.table.read();
                (known.len(), known.symbols.len())
            };
            self.metrics.series.set(series as f64);
            self.metrics.symbols.set(symbols as f64);
            sleep(SHOW_INTERVAL).await;
        }
    }

    /// Forgets series that left the log.
    async fn tidy(&self, tidied: &mut Option<u64>) {
        let Some(needed) = self.needed_segment() else { return };
        let (dir, table, before) = (self.deps.wal_dir.clone(), self.table.clone(), *tidied);
        match tokio::task::spawn_blocking(move || past::forget(&dir, before, needed, &table)).await {
            Ok(Ok(done)) if done != before => {
                *tidied = done;
                self.state.lock().queues.iter().for_each(|shared| shared.rewrites.tidy());
            }
            Ok(Err(error)) => tracing::warn!(%error, "series that left the write-ahead log cannot be forgotten"),
            _ => {}
        }
    }

    async fn end(&self, queues: Vec<Running>) {
        let mut tasks = JoinSet::new();
        for running in queues {
            running.ending.flush.cancel();
            let (deadline, stop, shared) = (self.flush_deadline, running.ending.stop, running.shared);
            let name = shared.name.clone();
            let mut task = running.task;
            tasks.spawn(async move {
                let is_over = tokio::select! {
                    _ = &mut task => true,
                    () = sleep(deadline) => false,
                    () = hopeless(&shared) => false,
                };
                if !is_over {
                    tracing::warn!(
                        remote_name = name,
                        "not all samples could be sent at the end: they are sent after a start"
                    );
                    stop.cancel();
                    let _ = task.await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn ended(&self, task: tokio::task::JoinHandle<()>) {
        if task.await.is_err_and(|e| e.is_panic()) {
            tracing::error!("a queue of remote write has crashed");
        }
    }
}

/// Completes when nothing arrives any more: what is left is sent after the next start, so that the end need not wait for it.
async fn hopeless(shared: &Shared) {
    let mut failing = 0;
    while failing < HOPELESS_LOOKS {
        sleep(SHOW_INTERVAL).await;
        failing = if shared.pace.is_failing() { failing + 1 } else { 0 };
    }
}

/// The folder of a data directory where the places of queues are kept.
pub fn cursor_dir(data: &Path) -> PathBuf {
    data.join("remote_write")
}
