//! `tools bucket cleanup`: deletes marked blocks and partial uploads, multipart uploads too.

use ::bucket::delete::delete_block;
use ::bucket::marks::{self, DeletionMark};
use ::bucket::partial::{self, Cleanup};
use ::bucket::{Filters, View, unfinished};
use block::BlockId;
use flags::{Flag, Parsed};
use futures::future::FutureExt;
use objstore::Bucket;
use service::Failpoints;
use service::tool::{Deps, Verdict};

use super::common::{self, DRY_RUN, SELECTOR};
use crate::Error;
use crate::output::format_time_s;

pub(super) const ABOUT: &str =
    "Cleans up all blocks marked for deletion. Partial uploads to which nothing was written for 48 h go too.";
pub(super) const SHORTS: &[(char, &str)] = &[];
pub(super) const FLAGS: &[&[Flag]] = &[
    &[
        Flag::duration("delete-delay", "48h", "Time before a block marked for deletion is deleted from bucket."),
        Flag::duration(
            "consistency-delay",
            "30m",
            "Minimum age of fresh (non-compacted) blocks before they are being processed. Malformed blocks older than the maximum of consistency-delay and 48h0m0s will be removed.",
        ),
        Flag::count("block-sync-concurrency", "20", "Blocks whose metadata is fetched from object storage at a time."),
    ],
    SELECTOR,
    DRY_RUN,
];

/// Age after which an upload without `meta.json` counts as abandoned, ms since its newest object.
const PARTIAL_AGE_MS: i64 = 48 * 3_600_000;

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let options = Options {
        delete_delay_ms: parsed.duration_ms("delete-delay"),
        partial_age_ms: parsed.duration_ms("consistency-delay").max(PARTIAL_AGE_MS),
        shard: Filters { shard: ::bucket::flags::selector(parsed)?, ..Filters::default() },
    };
    let dry_run = parsed.switch("dry-run");
    let bucket = common::open_bucket(parsed, deps)?;
    let concurrency = parsed.count("block-sync-concurrency") as usize;
    let view = common::view(&bucket, concurrency, 0, deps).await?;
    common::need_complete(&view)?;
    let now_ms = deps.clock.now_ms();
    let plan = plan(&view, &options, now_ms);
    let mut failed = false;
    for (id, why) in &plan {
        if dry_run {
            deps.print(&format!("{id}: would be deleted: {why}\n"))?;
            continue;
        }
        let outcome = match view.deletion_marks.contains_key(id) {
            true => delete(&bucket, *id).await,
            false => clean_up(&bucket, *id, &options, now_ms).await,
        };
        match outcome {
            Ok(Cleanup::Removed) => deps.print(&format!("{id}: deleted: {why}\n"))?,
            Ok(Cleanup::Kept) => deps.print(&format!("{id}: left alone, it was changed a moment ago\n"))?,
            Ok(Cleanup::Marked) => deps.print(&format!("{id}: noted: {why}; run the command again in an hour\n"))?,
            Ok(Cleanup::Waiting) => {
                deps.print(&format!("{id}: noted less than an hour ago, not deleted yet: {why}\n"))?;
            }
            Err(e) => {
                failed = true;
                tracing::error!(block = %id, err = %e, "block not deleted, run the command again");
            }
        }
    }
    let uploads = match unfinished::abandoned(&bucket, &view.objects, now_ms, options.partial_age_ms).await {
        Ok(uploads) => uploads,
        // no reason to fail what else is to be done
        Err(e) => {
            tracing::warn!(err = %e, "unfinished uploads cannot be listed, none is aborted");
            Vec::new()
        }
    };
    for (_, upload) in &uploads {
        let (path, begun) = (&upload.path, format_time_s(upload.begun_ms));
        if dry_run {
            deps.print(&format!("{path}: upload would be aborted: begun at {begun}\n"))?;
            continue;
        }
        match unfinished::abort(&bucket, upload, now_ms, options.partial_age_ms).await {
            Ok(true) => deps.print(&format!("{path}: upload aborted: begun at {begun}\n"))?,
            Ok(false) => deps.print(&format!("{path}: upload left alone, it was added to lately\n"))?,
            Err(e) => {
                failed = true;
                tracing::error!(path, err = %e, "upload not aborted, run the command again");
            }
        }
    }
    if dry_run && !(plan.is_empty() && uploads.is_empty()) {
        tracing::warn!(
            blocks = plan.len(),
            uploads = uploads.len(),
            "dry run, nothing was deleted, pass --no-dry-run to delete"
        );
    }
    Ok(Verdict::of(failed))
}

/// Deletes a block unless its mark was taken away since the listing.
async fn delete(bucket: &Bucket, id: BlockId) -> Result<Cleanup, Error> {
    if marks::read::<DeletionMark>(bucket, id).await?.is_none() {
        return Ok(Cleanup::Kept);
    }
    delete_block(bucket, id, &Failpoints::none()).await?;
    Ok(Cleanup::Removed)
}

async fn clean_up(bucket: &Bucket, id: BlockId, options: &Options, now_ms: i64) -> Result<Cleanup, Error> {
    let options = partial::Options { now_ms, age_ms: options.partial_age_ms, failpoints: &Failpoints::none() };
    partial::clean_up::<::bucket::Error>(bucket, id, &options, &|| async { Ok(()) }.boxed()).await.map_err(Error::from)
}

struct Options {
    delete_delay_ms: i64,
    partial_age_ms: i64,
    shard: Filters,
}

/// Blocks that may go, with the reason.
fn plan(view: &View, options: &Options, now_ms: i64) -> Vec<(BlockId, String)> {
    let mut out = Vec::new();
    let of_shard = options.shard.apply(view, now_ms).kept;
    for (id, mark) in &view.deletion_marks {
        let at_ms = mark.deletion_time.saturating_mul(1000);
        // A marked block without meta.json is a deletion that was interrupted: it belongs to every shard.
        let ours = of_shard.contains_key(id) || !view.metas.contains_key(id);
        if ours && now_ms.saturating_sub(at_ms) > options.delete_delay_ms {
            out.push((*id, format!("marked for deletion at {} ({})", format_time_s(at_ms), mark.details)));
        }
    }
    let abandoned = view.abandoned(now_ms, options.partial_age_ms);
    for id in partial::to_visit(&view.objects, abandoned).into_iter().filter(|id| !view.deletion_marks.contains_key(id))
    {
        let newest_ms = view.objects.get(&id).and_then(::bucket::BlockObjects::newest_ms).unwrap_or(id.time_ms());
        out.push((id, format!("partial upload, last written to at {}", format_time_s(newest_ms))));
    }
    out
}
