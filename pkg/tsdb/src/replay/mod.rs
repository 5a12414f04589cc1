//! Fills the head at a start: full chunks on disk, the snapshot if there is one, the newest checkpoint, the write-ahead log
//! behind them, the log of late samples. Without a snapshot, samples of the log are read from where open chunks were saved.
//!
//! One thread reads records as they are stored and walks, in the order of the log, through what they hold of series,
//! deletions, exemplars and metadata; of the samples it chooses those that are in no chunk on disk. A thread for each two cores
//! unpacks and decodes records into columns ahead of it; as many fill in the samples behind it, each those of its own
//! series. All queues are short, so that memory stays bounded whatever the length of the log.
//!
//! What cannot be read costs only itself. It is logged and counted, and never stops a start.

mod batch;
mod error;
mod lanes;
mod numbers;
mod pipeline;
mod rows;
mod saved;
mod sequence;
mod sources;
mod tally;
mod worker;

pub use error::Error;
pub use tally::Replayed;

use std::path::Path;
use std::sync::Arc;

use storage::ReplayProgress;

use crate::head::{Head, Restore};
use crate::mapped::MappedChunks;
use sources::Sources;

/// What is replayed, and into what.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The data directory.
    pub data: &'a Path,
    /// A head that took nothing yet.
    pub head: &'a Head,
    /// The full chunks that the head reads.
    pub chunks: Arc<MappedChunks>,
    /// The last segment of the write-ahead log that an earlier process wrote; `None` without any.
    pub last_wal: Option<u64>,
    /// The same of the log of late samples.
    pub last_wbl: Option<u64>,
    /// The checkpoint may have higher numbers of series than the segments behind it ([`wal::checkpoint::unhide`]).
    pub unhidden: bool,
    /// Samples before this are in blocks and not taken, ms.
    pub min_valid_ms: i64,
    /// Threads that decode, and as many that fill in.
    pub threads: usize,
}

/// A replay that is to be run. Samples may be written to the head meanwhile.
#[derive(Debug)]
pub struct Replay {
    sources: Sources,
    restore: Restore,
    chunks: Arc<MappedChunks>,
    min_valid_ms: i64,
    threads: usize,
}

/// How many threads decode, and how many fill in, on this machine. Both work at the same time.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2)
}

impl Replay {
    /// Looks for what there is, and makes sure that new series get numbers which the logs do not have. To be called before
    /// the head takes samples; it is quick. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prepare(inputs: Inputs<'_>) -> Result<Self, Error> {
        let sources = Sources::find(inputs.data, inputs.last_wal, inputs.last_wbl)?;
        let restore = inputs.head.restore();
        inputs.head.set_next_number(numbers::first_free(&sources, inputs.unhidden)?);
        let (chunks, threads) = (inputs.chunks, inputs.threads.max(1));
        Ok(Self { sources, restore, chunks, min_valid_ms: inputs.min_valid_ms, threads })
    }

    /// Where it begins and ends, by the segments of the write-ahead log.
    pub fn progress(&self) -> ReplayProgress {
        let (min, max) = self.sources.segments();
        ReplayProgress { min, max, current: min, done: false }
    }

    /// Runs it. `progress` is told of each segment that begins; [`ReplayProgress::done`] is left to the caller. When
    /// `is_cancelled` says so it ends, and the head lacks what was not read. Blocks on the disk, for long.
    ///
    /// # Errors
    /// [`Error`]. What cannot be read is no error, but told in [`Replayed`].
    pub fn run(
        self,
        progress: &mut dyn FnMut(ReplayProgress),
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Replayed, Error> {
        let mut tally = Replayed::default();
        let late_chunks = sources::chunks(&self.chunks, &self.restore, &mut tally);
        // What corrupt files of chunks had is in the log before the snapshot.
        let is_whole = tally.chunk_corruptions == 0;
        let snapshot = if is_whole { self.sources.snapshot(&self.restore, &mut tally) } else { None };
        tally.from_snapshot = snapshot.is_some();
        let mut span = self.progress();
        let work = pipeline::Work {
            restore: &self.restore,
            late_chunks: &late_chunks,
            min_valid_ms: self.min_valid_ms,
            threads: self.threads,
            with_samples: true,
            with_others: true,
            is_cancelled,
        };
        let mut at = |segment: u64| {
            span.current = segment.clamp(span.min, span.max);
            progress(span);
        };
        let from = match snapshot {
            Some(position) => Some(position),
            None => saved::restore(&work, &self.sources, &mut at, &mut tally)?,
        };
        pipeline::run(&work, self.sources.wal(from)?, false, &mut at, &mut tally)?;
        pipeline::run(&work, self.sources.wbl()?, true, &mut |_| {}, &mut tally)?;
        drop(late_chunks);
        tally.restored = self.restore.finish()?;
        tally.log();
        Ok(tally)
    }
}
