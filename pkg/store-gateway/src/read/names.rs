//! Label names and values of one block.

use std::collections::BTreeSet;
use std::sync::Arc;

use labels::Matcher;
use model::TimeRange;
use storage::{LabelQuery, PartialResponse};

use super::postings::expand;
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
    let reader = SeriesReader { shared, block, header: &header, request, range, skip_chunks: true, mode };
    let mut warnings = Warnings::default();
    let mut rest: &[u32] = &expanded.ids;
    while !rest.is_empty() {
        request.ctx.check()?;
        let max = shared.read.batch_series;
        let (now, later) = rest.split_at(reader.batch_len(rest, max).clamp(1, rest.len()));
        rest = later;
        reader.read(now, &mut warnings).await?.iter().for_each(&mut sink);
    }
    Ok(warnings.take(block))
}
