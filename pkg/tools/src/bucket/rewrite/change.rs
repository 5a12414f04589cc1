//! What a rewrite changes, series by series, as the index has it: no chunk is read. The lines are those of Thanos'
//! change log.

use std::fmt;
use std::sync::Arc;

use block::{BlockMeta, ChunkMeta, IndexReader};
use labels::Labels;
use model::TimeRange;

use super::config::Changes;
use crate::Error;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Relabelled(Labels, Labels),
    /// It, or some of its times, go.
    Deleted(Labels, Vec<TimeRange>),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relabelled(old, new) => write!(f, "Relabelled {old} {new}"),
            Self::Deleted(labels, ranges) => {
                let ranges: Vec<String> = ranges.iter().map(|r| format!("{{{} {}}}", r.min, r.max)).collect();
                write!(f, "Deleted {labels} [{}]", ranges.join(" "))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    series: u64,
    relabelled: u64,
    deleted: u64,
    cut: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { series, relabelled, deleted, cut } = self;
        write!(f, "of {series} series {relabelled} get other labels, {deleted} go, {cut} lose samples")
    }
}

/// Tells every change to `sink`.
///
/// # Errors
/// A corrupt index, and those of `sink`.
pub(super) fn each_change(
    index: &IndexReader,
    meta: &Arc<BlockMeta>,
    changes: &Changes,
    mut sink: impl FnMut(Change) -> Result<(), Error>,
) -> Result<Summary, Error> {
    let external = Labels::from_pairs(changes.as_matched(meta).thanos.iter().flat_map(|t| &t.labels));
    let mut summary = Summary::default();
    for id in index.all_postings()? {
        let entry = index.series(id)?;
        summary.series += 1;
        let mut labels = entry.labels;
        if !changes.rules.is_empty() {
            match relabel::apply(&changes.rules, &labels).filter(|new| !new.is_empty()) {
                None => {
                    summary.deleted += 1;
                    sink(Change::Deleted(labels, whole(&entry.chunks)))?;
                    continue;
                }
                Some(new) if new != labels => {
                    summary.relabelled += 1;
                    sink(Change::Relabelled(labels, new.clone()))?;
                    labels = new;
                }
                Some(_) => {}
            }
        }
        let matched = labels.overlay(&external);
        let meant = changes.deletions.iter().filter(|d| d.matchers.iter().all(|m| m.matches(matched.value(m.name()))));
        let mut ranges = Vec::new();
        let mut all = false;
        for deletion in meant {
            all |= deletion.ranges.is_empty();
            ranges.extend_from_slice(&deletion.ranges);
        }
        let gone = if all { whole(&entry.chunks) } else { cut(&entry.chunks, &ranges) };
        if gone.is_empty() {
            continue;
        }
        let everything = all || entry.chunks.iter().all(|c| covered(c, &join(ranges.clone())));
        if everything {
            summary.deleted += 1;
        } else {
            summary.cut += 1;
        }
        sink(Change::Deleted(labels, gone))?;
    }
    Ok(summary)
}

/// From the first sample to the last.
fn whole(chunks: &[ChunkMeta]) -> Vec<TimeRange> {
    match (chunks.first(), chunks.last()) {
        (Some(first), Some(last)) => vec![TimeRange::new(first.min_time, last.max_time)],
        _ => Vec::new(),
    }
}

/// What of `ranges` lies within chunks.
fn cut(chunks: &[ChunkMeta], ranges: &[TimeRange]) -> Vec<TimeRange> {
    let ranges = join(ranges.to_vec());
    let mut out = Vec::new();
    for chunk in chunks {
        for range in ranges.iter().filter(|r| r.min <= chunk.max_time && chunk.min_time <= r.max) {
            out.push(TimeRange::new(range.min.max(chunk.min_time), range.max.min(chunk.max_time)));
        }
    }
    join(out)
}

fn covered(chunk: &ChunkMeta, ranges: &[TimeRange]) -> bool {
    ranges.iter().any(|r| r.min <= chunk.min_time && chunk.max_time <= r.max)
}

/// Sorted, those that touch made one.
fn join(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_unstable_by_key(|r| (r.min, r.max));
    let mut out: Vec<TimeRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.min <= last.max.saturating_add(1) => last.max = last.max.max(range.max),
            _ => out.push(range),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[(i64, i64)]) -> Vec<TimeRange> {
        list.iter().map(|(min, max)| TimeRange::new(*min, *max)).collect()
    }

    #[test]
    fn what_is_cut() {
        let chunk = |(min_time, max_time)| ChunkMeta { min_time, max_time, reference: 0 };
        let chunks: Vec<ChunkMeta> = [(0, 9), (10, 19), (50, 59)].map(chunk).to_vec();
        for (asked, gone) in [
            (&[][..], &[][..]),
            (&[(20, 49)], &[]),
            (&[(5, 12)], &[(5, 12)]),
            (&[(0, 100)], &[(0, 19), (50, 59)]),
            (&[(15, 55), (0, 3)], &[(0, 3), (15, 19), (50, 55)]),
            (&[(0, 4), (5, 9)], &[(0, 9)]),
        ] {
            assert_eq!(cut(&chunks, &ranges(asked)), ranges(gone), "{asked:?}");
        }
        assert_eq!(whole(&chunks), ranges(&[(0, 59)]));
    }

    #[test]
    fn lines_are_thanos() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let change = Change::Deleted(labels.clone(), ranges(&[(0, 20), (30, 40)]));
        assert_eq!(change.to_string(), "Deleted {__name__=\"up\", job=\"a\"} [{0 20} {30 40}]");
        let change = Change::Relabelled(labels.clone(), labels.without(&["job"]));
        assert_eq!(change.to_string(), "Relabelled {__name__=\"up\", job=\"a\"} {__name__=\"up\"}");
    }
}
