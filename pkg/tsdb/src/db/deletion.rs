//! Deleting samples of blocks: intervals are noted in `tombstones`, readers leave the samples out, a merge drops them.

use block::{LocalBlock, TOMBSTONES_FILE, Tombstones};
use labels::Matcher;
use model::TimeRange;

use super::disk::Disk;
use super::error::{Error, Result};
use super::files::write_meta;
use super::view::OpenBlock;

/// Notes that the samples of `block` in `range` of the series that match any of `selectors` are deleted. The block as it
/// is read from then on; `None` if it has no such sample that was not deleted before.
pub(crate) fn delete_from_block(
    disk: &dyn Disk,
    block: &OpenBlock,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
) -> Result<Option<OpenBlock>> {
    let mut tombstones = block.block.tombstones().clone();
    let before = tombstones.len();
    for matchers in selectors {
        add(&mut tombstones, &block.block, matchers, range)?;
    }
    if tombstones.len() == before {
        return Ok(None);
    }
    let path = block.dir.join(TOMBSTONES_FILE);
    disk.write_file(&path, &tombstones.to_bytes()).map_err(Error::io("write", &path))?;
    let mut meta = block.meta.clone();
    meta.stats.num_tombstones = tombstones.len() as u64;
    write_meta(disk, &block.dir, &meta)?;
    OpenBlock::open(&block.dir, meta).map(Some)
}

fn add(tombstones: &mut Tombstones, block: &LocalBlock, matchers: &[Matcher], range: TimeRange) -> Result<()> {
    for id in block.index().expand(matchers)? {
        let chunks = block.index().series(id)?.chunks;
        let touched = chunks.iter().filter(|c| range.overlaps(TimeRange::new(c.min_time, c.max_time)));
        let times = touched.fold(None, |times: Option<(i64, i64)>, c| {
            let (min, max) = times.unwrap_or((c.min_time, c.max_time));
            Some((min.min(c.min_time), max.max(c.max_time)))
        });
        // No longer than the series' own chunks, so that the same deletion over and over adds nothing.
        let Some((min, max)) = times else { continue };
        let deleted = TimeRange::new(range.min.max(min), range.max.min(max));
        if !tombstones.of(u64::from(id)).iter().any(|d| d.min <= deleted.min && deleted.max <= d.max) {
            tombstones.add(u64::from(id), deleted);
        }
    }
    Ok(())
}
