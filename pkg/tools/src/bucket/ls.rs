//! `tools bucket ls`: the blocks, in a form for programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::bucket::{Filters, View};
use block::{BlockId, BlockMeta};
use flags::{Flag, Parsed};
use serde_json::{Value, json};
use service::tool::{Deps, Verdict};

use super::common::{self, SELECTOR, TIMES};
use super::inspect;
use crate::Error;
use crate::output::{Format, Template, format_duration, format_time_s, render_values};

pub(super) const ABOUT: &str = "List all blocks in the bucket.";
pub(super) const SHORTS: &[(char, &str)] = &[('o', "output")];
pub(super) const FLAGS: &[&[Flag]] = &[
    SELECTOR,
    &[
        Flag::text(
            "output",
            "",
            "Format in which to print each block's information (-o): nothing for the ids, 'json' for one JSON object after another, 'jsonl' for one JSON object a line, 'json-array' for one JSON document, 'yaml', 'wide' for a line of text, 'table', 'csv', 'tsv', or a Go template such as '{{.ULID}} {{.Thanos.Labels.cluster}}'.",
        ),
        Flag::switch("exclude-delete", "Exclude blocks marked for deletion."),
    ],
    TIMES,
    &[Flag::duration("timeout", "5m", "Timeout to download metadata from remote storage.")],
];

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let output = parsed.text("output");
    let template = match output {
        "" | "json" | "json-array" | "jsonl" | "wide" | "yaml" | "table" | "csv" | "tsv" => None,
        text => Some(Template::parse(text).map_err(|e| Error::Usage(format!("--output: {e}")))?),
    };
    let now_ms = deps.clock.now_ms();
    let filters = Filters {
        time: Some(common::times(parsed, now_ms)?),
        shard: ::bucket::flags::selector(parsed)?,
        ignore_deletion_marks_delay_ms: parsed.switch("exclude-delete").then_some(0),
        ..Filters::default()
    };
    let bucket = common::open_bucket(parsed, deps)?;
    let view = common::view(&bucket, 32, parsed.duration_ms("timeout"), deps).await?;
    let mut blocks = filters.apply(&view, now_ms).kept;
    if parsed.switch("exclude-delete") {
        // a mark of this very moment counts too
        blocks.retain(|id, _| !view.deletion_marks.contains_key(id));
    }
    let text = match &template {
        Some(template) => {
            let line = |meta: &Arc<BlockMeta>| template.render(&go_value(meta)).map(|line| line + "\n");
            let lines: Result<String, _> = blocks.values().map(line).collect();
            lines.map_err(|e| Error::Usage(format!("--output: {e}")))?
        }
        None => render(&blocks, &view, output),
    };
    deps.print(&text)?;
    tracing::info!(objects = blocks.len(), "ls done");
    Ok(Verdict::of(common::warn_of_unknown(&view)))
}

fn render(blocks: &BTreeMap<BlockId, Arc<BlockMeta>>, view: &View, output: &str) -> String {
    let values = || -> Vec<Value> {
        // a meta has a JSON form: it came from one
        blocks.values().map(|meta| serde_json::to_value(&**meta).unwrap_or_default()).collect()
    };
    match output {
        "" => blocks.keys().map(|id| format!("{id}\n")).collect(),
        "wide" => blocks.values().map(|meta| wide(meta)).collect(),
        "json" => {
            let text = |meta: &Arc<BlockMeta>| String::from_utf8_lossy(&meta.to_json()).trim_end().to_owned() + "\n";
            blocks.values().map(text).collect()
        }
        "json-array" => render_values(&values(), Format::Json),
        "jsonl" => render_values(&values(), Format::JsonLines),
        "yaml" => render_values(&values(), Format::Yaml),
        other => {
            let format = Format::parse(other).unwrap_or(Format::Table);
            inspect::rows(blocks.values(), view, format).render(format)
        }
    }
}

fn wide(meta: &BlockMeta) -> String {
    let seconds = |ms: i64| ms / 1000 * 1000;
    let span = seconds(meta.max_time) - seconds(meta.min_time);
    format!(
        "{} -- {} - {} Diff: {}, Compaction: {}, Downsample: {}, Source: {}\n",
        meta.ulid,
        format_time_s(meta.min_time),
        format_time_s(meta.max_time),
        format_duration(span),
        meta.compaction.level,
        meta.resolution_ms(),
        meta.thanos.as_ref().map_or("", |t| t.source.as_str()),
    )
}

/// The meta under the names of Go's fields, which templates use.
fn go_value(meta: &BlockMeta) -> Value {
    let ids = |ids: &[BlockId]| -> Vec<String> { ids.iter().map(BlockId::to_string).collect() };
    let thanos = meta.thanos.clone().unwrap_or_default();
    let parents: Vec<Value> = meta
        .compaction
        .parents
        .iter()
        .map(|p| json!({"ULID": p.ulid.to_string(), "MinTime": p.min_time, "MaxTime": p.max_time}))
        .collect();
    let files: Vec<Value> = thanos
        .files
        .iter()
        .map(|f| {
            let hash = f.hash.as_ref().map(|h| json!({"Func": h.hash_func, "Value": h.value}));
            json!({"RelPath": f.rel_path, "SizeBytes": f.size_bytes, "Hash": hash})
        })
        .collect();
    json!({
        "ULID": meta.ulid.to_string(),
        "MinTime": meta.min_time,
        "MaxTime": meta.max_time,
        "Stats": {
            "NumSamples": meta.stats.num_samples,
            "NumFloatSamples": meta.stats.num_float_samples,
            "NumHistogramSamples": meta.stats.num_histogram_samples,
            "NumSeries": meta.stats.num_series,
            "NumChunks": meta.stats.num_chunks,
            "NumTombstones": meta.stats.num_tombstones,
        },
        "Compaction": {
            "Level": meta.compaction.level,
            "Sources": ids(&meta.compaction.sources),
            "Deletable": meta.compaction.deletable,
            "Parents": parents,
            "Failed": meta.compaction.failed,
            "Hints": meta.compaction.hints,
        },
        "Version": meta.version,
        "Thanos": {
            "Version": thanos.version,
            "Labels": thanos.labels,
            "Downsample": {"Resolution": thanos.downsample.resolution},
            "Source": thanos.source,
            "SegmentFiles": thanos.segment_files,
            "Files": files,
            "Rewrites": serde_json::to_value(&thanos.rewrites).unwrap_or_default(),
            "IndexStats": {
                "SeriesMaxSize": thanos.index_stats.series_max_size,
                "ChunkMaxSize": thanos.index_stats.chunk_max_size,
            },
            "Extensions": thanos.extensions,
            "UploadTime": thanos.upload_time,
        },
    })
}
