//! The merge of one series' chunks: which ones overlap, and what becomes of them.

use std::ops::Range;

use chunkenc::{Encoding, TimedChunk, aggr};

use crate::Method;
use crate::lanes::End;

use super::chunk::{LaneChunk, MergeError, Merged};
use super::decoded::Decoded;
use super::write::Writer;
use super::{aggregates, choose};

/// The look-back of queries where nothing else is said, ms.
const LOOKBACK_MS: i64 = 300_000;

/// Merges series after series in the same memory; one per thread.
///
/// [`Method::Chain`] keeps every distinct time. [`Method::Penalty`] follows one replica and leaves it where it pauses
/// while another has samples, or where another is clearly denser. It gives what a query's deduplication gives with these
/// promises:
/// * the result is at every place about as dense as the densest replica there;
/// * where any replica has a sample within the look-back, so has the result;
/// * a stale marker shows only when no replica is alive;
/// * values are never changed, for whether they are a counter's is not known here. Yet no false reset arises: where the
///   next replica lags behind the value shown last, its samples are passed over until it has caught up, or else it is
///   taken up earlier. Where both would make a hole, one of at most one and a half of its intervals is made. A denser
///   replica that lags is taken up once it shows more samples than are passed over, where that makes no hole longer than
///   the look-back. What falls twice within 16 samples or the look-back, or does not rise, is no counter that lags.
///
/// Downsampled chunks are merged window by window, by either method: in each window one replica's aggregates are taken,
/// and its counter goes on by its own increase, so that going from one replica to another is no reset. Of native
/// histograms that have been downsampled the counter goes on with the other replica's value, once that is not behind the
/// value shown last.
#[derive(Debug)]
pub struct SeriesMerger {
    gap_max_ms: i64,
    end_ms: i64,
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
        Self { gap_max_ms, end_ms: i64::MAX, decoded: Vec::new(), writer: Writer::default() }
    }

    /// The same that knows of no raw samples later than `end_ms` where it follows replicas.
    pub fn until(self, end_ms: i64) -> Self {
        Self { end_ms, ..self }
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
        drop_duplicates(&mut chunks, vertical, &mut merged);
        if vertical == Method::Penalty {
            name_lanes(&mut chunks);
            drop_lanes_within_others(&mut chunks, &mut merged);
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
        let mut runs: Vec<Range<usize>> = Vec::new();
        while let Some(run) = overlapping(chunks, runs.last().map_or(0, |r| r.end)) {
            runs.push(run);
        }
        if vertical == Method::Penalty {
            runs = join_replicas(chunks, &runs);
        }
        runs = join_downsampled(chunks, &runs);
        for run in runs {
            let run = &chunks[run];
            if let [one] = run {
                out.push(one.chunk.clone());
                merged.copied += 1;
                continue;
            }
            if run.iter().any(is_downsampled) {
                aggregates::merge(run, out, merged)?;
                continue;
            }
            self.decoded.clear();
            for chunk in run {
                self.decoded.push(Decoded::of(chunk, merged)?);
            }
            let chosen = match vertical {
                Method::Chain => choose::all(run, &self.decoded),
                Method::Penalty => choose::penalty(run, &self.decoded, self.gap_max_ms, self.end_ms),
            };
            let decoded: usize = self.decoded.iter().map(Decoded::len).sum();
            merged.samples_left_out += (decoded - chosen.len()) as u64;
            self.writer.write(run, &self.decoded, &chosen, out, merged)?;
        }
        Ok(())
    }
}

fn is_downsampled(chunk: &LaneChunk) -> bool {
    chunk.chunk.encoding == Encoding::Aggregates
}

/// Joins runs of raw chunks with no downsampled ones between them, unless all are of one replica and none overlap: which
/// samples are chosen depends on those before.
fn join_replicas(chunks: &[LaneChunk], runs: &[Range<usize>]) -> Vec<Range<usize>> {
    join(chunks, runs, |run| !chunks[run.clone()].iter().any(is_downsampled))
}

/// Joins runs of downsampled chunks, unless all are of one replica and none overlap: a counter is to go on over each
/// place where another replica follows, and where windows are rewritten.
fn join_downsampled(chunks: &[LaneChunk], runs: &[Range<usize>]) -> Vec<Range<usize>> {
    join(chunks, runs, |run| chunks[run.clone()].iter().any(is_downsampled))
}

/// Joins neighbouring runs of a kind, unless all are single chunks of one replica.
fn join(chunks: &[LaneChunk], runs: &[Range<usize>], kind: impl Fn(&Range<usize>) -> bool) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::with_capacity(runs.len());
    for stretch in runs.chunk_by(|a, b| kind(a) && kind(b)) {
        let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { continue };
        let one_lane =
            stretch.iter().all(|run| run.len() == 1 && chunks[run.start].replica == chunks[first.start].replica);
        if one_lane {
            out.extend_from_slice(stretch);
        } else {
            out.push(first.start..last.end);
        }
    }
    out
}

/// The chunks from `at` on that overlap one another, directly or by way of others.
fn overlapping(chunks: &[LaneChunk], at: usize) -> Option<Range<usize>> {
    let mut end = chunks.get(at)?.chunk.max_time;
    let mut to = at + 1;
    while let Some(next) = chunks.get(to).filter(|next| next.chunk.min_time <= end) {
        end = end.max(next.chunk.max_time);
        to += 1;
    }
    Some(at..to)
}

/// Of equal chunks the one of the highest order stays. Where replicas are followed, each keeps its own: without it a lane
/// would seem to have a gap, and know nothing of a reset or a marker that both saw. `chunks` is sorted by time.
fn drop_duplicates(chunks: &mut Vec<LaneChunk>, vertical: Method, merged: &mut Merged) {
    let before = chunks.len();
    let may_be_twins = |a: &LaneChunk, b: &LaneChunk| vertical == Method::Chain || a.replica == b.replica;
    let mut kept: Vec<LaneChunk> = Vec::with_capacity(before);
    for chunk in chunks.drain(..) {
        let same_times = kept
            .iter_mut()
            .rev()
            .take_while(|k| k.chunk.min_time == chunk.chunk.min_time && k.chunk.max_time == chunk.chunk.max_time);
        let mut same_times = same_times;
        match same_times.find(|k| may_be_twins(k, &chunk) && k.chunk == chunk.chunk) {
            Some(twin) if twin.order != chunk.order && may_split_windows(&chunk) => kept.push(chunk),
            Some(twin) if twin.order < chunk.order => *twin = chunk,
            Some(_) => {}
            None => kept.push(chunk),
        }
    }
    *chunks = kept;
    merged.duplicates += (before - chunks.len()) as u64;
}

/// Drops lanes of which another lane has every chunk, as where a receiver wrote the same to several: they have nothing to
/// add. `chunks` is sorted by time.
fn drop_lanes_within_others(chunks: &mut Vec<LaneChunk>, merged: &mut Merged) {
    let mut names: Vec<u64> = chunks.iter().map(|c| c.replica).collect();
    names.sort_unstable();
    names.dedup();
    let pairs = names.iter().flat_map(|inner| names.iter().map(|outer| (*inner, *outer)));
    let mut within: Vec<(u64, u64)> = pairs.filter(|(inner, outer)| inner != outer).collect();
    for same_times in
        chunks.chunk_by(|a, b| (a.chunk.min_time, a.chunk.max_time) == (b.chunk.min_time, b.chunk.max_time))
    {
        let has = |outer: u64, chunk: &LaneChunk| {
            let mut theirs = same_times.iter().filter(|c| c.replica == outer && c.chunk == chunk.chunk);
            theirs.any(|twin| twin.order == chunk.order || !may_split_windows(chunk))
        };
        let of = |inner: u64| same_times.iter().filter(move |c| c.replica == inner);
        within.retain(|(inner, outer)| of(*inner).all(|chunk| has(*outer, chunk)));
        if within.is_empty() {
            return;
        }
    }
    let mut dropped: Vec<u64> = Vec::new();
    for (inner, outer) in within {
        // Of equal lanes one stays.
        if !dropped.contains(&inner) && !dropped.contains(&outer) {
            dropped.push(inner);
        }
    }
    let before = chunks.len();
    chunks.retain(|c| !dropped.contains(&c.replica));
    merged.duplicates += (before - chunks.len()) as u64;
}

/// Whether a window may lie in this chunk and another of the same block, as where downsampled histograms were reset: what
/// is the same in two blocks is then needed by both, to make the window whole.
fn may_split_windows(chunk: &LaneChunk) -> bool {
    let histograms = |parts: aggr::Parts<_>| parts[4].as_ref().is_some_and(|(encoding, _)| encoding.is_histogram());
    is_downsampled(chunk) && aggr::decode(&chunk.chunk.data).is_ok_and(histograms)
}

/// Gives chunks of an unknown replica the number of the lane that goes on with them, as queries do.
fn name_lanes(chunks: &mut [LaneChunk]) {
    let mut next = chunks.iter().map(|c| c.replica).max().unwrap_or(0);
    let (mut names, mut ends): (Vec<u64>, Vec<End>) = (Vec::new(), Vec::new());
    for lane in chunks.iter_mut().filter(|c| c.replica == 0) {
        let chunk = &lane.chunk;
        let samples = if is_downsampled(lane) { 0 } else { chunk.num_samples().unwrap_or(0) };
        let end = End::of(chunk.min_time, chunk.max_time, samples);
        match End::going_on(ends.iter().copied(), chunk.min_time) {
            Some(at) => {
                lane.replica = names[at];
                ends[at] = end;
            }
            None => {
                next = next.wrapping_add(1).max(1);
                lane.replica = next;
                names.push(next);
                ends.push(end);
            }
        }
    }
}
