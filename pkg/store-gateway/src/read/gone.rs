//! Series of a block of which a request to delete leaves nothing, and the names and values that no other series has. Tables
//! of names and values know nothing of single series, so that what they tell is held against these.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use block::postings;
use model::TimeRange;
use storage::Reservation;

use super::index::Index;
use super::names::{ENTRY_BYTES, LabelsOf};
use super::postings::{expand, lists};
use super::series::{Entry, SeriesReader, Warnings};
use crate::error::BlockResult;
use crate::tombstones::Tombstones;

/// About the memory of a text in a set, beside its bytes.
const TEXT_BYTES: usize = 64;

/// Ids, ascending, and the memory they take.
pub(super) struct Gone {
    ids: Vec<u32>,
    all: bool,
    _held: Reservation,
}

impl Gone {
    /// Whether nothing of the block is left.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// Whether all of `list` are gone.
    fn has(&self, list: &[u32]) -> bool {
        list.len() <= self.ids.len() && postings::subtract(list, &self.ids).is_empty()
    }
}

impl LabelsOf {
    /// The series of which `tombstones` leaves nothing in the time asked for.
    pub(super) async fn gone(&self, index: &Index<'_>, tombstones: &Tombstones) -> BlockResult<Gone> {
        let (mut whole, mut partly) = (Vec::new(), Vec::new());
        let mut held = self.request.hold(0)?;
        for rule in tombstones.rules() {
            let expanded = expand(index, &rule.matchers).await?;
            held.grow(expanded.ids.len() as u64 * 4)?;
            let whole_time = tombstones.takes(&[rule.range], self.asked());
            if whole_time { &mut whole } else { &mut partly }.push(expanded.ids.to_vec());
        }
        let mut ids = postings::merge(whole);
        let unsure = postings::subtract(&postings::merge(partly), &ids);
        if !unsure.is_empty() {
            let mut more = Vec::new();
            let range = self.want.range;
            self.each_of(index, &unsure, |entries| {
                let left = |entry: &&Entry| {
                    let deleted = tombstones.deleted(&entry.labels);
                    let wanted = |c: &block::ChunkMeta| {
                        let span = TimeRange::new(c.min_time.max(range.min), c.max_time.min(range.max));
                        (span.min <= span.max).then_some(span)
                    };
                    entry.chunks.iter().filter_map(|c| wanted(&c.meta)).any(|span| !tombstones.takes(&deleted, span))
                };
                more.extend(entries.iter().filter(|e| !left(e)).map(|e| e.id));
                Ok(())
            })
            .await?;
            ids = postings::merge(vec![ids, more]);
        }
        let mut gone = Gone { ids, all: false, _held: held };
        let count = self.block.meta.stats.num_series;
        if !gone.ids.is_empty() && gone.ids.len() as u64 >= count {
            let every = index.header.postings_table().lookup("", "")?;
            let lists = lists(index, every.as_slice()).await?;
            gone.all = lists.iter().all(|list| gone.has(list));
        }
        Ok(gone)
    }

    /// The values of `name` that only series have that are gone.
    pub(super) async fn values_of_only(&self, index: &Index<'_>, gone: &Gone, name: &str) -> BlockResult<Vec<String>> {
        if gone.ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = Vec::new();
        index.header.postings_table().each_value(name, "", |value, range| values.push((value, range)))?;
        let bytes: u64 = values.iter().map(|(_, r)| r.end - r.start).sum();
        if bytes > (gone.ids.len() as u64).saturating_mul(ENTRY_BYTES) {
            // Cheaper: which values those series have, and then only the lists of these.
            let mut theirs = BTreeSet::new();
            let mut held = self.request.hold(0)?;
            self.each_of(index, &gone.ids, |entries| {
                for value in entries.iter().filter_map(|e| e.labels.get(name)) {
                    if !theirs.contains(value) {
                        held.grow((value.len() + TEXT_BYTES) as u64)?;
                        theirs.insert(value.to_owned());
                    }
                }
                Ok(())
            })
            .await?;
            values.retain(|(value, _)| theirs.contains(*value));
        }
        self.of_only(index, gone, values).await
    }

    /// The names that only series have that are gone.
    pub(super) async fn names_of_only(&self, index: &Index<'_>, gone: &Gone) -> BlockResult<Vec<String>> {
        let mut pairs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut held = self.request.hold(0)?;
        self.each_of(index, &gone.ids, |entries| {
            for (name, value) in entries.iter().flat_map(|e| e.labels.iter()) {
                if !pairs.contains_key(name) {
                    held.grow((name.len() + TEXT_BYTES) as u64)?;
                    pairs.insert(name.to_owned(), BTreeSet::new());
                }
                if let Some(values) = pairs.get_mut(name)
                    && !values.contains(value)
                {
                    held.grow((value.len() + TEXT_BYTES) as u64)?;
                    values.insert(value.to_owned());
                }
            }
            Ok(())
        })
        .await?;
        let mut hidden = Vec::new();
        for (name, values) in pairs {
            // A value that none of them has is another series'.
            if index.header.postings_table().value_count(&name) > values.len() {
                continue;
            }
            let mut with_lists = Vec::new();
            index.header.postings_table().each_value(&name, "", |value, range| with_lists.push((value, range)))?;
            let count = with_lists.len();
            if self.of_only(index, gone, with_lists).await?.len() == count {
                hidden.push(name);
            }
        }
        Ok(hidden)
    }

    /// Those of `values`, given with the ranges of their lists, that only series have that are gone.
    async fn of_only(
        &self,
        index: &Index<'_>,
        gone: &Gone,
        mut values: Vec<(&str, Range<u64>)>,
    ) -> BlockResult<Vec<String>> {
        values.sort_by_key(|(_, range)| range.start);
        let ranges: Vec<_> = values.iter().map(|(_, range)| range.clone()).collect();
        let lists = lists(index, &ranges).await?;
        let only = values.iter().zip(lists).filter(|(_, list)| gone.has(list));
        Ok(only.map(|((value, _), _)| (*value).to_owned()).collect())
    }

    /// Hands the entries of `ids` to `sink`, whatever their time. Corrupt ones are left out.
    async fn each_of(
        &self,
        index: &Index<'_>,
        ids: &[u32],
        sink: impl FnMut(&[Entry]) -> BlockResult<()>,
    ) -> BlockResult<()> {
        let reader = SeriesReader { range: TimeRange::ALL, ..self.reader(index) };
        self.each(&reader, ids, &Warnings::default(), sink).await
    }
}
