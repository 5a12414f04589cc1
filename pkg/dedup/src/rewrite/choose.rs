//! Which samples of overlapping chunks are kept.

use chunkenc::Column;
use model::is_stale;

use super::LaneChunk;
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
    let of_lane =
        |name: u64| -> Vec<u32> { (0u32..).zip(run).filter(|(_, c)| c.replica == name).map(|(i, _)| i).collect() };
    let refs: Vec<Vec<Ref>> = names.iter().map(|name| distinct(run, decoded, &of_lane(*name))).collect();
    let mut lanes: Vec<Lane> = Vec::with_capacity(refs.len());
    for list in &refs {
        let mut column = Column::new();
        for r in list {
            let samples = &decoded[r.chunk as usize];
            let time = samples.times[r.sample as usize];
            if time > end_ms {
                break;
            }
            column.push(time, samples.values[r.sample as usize]);
        }
        lanes.push(Lane::new(column));
    }
    let rules = Rules { gap_max_ms, counter: false, keep_values: true };
    pick_places(&mut lanes, rules).into_iter().map(|(lane, at)| refs[lane as usize][at as usize]).collect()
}
