//! The outputs of a job, one after the other: chunks on all threads, then the index.

use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use block::meta::{BlockFile, FileHash, IndexStats};
use block::{BlockMeta, META_FILE, ThanosMeta};
use model::TimeRange;
use objstore::Bucket;
use parking_lot::Mutex;

use crate::bits::{Bits, Rank};
use crate::buffers::Buffers;
use crate::checkpoint::{Checkpoint, Current, Saver, ShardState, Stats};
use crate::cursor::ShardInput;
use crate::error::{Error, Result};
use crate::fetch::ChunkStream;
use crate::index::{self, IndexParts, IndexWritten};
use crate::input::{self, OpenInput};
use crate::job::{Finished, Job, Limits, Options, Output};
use crate::leftovers::remove_objects;
use crate::local::LocalFile;
use crate::object::Uploaded;
use crate::plan::{Plan, ShardRange};
use crate::segments::{Ledger, SegmentWriter};
use crate::series::{InputRules, Rules, SeriesMaker};
use crate::shard::{Shard, ShardOptions, SplitAt, Stopped};
use crate::wait::Wait;

/// Merges a job's inputs into its outputs. All threads of the job share it.
pub(crate) struct Merger {
    pub(crate) bucket: Bucket,
    pub(crate) wait: Wait,
    pub(crate) job: Job,
    pub(crate) options: Options,
    pub(crate) saver: Saver,
    pub(crate) buffers: Buffers,
    pub(crate) progress: Done,
}

/// How far the job is, over all threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    pub(crate) bytes: Arc<AtomicU64>,
    pub(crate) series: Arc<AtomicU64>,
}

/// What the threads that write one output share.
struct Threads<'a> {
    plan: &'a Plan,
    ranges: &'a [ShardRange],
    split: Option<SplitAt>,
    /// The output as the checkpoint has it.
    current: Current,
    ledger: Arc<Ledger>,
    wait: Wait,
    checkpoint: &'a Mutex<Checkpoint>,
}

impl Merger {
    pub(crate) fn merge(
        &self,
        mut inputs: Vec<OpenInput>,
        mut resumed: Option<Checkpoint>,
        fingerprint: String,
    ) -> Result<Finished> {
        let begin =
            |shards, is_unordered| Checkpoint::new(fingerprint.clone(), self.job.meta.ulid, shards, is_unordered);
        loop {
            let is_unordered = resumed.as_ref().is_some_and(|c| c.is_unordered);
            let (dir, limits) = (&self.options.dir, &self.options.limits);
            let is_counted = limits.shards > 1 || limits.series_max > 0;
            let plan = Plan::make(inputs, &self.job, dir, limits.memory_bytes, is_counted, is_unordered)?;
            self.options.failpoints.hit("merge.after_inputs")?;
            let split = self.split(&plan);
            let shards = if split.is_some() { 1 } else { limits.shards };
            let ranges = plan.cut(shards)?;
            let checkpoint = match resumed {
                Some(checkpoint) if checkpoint.ended || checkpoint.current.shards.len() == ranges.len() => checkpoint,
                _ => begin(ranges.len(), is_unordered),
            };
            let checkpoint = Mutex::new(checkpoint);
            // The files that an earlier run left may be corrupt: then the merge starts from the beginning.
            let mut outcome = self.outputs(&plan, &ranges, split, &checkpoint);
            if let Err(Error::Local { source, .. }) = &outcome
                && matches!(source.kind(), InvalidData | NotFound | UnexpectedEof)
            {
                tracing::warn!(%source, "what an earlier run left is corrupt, the merge starts from the beginning");
                *checkpoint.lock() = begin(ranges.len(), is_unordered);
                self.progress.series.store(0, Relaxed);
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
                return Err(Error::corrupt(&self.options.dir, "sorted series are not in order"));
            }
            tracing::info!(block = %self.job.meta.ulid, "an input's series are out of order; sorting them first");
            self.wait.on(remove_objects(&self.bucket, &self.options, &self.job))?;
            resumed = Some(begin(0, true));
            inputs = plan.inputs;
            self.progress.series.store(0, Relaxed);
            self.progress.bytes.store(0, Relaxed);
        }
    }

    /// Limits of an output, if the inputs are large enough for them to matter.
    fn split(&self, plan: &Plan) -> Option<SplitAt> {
        let Limits { index_bytes_max, series_max, .. } = self.options.limits;
        let index: u64 = plan.inputs.iter().map(|i| i.series.end * 2).sum();
        let may = index >= index_bytes_max || series_max > 0 && plan.series > series_max;
        may.then_some(SplitAt { series: series_max, index_bytes: index_bytes_max })
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
                    let memory = self.options.limits.memory_bytes / 4;
                    let out = self.buffers.parts(1, plan.inputs.iter().map(|i| i.series.end * 3).sum());
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
        // One thread's failure ends the others.
        let stop = self.wait.cancel.child_token();
        let threads = Threads {
            plan,
            ranges,
            split,
            ledger: Arc::new(Ledger::resume(&current.segments)),
            current,
            wait: Wait { runtime: self.wait.runtime.clone(), cancel: stop.clone() },
            checkpoint,
        };
        let (threads, stop) = (&threads, &stop);
        let work = |n: usize| {
            let outcome = self.shard(threads, n);
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

    /// Merges the `n`th range of series.
    fn shard(&self, threads: &Threads<'_>, n: usize) -> Result<(Stopped, Bits, LocalFile)> {
        let Threads { plan, ranges, split, current, ledger, wait, checkpoint } = threads;
        let range = &ranges[n];
        let mut state = current.shards.get(n).cloned().unwrap_or_default();
        let done = state.done;
        if state.positions.is_empty() {
            state.positions.clone_from(&range.positions);
        }
        let windows = self.buffers.windows(plan.inputs.len(), ranges.len());
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
                    self.progress.bytes.clone(),
                ),
                tombstones: input.tombstones.clone(),
                deletions: plan.deletions.of(&input.meta),
                head: Default::default(),
                has_head: false,
            });
        }
        let (parts, segment_bytes) =
            (self.buffers.parts(ranges.len(), self.buffers.segment_bytes()), self.buffers.segment_bytes());
        let segments = SegmentWriter::new(&self.bucket, wait, current.id, parts, segment_bytes, ledger.clone());
        let mut shard = Shard::open(ShardOptions {
            wait: wait.clone(),
            failpoints: self.options.failpoints.clone(),
            inputs,
            range,
            maker: SeriesMaker::new(self.rules(plan)),
            segments,
            spool: self.options.dir.join(format!("spool.{n}")),
            symbols: &plan.symbols,
            state,
            split: *split,
            series_done: self.progress.series.clone(),
        })?;
        let mut save = |state: ShardState, segments: Vec<(u32, Uploaded)>| {
            let mut checkpoint = checkpoint.lock();
            if let Some(slot) = checkpoint.current.shards.get_mut(n) {
                *slot = state;
            }
            checkpoint.current.segments.extend(segments);
            self.saver.save(&checkpoint)
        };
        let stopped = if done { Stopped::End } else { shard.run(&mut save)? };
        let (used, spool) = shard.finish()?;
        Ok((stopped, used, spool))
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
