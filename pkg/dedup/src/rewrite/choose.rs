//! Which samples of overlapping chunks are kept.

use chunkenc::Column;
use model::is_stale;

use super::chunk::LaneChunk;
use super::decoded::Decoded;
use crate::pick::{Rules, pick_places};
use crate::read::Lane;

/// A sample of a run: which chunk, which of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) chunk: u32,
    pub(crate) sample: u32,
}

/// Every distinct time, ascending; of equal times the higher order's, but never a stale marker in place of a sample.
pub(crate) fn all(run: &[LaneChunk], decoded: &[Decoded]) -> Vec<Ref> {
    let every: Vec<u32> = (0..decoded.len() as u32).collect();
    distinct(run, decoded, &every)
}

fn distinct(run: &[LaneChunk], decoded: &[Decoded], chunks: &[u32]) -> Vec<Ref> {
    let len = chunks.iter().map(|c| decoded[*c as usize].len()).sum();
    let mut list: Vec<(i64, Ref)> = Vec::with_capacity(len);
    for chunk in chunks {
        let times = decoded[*chunk as usize].times.iter();
        list.extend(times.zip(0u32..).map(|(time, sample)| (*time, Ref { chunk: *chunk, sample })));
    }
    // Stable, and quick on a few ascending runs.
    list.sort_by_key(|(time, _)| *time);
    let rank = |r: Ref| {
        let stale = is_stale(decoded[r.chunk as usize].values[r.sample as usize]);
        (!stale, run[r.chunk as usize].order)
    };
    let mut out: Vec<Ref> = Vec::with_capacity(len);
    for same in list.chunk_by(|a, b| a.0 == b.0) {
        let best = same.iter().map(|(_, r)| *r).max_by_key(|r| rank(*r));
        out.extend(best);
    }
    out
}

/// Follows one replica, as queries do.
pub(crate) fn penalty(run: &[LaneChunk], decoded: &[Decoded], gap_max_ms: i64, end_ms: i64) -> Vec<Ref> {
    let mut names: Vec<u64> = run.iter().map(|c| c.replica).collect();
    names.sort_unstable();
    names.dedup();
    let (mut refs, mut lanes): (Vec<Vec<Ref>>, Vec<Lane>) = (Vec::new(), Vec::new());
    for name in names {
        let chunks: Vec<u32> = (0u32..).zip(run).filter(|(_, c)| c.replica == name).map(|(i, _)| i).collect();
        let list = if ascend(decoded, &chunks) { in_turn(decoded, &chunks) } else { distinct(run, decoded, &chunks) };
        lanes.push(Lane::new(column(decoded, &list, end_ms)));
        refs.push(list);
    }
    let rules = Rules { gap_max_ms, counter: false, keep_values: true };
    pick_places(&mut lanes, rules).into_iter().map(|(lane, at)| refs[lane as usize][at as usize]).collect()
}

/// Whether the chunks' samples, one chunk after the other, ascend in time.
fn ascend(decoded: &[Decoded], chunks: &[u32]) -> bool {
    let mut before: Option<i64> = None;
    chunks.iter().map(|c| &decoded[*c as usize].times).all(|times| {
        let goes_on = before.is_none_or(|before| times.first().is_none_or(|first| before < *first));
        before = times.last().copied().or(before);
        goes_on && times.is_sorted_by(|a, b| a < b)
    })
}

/// Every sample of chunks that ascend.
fn in_turn(decoded: &[Decoded], chunks: &[u32]) -> Vec<Ref> {
    let mut out = Vec::with_capacity(chunks.iter().map(|c| decoded[*c as usize].len()).sum());
    for chunk in chunks {
        out.extend((0..decoded[*chunk as usize].len() as u32).map(|sample| Ref { chunk: *chunk, sample }));
    }
    out
}

/// The samples no later than `end_ms`.
fn column(decoded: &[Decoded], list: &[Ref], end_ms: i64) -> Column {
    let mut column = Column { times: Vec::with_capacity(list.len()), values: Vec::with_capacity(list.len()) };
    for part in list.chunk_by(|a, b| a.chunk == b.chunk && a.sample + 1 == b.sample) {
        let samples = &decoded[part[0].chunk as usize];
        let range = part[0].sample as usize..part[0].sample as usize + part.len();
        column.times.extend_from_slice(&samples.times[range.clone()]);
        column.values.extend_from_slice(&samples.values[range]);
    }
    let len = column.times.partition_point(|t| *t <= end_ms);
    column.times.truncate(len);
    column.values.truncate(len);
    column
}
