//! `tools bucket verify`: reads blocks to their last byte and reports what is wrong.

mod block;
mod chunks;
mod finding;
mod groups;
mod index;
mod repair;
mod segments;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use ::block::{BlockId, BlockMeta};
use ::bucket::Partial;
use ::bucket::View;
use flags::{Flag, Kind, Parsed};
use futures::stream::{self, StreamExt};
use objstore::Bucket;
use service::tool::{Deps, Verdict};

use super::common;
use crate::Error;
use crate::output::{Format, render_values};
use block::Checked;
pub(super) use block::{Depth, check_block};
pub(super) use finding::Severity;
use finding::{Finding, Issue};
use repair::Repair;

pub(super) const ABOUT: &str = "Verify all blocks in the bucket against specified issues. Every byte is read and checked: checksums, order, bounds, references, counts. Exit code 1 tells that something is wrong.";
pub(super) const SHORTS: &[(char, &str)] = &[('r', "repair"), ('i', "issues"), ('o', "output")];
pub(super) const FLAGS: &[&[Flag]] = &[
    &[
        Flag::text(
            "objstore-backup.config-file",
            "",
            "Path to YAML file that contains object store-backup configuration. Used for repair logic to backup blocks before removal.",
        )
        .placeholder("<file-path>"),
        Flag::text("objstore-backup.config", "", "Object store-backup configuration, instead of a file.")
            .placeholder("<content>"),
        Flag::switch(
            "repair",
            "Attempt to repair blocks for which issues were detected (-r). The block as it was goes to the backup bucket first.",
        ),
        Flag::new(
            "issues",
            Kind::Word(Issue::WORDS),
            "",
            "Issues to verify (and optionally repair) (-i). Possible issue to verify, without repair: overlapped_blocks; possible issue to verify and repair: index_known_issues, duplicated_compaction. Default: index_known_issues, overlapped_blocks.",
        )
        .placeholder("index_known_issues...")
        .repeated(),
        Flag::text(
            "id",
            "",
            "Block IDs to verify (and optionally repair) only. If none is specified, all blocks will be verified. Repeated field.",
        )
        .repeated(),
        Flag::duration(
            "delete-delay",
            "0s",
            "Duration after which blocks marked for deletion would be deleted permanently from source bucket by compactor component. If delete-delay is non zero, blocks will be marked for deletion and compactor component is required to delete blocks from source bucket. If delete-delay is 0, blocks will be deleted straight away.",
        ),
    ],
    &[
        Flag::word("depth", Depth::WORDS, "full", "How much is read: the listing, the indexes too, or all."),
        Flag::word("output", Format::WORDS, "table", "Output format for findings (-o)."),
        Flag::count("concurrency", "2", "Blocks that are read at a time."),
        Flag::count("findings-max", "1000", "Findings that are told of one block."),
        Flag::text("tmp.dir", "", "Where indexes lie while they are read; the system's place if empty."),
    ],
];

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let ids = common::block_ids(parsed)?;
    let mut issues: BTreeSet<Issue> = parsed.list("issues").iter().filter_map(|word| Issue::parse(word)).collect();
    let repairs = parsed.switch("repair");
    if issues.is_empty() {
        issues = [Issue::Index, Issue::Overlaps].into();
    }
    let bucket = common::open_bucket(parsed, deps)?;
    let backup = common::bucket_of(parsed, "objstore-backup.config", &[("role", "backup")], deps)?;
    if repairs && backup.is_none() {
        return Err(Error::Usage(
            "repair is specified, so backup client is required: give --objstore-backup.config".into(),
        ));
    }
    let tmp_dir = parsed.text_opt("tmp.dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let view = common::view(&bucket, 32, 0, deps).await?;
    let unknown = common::warn_of_unknown(&view);
    let mut state = State { findings: Vec::new(), failed: unknown, checked: 0, bytes: 0, samples: 0 };
    let wanted = |id: &BlockId| ids.is_empty() || ids.contains(id);
    for id in ids.iter().filter(|id| !view.metas.contains_key(id) && !view.failed.contains_key(id)) {
        state.failed = true;
        tracing::error!(block = %id, "there is no such whole block");
    }
    // as by Thanos, blocks that are marked for deletion are left alone
    let mut metas = view.metas.clone();
    metas.retain(|id, _| !view.deletion_marks.contains_key(id));
    if issues.contains(&Issue::Index) {
        state.partial(&view, &wanted);
        let options = Options {
            depth: Depth::parse(parsed.text("depth")).unwrap_or(Depth::Full),
            findings_max: parsed.count("findings-max") as usize,
            tmp_dir: tmp_dir.clone(),
        };
        let concurrency = (parsed.count("concurrency") as usize).clamp(1, 64);
        let chosen: Vec<_> = metas.values().filter(|meta| wanted(&meta.ulid)).cloned().collect();
        let checks = chosen.into_iter().map(|meta| check(&bucket, meta, &view, &options));
        let mut checks = stream::iter(checks).buffered(concurrency);
        while let Some((id, outcome)) = checks.next().await {
            state.note(id, outcome);
        }
    }
    if issues.contains(&Issue::Overlaps) && !repairs {
        state.findings.extend(groups::overlaps(&metas).into_iter().filter(|f| wanted(&f.block)));
    }
    let mut duplicates = Vec::new();
    if issues.contains(&Issue::Duplicates) {
        duplicates = groups::duplicates(&metas);
        duplicates.retain(|(id, _)| wanted(id));
        state.findings.extend(groups::duplicate_findings(&duplicates));
    }
    let mut problems = state.failed || state.findings.iter().any(|f| f.severity != Severity::Note);
    deps.print(&render(&state.findings, common::format(parsed)))?;
    if let Some(backup) = backup.filter(|_| repairs) {
        common::need_complete(&view)?;
        let repair = Repair { bucket, backup, delete_at_once: parsed.duration_ms("delete-delay") == 0, tmp_dir };
        let all_mended = repair.run(&state.findings, &duplicates, &metas, deps).await?;
        problems = state.failed || !all_mended;
    }
    tracing::info!(
        blocks = state.checked,
        bytes = state.bytes,
        samples = state.samples,
        findings = state.findings.len(),
        "verify task completed"
    );
    Ok(Verdict::of(problems))
}

struct Options {
    depth: Depth,
    findings_max: usize,
    tmp_dir: PathBuf,
}

async fn check(
    bucket: &Bucket,
    meta: Arc<BlockMeta>,
    view: &View,
    options: &Options,
) -> (BlockId, Result<Checked, Error>) {
    let id = meta.ulid;
    let objects = view.objects.get(&id).cloned().unwrap_or_default();
    let outcome = check_block(bucket, &meta, &objects, options.depth, &options.tmp_dir, options.findings_max).await;
    (id, outcome)
}

/// What was found so far.
struct State {
    findings: Vec<Finding>,
    /// A block could not be checked.
    failed: bool,
    checked: usize,
    bytes: u64,
    samples: u64,
}

impl State {
    fn partial(&mut self, view: &View, wanted: &dyn Fn(&BlockId) -> bool) {
        for (id, partial) in view.partial.iter().filter(|(id, _)| wanted(id)) {
            let (severity, what) = match partial {
                Partial::NoMeta => {
                    (Severity::Note, "is missing: an upload or a deletion is under way or was interrupted".into())
                }
                Partial::CorruptMeta(why) => (Severity::Damaged, why.clone()),
            };
            let file = ::block::META_FILE.to_owned();
            self.findings.push(Finding { block: *id, issue: Issue::Index, severity, file, offset: None, what });
        }
    }

    fn note(&mut self, id: BlockId, outcome: Result<Checked, Error>) {
        match outcome {
            Ok(checked) => {
                tracing::info!(
                    block = %id,
                    series = checked.series,
                    chunks = checked.chunks,
                    samples = checked.samples,
                    findings = checked.findings.len(),
                    "block checked"
                );
                self.checked += 1;
                self.bytes += checked.bytes;
                self.samples += checked.samples;
                self.findings.extend(checked.findings);
            }
            Err(e) => {
                self.failed = true;
                tracing::error!(block = %id, err = %e, "block could not be checked, run the command again");
            }
        }
    }
}

fn render(findings: &[Finding], format: Format) -> String {
    match format {
        Format::Json | Format::JsonLines | Format::Yaml => {
            render_values(&findings.iter().map(Finding::value).collect::<Vec<_>>(), format)
        }
        // no findings, no table
        Format::Table | Format::Wide if findings.is_empty() => String::new(),
        format => finding::rows(findings).render(format),
    }
}
