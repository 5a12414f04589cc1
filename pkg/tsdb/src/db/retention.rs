//! Which blocks are kept no longer.

use std::collections::BTreeSet;

use block::{BlockId, BlockMeta};

use super::options::Retention;

/// A block, as retention sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) meta: &'a BlockMeta,
    pub(crate) bytes: u64,
}

/// What the disk holds besides blocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sizes {
    /// Log and chunks of the head, bytes.
    pub(crate) head_bytes: u64,
    /// Size of the file system; `None` = not known, bytes.
    pub(crate) disk_bytes: Option<u64>,
}

/// Blocks to delete, by the limit that they exceed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    pub(crate) time: BTreeSet<BlockId>,
    pub(crate) size: BTreeSet<BlockId>,
}

/// The limit of all files together, bytes; `None` = no limit.
pub(crate) fn limit_bytes(retention: &Retention, disk_bytes: Option<u64>) -> Option<u64> {
    let percentage = (retention.percentage > 0.0).then_some(retention.percentage.min(100.0));
    match (percentage, disk_bytes) {
        (Some(percentage), Some(bytes)) => Some((bytes as f64 * percentage / 100.0) as u64),
        _ => Some(retention.size_bytes).filter(|bytes| *bytes > 0),
    }
}

/// The blocks that `retention` no longer keeps. The newest block always stays within the limit of time.
///
/// A block that is written before an older one is deleted must not break the limit of size. So as much room is kept as
/// the newest block that came from the head takes, but never more than a tenth of the limit.
pub(crate) fn beyond(blocks: &[Kept<'_>], retention: &Retention, sizes: Sizes) -> Beyond {
    let mut newest_first: Vec<&Kept<'_>> = blocks.iter().collect();
    newest_first.sort_by_key(|b| std::cmp::Reverse((b.meta.max_time, b.meta.min_time, b.meta.ulid)));
    let mut out = Beyond::default();
    let Some(newest) = newest_first.first().map(|b| b.meta.max_time) else { return out };
    if retention.time_ms > 0 {
        let is_old = |b: &&&Kept<'_>| newest.saturating_sub(b.meta.max_time) >= retention.time_ms;
        out.time = newest_first.iter().skip(1).filter(is_old).map(|b| b.meta.ulid).collect();
    }
    if let Some(limit) = limit_bytes(retention, sizes.disk_bytes) {
        let next = newest_first.iter().find(|b| b.meta.compaction.level <= 1).map_or(0, |b| b.bytes);
        let mut used = sizes.head_bytes.saturating_add(next.min(limit / 10));
        let first = newest_first.iter().position(|b| {
            used = used.saturating_add(b.bytes);
            used > limit
        });
        out.size = newest_first.iter().skip(first.unwrap_or(usize::MAX)).map(|b| b.meta.ulid).collect();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> BlockId {
        BlockId::new(n, 0)
    }

    /// Blocks of `(min, max, bytes, level)`; their ids count from 0.
    fn ids(blocks: &[(i64, i64, u64, u32)], retention: Retention, sizes: Sizes) -> (Vec<u64>, Vec<u64>) {
        let metas: Vec<BlockMeta> = blocks
            .iter()
            .enumerate()
            .map(|(n, (min_time, max_time, _, level))| {
                let mut meta =
                    BlockMeta { ulid: id(n as u64), min_time: *min_time, max_time: *max_time, ..BlockMeta::default() };
                meta.compaction.level = *level;
                meta
            })
            .collect();
        let kept: Vec<Kept<'_>> = metas.iter().zip(blocks).map(|(meta, b)| Kept { meta, bytes: b.2 }).collect();
        let found = beyond(&kept, &retention, sizes);
        let numbers = |set: BTreeSet<BlockId>| set.into_iter().map(|id| id.time_ms() as u64).collect();
        (numbers(found.time), numbers(found.size))
    }

    #[test]
    fn by_time() {
        let blocks = [(0, 10, 1, 1), (10, 20, 1, 1), (20, 30, 1, 1), (5, 25, 1, 1)];
        for (time_ms, want) in [
            (0, vec![]),
            (100, vec![]),
            (21, vec![]),
            (20, vec![0]),
            (10, vec![0, 1]),
            (6, vec![0, 1]),
            (5, vec![0, 1, 3]),
            (1, vec![0, 1, 3]),
        ] {
            let retention = Retention { time_ms, ..Retention::default() };
            assert_eq!(ids(&blocks, retention, Sizes::default()), (want, vec![]), "{time_ms}");
        }
        assert_eq!(
            ids(&[(0, 10, 1, 1)], Retention { time_ms: 1, ..Retention::default() }, Sizes::default()).0,
            [] as [u64; 0]
        );
        assert_eq!(
            ids(&[], Retention { time_ms: 1, size_bytes: 1, ..Retention::default() }, Sizes::default()),
            (vec![], vec![])
        );
    }

    #[test]
    fn by_size() {
        // The newest block from the head takes 5 bytes, which are kept free.
        let blocks = [(0, 10, 50, 2), (10, 20, 20, 1), (20, 30, 5, 1)];
        let size = |size_bytes, head_bytes| {
            let retention = Retention { size_bytes, ..Retention::default() };
            ids(&blocks, retention, Sizes { head_bytes, disk_bytes: None }).1
        };
        for (size_bytes, head_bytes, want) in [
            (0, 1000, vec![]),
            (100, 0, vec![]),
            (100, 20, vec![]),
            (100, 21, vec![0]),
            (80, 0, vec![]),
            (79, 0, vec![0]),
            (100, 71, vec![0, 1]),
            (100, 91, vec![0, 1, 2]),
        ] {
            assert_eq!(size(size_bytes, head_bytes), want, "limit {size_bytes}, head {head_bytes}");
        }
    }

    #[test]
    fn a_percentage_prevails() {
        let of = |size_bytes, percentage, disk_bytes| {
            limit_bytes(&Retention { time_ms: 0, size_bytes, percentage }, disk_bytes)
        };
        assert_eq!(of(0, 0.0, Some(1000)), None);
        assert_eq!(of(5, 0.0, Some(1000)), Some(5));
        assert_eq!(of(5, 50.0, Some(1000)), Some(500));
        assert_eq!(of(0, 0.5, Some(1000)), Some(5));
        assert_eq!(of(5, 50.0, None), Some(5), "where the size of the disk is not known");
        assert_eq!(of(0, 200.0, Some(1000)), Some(1000));
    }
}
