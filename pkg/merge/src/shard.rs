//! The merge of a range of series into one output, on one thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use block::ChunkMeta;
use service::Failpoints;

use crate::bits::Bits;
use crate::checkpoint::ShardState;
use crate::cursor::{Cursor, ShardInput};
use crate::error::Result;
use crate::job::{Counts, Repairs};
use crate::local::LocalFile;
use crate::object::Uploaded;
use crate::plan::ShardRange;
use crate::segments::SegmentWriter;
use crate::series::{OutSeries, SeriesMaker};
use crate::spool::SeriesSpool;
use crate::symbols::SymbolTable;
use crate::wait::Wait;

/// When an output is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitAt {
    pub(crate) series: u64,
    pub(crate) index_bytes: u64,
}

/// Why a shard stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// All its series are written.
    End,
    /// The output is full; the rest goes to another.
    Full,
    /// Series of an input are not in order: nothing that was written counts.
    Unordered,
}

/// Called with the state at the border of two series, after segments were finished.
pub(crate) type Save<'a> = dyn FnMut(ShardState, Vec<(u32, Uploaded)>) -> Result<()> + 'a;

/// What a shard is made from.
pub(crate) struct ShardOptions<'a> {
    pub(crate) wait: Wait,
    pub(crate) failpoints: Failpoints,
    pub(crate) inputs: Vec<ShardInput>,
    pub(crate) range: &'a ShardRange,
    pub(crate) maker: SeriesMaker,
    pub(crate) segments: SegmentWriter,
    /// File of the spool; what it holds beyond `state` is cut off.
    pub(crate) spool: PathBuf,
    pub(crate) symbols: &'a SymbolTable,
    /// Where an earlier run got to.
    pub(crate) state: ShardState,
    /// `None` = the output has no limits.
    pub(crate) split: Option<SplitAt>,
    /// Counts series over all shards.
    pub(crate) series_done: Arc<AtomicU64>,
}

/// The place before a series, to which a checkpoint goes back.
#[derive(Debug, Clone, Default)]
struct Mark {
    positions: Vec<u64>,
    repairs: Repairs,
    counts: Counts,
}

/// A range of series on its way into one output.
pub(crate) struct Shard {
    wait: Wait,
    failpoints: Failpoints,
    cursor: Cursor,
    maker: SeriesMaker,
    /// The chunks of the series at hand.
    out: OutSeries,
    output: Output,
    state: ShardState,
    mark: Mark,
    split: Option<SplitAt>,
    series_done: Arc<AtomicU64>,
}

/// What the shard writes.
struct Output {
    segments: SegmentWriter,
    /// Segments that the checkpoint does not have yet.
    finished: Vec<(u32, Uploaded)>,
    spool: SeriesSpool,
}

impl Shard {
    /// Begins, or goes on where `state` says.
    pub(crate) fn open(options: ShardOptions<'_>) -> Result<Self> {
        let ShardOptions {
            wait,
            failpoints,
            inputs,
            range,
            maker,
            segments,
            spool,
            symbols,
            state,
            split,
            series_done,
        } = options;
        let spool = SeriesSpool::open(&spool, state.spool_bytes, state.stats.series, symbols, split.is_some())?;
        let cursor = Cursor::open(inputs, range, &state.positions)?;
        series_done.fetch_add(state.stats.series, Relaxed);
        Ok(Self {
            wait,
            failpoints,
            cursor,
            maker,
            out: OutSeries::default(),
            output: Output { segments, finished: Vec::new(), spool },
            state,
            mark: Mark::default(),
            split,
            series_done,
        })
    }

    /// The symbols used, and the spool, complete.
    pub(crate) fn finish(self) -> Result<(Bits, LocalFile)> {
        self.output.spool.finish()
    }

    /// Merges until the end or until the output is full. The last segment is finished then.
    pub(crate) fn run(&mut self, save: &mut Save<'_>) -> Result<Stopped> {
        let outcome = self.merge(save);
        if !matches!(outcome, Ok(Stopped::End | Stopped::Full)) {
            self.output.segments.abort();
        }
        outcome
    }

    fn merge(&mut self, save: &mut Save<'_>) -> Result<Stopped> {
        let mut since_check = 0;
        let stopped = loop {
            if since_check == 0 {
                self.wait.check()?;
                since_check = 64;
            }
            since_check -= 1;
            self.mark();
            if self.is_full() {
                break Stopped::Full;
            }
            if !self.cursor.find() {
                if !self.cursor.is_at_end() {
                    return Ok(Stopped::Unordered);
                }
                break Stopped::End;
            }
            if !self.cursor.take_shares(&mut self.state.repairs)? {
                return Ok(Stopped::Unordered);
            }
            self.make()?;
            if self.out.chunks.is_empty() {
                continue;
            }
            if self.output.segments.is_full_for(self.out.bytes()) {
                self.output.close_segment()?;
                self.save(false, save)?;
                self.failpoints.hit("merge.after_segment")?;
            }
            self.write()?;
        };
        self.output.close_segment()?;
        self.save(stopped == Stopped::End, save)?;
        Ok(stopped)
    }

    /// Remembers the place before the next series.
    fn mark(&mut self) {
        self.mark.positions.clear();
        self.mark.positions.extend_from_slice(self.cursor.positions());
        self.mark.repairs = self.state.repairs;
        self.mark.counts = self.state.counts;
    }

    fn is_full(&self) -> bool {
        let series = self.state.stats.series;
        self.split.is_some_and(|split| {
            let index_bytes = self.output.spool.index_bytes(series);
            series > 0 && (split.series > 0 && series >= split.series || index_bytes >= split.index_bytes)
        })
    }

    /// Makes the chunks of the series at hand.
    fn make(&mut self) -> Result<()> {
        self.out.clear();
        let (shares, mut inputs) = self.cursor.shares();
        let state = &mut self.state;
        self.maker.make(shares, &mut inputs, &mut self.out, &mut state.repairs, &mut state.counts)
    }

    fn write(&mut self) -> Result<()> {
        let Output { segments, spool, .. } = &mut self.output;
        let stats = &mut self.state.stats;
        let chunks = spool.chunks();
        segments.append_all(&self.out, |chunk, reference| {
            chunks.push(ChunkMeta { min_time: chunk.min_time, max_time: chunk.max_time, reference });
            stats.samples += chunk.samples;
            if chunk.encoding.is_float() {
                stats.floats += chunk.samples;
            } else if chunk.encoding.is_histogram() {
                stats.histograms += chunk.samples;
            }
            stats.chunk_max_bytes = stats.chunk_max_bytes.max(chunk.len);
        })?;
        stats.chunks += self.out.chunks.len() as u64;
        stats.series += 1;
        spool.write(self.cursor.labels())?;
        self.series_done.fetch_add(1, Relaxed);
        self.out.clear();
        Ok(())
    }

    /// Saves the state before the series at hand.
    fn save(&mut self, done: bool, save: &mut Save<'_>) -> Result<()> {
        self.output.spool.flush()?;
        let Mark { positions, repairs, counts } = self.mark.clone();
        let (spool_bytes, stats) = (self.output.spool.len(), self.state.stats);
        let finished = std::mem::take(&mut self.output.finished);
        save(ShardState { positions, spool_bytes, stats, repairs, counts, done }, finished)
    }
}

impl Output {
    fn close_segment(&mut self) -> Result<()> {
        self.finished.extend(self.segments.close()?);
        Ok(())
    }
}
