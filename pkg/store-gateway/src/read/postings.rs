//! From matchers to the ids of a block's series.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use block::{IndexHeader, expand::plan, postings};
use labels::Matcher;
use storage::Reservation;

use super::fetch::ObjectReader;
use crate::bucket_block::BucketBlock;
use crate::error::BlockResult;
use crate::limits::{Data, Request};
use crate::shared::Shared;

/// Ids of the series that match, ascending, and the memory they take.
pub(crate) struct Expanded {
    pub(crate) ids: Arc<[u32]>,
    pub(crate) _held: Reservation,
}

/// The series of `block` that match all of `matchers`, which are about its own labels only.
pub(crate) async fn expand(
    shared: &Shared,
    block: &BucketBlock,
    header: &IndexHeader,
    matchers: &[Matcher],
    request: &Request,
) -> BlockResult<Expanded> {
    let began = Instant::now();
    let key: Arc<str> = matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(";").into();
    if let Some(ids) = shared.cache.expanded(block.cache_id(), &key) {
        request.touch(Data::Postings, 1, ids.len() as u64 * 4);
        request.touch_series(ids.len() as u64)?;
        return Ok(Expanded { _held: request.hold(ids.len() as u64 * 4)?, ids });
    }
    let ids = read(shared, block, header, matchers, request).await?;
    let tenant = &*request.ctx.tenant;
    shared.metrics.postings_seconds.with(&[tenant]).observe(began.elapsed().as_secs_f64());
    if ids.is_empty() {
        shared.metrics.empty_postings.with(&[tenant]).inc();
    }
    shared.cache.put_expanded(block.cache_id(), &key, ids.clone());
    request.touch_series(ids.len() as u64)?;
    Ok(Expanded { _held: request.hold(ids.len() as u64 * 4)?, ids })
}

async fn read(
    shared: &Shared,
    block: &BucketBlock,
    header: &IndexHeader,
    matchers: &[Matcher],
    request: &Request,
) -> BlockResult<Arc<[u32]>> {
    let plan = plan(header.postings_table(), matchers)?;
    if plan.is_nothing() {
        return Ok(Arc::from([]));
    }
    let ranges = plan.ranges();
    let lists = lists(shared, block, &ranges, request).await?;
    let ids = plan.combine(|range| {
        // Every range of the plan is among `ranges`, which ascend.
        let at = ranges.partition_point(|r| r.start < range.start);
        Ok::<_, block::Error>(lists.get(at).map(|ids| ids.to_vec()).unwrap_or_default())
    })?;
    Ok(ids.into())
}

/// The lists in `ranges` of the index, which ascend; from the cache, or all of the others in one round.
pub(crate) async fn lists(
    shared: &Shared,
    block: &BucketBlock,
    ranges: &[Range<u64>],
    request: &Request,
) -> BlockResult<Vec<Arc<[u32]>>> {
    let mut lists: Vec<Option<Arc<[u32]>>> =
        ranges.iter().map(|r| shared.cache.postings(block.cache_id(), r.start)).collect();
    let missing: Vec<Range<u64>> =
        ranges.iter().zip(&lists).filter(|(_, c)| c.is_none()).map(|(r, _)| r.clone()).collect();
    let path = block.index_path();
    let reader = ObjectReader {
        bucket: &shared.bucket,
        path: &path,
        size: block.index_bytes(),
        data: Data::Postings,
        options: &shared.read.fetch,
        request,
        cache: None,
    };
    let bytes: u64 = ranges.iter().map(|r| r.end - r.start).sum();
    request.touch(Data::Postings, ranges.len() as u64, bytes);
    // The lists as numbers, beside the bytes that they are read from.
    let _decoded = request.hold(bytes)?;
    let mut wanted = missing;
    // What does not pass its checksum may have been corrupt on the way: it is asked for once more.
    for last in [false, true] {
        if wanted.is_empty() {
            break;
        }
        let fetched = reader.fetch(&wanted).await?;
        let mut again = Vec::new();
        for (range, list) in ranges.iter().zip(&mut lists).filter(|(_, list)| list.is_none()) {
            match postings::decode_sorted("index", range.start, &fetched.from(range.start)) {
                Ok((ids, is_disordered)) => {
                    if is_disordered {
                        block.found_odd_postings();
                    }
                    let ids: Arc<[u32]> = ids.into();
                    shared.cache.put_postings(block.cache_id(), range.start, ids.clone());
                    *list = Some(ids);
                }
                Err(_) if !last => again.push(range.clone()),
                Err(e) => {
                    shared.corrupt(Data::Postings);
                    return Err(e.into());
                }
            }
        }
        wanted = again;
    }
    Ok(lists.into_iter().flatten().collect())
}
