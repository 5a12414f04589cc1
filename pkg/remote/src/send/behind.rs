//! How much of the log is between two places.

use std::path::Path;

use wal::Position;

/// Bytes from `from` to `to`. Blocks on the disk for a moment where they are in several segments.
pub(super) fn bytes(dir: &Path, from: Position, to: Position) -> u64 {
    if from >= to {
        return 0;
    }
    if from.segment == to.segment {
        return to.offset - from.offset;
    }
    let between = wal::list_segments(dir).unwrap_or_default();
    let between = between.iter().filter(|segment| (from.segment..to.segment).contains(&segment.number));
    let whole: u64 = between.filter_map(|segment| Some(std::fs::metadata(&segment.path).ok()?.len())).sum();
    whole.saturating_sub(from.offset) + to.offset
}
