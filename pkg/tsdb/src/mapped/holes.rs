//! Series that may have lost a chunk.

use super::format::MappedChunk;

/// Takes in-order chunks out of `chunks` which the write-ahead log must not be skipped for.
///
/// Of what the log has, a restart takes only samples behind the last chunk of their series. So a corrupt chunk would never
/// be refilled if the chunks behind it counted. Whose chunk it was is not known, since its head may be corrupt too: a
/// series that has no chunk before a corrupt place, or none that the one behind it follows without a gap, gives up its
/// chunks behind that place, and the log refills them. Late chunks stay: each one is asked for by its own marker.
///
/// `chunks` and `corrupt`, places as references have them, are in the order of the files. Returns how many were taken out.
pub fn without_holes(chunks: &mut Vec<MappedChunk>, corrupt: &[u64]) -> usize {
    if corrupt.is_empty() {
        return 0;
    }
    let before = chunks.len();
    // By series, in the order of the files.
    chunks.sort_by_key(|c| c.series_ref);
    let mut last: Option<MappedChunk> = None;
    let mut given_up = None;
    chunks.retain(|chunk| {
        if chunk.out_of_order {
            return true;
        }
        if last.is_some_and(|l| l.series_ref != chunk.series_ref) {
            (last, given_up) = (None, None);
        }
        let begin = last.map_or(0, |l| l.reference);
        let crossed = corrupt.iter().any(|place| (begin..chunk.reference).contains(place));
        if crossed && !last.is_some_and(|l| follows(&l, chunk)) {
            given_up = Some(chunk.series_ref);
        }
        last = Some(*chunk);
        given_up != Some(chunk.series_ref)
    });
    before - chunks.len()
}

/// Whether no sample is missing between the two, as far as the steps between samples of either tell: a chunk that is lost may
/// have had a single one.
fn follows(before: &MappedChunk, behind: &MappedChunk) -> bool {
    let step = |c: &MappedChunk| (c.max_time - c.min_time) / i64::from(c.samples.max(2) - 1);
    let gap = behind.min_time.saturating_sub(before.max_time);
    gap >= 0 && gap < step(before).max(step(behind)).saturating_mul(3) / 2
}
