//! Label names and values of one block.

use std::collections::BTreeSet;
use std::sync::Arc;

use block::{IndexHeader, postings};
use labels::Matcher;
use model::TimeRange;
use storage::{LabelQuery, PartialResponse};

use super::postings::{expand, lists};
use super::series::{Entry, SeriesReader, Warnings};
use crate::bucket_block::BucketBlock;
use crate::error::BlockResult;
use crate::gateway::Shared;
use crate::limits::Request;

/// What a block answers.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) texts: BTreeSet<String>,
    pub(crate) warnings: Vec<String>,
}

/// The label names of the series of `block` that match; external ones too.
///
/// # Errors
/// Damage, limits and failures of the store.
pub(crate) async fn label_names(
    shared: &Shared,
    block: &Arc<BucketBlock>,
    want: &LabelQuery,
    matchers: &[Matcher],
    request: &Request,
) -> BlockResult<Names> {
    let mut found = Names::default();
    if matchers.is_empty() {
        let header = shared.header(block).await?;
        found.texts.extend(header.postings_table().label_names().map(str::to_owned));
    } else {
        let texts = &mut found.texts;
        found.warnings = each_series(shared, block, want, matchers, request, |entry| {
            for (name, _) in entry.labels.iter() {
                if !texts.contains(name) {
                    texts.insert(name.to_owned());
                }
            }
        })
        .await?;
        if found.texts.is_empty() {
            return Ok(found);
        }
    }
    found.texts.extend(block.labels.iter().map(|(n, _)| n.to_owned()));
    Ok(found)
}

/// The values of `name` in the series of `block` that match.
///
/// # Errors
/// Damage, limits and failures of the store.
pub(crate) async fn label_values(
    shared: &Shared,
    block: &Arc<BucketBlock>,
    name: &str,
    want: &LabelQuery,
    matchers: &[Matcher],
    request: &Request,
) -> BlockResult<Names> {
    let mut found = Names::default();
    if let Some(value) = block.labels.get(name) {
        // External labels lie over the series' own.
        let any = match matchers.is_empty() {
            true => true,
            false => {
                let mut any = false;
                found.warnings = each_series(shared, block, want, matchers, request, |_| any = true).await?;
                any
            }
        };
        found.texts.extend(any.then(|| value.to_owned()));
        return Ok(found);
    }
    let header = shared.header(block).await?;
    if header.postings_table().value_count(name) == 0 {
        return Ok(found);
    }
    if matchers.is_empty() {
        header.postings_table().each_value(name, "", |value, _| {
            if !value.is_empty() {
                found.texts.insert(value.to_owned());
            }
        })?;
        return Ok(found);
    }
    if let Some(values) = values_by_lists(shared, block, &header, name, want, matchers, request).await? {
        found.texts = values;
        return Ok(found);
    }
    let texts = &mut found.texts;
    found.warnings = each_series(shared, block, want, matchers, request, |entry| {
        if let Some(value) = entry.labels.get(name)
            && !texts.contains(value)
        {
            texts.insert(value.to_owned());
        }
    })
    .await?;
    Ok(found)
}

/// About the bytes of a series entry, to weigh against lists.
const ENTRY_BYTES: u64 = 96;

/// The values whose lists have a matching series: cheaper than reading all those series, where the lists are shorter.
/// `None` where they are not, or where only some of the block's time is asked for, of which lists know nothing.
async fn values_by_lists(
    shared: &Shared,
    block: &Arc<BucketBlock>,
    header: &IndexHeader,
    name: &str,
    want: &LabelQuery,
    matchers: &[Matcher],
    request: &Request,
) -> BlockResult<Option<BTreeSet<String>>> {
    let covered = want.range.min <= block.meta.min_time && block.meta.max_time.saturating_sub(1) <= want.range.max;
    if !covered {
        return Ok(None);
    }
    let mut values = Vec::new();
    header.postings_table().each_value(name, "", |value, range| values.push((value, range)))?;
    let bytes: u64 = values.iter().map(|(_, r)| r.end - r.start).sum();
    let expanded = expand(shared, block, header, matchers, request).await?;
    if bytes > (expanded.ids.len() as u64).saturating_mul(ENTRY_BYTES) {
        return Ok(None);
    }
    // Version 1 keeps its lists in any order.
    values.sort_by_key(|(_, range)| range.start);
    let ranges: Vec<_> = values.iter().map(|(_, range)| range.clone()).collect();
    let lists = lists(shared, block, &ranges, request).await?;
    let with_series = values.iter().zip(lists).filter(|(_, list)| !postings::intersect(&expanded.ids, list).is_empty());
    Ok(Some(with_series.map(|((value, _), _)| (*value).to_owned()).filter(|v| !v.is_empty()).collect()))
}

/// Hands the matching series to `sink`; gives the warnings.
async fn each_series(
    shared: &Shared,
    block: &Arc<BucketBlock>,
    want: &LabelQuery,
    matchers: &[Matcher],
    request: &Request,
    mut sink: impl FnMut(&Entry),
) -> BlockResult<Vec<String>> {
    let header = shared.header(block).await?;
    let expanded = expand(shared, block, &header, matchers, request).await?;
    let mode: PartialResponse = want.partial_response;
    let range: TimeRange = want.range;
    let reader =
        SeriesReader { shared, block, header: &header, request, range, skip_chunks: true, mode, relabel: None };
    let warnings = Warnings::default();
    let mut rest: &[u32] = &expanded.ids;
    while !rest.is_empty() {
        request.ctx.check()?;
        let max = shared.read.batch_series;
        let (now, later) = rest.split_at(reader.batch_len(rest, max).clamp(1, rest.len()));
        rest = later;
        reader.read(now, &warnings).await?.iter().for_each(&mut sink);
    }
    Ok(warnings.take(block))
}
