//! `tools bucket rewrite`: blocks without some of their series or samples, or with other labels.

mod change;
mod config;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::bucket::deletions::{SINCE_KEY, since_ms};
use ::bucket::listing::list_block;
use ::bucket::marks;
use block::meta::Rewrite;
use block::{BlockId, BlockMeta, IndexReader, META_FILE};
use flags::{Flag, Parsed};
use merge::Job;
use objstore::Bucket;
use service::tool::{Deps, Verdict};

use super::common;
use super::copy::{blocking, download, temporary};
use super::publish::Workshop;
use crate::Error;
use config::Changes;

pub(super) const ABOUT: &str = "Rewrite chosen blocks in the bucket, while deleting or modifying series. Resulted block has modified stats in meta.json. Additionally compaction.sources are altered to not confuse readers of meta.json. Instead thanos.rewrite section is added with useful info like old sources and deletion requests. NOTE: It's recommended to turn off compactor while doing this operation. Use FILESYSTEM type of bucket to rewrite block on disk (suitable for vanilla Prometheus). After rewrite, it's caller responsibility to delete or mark source block for deletion to avoid overlaps. WARNING: This procedure is *IRREVERSIBLE* after certain time (delete delay), so do backup your blocks first.";
pub(super) const SHORTS: &[(char, &str)] = &[];
pub(super) const FLAGS: &[&[Flag]] = &[&[
    Flag::text("id", "", "ID (ULID) of the blocks for rewrite (repeated flag).").repeated(),
    Flag::text("tmp.dir", "/tmp/thanos-rewrite", "Working directory for temporary files and change logs."),
    Flag::switch_on(
        "dry-run",
        "Prints the series changes instead of doing them. Defaults to true, for user to double check. (: Pass --no-dry-run to skip this.",
    ),
    Flag::switch(
        "prom-blocks",
        "If specified, we assume the blocks to be uploaded are only used with Prometheus so we don't check external labels in this case.",
    ),
    Flag::switch(
        "delete-blocks",
        "Whether to delete the original blocks after rewriting blocks successfully. Available in non dry-run mode only.",
    ),
    Flag::word(
        "hash-func",
        &["SHA256", ""],
        "",
        "Which hash function to use when calculating the hashes of produced files.",
    ),
    Flag::text(
        "rewrite.to-delete-config-file",
        "",
        "YAML file that contains deletion requests that will be applied to blocks.",
    )
    .placeholder("<file-path>"),
    Flag::text("rewrite.to-delete-config", "", "Deletion requests, instead of a file.").placeholder("<content>"),
    Flag::text(
        "rewrite.to-relabel-config-file",
        "",
        "YAML file that contains relabel configs that will be applied to blocks.",
    )
    .placeholder("<file-path>"),
    Flag::text("rewrite.to-relabel-config", "", "Relabel configs, instead of a file.").placeholder("<content>"),
    Flag::switch(
        "rewrite.match-external-labels",
        "Matchers of deletion requests see the external labels of the block too, which stand over the series' own. By default they see the series' own labels only, so that a matcher such as cluster=\"eu\" on an external label deletes nothing.",
    ),
    Flag::switch_on(
        "rewrite.add-change-log",
        "If specified, all modifications are written to new block directory. Disable if latency is to high.",
    ),
]];

/// `thanos.source` of rewritten blocks.
const SOURCE: &str = "bucket.rewrite";
/// `details` of the mark on what was rewritten.
const DETAILS: &str = "block rewritten";
const CHANGE_LOG: &str = "change.log";

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let ids = common::needed_block_ids(parsed)?;
    let changes = Arc::new(Changes::new(parsed, &*deps.env)?);
    let dry_run = parsed.switch("dry-run");
    let tmp_dir = PathBuf::from(parsed.text("tmp.dir"));
    let bucket = common::open_bucket(parsed, deps)?;
    let workshop = Workshop::new(&bucket, &tmp_dir, parsed.text("hash-func") == "SHA256", deps);
    for id in ids {
        let meta = Arc::new(read_meta(&bucket, id, parsed.switch("prom-blocks")).await?);
        changes.warn_of_external(&meta);
        let new = workshop.next_id();
        let wants_log = parsed.switch("rewrite.add-change-log");
        if dry_run || wants_log {
            let log = tmp_dir.join(new.to_string()).join(CHANGE_LOG);
            let summary = write_change_log(&bucket, &meta, &changes, &tmp_dir, &log).await?;
            if dry_run {
                let text =
                    std::fs::read_to_string(&log).map_err(|e| Error::Failed(format!("{}: {e}", log.display())))?;
                deps.print(&text)?;
            }
            deps.print(&format!("{id}: {summary}, change log at {}\n", log.display()))?;
        }
        if dry_run {
            continue;
        }
        let written = rewrite(&workshop, &meta, new, &changes).await?;
        for new in &written {
            deps.print(&format!("{id}: rewritten as {new}\n"))?;
        }
        if written.is_empty() {
            deps.print(&format!("{id}: nothing is left of it, no block was written\n"))?;
        }
        if parsed.switch("delete-blocks") {
            marks::mark_for_deletion(&bucket, id, DETAILS, &*deps.clock).await?;
            deps.print(&format!("{id}: marked for deletion\n"))?;
        } else {
            deps.print(&format!("{id}: still there, mark it for deletion once you have looked at the new one\n"))?;
        }
    }
    if dry_run {
        tracing::warn!("dry run, nothing was rewritten, pass --no-dry-run to rewrite");
    }
    Ok(Verdict::Fine)
}

async fn read_meta(bucket: &Bucket, id: BlockId, prometheus: bool) -> Result<BlockMeta, Error> {
    let path = format!("{id}/{META_FILE}");
    let meta = BlockMeta::parse(&path, &bucket.get(&path).await?)?;
    let has_labels = meta.thanos.as_ref().is_some_and(|t| !t.labels.is_empty());
    if !has_labels && !prometheus {
        return Err(Error::Failed(format!(
            "block {id} has no external labels: give --prom-blocks for blocks of Prometheus"
        )));
    }
    Ok(meta)
}

/// What would change, by the index alone. Returns a summary.
async fn write_change_log(
    bucket: &Bucket,
    meta: &Arc<BlockMeta>,
    changes: &Arc<Changes>,
    tmp_dir: &Path,
    log: &Path,
) -> Result<String, Error> {
    let objects = list_block(bucket, meta.ulid).await?;
    let Some(object) = objects.objects.get("index") else {
        return Err(Error::Failed(format!("block {} has no index", meta.ulid)));
    };
    let local = temporary(tmp_dir)?;
    download(bucket, &object.path, object.size, local.path()).await?;
    let (log, meta, changes, file) = (log.to_owned(), meta.clone(), changes.clone(), local.path().to_owned());
    let work = move || -> Result<String, Error> {
        let failed = |e: std::io::Error| Error::Failed(format!("{}: {e}", log.display()));
        if let Some(dir) = log.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        let mut out = std::io::BufWriter::new(std::fs::File::create(&log).map_err(failed)?);
        let index = IndexReader::open(&format!("{}/index", meta.ulid), block::map_file(&file)?)?;
        let summary = change::each_change(&index, &meta, &changes, |change| writeln!(out, "{change}").map_err(failed))?;
        out.flush().map_err(failed)?;
        Ok(summary.to_string())
    };
    blocking(work).await?
}

/// Rewrites a block; the new ones are visible then.
async fn rewrite(
    workshop: &Workshop,
    old: &Arc<BlockMeta>,
    new: BlockId,
    changes: &Changes,
) -> Result<Vec<BlockId>, Error> {
    let mut meta = BlockMeta { ulid: new, ..(**old).clone() };
    let mut thanos = meta.thanos.take().unwrap_or_default();
    thanos.source = SOURCE.to_owned();
    thanos.rewrites.push(Rewrite {
        sources: old.compaction.sources.clone(),
        deletions_applied: changes.deletions_applied.clone(),
        relabels_applied: changes.relabels_applied.clone(),
    });
    // its sources will be its own: requests to delete series that were made before it still reach it
    thanos.extra.insert(SINCE_KEY.to_owned(), since_ms(old).into());
    meta.thanos = Some(thanos);
    let mut outputs = vec![old.clone()];
    // deletions speak of the labels that relabelling made: where both are asked for, one after the other
    let steps = [!changes.rules.is_empty(), !changes.deletions.is_empty()];
    let last = if steps[1] { 1 } else { 0 };
    for step in (0..2).filter(|step| steps[*step]) {
        let mut next = Vec::new();
        for (at, input) in outputs.iter().enumerate() {
            let id = if step == last && at == 0 { new } else { workshop.next_id() };
            let mut job: Job = Workshop::job(input, BlockMeta { ulid: id, ..meta.clone() });
            match step {
                0 => job.relabel = changes.rules.clone(),
                _ => {
                    job.deletions = changes.deletions.clone();
                    job.inputs.iter_mut().for_each(|input| input.meta = changes.as_matched(&input.meta));
                }
            }
            next.extend(workshop.run(&job).await?.outputs.into_iter().map(|o| Arc::new(o.meta)));
        }
        // blocks of the step between were never visible
        for between in outputs.iter().filter(|m| m.ulid != old.ulid) {
            workshop.discard(between.ulid).await?;
        }
        outputs = next;
    }
    let mut written = Vec::new();
    for output in outputs {
        let mut meta = (*output).clone();
        // its own source, so that nobody takes it for what it came from
        meta.compaction.sources = vec![meta.ulid];
        workshop.publish(meta).await?;
        written.push(output.ulid);
    }
    Ok(written)
}
