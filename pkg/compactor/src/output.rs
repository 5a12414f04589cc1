//! What new blocks are called: their metas, as Thanos writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::meta::{BlockDesc, Compaction, DeletionInterval, Rewrite, ThanosMeta};
use block::{BlockId, BlockMeta};
use bucket::deletions::{SINCE_KEY, since_ms};
pub use bucket::lineage::sources;
use serde_json::{Map, Value};

/// `thanos.source` of all blocks made here.
pub const SOURCE: &str = "compactor";
/// The key in the `thanos` section of blocks of which one is a part.
const SPLIT_KEY: &str = "aion_split";
/// How the ids of deletions begin that retention asked for.
pub const RETENTION_PREFIX: &str = "retention:";
const OUT_OF_ORDER: &str = "from-out-of-order";

/// The meta of the block that `inputs` (at least one) are merged into. Counts and files are left for the engine.
pub fn compacted(id: BlockId, inputs: &[Arc<BlockMeta>], labels: &BTreeMap<String, String>) -> BlockMeta {
    let metas = || inputs.iter().map(|m| &**m);
    let hints = |meta: &BlockMeta| meta.compaction.hints.iter().cloned().collect::<BTreeSet<String>>();
    let mut all_hints: BTreeSet<String> = metas().flat_map(hints).collect();
    // A block counts as out of order only if all inputs do.
    if !metas().all(|m| hints(m).contains(OUT_OF_ORDER)) {
        all_hints.remove(OUT_OF_ORDER);
    }
    let sources: BTreeSet<BlockId> = metas().flat_map(self::sources).collect();
    let mut extra = Map::new();
    let since = metas().filter_map(|m| m.thanos.as_ref()?.extra.get(SINCE_KEY)?.as_i64()).min();
    if let Some(since) = since {
        extra.insert(SINCE_KEY.to_owned(), since.into());
    }
    BlockMeta {
        ulid: id,
        min_time: metas().map(|m| m.min_time).min().unwrap_or_default(),
        max_time: metas().map(|m| m.max_time).max().unwrap_or_default(),
        compaction: Compaction {
            level: metas().map(|m| m.compaction.level).max().unwrap_or_default().saturating_add(1),
            sources: sources.into_iter().collect(),
            parents: metas().map(|m| BlockDesc { ulid: m.ulid, min_time: m.min_time, max_time: m.max_time }).collect(),
            hints: all_hints.into_iter().collect(),
            ..Compaction::default()
        },
        version: 1,
        thanos: Some(ThanosMeta {
            version: 1,
            labels: labels.clone(),
            downsample: inputs
                .first()
                .and_then(|m| m.thanos.as_ref())
                .map(|t| t.downsample.clone())
                .unwrap_or_default(),
            source: SOURCE.to_owned(),
            rewrites: rewrites(inputs),
            extensions: extensions(inputs),
            extra,
            ..ThanosMeta::default()
        }),
        ..BlockMeta::default()
    }
}

/// The meta of the downsampled `input`: all but id, resolution and what the engine fills in stays.
pub fn downsampled(id: BlockId, input: &BlockMeta, resolution_ms: i64) -> BlockMeta {
    let mut meta = renamed(id, input);
    if let Some(thanos) = &mut meta.thanos {
        thanos.downsample.resolution = resolution_ms;
    }
    meta
}

/// The meta of `input` with something taken out of it.
pub fn rewritten(id: BlockId, input: &BlockMeta, labels: &BTreeMap<String, String>, rewrite: Rewrite) -> BlockMeta {
    let mut meta = renamed(id, input);
    meta.compaction.parents = vec![BlockDesc { ulid: input.ulid, min_time: input.min_time, max_time: input.max_time }];
    if let Some(thanos) = &mut meta.thanos {
        labels.clone_into(&mut thanos.labels);
        thanos.rewrites.push(rewrite);
    }
    meta
}

fn renamed(id: BlockId, input: &BlockMeta) -> BlockMeta {
    let mut meta = input.clone();
    meta.ulid = id;
    meta.stats = Default::default();
    meta.compaction.sources = sources(input).into_iter().collect();
    let thanos = meta.thanos.get_or_insert_default();
    thanos.version = 1;
    SOURCE.clone_into(&mut thanos.source);
    thanos.segment_files = Vec::new();
    thanos.files = Vec::new();
    thanos.index_stats = Default::default();
    thanos.upload_time = ThanosMeta::default().upload_time;
    meta
}

/// The rewrites of the inputs that hold for the output too.
///
/// A deletion by retention holds only if it was applied to all inputs. A deletion on request holds if each input had it
/// applied, was made after the request, or has none of the requested time: the listing of the request may have been late, so
/// an input may still contain the series.
fn rewrites(inputs: &[Arc<BlockMeta>]) -> Vec<Rewrite> {
    let of = |m: &Arc<BlockMeta>| m.thanos.as_ref().map(|t| t.rewrites.clone()).unwrap_or_default();
    let applied =
        |m: &Arc<BlockMeta>, id: &str| of(m).iter().flat_map(|r| &r.deletions_applied).any(|d| d.request_id == id);
    let mut all: Vec<Rewrite> = Vec::new();
    for mut rewrite in inputs.iter().flat_map(of) {
        rewrite.deletions_applied.retain(|d| {
            let asked_ms = BlockId::parse(&d.request_id).ok().map(|id| id.time_ms());
            let is_outside = |m: &BlockMeta, i: &DeletionInterval| m.min_time > i.max_time || m.max_time <= i.min_time;
            let is_kept = |m: &Arc<BlockMeta>| {
                applied(m, &d.request_id)
                    || asked_ms.is_some_and(|ms| since_ms(m) > ms)
                    || !d.intervals.is_empty() && d.intervals.iter().all(|i| is_outside(m, i))
            };
            let is_unknown = asked_ms.is_none() && !d.request_id.starts_with(RETENTION_PREFIX);
            is_unknown || inputs.iter().all(is_kept)
        });
        let empty = rewrite.deletions_applied.is_empty() && rewrite.relabels_applied.is_empty();
        if !empty && !all.contains(&rewrite) {
            all.push(rewrite);
        }
    }
    all
}

/// For each set of series that retention deleted from some of `blocks`: the blocks from which it did not delete that set.
///
/// Only blocks with the same deletions are merged with one another. The deleted series are kept in a downsampled block of
/// the same sources. A merge with blocks that still have the series would have sources that no downsampled block covers.
/// So it would be downsampled again, and the result, without the deleted series, would replace the downsampled block that
/// has them.
pub fn apart(blocks: &[Arc<BlockMeta>]) -> Vec<BTreeSet<BlockId>> {
    let mut sets: BTreeMap<BTreeSet<&str>, BTreeSet<BlockId>> = BTreeMap::new();
    for meta in blocks {
        let applied = meta.thanos.iter().flat_map(|t| &t.rewrites).flat_map(|r| &r.deletions_applied);
        let ids = applied.map(|d| d.request_id.as_str()).filter(|id| id.starts_with(RETENTION_PREFIX)).collect();
        sets.entry(ids).or_default().insert(meta.ulid);
    }
    let others = |set: &BTreeSet<BlockId>| blocks.iter().map(|m| m.ulid).filter(|id| !set.contains(id)).collect();
    sets.values().map(others).collect()
}

/// The first input's extensions as far as all inputs have them.
fn extensions(inputs: &[Arc<BlockMeta>]) -> Option<Value> {
    let of = |m: &Arc<BlockMeta>| m.thanos.as_ref().and_then(|t| t.extensions.as_ref()?.as_object().cloned());
    let mut kept = of(inputs.first()?)?;
    for other in &inputs[1..] {
        let other = of(other).unwrap_or_default();
        kept.retain(|key, _| other.contains_key(key));
    }
    if kept.is_empty() { None } else { Some(Value::Object(kept)) }
}

/// Notes on each of `outputs` that only together they are the whole, and names their sources so that no reader takes one
/// for a duplicate of another: the last has the common sources and itself, the others only themselves. Made visible in
/// this order, the inputs count as duplicates when all parts are there, not before.
pub fn split(outputs: &mut [BlockMeta]) {
    let parts: Vec<BlockId> = outputs.iter().map(|m| m.ulid).collect();
    let last = parts.len().saturating_sub(1);
    for (at, meta) in outputs.iter_mut().enumerate() {
        let since_ms = since_ms(meta);
        let mut sources = if at == last { sources(meta) } else { BTreeSet::new() };
        sources.insert(meta.ulid);
        meta.compaction.sources = sources.into_iter().collect();
        let parts = parts.iter().map(|p| Value::String(p.to_string())).collect();
        let thanos = meta.thanos.get_or_insert_default();
        thanos.extra.insert(SPLIT_KEY.to_owned(), Value::Array(parts));
        thanos.extra.insert(SINCE_KEY.to_owned(), since_ms.into());
    }
}

/// All parts of the whole that a block is one part of. Each is among its own sources, and so among those of whatever it
/// is merged or rewritten into.
pub fn parts(meta: &BlockMeta) -> Vec<BlockId> {
    let noted = meta.thanos.as_ref().and_then(|t| t.extra.get(SPLIT_KEY)?.as_array());
    noted.into_iter().flatten().filter_map(|p| BlockId::parse(p.as_str()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> BlockId {
        BlockId::new(n, 0)
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn input(n: u64, min_time: i64, max_time: i64, level: u32, from: &[u64], hints: &[&str]) -> BlockMeta {
        BlockMeta {
            ulid: id(n),
            min_time,
            max_time,
            version: 1,
            compaction: Compaction {
                level,
                sources: from.iter().map(|n| id(*n)).collect(),
                hints: hints.iter().map(|h| (*h).to_owned()).collect(),
                ..Compaction::default()
            },
            thanos: Some(ThanosMeta { version: 1, source: "sidecar".to_owned(), ..ThanosMeta::default() }),
            ..BlockMeta::default()
        }
    }

    #[test]
    fn compacted_as_thanos_does() {
        let inputs = [
            Arc::new(input(9, 0, 10, 2, &[1, 3], &["from-out-of-order", "from-stale-series"])),
            Arc::new(input(8, 5, 30, 1, &[2], &[])),
            Arc::new(input(7, 5, 20, 1, &[], &[])),
        ];
        let meta = compacted(id(100), &inputs, &labels(&[("cluster", "a")]));
        let mut thanos = meta.thanos.clone().unwrap();
        assert_eq!((meta.min_time, meta.max_time, meta.compaction.level, meta.version), (0, 30, 3, 1));
        assert_eq!(meta.compaction.sources, [id(1), id(2), id(3), id(7)]);
        assert_eq!(meta.compaction.parents.iter().map(|p| p.ulid).collect::<Vec<_>>(), [id(9), id(8), id(7)]);
        assert_eq!(meta.compaction.hints, ["from-stale-series"]);
        assert_eq!((thanos.source.as_str(), thanos.labels.len(), thanos.version), ("compactor", 1, 1));
        thanos.set_upload_time_ms(0);
        let all =
            [Arc::new(input(1, 0, 1, 1, &[1], &[OUT_OF_ORDER])), Arc::new(input(2, 1, 2, 1, &[2], &[OUT_OF_ORDER]))];
        assert_eq!(compacted(id(3), &all, &labels(&[])).compaction.hints, [OUT_OF_ORDER]);
    }

    #[test]
    fn extensions_that_all_have() {
        for (a, b, want) in [
            (r#"{"foo":"bar"}"#, r#"{"foo":"bar","x":1}"#, Some(r#"{"foo":"bar"}"#)),
            ("{}", r#"{"foo":"bar"}"#, None),
            ("null", r#"{"foo":"bar"}"#, None),
        ] {
            let block = |n, text: &str| {
                let mut meta = input(n, 0, 1, 1, &[n], &[]);
                meta.thanos.as_mut().unwrap().extensions = serde_json::from_str(text).unwrap();
                Arc::new(meta)
            };
            let got = compacted(id(3), &[block(1, a), block(2, b)], &labels(&[])).thanos.unwrap().extensions;
            assert_eq!(got.map(|v| v.to_string()).as_deref(), want);
        }
    }

    #[test]
    fn downsampled_keeps_ancestry() {
        let raw = input(9, 0, 10, 3, &[1, 2], &[]);
        let coarse = downsampled(id(10), &raw, 300_000);
        assert_eq!((coarse.resolution_ms(), &coarse.compaction), (300_000, &raw.compaction));
        assert_eq!((coarse.min_time, coarse.max_time, coarse.ulid), (0, 10, id(10)));
        // an old block without sources is its own
        assert_eq!(downsampled(id(10), &input(9, 0, 10, 1, &[], &[]), 1).compaction.sources, [id(9)]);
    }

    #[test]
    fn parts_are_no_duplicates_of_each_other() {
        let mut outputs = [input(5, 0, 10, 2, &[1, 2], &[]), input(6, 0, 10, 2, &[1, 2], &[])];
        split(&mut outputs);
        assert_eq!(outputs[0].compaction.sources, [id(5)]);
        assert_eq!(outputs[1].compaction.sources, [id(1), id(2), id(6)]);
        let again = BlockMeta::parse("m", &outputs[0].to_json()).unwrap();
        assert_eq!((parts(&again), since_ms(&again)), (vec![id(5), id(6)], 1));
        let whole = compacted(id(9), &[Arc::new(again)], &labels(&[]));
        assert_eq!((parts(&whole), since_ms(&whole)), (vec![], 1));
    }

    #[test]
    fn what_retention_took_out_keeps_blocks_apart() {
        let block = |n: u64, applied: &[&str]| {
            let mut meta = input(n, 0, 10, 1, &[n], &[]);
            let deletion = |id: &&str| block::meta::Deletion { request_id: (*id).to_owned(), ..Default::default() };
            let deletions_applied = applied.iter().map(deletion).collect();
            meta.thanos.as_mut().unwrap().rewrites = vec![Rewrite { deletions_applied, ..Rewrite::default() }];
            Arc::new(meta)
        };
        let of = |blocks: &[Arc<BlockMeta>]| -> Vec<Vec<u64>> {
            apart(blocks).iter().map(|ids| ids.iter().map(|id| id.time_ms() as u64).collect()).collect()
        };
        let request = "01HF3DC4G00000000000000007";
        assert_eq!(of(&[]), [[0; 0]; 0]);
        assert_eq!(of(&[block(1, &[]), block(2, &[request])]), [[0; 0]]);
        let z = "retention:z";
        assert_eq!(of(&[block(1, &[z]), block(2, &[request]), block(3, &[request, z])]), [&[1, 3][..], &[2]]);
    }

    #[test]
    fn what_was_asked_for_counts_when_no_input_is_left_to_do() {
        let asked = BlockId::new(50, 0).to_string();
        let block = |made: u64, min_time: i64, ids: &[&str]| {
            let mut meta = input(made, min_time, min_time + 10, 1, &[made], &[]);
            let deletion = |id: &&str| block::meta::Deletion {
                request_id: (*id).to_owned(),
                intervals: vec![DeletionInterval { min_time: 0, max_time: 15 }],
                ..Default::default()
            };
            let deletions_applied = ids.iter().map(deletion).collect();
            meta.thanos.as_mut().unwrap().rewrites = vec![Rewrite { deletions_applied, ..Rewrite::default() }];
            Arc::new(meta)
        };
        for (what, other, want) in [
            ("applied too", block(2, 10, &[&asked]), 1),
            ("made later", block(51, 10, &[]), 1),
            ("of another time", block(2, 16, &[]), 1),
            ("not reached yet", block(2, 10, &[]), 0),
        ] {
            assert_eq!(rewrites(&[block(1, 0, &[&asked]), other]).len(), want, "{what}");
        }
        // not ours, so that nobody would do it again
        assert_eq!(rewrites(&[block(1, 0, &["by hand"]), block(2, 10, &[])]).len(), 1);
    }
}
