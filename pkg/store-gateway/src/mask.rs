//! Series that a request to delete reaches are left out of answers at once, long before their blocks are written anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use bucket::deletions::{Request, since_ms};
use futures::stream::StreamExt;
use labels::{Labels, Matcher};
use model::TimeRange;
use storage::{Series, SeriesEvent, SeriesStream};

/// What is to be left out of one block.
#[derive(Debug)]
pub(crate) struct Mask {
    resolution_ms: i64,
    rules: Vec<Rule>,
}

/// Series that match all of these lose what lies in the range.
#[derive(Debug)]
struct Rule {
    /// About the series' own labels; those about external labels hold for the block.
    matchers: Vec<Matcher>,
    range: TimeRange,
}

/// The masks of all blocks that any of `pending` reaches.
pub(crate) fn masks<'a>(
    pending: &[Request],
    blocks: impl Iterator<Item = (&'a BlockMeta, &'a Labels)>,
) -> BTreeMap<BlockId, Arc<Mask>> {
    // The listing has checked that the matchers can be read.
    let pending: Vec<_> = pending.iter().filter_map(|r| Some((r, r.matchers().ok()?))).collect();
    let with_mask =
        |(meta, labels): (&BlockMeta, &Labels)| Some((meta.ulid, Arc::new(Mask::new(&pending, meta, labels)?)));
    blocks.filter_map(with_mask).collect()
}

impl Mask {
    fn new(pending: &[(&Request, Vec<Vec<Matcher>>)], meta: &BlockMeta, external: &Labels) -> Option<Self> {
        let mut rules = Vec::new();
        for (request, selectors) in pending.iter().filter(|(r, _)| r.reaches(meta, since_ms(meta))) {
            for selector in selectors {
                let (of_block, own): (Vec<_>, Vec<_>) = selector.iter().partition(|m| external.get(m.name()).is_some());
                if of_block.iter().all(|m| m.matches(external.value(m.name()))) {
                    rules.push(Rule { matchers: own.into_iter().cloned().collect(), range: request.range() });
                }
            }
        }
        (!rules.is_empty()).then(|| Self { resolution_ms: meta.resolution_ms(), rules })
    }

    /// What is left of a series of the block; `whole` is the time it was asked for.
    fn apply(&self, series: Series, whole: TimeRange) -> storage::Result<Option<Series>> {
        let hit = |rule: &&Rule| rule.matchers.iter().all(|m| m.matches(series.labels.value(m.name())));
        let deleted: Vec<TimeRange> = self.rules.iter().filter(hit).map(|rule| rule.range).collect();
        if deleted.is_empty() {
            return Ok(Some(series));
        }
        if series.chunks.is_empty() {
            // labels only: it is gone if all of the time is
            let gone = deleted.iter().any(|d| d.min <= whole.min && whole.max <= d.max);
            return Ok((!gone).then_some(series));
        }
        let mut left = Vec::with_capacity(series.chunks.len());
        for chunk in series.chunks {
            let cut = block::delete_from(chunk, self.resolution_ms, &deleted);
            left.extend(cut.map_err(|e| storage::Error::Corrupt(format!("series {}: {e}", series.labels)))?);
        }
        Ok((!left.is_empty()).then_some(Series { labels: series.labels, chunks: left }))
    }
}

/// `stream`, the series of one block asked for `whole`, without what `mask` leaves out.
pub(crate) fn masked(stream: SeriesStream, mask: Arc<Mask>, whole: TimeRange) -> SeriesStream {
    stream
        .map(move |event| match event? {
            SeriesEvent::Batch(batch) => {
                let left: storage::Result<Vec<Option<Series>>> =
                    batch.into_iter().map(|series| mask.apply(series, whole)).collect();
                Ok(SeriesEvent::Batch(left?.into_iter().flatten().collect()))
            }
            warning => Ok(warning),
        })
        .boxed()
}
