//! Every series and list of an index.

use block::series::{RawEntry, entry_offset};
use block::{ChunkMeta, IndexReader};
use labels::{LabelHasher, Labels};

use super::finding::{Findings, Severity};

const FILE: &str = "index";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct IndexTotals {
    pub(super) series: u64,
    pub(super) chunks: u64,
}

/// Checks order, bounds and references of `index`, whose block has the range `min_time..max_time`.
pub(super) fn check_index(index: &IndexReader, min_time: i64, max_time: i64, found: &mut Findings) -> IndexTotals {
    let mut totals = IndexTotals::default();
    let ids = match index.all_postings() {
        Ok(ids) => ids,
        Err(e) => {
            found.add_error(FILE, e);
            return totals;
        }
    };
    let mut of_series = PairSum::default();
    let mut raw = RawEntry::default();
    let mut before: Option<Labels> = None;
    for id in &ids {
        totals.series += 1;
        let offset = entry_offset(index.version(), *id);
        if let Err(e) = index.raw_series(*id, &mut raw) {
            found.add_error(FILE, e);
            of_series.broken = true;
            continue;
        }
        totals.chunks += raw.chunks.len() as u64;
        let labels = match index.series(*id) {
            Ok(entry) => entry.labels,
            Err(e) => {
                found.add(Severity::Wrong, FILE, Some(offset), format!("labels of a series: {e}"));
                of_series.broken = true;
                continue;
            }
        };
        if labels.is_empty() {
            found.add(Severity::Wrong, FILE, Some(offset), "a series without labels");
        }
        if let Some(before) = before.as_ref().filter(|b| **b >= labels) {
            let what = format!("series {labels} is not after {before}");
            found.add(Severity::Wrong, FILE, Some(offset), what);
        }
        for (name, value) in labels.iter() {
            of_series.add(pair_hash(name, value), *id);
        }
        check_chunks(&labels, &raw.chunks, min_time, max_time, offset, found);
        before = Some(labels);
    }
    check_postings(index, &of_series, found);
    totals
}

/// Order and bounds of a series' chunks, as far as the index has them.
fn check_chunks(
    labels: &Labels,
    chunks: &[ChunkMeta],
    min_time: i64,
    max_time: i64,
    offset: u64,
    found: &mut Findings,
) {
    let mut wrong = |what: String| found.add(Severity::Wrong, FILE, Some(offset), format!("series {labels}: {what}"));
    if chunks.is_empty() {
        wrong("has no chunks".to_owned());
    }
    let (mut outside, mut beyond, mut out_of_order, mut twice) = (0, 0, 0, 0);
    for chunk in chunks {
        if chunk.min_time > chunk.max_time {
            wrong(format!("a chunk from {} to {}", chunk.min_time, chunk.max_time));
        }
        // a chunk that ends right at the block's end is let through, as by Thanos
        if chunk.min_time > max_time || chunk.max_time < min_time {
            beyond += 1;
        } else if chunk.min_time < min_time || chunk.max_time > max_time {
            outside += 1;
        }
    }
    for pair in chunks.windows(2) {
        if pair[1].min_time > pair[0].max_time {
            continue;
        }
        match (pair[0].min_time, pair[0].max_time) == (pair[1].min_time, pair[1].max_time) {
            true => twice += 1,
            false => out_of_order += 1,
        }
    }
    for (count, what) in [
        (outside, "reach beyond the block's range"),
        (beyond, "lie outside of the block's range"),
        (out_of_order, "are out of order or overlap the one before"),
        (twice, "have the range of the one before"),
    ] {
        if count > 0 {
            wrong(format!("{count} of {} chunks {what}", chunks.len()));
        }
    }
}

/// A sum over (label pair, series) that does not depend on the order: lists and series must come to the same.
#[derive(Debug, Default, PartialEq, Eq)]
struct PairSum {
    sum: u64,
    count: u64,
    /// Some could not be read.
    broken: bool,
}

impl PairSum {
    fn add(&mut self, pair: u64, id: u32) {
        let mut x = pair ^ u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.sum = self.sum.wrapping_add(x ^ x >> 32);
        self.count += 1;
    }
}

fn pair_hash(name: &str, value: &str) -> u64 {
    let mut hasher = LabelHasher::new();
    hasher.add(name, value);
    hasher.finish()
}

/// Every list of the postings offset table, and all of them together against the series.
fn check_postings(index: &IndexReader, of_series: &PairSum, found: &mut Findings) {
    let table = index.postings_table();
    let mut of_lists = PairSum::default();
    for name in table.label_names() {
        let outcome = table.each_value(name, "", |value, range| match index.postings(range) {
            Ok(ids) => {
                let pair = pair_hash(name, value);
                ids.iter().for_each(|id| of_lists.add(pair, *id));
            }
            Err(e) => {
                of_lists.broken = true;
                found.add_error(FILE, e);
            }
        });
        if let Err(e) = outcome {
            of_lists.broken = true;
            found.add_error(FILE, e);
        }
    }
    if of_series.broken || of_lists.broken || *of_series == of_lists {
        return;
    }
    let what = format!(
        "postings do not list the series as they are: {} entries, {} label pairs of series",
        of_lists.count, of_series.count
    );
    found.add(Severity::Wrong, FILE, None, what);
    name_false_postings(index, found);
}

/// The slow way: which lists hold a series without their pair.
fn name_false_postings(index: &IndexReader, found: &mut Findings) {
    let table = index.postings_table();
    for name in table.label_names() {
        let outcome = table.each_value(name, "", |value, range| {
            let at = range.start;
            let holds = |id: &u32| index.series(*id).is_ok_and(|s| s.labels.value(name) == value);
            match index.postings(range) {
                Ok(ids) if ids.iter().all(holds) => {}
                Ok(_) => {
                    let what = format!("list of {name}={value:?} holds series without this pair");
                    found.add(Severity::Wrong, FILE, Some(at), what);
                }
                Err(e) => found.add_error(FILE, e),
            }
        });
        if let Err(e) = outcome {
            found.add_error(FILE, e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(min_time: i64, max_time: i64) -> ChunkMeta {
        ChunkMeta { min_time, max_time, reference: 0 }
    }

    #[test]
    fn chunks_of_a_series() {
        for (chunks, whats) in [
            (&[(0, 9), (10, 99)][..], &[][..]),
            (&[(0, 100)], &[]),
            (&[], &["has no chunks"]),
            (&[(0, 101)], &["1 of 1 chunks reach beyond"]),
            (&[(-5, -1), (0, 9), (101, 105)], &["2 of 3 chunks lie outside"]),
            (&[(0, 9), (0, 9), (10, 20)], &["1 of 3 chunks have the range of the one before"]),
            (&[(0, 9), (5, 20)], &["1 of 2 chunks are out of order"]),
            (&[(10, 20), (0, 9)], &["1 of 2 chunks are out of order"]),
            (&[(9, 0)], &["a chunk from 9 to 0"]),
        ] {
            let mut found = Findings::new(block::BlockId::default(), 10);
            let chunks: Vec<_> = chunks.iter().map(|(min, max)| chunk(*min, *max)).collect();
            check_chunks(&Labels::from_pairs([("a", "b")]), &chunks, 0, 100, 7, &mut found);
            let found: Vec<String> = found.finish().into_iter().map(|f| f.what).collect();
            assert_eq!(found.len(), whats.len(), "{chunks:?}: {found:?}");
            for (found, what) in found.iter().zip(whats) {
                assert!(found.starts_with("series {a=\"b\"}: ") && found.contains(what), "{chunks:?}: {found}");
            }
        }
    }
}
