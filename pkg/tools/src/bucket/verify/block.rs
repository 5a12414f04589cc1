//! One block: its files, its index, its chunks, and whether `meta.json` agrees with them.

use std::path::Path;
use std::sync::Arc;

use ::bucket::BlockObjects;
use block::{BlockMeta, IndexReader, META_FILE};
use objstore::Bucket;

use super::super::copy::{blocking, download, temporary};
use super::chunks::{ChunkCheck, ChunkTotals};
use super::finding::{Finding, Findings, Severity};
use super::index::{IndexTotals, check_index};
use crate::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bucket) enum Depth {
    Sizes,
    /// And the index.
    Index,
    /// And every chunk.
    Full,
}

impl Depth {
    pub(super) const WORDS: &'static [&'static str] = &["sizes", "index", "full"];

    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "sizes" => Self::Sizes,
            "index" => Self::Index,
            "full" => Self::Full,
            _ => return None,
        })
    }
}

/// What was read of a block.
#[derive(Debug, Clone, Default)]
pub(in crate::bucket) struct Checked {
    pub(in crate::bucket) findings: Vec<Finding>,
    pub(in crate::bucket) series: u64,
    pub(in crate::bucket) chunks: u64,
    pub(in crate::bucket) samples: u64,
    pub(in crate::bucket) bytes: u64,
}

/// Checks a block.
///
/// # Errors
/// The store failed, or the local disk; then nothing is known.
pub(in crate::bucket) async fn check_block(
    bucket: &Bucket,
    meta: &Arc<BlockMeta>,
    objects: &BlockObjects,
    depth: Depth,
    tmp_dir: &Path,
    findings_max: usize,
) -> Result<Checked, Error> {
    let mut found = Findings::new(meta.ulid, findings_max);
    check_files(meta, objects, &mut found);
    if meta.min_time >= meta.max_time {
        let what = format!("the range from {} to {} is empty", meta.min_time, meta.max_time);
        found.add(Severity::Wrong, META_FILE, None, what);
    }
    let mut checked = Checked { bytes: objects.size_bytes(), ..Checked::default() };
    let index = objects.objects.get("index").filter(|_| depth >= Depth::Index);
    if let Some(object) = index {
        let local = temporary(tmp_dir)?;
        let digest = download(bucket, &object.path, object.size, local.path()).await?;
        compare_hash(meta, "index", &digest, &mut found);
        let (file, meta_of_block) = (local.path().to_owned(), meta.clone());
        let work = move || {
            let opened = block::map_file(&file).and_then(|bytes| IndexReader::open("index", bytes));
            let outcome = opened.map(|index| {
                let totals = check_index(&index, meta_of_block.min_time, meta_of_block.max_time, &mut found);
                (index, totals)
            });
            (outcome, found)
        };
        let (outcome, found_before) = blocking(work).await?;
        found = found_before;
        match outcome {
            Ok((index, totals)) => {
                checked.series = totals.series;
                checked.chunks = totals.chunks;
                let mut of_chunks = None;
                if depth == Depth::Full {
                    let totals = ChunkCheck::new(bucket, meta, objects, &mut found).run(&index).await?;
                    checked.samples = totals.samples;
                    of_chunks = Some(totals);
                }
                compare_counts(meta, totals, of_chunks, &mut found);
            }
            Err(e) => found.add_error("index", e),
        }
    }
    checked.findings = found.finish();
    Ok(checked)
}

fn check_files(meta: &BlockMeta, objects: &BlockObjects, found: &mut Findings) {
    let listed = meta.thanos.as_ref().map(|t| t.files.as_slice()).unwrap_or_default();
    for file in listed.iter().filter(|f| f.rel_path != META_FILE) {
        match objects.objects.get(&file.rel_path) {
            None => found.add(Severity::Damaged, &file.rel_path, None, "is missing"),
            Some(o) if file.size_bytes != 0 && o.size != file.size_bytes => {
                let what = format!("has {} bytes, meta.json says {}", o.size, file.size_bytes);
                found.add(Severity::Damaged, &file.rel_path, None, what);
            }
            Some(_) => {}
        }
    }
    let index_is_listed = listed.iter().any(|f| f.rel_path == "index");
    if !index_is_listed && !objects.objects.contains_key("index") {
        found.add(Severity::Damaged, "index", None, "is missing");
    }
    for path in objects.objects.keys().filter(|path| path.starts_with("chunks/")) {
        if !listed.is_empty() && !listed.iter().any(|f| f.rel_path == **path) {
            found.add(Severity::Note, path, None, "meta.json does not name this file");
        }
    }
}

fn compare_hash(meta: &BlockMeta, file: &str, digest: &str, found: &mut Findings) {
    let listed = meta.thanos.iter().flat_map(|t| &t.files).find(|f| f.rel_path == file);
    let noted = listed.and_then(|f| f.hash.as_ref()).filter(|h| h.hash_func == "SHA256" && h.value != digest);
    if let Some(noted) = noted {
        let what = format!("SHA-256 is {digest}, meta.json says {}", noted.value);
        found.add(Severity::Damaged, file, None, what);
    }
}

fn compare_counts(meta: &BlockMeta, index: IndexTotals, chunks: Option<ChunkTotals>, found: &mut Findings) {
    let counts = [
        ("series", index.series, meta.stats.num_series),
        ("chunks", index.chunks, meta.stats.num_chunks),
        ("samples", chunks.map_or(0, |c| c.samples), if chunks.is_some() { meta.stats.num_samples } else { 0 }),
    ];
    // old writers left counts out
    for (what, there, noted) in counts.into_iter().filter(|(_, there, noted)| *noted != 0 && there != noted) {
        found.add(Severity::Wrong, META_FILE, None, format!("notes {noted} {what}, there are {there}"));
    }
    if let Some(chunks) = chunks.filter(|c| c.records > c.chunks) {
        let what = format!("{} chunks belong to no series", chunks.records - chunks.chunks);
        found.add(Severity::Note, "chunks", None, what);
    }
}
