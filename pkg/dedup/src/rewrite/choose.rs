//! Which samples of overlapping chunks are kept.

use chunkenc::{Column, num_samples};
use model::is_stale;

use super::decoded::Decoded;
use super::{LaneChunk, MergeError, Merged};
use crate::pick::{Resume, Rules, resume};
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

/// The end of what was put out so far.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    replica: Option<u64>,
    resume: Resume,
    /// Passed undecoded after what `resume` tells.
    passed: Option<LaneChunk>,
}

impl Tail {
    /// Whether a chunk that overlaps no other may pass unread: it goes on with the replica shown before.
    pub(crate) fn goes_on(&self, chunk: &LaneChunk) -> bool {
        self.replica.is_none_or(|replica| replica == chunk.replica)
    }

    pub(crate) fn pass(&mut self, chunk: &LaneChunk) {
        self.replica = Some(chunk.replica);
        self.passed = Some(chunk.clone());
    }

    /// What was shown last, read from the chunk that passed where needed.
    fn resume(&mut self) -> Result<Resume, MergeError> {
        let Some(chunk) = self.passed.take() else { return Ok(self.resume) };
        let decoded = Decoded::of(&chunk, &mut Merged::default())?;
        let samples = decoded.times.iter().zip(&decoded.values);
        let last = samples.rev().find(|(_, v)| !is_stale(**v)).map(|(t, v)| (*t, *v));
        if let Some(last) = last {
            self.resume.last = Some(last);
        }
        let samples = num_samples(chunk.chunk.encoding, &chunk.chunk.data).unwrap_or(0) as i64;
        if samples > 1 {
            self.resume.interval = chunk.chunk.max_time.saturating_sub(chunk.chunk.min_time) / (samples - 1);
        }
        Ok(self.resume)
    }
}

/// Follows one replica, as queries do.
pub(crate) fn penalty(
    run: &[LaneChunk],
    decoded: &[Decoded],
    gap_max_ms: i64,
    tail: &mut Tail,
) -> Result<Vec<Ref>, MergeError> {
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
            column.push(samples.times[r.sample as usize], samples.values[r.sample as usize]);
        }
        lanes.push(Lane::of_column(column));
    }
    let mut from = tail.resume()?;
    from.lane = tail.replica.and_then(|replica| names.iter().position(|name| *name == replica));
    let rules = Rules { gap_max_ms, counter: false, keep_values: true };
    let (picked, end) = resume(&mut lanes, rules, from);
    tail.replica = end.lane.map(|lane| names[lane]).or(tail.replica);
    tail.resume = end;
    Ok(picked.into_iter().map(|(lane, at)| refs[lane as usize][at as usize]).collect())
}
