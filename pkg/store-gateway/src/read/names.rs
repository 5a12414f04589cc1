//! Label names and values of one block.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use block::postings;
use labels::Matcher;
use model::TimeRange;
use storage::LabelQuery;

use super::index::Index;
use super::postings::{expand, lists};
use super::series::{DECODE_SERIES, Entry, PLANNED_SERIES, SeriesReader, Warnings};
use crate::bucket_block::BucketBlock;
use crate::error::BlockResult;
use crate::limits::Request;
use crate::shared::Shared;
use crate::tombstones::Tombstones;

#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Ascending, each once.
    pub(crate) texts: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// About the bytes of a series entry, to weigh against lists.
pub(super) const ENTRY_BYTES: u64 = 96;

/// What is asked of one block.
#[derive(Clone)]
pub(crate) struct LabelsOf {
    pub(crate) shared: Arc<Shared>,
    pub(crate) block: Arc<BucketBlock>,
    pub(crate) want: LabelQuery,
    /// Those that are about the series' own labels.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) request: Arc<Request>,
    /// What is to be left out.
    pub(crate) tombstones: Option<Arc<Tombstones>>,
}

impl LabelsOf {
    /// The label names of the series that match; external ones too.
    pub(crate) async fn names(&self) -> BlockResult<Names> {
        let (mut found, mut texts) = (Names::default(), BTreeSet::new());
        let index = self.index().await?;
        if self.matchers.is_empty() {
            texts.extend(index.header.postings_table().label_names().map(str::to_owned));
            if let Some(tombstones) = &self.tombstones {
                let gone = self.gone(&index, tombstones).await?;
                if gone.is_all() {
                    return Ok(Names::default());
                }
                for name in self.names_of_only(&index, &gone).await? {
                    texts.remove(&name);
                }
            }
        } else {
            found.warnings = self
                .each_match(&index, |entry| {
                    for (name, _) in entry.labels.iter() {
                        if !texts.contains(name) {
                            texts.insert(name.to_owned());
                        }
                    }
                })
                .await?;
            if texts.is_empty() {
                return Ok(found);
            }
        }
        texts.extend(self.block.labels.iter().map(|(n, _)| n.to_owned()));
        found.texts = texts.into_iter().collect();
        Ok(found)
    }

    /// The values of `name` in the series that match.
    pub(crate) async fn values(&self, name: &str) -> BlockResult<Names> {
        let mut found = Names::default();
        if let Some(value) = self.block.labels.get(name) {
            // External labels lie over the series' own.
            let mut any = self.matchers.is_empty() && self.tombstones.is_none();
            if !any {
                let index = self.index().await?;
                match &self.tombstones {
                    Some(tombstones) if self.matchers.is_empty() => {
                        any = !self.gone(&index, tombstones).await?.is_all()
                    }
                    _ => found.warnings = self.each_match(&index, |_| any = true).await?,
                }
            }
            found.texts.extend(any.then(|| value.to_owned()));
            return Ok(found);
        }
        let index = self.index().await?;
        let table = index.header.postings_table();
        if table.value_count(name) == 0 {
            return Ok(found);
        }
        if self.matchers.is_empty() {
            // There may be very many, and they come in their order.
            found.texts = table.label_values(name)?.into_iter().map(str::to_owned).collect();
            if let Some(tombstones) = &self.tombstones {
                let gone = self.gone(&index, tombstones).await?;
                let hidden: HashSet<String> = self.values_of_only(&index, &gone, name).await?.into_iter().collect();
                found.texts.retain(|value| !hidden.contains(value));
            }
            return Ok(found);
        }
        if let Some(values) = self.values_by_lists(&index, name).await? {
            found.texts = values.into_iter().collect();
            return Ok(found);
        }
        let mut texts = BTreeSet::new();
        found.warnings = self
            .each_match(&index, |entry| {
                if let Some(value) = entry.labels.get(name)
                    && !texts.contains(value)
                {
                    texts.insert(value.to_owned());
                }
            })
            .await?;
        found.texts = texts.into_iter().collect();
        Ok(found)
    }

    /// The values whose lists have a matching series: cheaper than reading all those series, where the lists are shorter.
    /// `None` where they are not, or where only some of the block's time or series count, of which lists know nothing.
    async fn values_by_lists(&self, index: &Index<'_>, name: &str) -> BlockResult<Option<BTreeSet<String>>> {
        let (range, (min_time, max_time)) = (self.want.range, self.block.range());
        let covered = range.min <= min_time && max_time.saturating_sub(1) <= range.max;
        if !covered || self.tombstones.is_some() {
            return Ok(None);
        }
        let mut values = Vec::new();
        index.header.postings_table().each_value(name, "", |value, range| values.push((value, range)))?;
        let bytes: u64 = values.iter().map(|(_, r)| r.end - r.start).sum();
        let expanded = expand(index, &self.matchers).await?;
        if bytes > (expanded.ids.len() as u64).saturating_mul(ENTRY_BYTES) {
            return Ok(None);
        }
        // Version 1 keeps its lists in any order.
        values.sort_by_key(|(_, range)| range.start);
        let ranges: Vec<_> = values.iter().map(|(_, range)| range.clone()).collect();
        let lists = lists(index, &ranges).await?;
        let with_series =
            values.iter().zip(lists).filter(|(_, list)| !postings::intersect(&expanded.ids, list).is_empty());
        Ok(Some(with_series.map(|((value, _), _)| (*value).to_owned()).filter(|v| !v.is_empty()).collect()))
    }

    async fn index(&self) -> BlockResult<Index<'_>> {
        Index::open(&self.shared, &self.block, &self.request).await
    }

    /// Hands the matching series to `sink`; gives the warnings.
    async fn each_match(&self, index: &Index<'_>, mut sink: impl FnMut(&Entry)) -> BlockResult<Vec<String>> {
        let expanded = expand(index, &self.matchers).await?;
        let reader = SeriesReader { skip_chunks: true, tombstones: self.tombstones.as_deref(), ..self.reader(index) };
        let warnings = Warnings::default();
        self.each(&reader, &expanded.ids, &warnings, |entries| {
            entries.iter().for_each(&mut sink);
            Ok(())
        })
        .await?;
        Ok(warnings.take(&self.block, self.want.partial_response))
    }

    /// Reads entries of the time asked for, with their chunks, as the index has them.
    pub(super) fn reader<'a>(&'a self, index: &'a Index<'a>) -> SeriesReader<'a> {
        SeriesReader {
            shared: &self.shared,
            block: &self.block,
            request: &self.request,
            index,
            is_scan: false,
            range: self.want.range,
            skip_chunks: false,
            mode: self.want.partial_response,
            matchers: &self.matchers,
            relabel: None,
            projected: None,
            tombstones: None,
        }
    }

    /// Hands the entries of `ids` to `sink`, batch by batch.
    pub(super) async fn each(
        &self,
        reader: &SeriesReader<'_>,
        ids: &[u32],
        warnings: &Warnings,
        mut sink: impl FnMut(&[Entry]) -> BlockResult<()>,
    ) -> BlockResult<()> {
        let reader = &SeriesReader { is_scan: reader.index.is_scan(ids.len()), ..*reader };
        let (mut rest, mut runs) = (ids, reader.runs());
        while !rest.is_empty() {
            self.request.ctx.check()?;
            let max = self.shared.read.batch_series;
            let (now, later) = rest.split_at(reader.batch_len(rest, max).clamp(1, rest.len()));
            rest = later;
            let batch = reader.fetch(now, &later[..later.len().min(PLANNED_SERIES)], &mut runs).await?;
            for from in (0..now.len()).step_by(DECODE_SERIES) {
                let places = from..now.len().min(from + DECODE_SERIES);
                sink(&reader.decode(&batch, places, warnings).await?)?;
            }
        }
        Ok(())
    }

    /// The time asked for, as far as the block has any.
    pub(super) fn asked(&self) -> TimeRange {
        let (range, (min_time, max_time)) = (self.want.range, self.block.range());
        TimeRange::new(range.min.max(min_time), range.max.min(max_time.saturating_sub(1)))
    }
}
