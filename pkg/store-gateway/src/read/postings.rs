//! From matchers to the ids of a block's series.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use block::{expand::plan, postings};
use labels::Matcher;
use storage::Reservation;

use super::index::Index;
use crate::error::BlockResult;
use crate::limits::Data;

/// Ids of the series that match, ascending, and the memory they take.
pub(crate) struct Expanded {
    pub(crate) ids: Arc<[u32]>,
    pub(crate) _held: Reservation,
}

/// The series of a block that match all of `matchers`, which are about its own labels only.
pub(crate) async fn expand(index: &Index<'_>, matchers: &[Matcher]) -> BlockResult<Expanded> {
    let Index { shared, block, request, .. } = index;
    let began = Instant::now();
    let key: Arc<str> = matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(";").into();
    if let Some(ids) = shared.cache.expanded(block.cache_id(), &key) {
        request.touch(Data::Postings, 1, ids.len() as u64 * 4);
        request.touch_series(ids.len() as u64)?;
        return Ok(Expanded { _held: request.hold(ids.len() as u64 * 4)?, ids });
    }
    let ids = read(index, matchers).await?;
    let tenant = &*request.ctx.tenant;
    shared.metrics.postings_seconds.with(&[tenant]).observe(began.elapsed().as_secs_f64());
    if ids.is_empty() {
        shared.metrics.empty_postings.with(&[tenant]).inc();
    }
    shared.cache.put_expanded(block.cache_id(), &key, ids.clone());
    request.touch_series(ids.len() as u64)?;
    Ok(Expanded { _held: request.hold(ids.len() as u64 * 4)?, ids })
}

async fn read(index: &Index<'_>, matchers: &[Matcher]) -> BlockResult<Arc<[u32]>> {
    let plan = plan(index.header.postings_table(), matchers)?;
    if plan.is_nothing() {
        return Ok(Arc::from([]));
    }
    let ranges = plan.ranges();
    let lists = lists(index, &ranges).await?;
    let ids = plan.combine(|range| {
        // Every range of the plan is among `ranges`, which ascend.
        let at = ranges.partition_point(|r| r.start < range.start);
        Ok::<_, block::Error>(lists.get(at).map(|ids| ids.to_vec()).unwrap_or_default())
    })?;
    Ok(ids.into())
}

/// The lists in `ranges` of the index, which ascend; from the cache, or all of the others in one round.
pub(crate) async fn lists(index: &Index<'_>, ranges: &[Range<u64>]) -> BlockResult<Vec<Arc<[u32]>>> {
    let Index { shared, block, request, .. } = index;
    let mut lists: Vec<Option<Arc<[u32]>>> =
        ranges.iter().map(|r| shared.cache.postings(block.cache_id(), r.start)).collect();
    let mut wanted: Vec<Range<u64>> =
        ranges.iter().zip(&lists).filter(|(_, c)| c.is_none()).map(|(r, _)| r.clone()).collect();
    let bytes: u64 = ranges.iter().map(|r| r.end - r.start).sum();
    request.touch(Data::Postings, ranges.len() as u64, bytes);
    // The lists as numbers, beside the bytes that they are read from.
    let _decoded = request.hold(bytes)?;
    // What does not pass its checksum may have been corrupt on the way: it is asked for once more.
    for last in [false, true] {
        if wanted.is_empty() {
            break;
        }
        let (fetched, is_whole) = match index.whole().await? {
            Some(whole) if !last => (whole.clone(), true),
            _ => (Arc::new(index.reader(Data::Postings).fetch(&wanted).await?), false),
        };
        let mut again = Vec::new();
        for (range, list) in ranges.iter().zip(&mut lists).filter(|(_, list)| list.is_none()) {
            match postings::decode_sorted("index", range.start, &fetched.from(range.start)) {
                Ok((ids, is_disordered)) => {
                    if is_disordered {
                        block.found_odd_postings();
                    }
                    let ids: Arc<[u32]> = ids.into();
                    if !is_whole {
                        shared.cache.put_postings(block.cache_id(), range.start, ids.clone());
                    }
                    *list = Some(ids);
                }
                Err(_) if !last => again.push(range.clone()),
                Err(e) => {
                    shared.corrupt(Data::Postings);
                    return Err(e.into());
                }
            }
        }
        if is_whole && !again.is_empty() {
            index.forget_whole();
        }
        wanted = again;
    }
    Ok(lists.into_iter().flatten().collect())
}
