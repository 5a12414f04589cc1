//! The chunks of one series from several blocks into one row of chunks that do not overlap.
//!
//! Where nothing overlaps, chunks pass as they are, undecoded. Where chunks overlap they are decoded, samples are
//! chosen, and what is not a whole chunk by itself is written anew.

mod aggregates;
mod choose;
mod decoded;
mod write;

use std::ops::Range;

use chunkenc::{Encoding, TimedChunk};

use crate::Method;
use choose::Tail;
use decoded::Decoded;
use write::Writer;

/// A chunk and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneChunk {
    /// Chunks of one replica have the same number; 0 = not known.
    pub replica: u64,
    /// Of samples with equal times, that of the higher order is taken.
    pub order: u32,
    /// The chunk.
    pub chunk: TimedChunk,
}

/// What was done with one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Chunks that are in the output as they were.
    pub copied: u64,
    /// Chunks written anew.
    pub rewritten: u64,
    /// Chunks that stood there twice, byte for byte.
    pub duplicates: u64,
    /// Samples of decoded chunks that were not later than the one before in their chunk. Those with a time of their own
    /// are kept, at their place.
    pub samples_out_of_order: u64,
    /// Samples of decoded chunks that are not in the output: their time is another replica's, or another replica is
    /// followed.
    pub samples_left_out: u64,
}

/// Why chunks could not be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A chunk cannot be read: the block it is from is damaged.
    #[error("chunk from {min_time} to {max_time} ms of replica {replica}: {source}")]
    Chunk {
        /// The chunk's first sample, ms.
        min_time: i64,
        /// The chunk's last sample, ms.
        max_time: i64,
        /// [`LaneChunk::replica`].
        replica: u64,
        /// What is wrong.
        source: chunkenc::Error,
    },
    /// A chunk cannot be written.
    #[error("write chunk: {0}")]
    Write(chunkenc::Error),
}

/// The look-back of queries where nothing else is said, ms.
const LOOKBACK_MS: i64 = 300_000;

/// Merges series after series in the same memory; one per thread.
///
/// [`Method::Chain`] keeps every distinct time. [`Method::Penalty`] follows one replica and leaves it where it pauses
/// while another has samples. It gives what a query's deduplication gives with these promises:
/// * where any replica has a sample within the look-back, so has the result;
/// * a stale marker shows only when no replica is alive;
/// * values are never changed, for whether they are a counter's is not known here. Yet no false reset arises: where the
///   next replica lags behind the value shown last, its samples are passed over until it has caught up, or else it is
///   taken up earlier.
///
/// Downsampled chunks are merged window by window, see `aggregates`.
#[derive(Debug)]
pub struct SeriesMerger {
    gap_max_ms: i64,
    decoded: Vec<Decoded>,
    writer: Writer,
}

impl Default for SeriesMerger {
    fn default() -> Self {
        Self::new(LOOKBACK_MS)
    }
}

impl SeriesMerger {
    /// A merger for queries whose look-back is `gap_max_ms`: no pause that the merge makes is longer.
    pub fn new(gap_max_ms: i64) -> Self {
        Self { gap_max_ms, decoded: Vec::new(), writer: Writer::default() }
    }

    /// Merges a series' chunks, in any order; appended to `out` in order of time, no two overlapping.
    ///
    /// # Errors
    /// [`MergeError`]; `out` is as before.
    pub fn merge(
        &mut self,
        mut chunks: Vec<LaneChunk>,
        vertical: Method,
        out: &mut Vec<TimedChunk>,
    ) -> Result<Merged, MergeError> {
        let mut merged = Merged::default();
        let key = |c: &LaneChunk| (c.chunk.min_time, c.chunk.max_time);
        if !chunks.is_sorted_by_key(key) {
            chunks.sort_by_key(key);
        }
        drop_duplicates(&mut chunks, &mut merged);
        if vertical == Method::Penalty {
            name_lanes(&mut chunks);
        }
        let before = out.len();
        let result = self.runs(&chunks, vertical, out, &mut merged);
        if result.is_err() {
            out.truncate(before);
        }
        result.map(|()| merged)
    }

    fn runs(
        &mut self,
        chunks: &[LaneChunk],
        vertical: Method,
        out: &mut Vec<TimedChunk>,
        merged: &mut Merged,
    ) -> Result<(), MergeError> {
        let mut tail = Tail::default();
        let mut at = 0;
        while at < chunks.len() {
            let range = overlapping(chunks, at);
            at = range.end;
            let run = &chunks[range];
            if let [one] = run
                && (vertical == Method::Chain || tail.goes_on(one))
            {
                out.push(one.chunk.clone());
                merged.copied += 1;
                tail.pass(one);
                continue;
            }
            if run.iter().any(|c| c.chunk.encoding == Encoding::Aggregates) {
                aggregates::merge(run, out, merged)?;
                tail = Tail::default();
                continue;
            }
            self.decoded.clear();
            for chunk in run {
                self.decoded.push(Decoded::of(chunk, merged)?);
            }
            let chosen = match vertical {
                Method::Chain => choose::all(run, &self.decoded),
                Method::Penalty => choose::penalty(run, &self.decoded, self.gap_max_ms, &mut tail)?,
            };
            let decoded: usize = self.decoded.iter().map(Decoded::len).sum();
            merged.samples_left_out += (decoded - chosen.len()) as u64;
            self.writer.write(run, &self.decoded, &chosen, out, merged)?;
        }
        Ok(())
    }
}

/// The chunks from `at` on that overlap one another, directly or by way of others.
fn overlapping(chunks: &[LaneChunk], at: usize) -> Range<usize> {
    let mut end = chunks[at].chunk.max_time;
    let mut to = at + 1;
    while to < chunks.len() && chunks[to].chunk.min_time <= end {
        end = end.max(chunks[to].chunk.max_time);
        to += 1;
    }
    at..to
}

/// Of equal chunks the one of the highest order stays. `chunks` is sorted by time.
fn drop_duplicates(chunks: &mut Vec<LaneChunk>, merged: &mut Merged) {
    let before = chunks.len();
    let mut kept: Vec<LaneChunk> = Vec::with_capacity(before);
    for chunk in chunks.drain(..) {
        let same_times = kept
            .iter_mut()
            .rev()
            .take_while(|k| k.chunk.min_time == chunk.chunk.min_time && k.chunk.max_time == chunk.chunk.max_time);
        let mut same_times = same_times;
        match same_times.find(|k| k.chunk == chunk.chunk) {
            Some(twin) if twin.order < chunk.order => *twin = chunk,
            Some(_) => {}
            None => kept.push(chunk),
        }
    }
    *chunks = kept;
    merged.duplicates += (before - chunks.len()) as u64;
}

/// Gives chunks of an unknown replica the number of the lane that ended last before them, as queries do.
fn name_lanes(chunks: &mut [LaneChunk]) {
    let mut next = chunks.iter().map(|c| c.replica).max().unwrap_or(0);
    let mut lanes: Vec<(u64, i64)> = Vec::new();
    for chunk in chunks.iter_mut().filter(|c| c.replica == 0) {
        let free = lanes.iter_mut().filter(|(_, end)| *end < chunk.chunk.min_time).max_by_key(|(_, end)| *end);
        match free {
            Some((name, end)) => {
                chunk.replica = *name;
                *end = chunk.chunk.max_time;
            }
            None => {
                next = next.wrapping_add(1).max(1);
                chunk.replica = next;
                lanes.push((next, chunk.chunk.max_time));
            }
        }
    }
}
