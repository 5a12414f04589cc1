//! Whether lanes have nothing to add to the one that is followed, as far as the headers of their chunks tell.

use chunkenc::{Column, first_spacing, num_samples};
use model::is_stale;
use storage::{Chunk, ChunkData};

/// So many pauses are looked at before it is asked whether to go on.
const PART: usize = 256;

/// Whether `followed`, which begins first, is followed to its end whatever the values of `others` are: it has no gap, and
/// they are regular, no denser, and end with it. No sample later than `end` counts.
pub(crate) fn is_enough<'a>(
    followed: &Column,
    mut others: impl Iterator<Item = &'a [Chunk]>,
    gap_max_ms: i64,
    end: i64,
) -> bool {
    let Some((least, most)) = pauses(followed, gap_max_ms) else { return false };
    let Some(last) = followed.times.last() else { return false };
    // A lane with a spacing of at least this has no sample to add, were it to jitter a little.
    let spacing_min = most - most / 11;
    let end_max = last.saturating_add(spacing_min.min(least).min(gap_max_ms / 4));
    others.all(|lane| is_sparse(lane, spacing_min) && ends_by(lane, end_max, end))
}

/// The shortest and the longest pause; none with less than two samples, a stale marker, or pauses that differ by more than
/// half of the shortest one.
fn pauses(column: &Column, gap_max_ms: i64) -> Option<(i64, i64)> {
    let (mut least, mut most) = (gap_max_ms, 0);
    for from in (0..column.len()).step_by(PART) {
        for pair in column.times[from..column.len().min(from + PART + 1)].windows(2) {
            let pause = pair[1].saturating_sub(pair[0]);
            (least, most) = (least.min(pause), most.max(pause));
        }
        if most > least.saturating_add(least / 2) || most > gap_max_ms {
            return None;
        }
    }
    let steady = column.len() > 1 && !column.values.iter().any(|v| is_stale(*v));
    steady.then_some((least, most))
}

fn is_sparse(lane: &[Chunk], spacing_min: i64) -> bool {
    let apart = |pair: &[Chunk]| pair[1].min_time.saturating_sub(pair[0].max_time) >= spacing_min;
    lane.windows(2).all(apart) && lane.iter().all(|chunk| is_regular(chunk, spacing_min))
}

fn ends_by(lane: &[Chunk], end_max: i64, end: i64) -> bool {
    lane.last().is_none_or(|chunk| chunk.max_time.min(end) <= end_max)
}

/// Whether the chunk's samples are as far apart as its first two, to half a spacing over all of them, and those not
/// nearer than `spacing_min`.
fn is_regular(chunk: &Chunk, spacing_min: i64) -> bool {
    let (samples, first) = match &chunk.data {
        ChunkData::Raw(raw) => (num_samples(raw.encoding, &raw.data), first_spacing(raw.encoding, &raw.data)),
        ChunkData::Decoded(column) => {
            let first = column.times.get(..2).map(|pair| pair[1].saturating_sub(pair[0]));
            (Ok(column.len()), Ok(first))
        }
        ChunkData::Aggr(_) => return false,
    };
    let (Ok(samples), Ok(first)) = (samples, first) else { return false };
    let Some(spacing) = first else { return samples == 1 };
    let length = i128::from(chunk.max_time) - i128::from(chunk.min_time);
    let expected = i128::from(spacing) * (samples as i128 - 1);
    spacing >= spacing_min && (length - expected).abs() <= i128::from(spacing / 2)
}
