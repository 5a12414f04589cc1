//! One remote storage: reads the log, divides rows among shards, and keeps the place in the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use model::Clock;
use parking_lot::{Mutex, RwLock};
use telemetry::Occasionally;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wal::Position;

use super::client::Client;
use super::config::QueueConfig;
use super::cursor::{Cursor, CursorFile};
use super::encode::{Encoder, Families};
use super::metrics::{QueueMetrics, Reason};
use super::pace::{Load, Pace};
use super::rewrite::{NotSent, Rewrites};
use super::rows::{Counts, Done, Row, Value, shard_of};
use super::sender::Sender;
use super::series::SeriesTable;
use super::shard::Shard;
use super::tail::{Piece, Tail};
use crate::receive::MessageType;

/// As many refused requests as this times the rows of the greatest one are sent again in parts. What a receiver has had in a
/// life before is one request of each sender at most, and one that refuses all for ever must not be asked for every sample.
const SPLITS_OF_A_ROW: usize = 2;

/// Rows that are put into a shard at a time, about: it is locked once for them, and others do not wait long for theirs.
const ROWS_TOGETHER: usize = 1000;
/// What comes within this time is read at once.
const READ_PAUSE: Duration = Duration::from_millis(50);
/// How often the number of shards is looked at.
const PACE_INTERVAL: Duration = Duration::from_secs(2);
/// After an error of the disk.
const DISK_PAUSE: Duration = Duration::from_secs(5);

/// What the parts of a queue share.
#[derive(Debug)]
pub(super) struct Shared {
    pub config: QueueConfig,
    pub name: String,
    pub url: String,
    pub client: Client,
    pub table: Arc<SeriesTable>,
    pub rewrites: Rewrites,
    pub families: RwLock<Arc<Families>>,
    /// Those that make no request now. Few work at a time, however many shards wait for answers.
    pub encoders: Mutex<Vec<Encoder>>,
    pub metrics: QueueMetrics,
    pub pace: Pace,
    /// A shard has room again, or has nothing left.
    pub room: Notify,
    pub highest_sent_ms: AtomicI64,
    /// The newest timestamp that was put into a shard.
    highest_ms: AtomicI64,
    /// How many more refused requests are sent again in parts.
    pub splits_left: AtomicUsize,
    pub clock: Arc<dyn Clock>,
    pub told: Occasionally,
    pub wal_dir: PathBuf,
    file: Arc<CursorFile>,
    shards: RwLock<Vec<Arc<Shard>>>,
    /// The end of the last record whose rows are all in shards.
    read: Mutex<Position>,
    storing: tokio::sync::Mutex<Option<Cursor>>,
    wanted_shards: AtomicUsize,
    rows_read: AtomicU64,
}

/// What a queue is made of.
pub(super) struct Parts {
    pub config: QueueConfig,
    pub client: Client,
    pub table: Arc<SeriesTable>,
    pub rewrites: Rewrites,
    pub metrics: QueueMetrics,
    pub clock: Arc<dyn Clock>,
    pub wal_dir: PathBuf,
    pub file: CursorFile,
}

/// How a queue ends.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// What the log has is still sent, then it ends.
    pub flush: CancellationToken,
    /// It ends at once.
    pub stop: CancellationToken,
}

impl Shared {
    /// A queue that goes on where `cursor` is, or begins at `begin`.
    pub fn new(parts: Parts, cursor: Option<&Cursor>, begin: Position) -> Self {
        let Parts { config, client, table, rewrites, metrics, clock, wal_dir, file } = parts;
        let (read, done) = match cursor {
            Some(cursor) => (cursor.resume(), cursor.shards().to_vec()),
            None => (begin, vec![Done::all(begin); config.min_shards.max(1)]),
        };
        let shards: Vec<_> = done.into_iter().map(|done| Arc::new(Shard::new(config.capacity, done))).collect();
        let splits_left = AtomicUsize::new(SPLITS_OF_A_ROW.saturating_mul(config.max_samples_per_send));
        Self {
            name: config.shown_name(),
            url: config.shown_url(),
            wanted_shards: AtomicUsize::new(shards.len()),
            config,
            client,
            table,
            rewrites,
            families: RwLock::default(),
            encoders: Mutex::default(),
            metrics,
            pace: Pace::default(),
            room: Notify::new(),
            highest_sent_ms: AtomicI64::new(0),
            highest_ms: AtomicI64::new(0),
            splits_left,
            clock,
            told: Occasionally::minutely(),
            wal_dir,
            file: Arc::new(file),
            shards: RwLock::new(shards),
            read: Mutex::new(read),
            storing: tokio::sync::Mutex::default(),
            rows_read: AtomicU64::new(0),
        }
    }

    /// Samples before this time are not sent; `None` = all are.
    pub fn oldest_ms(&self) -> Option<i64> {
        let limit = i64::try_from(self.config.sample_age_limit.as_millis()).unwrap_or(i64::MAX);
        (limit > 0).then(|| self.clock.now_ms().saturating_sub(limit))
    }

    /// Whether a request refused for `why` is to be sent again in parts: some of it was there before.
    pub fn splits(&self, why: &str) -> bool {
        const ORDER: [&str; 4] = ["out of order", "out of bounds", "too old", "duplicate sample"];
        ORDER.iter().any(|text| why.contains(text))
            && self.splits_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Logs a failure: each one, if that is configured, else once in a while.
    pub fn tell(&self, log: impl FnOnce(u64)) {
        match self.told.count() {
            Some(times) => log(times),
            None if self.config.log_failures => log(1),
            None => {}
        }
    }

    /// The place in the log before which nothing is needed.
    pub fn acknowledged(&self) -> Position {
        self.cursor().resume()
    }

    fn cursor(&self) -> Cursor {
        // What is read comes first: a shard that is idle later has sent all of it.
        let read = *self.read.lock();
        let (mut resume, mut done) = (read, Vec::new());
        for shard in self.shards.read().iter() {
            let (shard_done, oldest) = shard.progress();
            match oldest {
                Some(begin) => {
                    resume = resume.min(begin);
                    done.push(shard_done);
                }
                None => done.push(shard_done.max(Done::all(read))),
            }
        }
        Cursor::new(&self.name, resume, done)
    }

    /// Keeps the place in the log for the next start.
    pub async fn store_cursor(self: &Arc<Self>) {
        let mut stored = self.storing.lock().await;
        let cursor = self.cursor();
        if stored.as_ref() == Some(&cursor) {
            return;
        }
        let (file, written) = (self.file.clone(), cursor.clone());
        match tokio::task::spawn_blocking(move || file.store(&written)).await {
            Ok(Ok(())) => *stored = Some(cursor),
            Ok(Err(error)) => {
                let path = self.file.path().display().to_string();
                self.tell(|times| {
                    tracing::error!(
                        remote_name = self.name, path, %error, times,
                        "the place in the write-ahead log cannot be kept: after a restart samples are sent again"
                    );
                });
            }
            // The process ends.
            Err(_) => {}
        }
    }

    fn pending(&self) -> usize {
        self.shards.read().iter().map(|shard| shard.waiting()).sum()
    }
}

/// Runs a queue.
pub(super) struct Queue {
    pub shared: Arc<Shared>,
    tail: Arc<Mutex<Tail>>,
    pub written: watch::Receiver<Position>,
    pub ending: Ending,
    /// What was sent before the last restart.
    pub before: Option<Cursor>,
    senders: JoinSet<()>,
    retired: CancellationToken,
}

impl Queue {
    pub fn new(
        shared: Arc<Shared>,
        tail: Tail,
        written: watch::Receiver<Position>,
        ending: Ending,
        before: Option<Cursor>,
    ) -> Self {
        let retired = ending.stop.child_token();
        let tail = Arc::new(Mutex::new(tail));
        Self { shared, tail, written, ending, before, senders: JoinSet::new(), retired }
    }

    /// Works until it is ended.
    pub async fn run(mut self) {
        self.begin_senders();
        let stop = self.ending.stop.clone();
        let looking = look(self.shared.clone(), self.written.clone());
        stop.run_until_cancelled(async {
            tokio::select! {
                () = self.work() => {}
                () = looking => {}
            }
        })
        .await;
        self.retired.cancel();
        while self.senders.join_next().await.is_some() {}
        self.shared.store_cursor().await;
    }

    fn begin_senders(&mut self) {
        let shards = self.shared.shards.read().clone();
        self.shared.metrics.shards.set(shards.len() as f64);
        for shard in shards {
            let (shared, retired) = (self.shared.clone(), self.retired.clone());
            self.senders.spawn(Sender { shared, shard, retired }.run());
        }
    }

    async fn work(&mut self) {
        // A queue is known from its first moment on.
        self.shared.store_cursor().await;
        loop {
            let until = *self.written.borrow_and_update();
            let Some(read) = self.read(until).await else { continue };
            for piece in read.pieces {
                self.enqueue(piece).await;
            }
            *self.shared.read.lock() = read.end;
            self.shared.shards.read().iter().for_each(|shard| shard.wake());
            self.reshard(read.end).await;
            if !read.more && self.has_ended(until).await {
                return self.flush().await;
            }
        }
    }

    async fn read(&mut self, until: Position) -> Option<super::tail::Read> {
        let tail = self.tail.clone();
        match tokio::task::spawn_blocking(move || tail.lock().read(until)).await {
            Ok(Ok(read)) => return Some(read),
            Ok(Err(error)) => self.shared.tell(|times| {
                let name = &self.shared.name;
                tracing::error!(remote_name = name, %error, times, "the write-ahead log cannot be read, it is tried again");
            }),
            Err(error) => tracing::error!(%error, "reading the write-ahead log has crashed"),
        }
        sleep(DISK_PAUSE).await;
        None
    }

    /// Waits for more of the log; true when no more comes.
    async fn has_ended(&mut self, until: Position) -> bool {
        if self.ending.flush.is_cancelled() {
            return *self.written.borrow() <= until;
        }
        tokio::select! {
            () = self.ending.flush.cancelled() => {}
            () = sleep(PACE_INTERVAL) => {}
            changed = self.written.changed() => {
                match changed {
                    // What comes in a row is read together.
                    Ok(()) => sleep(READ_PAUSE).await,
                    Err(_) => sleep(PACE_INTERVAL).await,
                }
            }
        }
        false
    }

    /// Sends what is in the shards.
    async fn flush(&mut self) {
        self.shared.shards.read().iter().for_each(|shard| shard.flush(true));
        self.idle().await;
    }

    /// Waits until nothing is in the shards.
    async fn idle(&self) {
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.shared.shards.read().iter().all(|shard| shard.is_idle()) {
                return;
            }
            room.await;
        }
    }

    async fn enqueue(&mut self, piece: Piece) {
        let Piece { begin, end, rows } = piece;
        if self.before.as_ref().is_some_and(|before| !before.reaches(end)) {
            self.before = None;
        }
        self.shared.rows_read.fetch_add(rows.len() as u64, Ordering::Relaxed);
        self.shared.metrics.came(end, Counts::of(&rows));
        let shards = self.shared.shards.read().clone();
        let oldest_ms = self.shared.oldest_ms().unwrap_or(i64::MIN);
        let sent = self.shared.rewrites.are_sent(rows.iter().map(|row| row.series));
        let mut dropped: Vec<(Reason, Counts)> = Vec::new();
        let mut newest_ms = 0;
        let mut parts: Vec<Vec<Row>> = shards.iter().map(|_| Vec::new()).collect();
        let mut left = ROWS_TOGETHER * shards.len();
        for (row, sent) in rows.into_iter().zip(sent) {
            if self.before.as_ref().is_some_and(|before| before.has(row.series, end, row.index)) {
                continue;
            }
            if let Some(reason) = self.not_sent(&row, oldest_ms, sent) {
                match dropped.iter_mut().find(|(other, _)| *other == reason) {
                    Some((_, counts)) => counts.add(&row.value),
                    None => dropped.push((reason, Counts::of([&row]))),
                }
                continue;
            }
            newest_ms = newest_ms.max(row.time_ms);
            parts[shard_of(row.series, shards.len())].push(row);
            left -= 1;
            if left == 0 {
                push(&self.shared, &shards, &mut parts, begin, end).await;
                left = ROWS_TOGETHER * shards.len();
            }
        }
        push(&self.shared, &shards, &mut parts, begin, end).await;
        let before = self.shared.highest_ms.fetch_max(newest_ms, Ordering::Relaxed);
        self.shared.metrics.highest.set(before.max(newest_ms) as f64 / 1000.0);
        for (reason, counts) in dropped {
            self.shared.metrics.dropped(reason, counts);
        }
        *self.shared.read.lock() = end;
    }

    fn not_sent(&self, row: &Row, oldest_ms: i64, sent: Result<(), NotSent>) -> Option<Reason> {
        if row.time_ms < oldest_ms {
            return Some(Reason::TooOld);
        }
        if let Value::Histogram(histogram) = &row.value
            && self.shared.config.message == MessageType::V1
            && has_custom_buckets(histogram)
        {
            return Some(Reason::CustomBuckets);
        }
        match sent {
            Ok(()) => None,
            Err(NotSent::Dropped) => Some(Reason::Relabelled),
            Err(NotSent::Unknown) => Some(Reason::UnknownSeries),
        }
    }

    /// Changes the number of shards, if another one is wanted: waits until what is in them has arrived, so that the samples
    /// of a series stay in order. Senders go on meanwhile.
    async fn reshard(&mut self, read: Position) {
        let shared = self.shared.clone();
        let (wanted, now) = (shared.wanted_shards.load(Ordering::Relaxed), shared.shards.read().len());
        if wanted == now || shared.pace.is_failing() || self.before.is_some() {
            return;
        }
        shared.shards.read().iter().for_each(|shard| shard.flush(true));
        self.idle().await;
        tracing::info!(remote_name = shared.name, from = now, to = wanted, "the number of senders follows the load");
        self.retired.cancel();
        while self.senders.join_next().await.is_some() {}
        self.retired = self.ending.stop.child_token();
        let new = (0..wanted).map(|_| Arc::new(Shard::new(shared.config.capacity, Done::all(read))));
        *shared.shards.write() = new.collect();
        self.begin_senders();
    }
}

/// Looks every now and then how far behind a queue is, and how many shards it should have.
async fn look(shared: Arc<Shared>, written: watch::Receiver<Position>) {
    // Samples take some ten bytes in the log.
    const ROW_BYTES: f64 = 10.0;
    loop {
        sleep(PACE_INTERVAL).await;
        let (read, until) = (*shared.read.lock(), *written.borrow());
        let behind = super::behind::bytes(&shared.wal_dir, read, until);
        let pending = shared.pending();
        shared.metrics.lag_bytes.set(behind as f64);
        shared.metrics.pending(pending);
        let backlog = behind as f64 / ROW_BYTES + pending as f64;
        let (rows, shards) = (shared.rows_read.swap(0, Ordering::Relaxed), shared.shards.read().len());
        let load = Load { read: rows, backlog, shards, min: shared.config.min_shards, max: shared.config.max_shards };
        let (desired, wanted) = shared.pace.shards(load);
        shared.metrics.shards_desired.set(desired);
        shared.wanted_shards.store(wanted, Ordering::Relaxed);
        shared.store_cursor().await;
    }
}

/// Puts rows into their shards; waits while there is no room.
async fn push(shared: &Shared, shards: &[Arc<Shard>], parts: &mut [Vec<Row>], begin: Position, end: Position) {
    for (shard, rows) in shards.iter().zip(parts) {
        let mut rows = rows.drain(..);
        if shard.push(&mut rows, begin, end) {
            continue;
        }
        shared.metrics.enqueue_retries.inc();
        shared.shards.read().iter().for_each(|shard| shard.wake());
        loop {
            let room = shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if shard.push(&mut rows, begin, end) {
                break;
            }
            room.await;
        }
    }
}

fn has_custom_buckets(value: &storage::append::HistogramValue) -> bool {
    let schema = match value {
        storage::append::HistogramValue::Int(h) => h.schema,
        storage::append::HistogramValue::Float(h) => h.schema,
    };
    schema == histogram::CUSTOM_BUCKETS_SCHEMA
}
