//! A whole job.

use std::collections::BTreeMap;
use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use block::meta::{BlockFile, FileHash, IndexStats};
use block::{BlockId, BlockMeta, META_FILE, ThanosMeta};
use futures::TryStreamExt;
use model::TimeRange;
use objstore::{Bucket, BufferPool};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::bits::{Bits, Rank};
use crate::checkpoint::{Checkpoint, Current, Saver, ShardState, Stats, fingerprint};
use crate::count::Traffic;
use crate::error::{Error, Result};
use crate::fetch::{ChunkStream, Windows};
use crate::index::{self, IndexParts, IndexWritten};
use crate::input::{self, OpenInput};
use crate::job::{Counts, Finished, Job, Options, Output, Progress, Repairs};
use crate::local::LocalFile;
use crate::object::{Parts, Uploaded};
use crate::part::PartPool;
use crate::plan::{Plan, ShardRange};
use crate::segments::{Ledger, SegmentWriter};
use crate::series::{InputRules, Rules, SeriesMaker};
use crate::shard::{Shard, ShardInput, SplitAt, Stopped};
use crate::wait::Wait;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Stores take 10 000 parts of an object.
const PARTS_MAX: u64 = 9_000;
/// Stores refuse smaller parts.
const PART_BYTES_MIN: u64 = 5 << 20;

/// Does a job: reads the inputs, writes the outputs' chunks and indexes. `meta.json` is the caller's to write.
///
/// Ended by anything but damage, what was uploaded stays in the bucket and notes stay in [`Options::dir`]: the same job
/// with the same directory goes on from the last finished segment. Done, the directory is removed.
///
/// # Errors
/// [`Error`], by what the caller may do.
pub async fn run(
    bucket: &Bucket,
    job: &Job,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Finished> {
    if job.inputs.is_empty() {
        return Err(Error::Refused("a merge without inputs".to_owned()));
    }
    let traffic = Traffic::default();
    let pool = BufferPool::new(usize::try_from(options.memory_bytes).unwrap_or(usize::MAX));
    let bucket = bucket.decorated(traffic.clone()).with_pool(pool);
    let cancel = cancel.child_token();
    // Whoever drops this future ends the threads too.
    let _end = cancel.clone().drop_guard();
    std::fs::create_dir_all(&options.dir).map_err(Error::local("create", &options.dir))?;
    let saver = Saver::new(&options.dir);
    let fingerprint = fingerprint(job, options);
    let resumed = match saver.load(&fingerprint) {
        Some(checkpoint) if still_there(&bucket, &checkpoint).await? => {
            tracing::info!(block = %checkpoint.current.id, segments = checkpoint.current.segments.len(), "merge goes on");
            Some(checkpoint)
        }
        _ => None,
    };
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        opened = open_inputs(&bucket, job, options, progress) => opened,
    };
    let outcome = match outcome {
        Ok(inputs) => {
            let shared = Shared {
                bucket: bucket.clone(),
                wait: Wait { runtime: tokio::runtime::Handle::current(), cancel: cancel.clone() },
                job: job.clone(),
                options: options.clone(),
                saver,
                parts: PartPool::default(),
                bytes_done: Arc::default(),
                series_done: Arc::default(),
            };
            in_background(shared, inputs, resumed, fingerprint, progress).await
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(mut finished) => {
            (finished.counts.requests, finished.counts.bytes_read, finished.counts.bytes_written) = traffic.sums();
            remove_dir(options);
            Ok(finished)
        }
        Err(error) => {
            if matches!(error, Error::Input { .. } | Error::Vanished { .. } | Error::Refused(_)) {
                // The same job cannot end otherwise: nothing of it is kept.
                if let Err(error) = remove_objects(&bucket, options, job).await {
                    tracing::warn!(%error, "cannot remove what a failed merge left; a later cleaning will");
                }
                remove_dir(options);
            }
            Err(error)
        }
    }
}

fn remove_dir(options: &Options) {
    if let Err(error) = std::fs::remove_dir_all(&options.dir) {
        tracing::warn!(path = %options.dir.display(), %error, "cannot remove a merge's directory");
    }
}

/// Removes what the checkpoint and the job know of outputs; they have no meta, so nobody has seen them.
async fn remove_objects(bucket: &Bucket, options: &Options, job: &Job) -> Result<()> {
    let mut ids = vec![job.meta.ulid];
    if let Some(checkpoint) = Saver::new(&options.dir).load(&fingerprint(job, options)) {
        ids.extend(checkpoint.finished.iter().map(|meta| meta.ulid));
        ids.push(checkpoint.current.id);
    }
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        if bucket.exists(&format!("{id}/{META_FILE}")).await? {
            continue;
        }
        let objects: Vec<_> = bucket.list_recursive(&id.to_string()).try_collect().await?;
        for object in objects {
            bucket.delete(&object.path).await?;
        }
    }
    Ok(())
}

/// Whether what a checkpoint tells of is in the bucket still, in full.
async fn still_there(bucket: &Bucket, checkpoint: &Checkpoint) -> Result<bool> {
    let sizes = async |id: BlockId| {
        let prefix = format!("{id}/");
        let objects: Vec<_> = bucket.list_recursive(&id.to_string()).try_collect().await?;
        let path = |o: &objstore::Object| o.path.strip_prefix(&prefix).unwrap_or(&o.path).to_owned();
        Ok::<BTreeMap<String, u64>, Error>(objects.iter().map(|o| (path(o), o.size)).collect())
    };
    for meta in &checkpoint.finished {
        let found = sizes(meta.ulid).await?;
        let files = meta.thanos.iter().flat_map(|t| &t.files).filter(|f| f.rel_path != META_FILE);
        if files.into_iter().any(|f| found.get(&f.rel_path) != Some(&f.size_bytes)) {
            return Ok(false);
        }
    }
    if checkpoint.current.segments.is_empty() {
        return Ok(true);
    }
    let found = sizes(checkpoint.current.id).await?;
    let there = |(n, uploaded): (&u32, &Uploaded)| found.get(&input::Segments::file(n - 1)) == Some(&uploaded.bytes);
    Ok(checkpoint.current.segments.iter().all(there))
}

async fn open_inputs(bucket: &Bucket, job: &Job, options: &Options, progress: &Progress) -> Result<Vec<OpenInput>> {
    let fetch_bytes = (options.memory_bytes / 16).clamp(256 << 10, 8 << 20);
    let (mut inputs, mut total) = (Vec::new(), 0);
    for one in &job.inputs {
        let files = input::list(bucket, &one.meta).await?;
        total += files.segments.bytes();
        progress.bytes_total.store(total, Relaxed);
        let open =
            input::open(bucket, one.meta.clone(), one.replica, &files, job.tombstones, &options.dir, fetch_bytes);
        inputs.push(open.await?);
    }
    Ok(inputs)
}

/// Merges on threads of its own, and tells how far it is.
async fn in_background(
    shared: Shared,
    inputs: Vec<OpenInput>,
    resumed: Option<Checkpoint>,
    fingerprint: String,
    progress: &Progress,
) -> Result<Finished> {
    let (bytes, series) = (shared.bytes_done.clone(), shared.series_done.clone());
    let mut task = tokio::task::spawn_blocking(move || shared.merge(inputs, resumed, fingerprint));
    let tell = || {
        progress.bytes_done.store(bytes.load(Relaxed), Relaxed);
        progress.series_done.store(series.load(Relaxed), Relaxed);
    };
    loop {
        match tokio::time::timeout(PROGRESS_EVERY, &mut task).await {
            Err(_) => tell(),
            Ok(Ok(outcome)) => {
                tell();
                return outcome;
            }
            // A panic in it is passed on.
            Ok(Err(e)) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Ok(Err(_)) => return Err(Error::Cancelled),
        }
    }
}

/// What all threads of a job use.
struct Shared {
    bucket: Bucket,
    wait: Wait,
    job: Job,
    options: Options,
    saver: Saver,
    parts: PartPool,
    bytes_done: Arc<AtomicU64>,
    series_done: Arc<AtomicU64>,
}

impl Shared {
    fn merge(
        &self,
        mut inputs: Vec<OpenInput>,
        mut resumed: Option<Checkpoint>,
        fingerprint: String,
    ) -> Result<Finished> {
        let begin =
            |shards, is_unordered| Checkpoint::new(fingerprint.clone(), self.job.meta.ulid, shards, is_unordered);
        loop {
            let is_unordered = resumed.as_ref().is_some_and(|c| c.is_unordered);
            let options = &self.options;
            let is_counted = options.shards > 1 || options.series_max > 0;
            let plan = Plan::make(inputs, &self.job, &options.dir, options.memory_bytes, is_counted, is_unordered)?;
            self.options.failpoints.hit("merge.after_inputs")?;
            let split = self.split(&plan);
            let shards = if split.is_some() { 1 } else { self.options.shards };
            let ranges = plan.cut(shards)?;
            let checkpoint = match resumed {
                Some(checkpoint) if checkpoint.ended || checkpoint.current.shards.len() == ranges.len() => checkpoint,
                _ => begin(ranges.len(), is_unordered),
            };
            let checkpoint = Mutex::new(checkpoint);
            // What an earlier run left may be spoilt all the same: then from the begin.
            let mut outcome = self.outputs(&plan, &ranges, split, &checkpoint);
            if let Err(Error::Local { source, .. }) = &outcome
                && matches!(source.kind(), InvalidData | NotFound | UnexpectedEof)
            {
                tracing::warn!(%source, "what an earlier run left is spoilt, the merge starts anew");
                *checkpoint.lock() = begin(ranges.len(), is_unordered);
                self.series_done.store(0, Relaxed);
                outcome = self.outputs(&plan, &ranges, split, &checkpoint);
            }
            if outcome? {
                let checkpoint = checkpoint.into_inner();
                let mut repairs = checkpoint.repairs;
                repairs.labels_out_of_order += plan.labels_out_of_order;
                let outputs = checkpoint.finished.into_iter().map(|meta| Output { meta }).collect();
                return Ok(Finished { outputs, repairs, counts: checkpoint.counts });
            }
            if is_unordered {
                return Err(Error::spoilt(&self.options.dir, "sorted series are not in order"));
            }
            tracing::info!(block = %self.job.meta.ulid, "an input's series are out of order; sorting them first");
            self.wait.on(remove_objects(&self.bucket, &self.options, &self.job))?;
            resumed = Some(begin(0, true));
            inputs = plan.inputs;
            self.series_done.store(0, Relaxed);
            self.bytes_done.store(0, Relaxed);
        }
    }

    /// Limits of an output, if the inputs are large enough for them to matter.
    fn split(&self, plan: &Plan) -> Option<SplitAt> {
        let options = &self.options;
        let index: u64 = plan.inputs.iter().map(|i| i.series.end * 2).sum();
        let may = index >= options.index_bytes_max || options.series_max > 0 && plan.series > options.series_max;
        may.then_some(SplitAt { series: options.series_max, index_bytes: options.index_bytes_max })
    }

    /// Writes outputs until the inputs are at their end; false when one is found to be out of order.
    fn outputs(
        &self,
        plan: &Plan,
        ranges: &[ShardRange],
        split: Option<SplitAt>,
        checkpoint: &Mutex<Checkpoint>,
    ) -> Result<bool> {
        loop {
            if checkpoint.lock().ended {
                return Ok(true);
            }
            let (stopped, used, spools) = self.chunks(plan, ranges, split, checkpoint)?;
            if stopped == Stopped::Unordered {
                return Ok(false);
            }
            self.options.failpoints.hit("merge.after_chunks")?;
            let current = checkpoint.lock().current.clone();
            let mut stats = Stats::default();
            current.shards.iter().for_each(|s| stats.add(&s.stats));
            let meta = match stats.series {
                0 => None,
                series => {
                    let rank = Rank::new(used, plan.symbols.len());
                    let parts =
                        IndexParts { block: current.id, spools: &spools, series, symbols: &plan.symbols, used: &rank };
                    let memory = self.options.memory_bytes / 4;
                    let out = self.parts(1, plan.inputs.iter().map(|i| i.series.end * 3).sum());
                    let index = index::write(&self.bucket, &self.wait, out, &parts, &self.options.dir, memory)?;
                    Some(self.meta(&current, &stats, &index))
                }
            };
            let mut state = checkpoint.lock();
            state.finished.extend(meta);
            for shard in &current.shards {
                state.repairs.add(&shard.repairs);
                state.counts.add(&shard.counts);
            }
            let last = current.shards.last().cloned().unwrap_or_default();
            state.ended = stopped == Stopped::End;
            state.current = Current::default();
            if !state.ended {
                let next = ShardState { positions: last.positions, ..ShardState::default() };
                state.current = Current { id: (self.options.next_id)(), shards: vec![next], ..Current::default() };
            }
            self.saver.save(&state)?;
            drop(state);
            self.options.failpoints.hit("merge.after_index")?;
        }
    }

    /// Merges the series of one output; its chunks are uploaded then. Gives the symbols used and the series' spools.
    fn chunks(
        &self,
        plan: &Plan,
        ranges: &[ShardRange],
        split: Option<SplitAt>,
        checkpoint: &Mutex<Checkpoint>,
    ) -> Result<(Stopped, Bits, Vec<LocalFile>)> {
        let current = checkpoint.lock().current.clone();
        let ledger = Arc::new(Ledger::resume(&current.segments));
        // One thread's failure ends the others.
        let stop = self.wait.cancel.child_token();
        let wait = Wait { runtime: self.wait.runtime.clone(), cancel: stop.clone() };
        let work = |n: usize| {
            let outcome = self.shard(plan, ranges, n, split, &current, &ledger, &wait, checkpoint);
            if !matches!(outcome, Ok((Stopped::End | Stopped::Full, ..))) {
                stop.cancel();
            }
            outcome
        };
        let outcomes: Vec<_> = match ranges.len() {
            1 => vec![work(0)],
            count => std::thread::scope(|scope| {
                let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || work(n))).collect();
                let join = |t: std::thread::ScopedJoinHandle<'_, _>| match t.join() {
                    Ok(outcome) => outcome,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                threads.into_iter().map(join).collect()
            }),
        };
        let mut used = Bits::new(plan.symbols.len());
        let (mut spools, mut stopped, mut failed) = (Vec::new(), Stopped::End, None);
        let mut is_unordered = false;
        for outcome in outcomes {
            match outcome {
                Ok((how, bits, spool)) => {
                    used.union(&bits);
                    spools.push(spool);
                    stopped = how;
                    is_unordered |= how == Stopped::Unordered;
                }
                // What ended the others says more than that they were ended.
                Err(Error::Cancelled) => _ = failed.get_or_insert(Error::Cancelled),
                Err(error) => match &failed {
                    None | Some(Error::Cancelled) => failed = Some(error),
                    Some(_) => {}
                },
            }
        }
        match failed {
            Some(Error::Cancelled) | None if is_unordered => Ok((Stopped::Unordered, used, spools)),
            Some(error) => Err(error),
            None => Ok((stopped, used, spools)),
        }
    }

    fn shard(
        &self,
        plan: &Plan,
        ranges: &[ShardRange],
        n: usize,
        split: Option<SplitAt>,
        current: &Current,
        ledger: &Arc<Ledger>,
        wait: &Wait,
        checkpoint: &Mutex<Checkpoint>,
    ) -> Result<(Stopped, Bits, LocalFile)> {
        let range = &ranges[n];
        let state = current.shards.get(n).cloned().unwrap_or_default();
        let done = state.done;
        let mut state = state;
        if state.positions.is_empty() {
            state.positions.clone_from(&range.positions);
        }
        let windows = self.windows(plan.inputs.len(), ranges.len());
        let mut inputs = Vec::new();
        for (at, input) in plan.inputs.iter().enumerate() {
            inputs.push(ShardInput {
                entries: plan.entries[at].open(input)?,
                chunks: ChunkStream::new(
                    &self.bucket,
                    wait,
                    input.segments.clone(),
                    windows,
                    range.until[at],
                    self.bytes_done.clone(),
                ),
                tombstones: input.tombstones.clone(),
                deletions: plan.deletions.of(&input.meta),
                head: Default::default(),
                has_head: false,
            });
        }
        let maker = SeriesMaker::new(self.rules(plan));
        let parts = self.parts(ranges.len(), self.segment_bytes());
        let segments = SegmentWriter::new(&self.bucket, wait, current.id, parts, self.segment_bytes(), ledger.clone());
        let mut shard = Shard::open(
            wait,
            &self.options.failpoints,
            inputs,
            range,
            maker,
            segments,
            &self.options.dir.join(format!("spool.{n}")),
            &plan.symbols,
            state,
            split,
            self.series_done.clone(),
        )?;
        let mut save = |state: ShardState, segments: Vec<(u32, Uploaded)>| {
            let mut checkpoint = checkpoint.lock();
            if let Some(slot) = checkpoint.current.shards.get_mut(n) {
                *slot = state;
            }
            checkpoint.current.segments.extend(segments);
            self.saver.save(&checkpoint)
        };
        let stopped = if done { Stopped::End } else { shard.run(&mut save)? };
        let spool = shard.spool()?;
        Ok((stopped, shard.used, spool))
    }

    fn rules(&self, plan: &Plan) -> Rules {
        let of = |input: &OpenInput| InputRules {
            block: input.meta.ulid,
            range: TimeRange::new(input.meta.min_time, input.meta.max_time.saturating_sub(1)),
            replica: input.replica,
            resolution_ms: input.meta.resolution_ms(),
        };
        Rules {
            vertical: self.job.vertical,
            downsampling: self.job.downsampling,
            inputs: plan.inputs.iter().map(of).collect(),
        }
    }

    /// Half of the memory is for reading: for each input in each thread a window in use, and some that come.
    ///
    /// Windows are small enough to be in the processor's cache still when they are read.
    fn windows(&self, inputs: usize, shards: usize) -> Windows {
        let share = self.options.memory_bytes / 2 / (inputs * shards).max(1) as u64;
        if self.bucket.settings().is_local {
            return Windows { max: (share / 2).clamp(64 << 10, 256 << 10), ahead: 0 };
        }
        let max = (share / 6).clamp(256 << 10, 1 << 20);
        Windows { max, ahead: (share / max).saturating_sub(2).clamp(1, 4) as usize }
    }

    fn segment_bytes(&self) -> u64 {
        match self.bucket.settings().multipart {
            true => self.options.segment_bytes,
            // Each segment is held in memory.
            false => self.options.segment_bytes.min((self.options.memory_bytes / 4).max(1 << 20)),
        }
    }

    /// The other half is for writing: two parts flying, one waiting, one being filled in each thread.
    fn parts(&self, shards: usize, object_bytes: u64) -> Parts {
        let share = self.options.memory_bytes / 2 / shards as u64;
        let usual = self.bucket.settings().part_bytes;
        let least = PART_BYTES_MIN.min(usual).max(object_bytes / PARTS_MAX);
        let bytes = (share / 4).clamp(least, usual.min(8 << 20).max(least));
        Parts {
            bytes,
            in_flight: if bytes * 4 <= share { 2 } else { 1 },
            hash: self.options.hash,
            pool: self.parts.clone(),
        }
    }

    fn meta(&self, current: &Current, stats: &Stats, index: &IndexWritten) -> BlockMeta {
        let mut meta = self.job.meta.clone();
        meta.ulid = current.id;
        meta.version = 1;
        meta.stats.num_series = stats.series;
        meta.stats.num_chunks = stats.chunks;
        meta.stats.num_samples = stats.samples;
        meta.stats.num_float_samples = stats.floats;
        meta.stats.num_histogram_samples = stats.histograms;
        meta.stats.num_tombstones = 0;
        let file = |rel_path: String, uploaded: &Uploaded| BlockFile {
            rel_path,
            size_bytes: uploaded.bytes,
            hash: uploaded.sha256.clone().map(|value| FileHash { hash_func: "SHA256".to_owned(), value }),
        };
        let thanos = meta.thanos.get_or_insert_with(ThanosMeta::default);
        thanos.segment_files = current.segments.keys().map(|n| format!("{n:06}")).collect();
        thanos.files = current.segments.iter().map(|(n, u)| file(input::Segments::file(n - 1), u)).collect();
        thanos.files.push(file("index".to_owned(), &index.uploaded));
        thanos.files.push(BlockFile { rel_path: META_FILE.to_owned(), ..BlockFile::default() });
        thanos.index_stats =
            IndexStats { series_max_size: index.series_max_bytes, chunk_max_size: stats.chunk_max_bytes };
        meta
    }
}

impl Repairs {
    fn add(&mut self, other: &Self) {
        self.labels_out_of_order += other.labels_out_of_order;
        self.series_twice += other.series_twice;
        self.chunks_out_of_order += other.chunks_out_of_order;
        self.chunks_twice += other.chunks_twice;
        self.samples_out_of_order += other.samples_out_of_order;
        self.samples_outside += other.samples_outside;
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.chunks_copied += other.chunks_copied;
        self.chunks_rewritten += other.chunks_rewritten;
        self.samples_deleted += other.samples_deleted;
    }
}
