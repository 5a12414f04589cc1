//! `aion tools tsdb analyze`: which labels make a block large.

use std::collections::HashMap;

use block::{BlockId, LocalBlock};
use chunkenc::{Encoding, HistogramColumn};
use flags::{Flag, Parsed};
use labels::METRIC_NAME;
use service::tool::Deps;

use super::super::common::Outcome;
use super::spread::spread;
use super::{matchers, open};
use crate::Error;
use crate::output::format_duration;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::count("limit", "20", "How many items to show in each list."),
    Flag::switch("extended", "Run extended analysis."),
    Flag::text("match", "", "Series selector to analyze. Only 1 set of matchers is supported now."),
];

/// What is known of a label or of a pair.
#[derive(Debug, Default, Clone, Copy)]
struct Use {
    series: u64,
    /// Of the block's time, what its series do not cover, ms.
    uncovered_ms: u64,
}

#[derive(Default)]
struct Counted {
    names: HashMap<String, Use>,
    pairs: HashMap<(String, String), Use>,
    entries: u64,
}

pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let opened = open(parsed, false, deps)?;
    let wanted = match parsed.args().get(1) {
        Some(text) => Some(BlockId::parse(text).map_err(|e| Error::Usage(e.to_string()))?),
        None => opened.blocks().map(|(block, _)| block.meta().ulid).max(),
    };
    let wanted = wanted.ok_or_else(|| Error::Failed("no blocks found".to_owned()))?;
    let block = opened.blocks().map(|(block, _)| block).find(|block| block.meta().ulid == wanted);
    let block = block.ok_or_else(|| Error::Failed(format!("block {wanted} not found")))?;
    let limit = usize::try_from(parsed.count("limit")).unwrap_or(usize::MAX);
    let text = analyze(block, parsed.text("match"), limit, parsed.switch("extended"))?;
    deps.print(&text)?;
    Ok(0)
}

fn analyze(block: &LocalBlock, selector: &str, limit: usize, extended: bool) -> Result<String, Error> {
    let (meta, index) = (block.meta(), block.index());
    let length_ms = meta.max_time.saturating_sub(meta.min_time).max(1) as u64;
    let mut out = format!(
        "Block ID: {}\nDuration: {}\nTotal Series: {}\n",
        meta.ulid,
        format_duration(meta.max_time.saturating_sub(meta.min_time)),
        meta.stats.num_series
    );
    let ids = match selector {
        "" => index.all_postings()?,
        selector => {
            out += &format!("Matcher: {selector}\n");
            index.expand(&matchers(selector)?)?
        }
    };
    let counted = count(block, &ids, length_ms)?;
    out += &format!("Label names: {}\n", counted.names.len());
    if !selector.is_empty() {
        out += &format!("Matched series: {}\n", ids.len());
    }
    out += &format!("Postings (unique label pairs): {}\n", counted.pairs.len());
    out += &format!("Postings entries (total label pairs): {}\n", counted.entries);
    let share = |known: &Use| (known.uncovered_ms as f64 / length_ms as f64) as u64;
    let pair = |(name, value): &(String, String)| format!("{name}={value}");
    let pairs = || counted.pairs.iter();
    // Distinct values of each name, and their bytes.
    let mut values: HashMap<&str, (u64, u64)> = HashMap::new();
    for (name, value) in counted.pairs.keys() {
        let known = values.entry(name).or_default();
        *known = (known.0 + 1, known.1 + value.len() as u64);
    }
    let lists: [(&str, Vec<(u64, String)>); 6] = [
        ("Label pairs most involved in churning", pairs().map(|(p, u)| (share(u), pair(p))).collect()),
        (
            "Label names most involved in churning",
            counted.names.iter().map(|(name, known)| (share(known), name.clone())).collect(),
        ),
        ("Most common label pairs", pairs().map(|(p, u)| (u.series, pair(p))).collect()),
        (
            "Label names with highest cumulative label value length",
            values.iter().map(|(name, (_, bytes))| (*bytes, (*name).to_owned())).collect(),
        ),
        ("Highest cardinality labels", values.iter().map(|(name, (count, _))| (*count, (*name).to_owned())).collect()),
        (
            "Highest cardinality metric names",
            pairs().filter(|((name, _), _)| name == METRIC_NAME).map(|((_, v), u)| (u.series, v.clone())).collect(),
        ),
    ];
    for (title, list) in lists {
        out += &format!("\n{title}:\n");
        out += &top(list, limit);
    }
    if extended {
        out += &chunks(block, &ids)?;
    }
    Ok(out)
}

fn count(block: &LocalBlock, ids: &[u32], length_ms: u64) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    for id in ids {
        let entry = block.index().series(*id)?;
        let covered = entry.chunks.first().zip(entry.chunks.last());
        let covered_ms = covered.map_or(0, |(first, last)| last.max_time.saturating_sub(first.min_time).max(0) as u64);
        let uncovered_ms = length_ms.saturating_sub(covered_ms);
        let mut add = |known: &mut Use| {
            known.series += 1;
            known.uncovered_ms = known.uncovered_ms.saturating_add(uncovered_ms);
        };
        for (name, value) in entry.labels.iter() {
            counted.entries += 1;
            if !counted.names.contains_key(name) {
                counted.names.insert(name.to_owned(), Use::default());
            }
            counted.names.get_mut(name).into_iter().for_each(&mut add);
            add(counted.pairs.entry((name.to_owned(), value.to_owned())).or_default());
        }
    }
    Ok(counted)
}

/// The largest, then by name.
fn top(mut list: Vec<(u64, String)>, limit: usize) -> String {
    list.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    list.into_iter().take(limit).map(|(number, name)| format!("{number} {name}\n")).collect()
}

/// How full chunks are.
fn chunks(block: &LocalBlock, ids: &[u32]) -> Result<String, Error> {
    let (mut floats, mut histograms, mut buckets) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()), Vec::new());
    let mut total = 0;
    for id in ids {
        for meta in block.index().series(*id)?.chunks {
            let (encoding, data) = block.chunks().chunk(meta)?;
            let corrupt = |e: chunkenc::Error| Error::Failed(format!("block {}: {e}", block.meta().ulid));
            total += 1;
            if encoding == Encoding::Aggregates {
                continue;
            }
            let samples = chunkenc::num_samples(encoding, &data).map_err(corrupt)? as u64;
            if encoding.is_float() {
                floats.0.push(samples);
                floats.1.push(data.len() as u64);
            } else {
                histograms.0.push(samples);
                histograms.1.push(data.len() as u64);
                let mut column = HistogramColumn::default();
                chunkenc::decode_histograms(encoding, &data, &mut column).map_err(corrupt)?;
                let used = column.values.iter().map(|h| h.positive_buckets.len() + h.negative_buckets.len());
                buckets.push(used.sum::<usize>() as u64);
            }
        }
    }
    let mut out = "\nCompaction analysis:\n\n".to_owned();
    for (what, numbers) in [
        ("samples per float chunk", floats.0),
        ("bytes per float chunk", floats.1),
        ("samples per histogram chunk", histograms.0),
        ("bytes per histogram chunk", histograms.1),
        ("buckets per histogram chunk", buckets),
    ] {
        out += &spread(what, numbers, total);
    }
    Ok(out)
}
