//! `tools bucket mark`: puts marks on blocks and takes them away.

use ::bucket::marks::{
    self, DELETION_MARK, DeletionMark, MARK_VERSION, Marked, NO_COMPACT_MARK, NO_DOWNSAMPLE_MARK, NoCompactMark,
    NoDownsampleMark,
};
use block::BlockId;
use flags::{Flag, Parsed};
use objstore::Bucket;
use service::tool::{Deps, Verdict};

use super::common;
use crate::Error;

pub(super) const ABOUT: &str = "Mark block for deletion, no-compact or no-downsample in a safe way. NOTE: If the compactor is currently running compacting same block, this operation would be potentially a noop.";
pub(super) const SHORTS: &[(char, &str)] = &[];
pub(super) const FLAGS: &[&[Flag]] = &[&[
    Flag::text("id", "", "ID (ULID) of the blocks to be marked (repeated flag).").repeated(),
    Flag::word("marker", &[DELETION_MARK, NO_COMPACT_MARK, NO_DOWNSAMPLE_MARK], "", "Marker to be put."),
    Flag::text("details", "", "Human readable details to be put into marker.").placeholder("DETAILS"),
    Flag::switch("remove", "Remove the marker."),
]];

/// What a person asked for.
const MANUAL: &str = "manual";

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let ids = common::needed_block_ids(parsed)?;
    let (marker, details) = (parsed.text("marker"), parsed.text("details"));
    if marker.is_empty() {
        return Err(Error::Usage("required flag --marker not provided".to_owned()));
    }
    let removes = parsed.switch("remove");
    if !removes && details.is_empty() {
        return Err(Error::Usage("required flag --details not provided".to_owned()));
    }
    let bucket = common::open_bucket(parsed, deps)?;
    let mut missing = false;
    for id in ids {
        let done = match removes {
            true => remove(&bucket, id, marker).await?,
            false => put(&bucket, id, marker, details, deps.clock.now_ms().div_euclid(1000)).await?,
        };
        let (fine, text) = done;
        missing |= !fine;
        deps.print(&format!("{id}: {text}\n"))?;
    }
    Ok(Verdict::of(missing))
}

async fn put(bucket: &Bucket, id: BlockId, marker: &str, details: &str, now_s: i64) -> Result<(bool, String), Error> {
    let (details, reason) = (details.to_owned(), MANUAL.to_owned());
    let marked = match marker {
        DELETION_MARK => {
            let mark = DeletionMark { id, version: MARK_VERSION, details, deletion_time: now_s };
            marks::write(bucket, &mark).await?
        }
        NO_COMPACT_MARK => {
            let mark = NoCompactMark { id, version: MARK_VERSION, details, no_compact_time: now_s, reason };
            marks::write(bucket, &mark).await?
        }
        _ => {
            let mark = NoDownsampleMark { id, version: MARK_VERSION, details, no_downsample_time: now_s, reason };
            marks::write(bucket, &mark).await?
        }
    };
    Ok(match marked {
        Marked::Now => (true, format!("{marker} written")),
        Marked::Already => (true, format!("has a {marker} already, it was left as it is")),
        Marked::Gone => (false, "there is no such block (no meta.json), nothing was written".to_owned()),
    })
}

async fn remove(bucket: &Bucket, id: BlockId, marker: &str) -> Result<(bool, String), Error> {
    if !bucket.exists(&format!("{id}/{marker}")).await? {
        return Ok((true, format!("has no {marker}")));
    }
    match marker {
        DELETION_MARK => marks::remove::<DeletionMark>(bucket, id).await?,
        NO_COMPACT_MARK => marks::remove::<NoCompactMark>(bucket, id).await?,
        _ => marks::remove::<NoDownsampleMark>(bucket, id).await?,
    }
    Ok((true, format!("{marker} removed")))
}
