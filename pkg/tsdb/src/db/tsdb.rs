//! The database: the head, the log behind it, and the blocks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;
use storage::ReplayProgress;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::blocks::Blocks;
use super::error::{Error, Result};
use super::files::remove_leftovers;
use super::lock::{DirLock, network_file_system};
use super::log::OldSegments;
use super::options::{Retention, TsdbDeps, TsdbOptions};
use super::saving::Saving;
use super::source::{Lost, Reading};
use super::stale::StaleThreshold;
use super::work::aside;
use crate::head::{Head, HeadParts};
use crate::journal::LogJournal;
use crate::mapped::{MappedChunks, MappedOptions};
use crate::replay::{Inputs, Replay};

/// The directory of the head's full chunks.
pub(crate) const CHUNKS_DIR: &str = "chunks_head";

/// An opened data directory. It can be read and written to from the start; while the log is replayed, answers say so.
#[derive(Debug)]
pub struct Tsdb {
    pub(crate) head: Head,
    pub(crate) blocks: Blocks,
    pub(crate) journal: Arc<LogJournal>,
    pub(crate) log: OldSegments,
    pub(crate) chunks: Arc<MappedChunks>,
    /// What open chunks are saved.
    pub(crate) saving: parking_lot::Mutex<Saving>,
    /// Held while full chunks are written or their files removed: a chunk that no series has yet is in use too.
    pub(crate) mapping: tokio::sync::Mutex<()>,
    /// Files of chunks can be removed when the head's readers are past this mark.
    pub(crate) chunks_mark: parking_lot::Mutex<Option<u64>>,
    pub(crate) replay: watch::Sender<ReplayState>,
    /// The thread that replays, until it is waited for.
    replaying: parking_lot::Mutex<Option<JoinHandle<()>>>,
    /// Cancelled when the database is closed.
    pub(crate) closed: CancellationToken,
    /// Where the head began when something was dropped from it last, ms.
    pub(crate) cut_until: AtomicI64,
    /// Samples before this are in blocks and still in the head, since somebody reads them there, ms.
    pub(crate) untruncated: parking_lot::Mutex<Option<i64>>,
    pub(crate) stale_threshold: StaleThreshold,
    /// Copies are made one at a time.
    pub(crate) copying: tokio::sync::Mutex<()>,
    lock: parking_lot::Mutex<Option<DirLock>>,
}

/// How the replay of the log goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplayState {
    pub(crate) progress: ReplayProgress,
    /// The files of chunks were looked through: more may be written.
    pub(crate) chunks_read: bool,
    /// Why it ended early: the head lacks what was not read.
    failed: Option<String>,
    /// What could not be read of the log.
    lost: Option<Lost>,
}

impl Tsdb {
    /// Opens the database in `dir`, which is created if it is not there. The replay of the log goes on in the background.
    ///
    /// # Errors
    /// [`Error::Locked`]; [`Error::Io`] if the directory cannot be written to.
    pub fn open(dir: &Path, options: TsdbOptions, deps: TsdbDeps) -> BoxFuture<'static, Result<Arc<Self>>> {
        let dir = dir.to_owned();
        aside(move |_| async move {
            let (opened, replay) = Self::load(&dir, options, deps)?;
            opened.begin_replay(replay);
            Ok(opened)
        })
    }

    fn load(dir: &Path, options: TsdbOptions, deps: TsdbDeps) -> Result<(Arc<Self>, Replay)> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        if let Some(kind) = network_file_system(dir) {
            tracing::warn!(
                path = %dir.display(), kind,
                "the data directory is on a network file system: locks and crashes may cost data there, use a local disk"
            );
        }
        let lock = if options.no_lockfile { None } else { Some(DirLock::take(dir)?) };
        remove_leftovers(&*deps.disk, dir);
        let journal = LogJournal::open(dir, options.journal.clone(), &deps.metrics)?;
        let journal = Arc::new(journal);
        let chunks_dir = dir.join(CHUNKS_DIR);
        let chunks = MappedChunks::open(&chunks_dir, MappedOptions::default());
        let chunks = Arc::new(chunks.map_err(Error::io("open", &chunks_dir))?);
        let parts = HeadParts {
            clock: deps.clock.clone(),
            metrics: deps.metrics.clone(),
            journal: journal.clone(),
            chunks: chunks.clone(),
            seed: (deps.random)() as u64,
        };
        let head = Head::new(parts, options.head.clone());
        let log = OldSegments::new(dir, options.journal.clone(), &deps.metrics);
        let blocks = Blocks::open(dir, options, deps)?;
        blocks.metrics.clean_start.set(if lock.is_some() { 1.0 } else { -1.0 });
        let begin = blocks.views.current().head_begins_ms().unwrap_or(i64::MIN);
        head.set_min_valid_time(begin);
        let before = journal.before();
        let replay = Replay::prepare(Inputs {
            data: dir,
            head: &head,
            chunks: chunks.clone(),
            last_wal: before.wal,
            last_wbl: before.wbl,
            unhidden: before.unhidden,
            min_valid_ms: begin,
            threads: blocks.options.replay_threads,
        })
        .map_err(|e| Error::Head(e.to_string()))?;
        let (state, _) = watch::channel(ReplayState { progress: replay.progress(), ..ReplayState::default() });
        let tsdb = Self {
            head,
            blocks,
            journal,
            log,
            chunks,
            saving: parking_lot::Mutex::default(),
            mapping: tokio::sync::Mutex::default(),
            chunks_mark: parking_lot::Mutex::default(),
            replay: state,
            replaying: parking_lot::Mutex::default(),
            closed: CancellationToken::new(),
            cut_until: AtomicI64::new(begin),
            untruncated: parking_lot::Mutex::default(),
            stale_threshold: StaleThreshold::default(),
            copying: tokio::sync::Mutex::default(),
            lock: parking_lot::Mutex::new(lock),
        };
        Ok((Arc::new(tsdb), replay))
    }

    fn begin_replay(self: &Arc<Self>, replay: Replay) {
        let tsdb = self.clone();
        let last = self.journal.before();
        let work = move || {
            let begin = tokio::time::Instant::now();
            let mut tell = |progress: ReplayProgress| {
                tsdb.replay.send_modify(|state| (state.progress, state.chunks_read) = (progress, true));
            };
            let begun = tsdb.blocks.deps.failpoints.hit("tsdb.replay.begin").map_err(Error::from);
            let outcome = begun.and_then(|()| {
                let replayed = replay.run(&mut tell, &|| tsdb.closed.is_cancelled());
                replayed.map_err(|e| Error::Head(e.to_string()))
            });
            match outcome {
                Ok(replayed) => {
                    tsdb.replay.send_modify(|state| state.chunks_read = true);
                    // What is not written now stays in memory until it can be (prometheus#18306).
                    if let Err(error) = tokio::runtime::Handle::current().block_on(tsdb.map_full_chunks()) {
                        tracing::warn!(%error, "full chunks stay in memory until they can be written");
                    }
                    tsdb.remove_snapshots();
                    tsdb.blocks.metrics.replay_seconds.set(begin.elapsed().as_secs_f64());
                    tsdb.blocks.metrics.chunk_corruptions.inc_by(replayed.chunk_corruptions);
                    let corruptions = replayed.corruptions + replayed.late_corruptions + tsdb.journal.corrupt();
                    tsdb.log.count_corruptions(corruptions);
                    let newest = tsdb.head.range().map_or(i64::MIN, |(_, max)| max);
                    let lost = Lost::of(corruptions, newest);
                    let (others, is_read) = (replayed.restored.other_numbers, !replayed.from_snapshot);
                    tsdb.log.note_replayed(others, last, newest, is_read);
                    tsdb.replay.send_modify(|state| {
                        state.progress.current = state.progress.max;
                        state.progress.done = true;
                        state.lost = lost;
                    });
                }
                Err(error) => {
                    if !tsdb.closed.is_cancelled() {
                        tracing::error!(%error, "the write-ahead log could not be replayed: answers lack what it has");
                    }
                    tsdb.replay.send_modify(|state| state.failed = Some(error.to_string()));
                }
            }
        };
        *self.replaying.lock() = Some(tokio::task::spawn_blocking(work));
    }

    /// Completes when the log is replayed, or the replay has failed.
    pub async fn replayed(&self) {
        // The sender lives as long as `self`.
        let _ = self.replay.subscribe().wait_for(|state| state.progress.done || state.failed.is_some()).await;
    }

    /// Up to where the write-ahead log is written: for those who follow it.
    pub fn written(&self) -> watch::Receiver<wal::Position> {
        self.journal.written()
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.blocks.dir
    }

    /// How long data is kept from now on.
    pub fn set_retention(&self, retention: Retention) {
        self.blocks.set_retention(retention);
    }

    /// Time of the oldest data, ms; `None` without data.
    pub fn oldest_ms(&self) -> Option<i64> {
        let blocks = self.blocks.views.current().blocks.first().map(|b| b.meta.min_time);
        let head = self.head.range().map(|(min, _)| min);
        blocks.into_iter().chain(head).min()
    }

    /// What is missing since the log was corrupt at the start, if anything.
    pub fn lost(&self) -> Option<String> {
        self.replay.borrow().lost.as_ref().map(|lost| lost.text().to_owned())
    }

    /// What every answer lacks now, if anything.
    pub fn unfinished(&self) -> Option<String> {
        let state = self.replay.borrow();
        let ReplayProgress { min, max, current, done } = state.progress;
        if let Some(why) = &state.failed {
            return Some(format!("samples of the write-ahead log are missing, since it could not be replayed: {why}"));
        }
        (!done).then(|| {
            let (read, all) = (current.saturating_sub(min), (max + 1).saturating_sub(min));
            format!(
                "the write-ahead log is being replayed ({read} of {all} segments read): samples from before the start \
                 may be missing"
            )
        })
    }

    /// The log has all that is in snapshots, which would be out of date from now on.
    fn remove_snapshots(&self) {
        let Ok(entries) = std::fs::read_dir(&self.blocks.dir) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            let is_snapshot =
                path.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.starts_with("chunk_snapshot."));
            if is_snapshot
                && path.is_dir()
                && let Err(error) = self.blocks.deps.disk.remove_dir(&path)
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove a snapshot of the head");
            }
        }
    }

    /// Waits until nothing of the log is read any more.
    pub(crate) async fn end_replay(&self) {
        let replaying = self.replaying.lock().take();
        if let Some(replaying) = replaying
            && replaying.await.is_err()
        {
            tracing::error!("the replay of the write-ahead log panicked");
        }
    }

    /// Gives the directory back.
    pub(crate) fn unlock(&self) {
        *self.lock.lock() = None;
    }

    pub(crate) fn reading(&self) -> Reading {
        // The view comes first: what leaves the head is in it, or in a later one.
        let view = self.blocks.views.current();
        let cut_until = self.cut_until.load(Ordering::Acquire);
        let lost = self.replay.borrow().lost.clone().filter(|lost| lost.range.max >= cut_until);
        Reading { view, head: Arc::new(self.head.clone()), unfinished: self.unfinished(), lost }
    }
}
