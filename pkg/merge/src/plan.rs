//! Before the merge: one symbol table, a survey of the series, and where threads begin and end.

use std::path::Path;
use std::sync::Arc;

use crate::deletion::Deletions;
use crate::entries::{Entry, Pairs};
use crate::error::Result;
use crate::input::OpenInput;
use crate::job::Job;
use crate::relabel_pass::{Relabelling, relabel_all};
use crate::survey::{EntriesOf, Survey, sort, survey};
use crate::symbols::{SymbolSection, SymbolTable, join};

/// All that the threads share.
pub(crate) struct Plan {
    pub(crate) inputs: Vec<OpenInput>,
    pub(crate) entries: Vec<EntriesOf>,
    pub(crate) symbols: SymbolTable,
    pub(crate) deletions: Arc<Deletions>,
    pub(crate) labels_out_of_order: u64,
    pub(crate) series: u64,
    surveys: Vec<Survey>,
}

/// The range of series that one thread merges.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShardRange {
    /// Where each input begins; empty = at its start.
    pub(crate) positions: Vec<u64>,
    /// The first series that is no longer part; none = to the end.
    pub(crate) before: Option<Pairs>,
    /// Where each input must be at the end: at the next range's begin. Empty = at its end.
    pub(crate) ends: Vec<u64>,
    /// For each input the first chunk that is no longer part.
    pub(crate) until: Vec<Option<u64>>,
}

impl Plan {
    /// `memory` bounds what is held, in bytes. Series are counted, and can be cut into ranges, only if `is_counted`;
    /// `is_unordered` says that an input's were found out of order.
    pub(crate) fn make(
        mut inputs: Vec<OpenInput>,
        job: &Job,
        dir: &Path,
        memory: u64,
        is_counted: bool,
        is_unordered: bool,
    ) -> Result<Self> {
        let sections: Vec<SymbolSection> = inputs
            .iter()
            .map(|input| SymbolSection {
                block: input.meta.ulid,
                index: input.index.clone(),
                version: input.version,
                toc: input.toc,
            })
            .collect();
        let (mut symbols, maps) = join(&sections, dir, memory / 4)?;
        let empty = match symbols.len() {
            0 => None,
            _ => symbols.reader().text(0)?.is_empty().then_some(0),
        };
        let mut deletions = Arc::new(Deletions::prepare(&job.deletions, &symbols)?);
        let (mut surveys, mut entries) = (Vec::new(), Vec::new());
        if job.relabel.is_empty() {
            for (n, (input, map)) in inputs.iter().zip(&maps).enumerate() {
                let mut found = if is_counted { survey(input, map, empty)? } else { Survey::default() };
                if is_unordered {
                    sort(input, map, empty, &dir.join(format!("sorted.{n}")), memory / 4, &mut found)?;
                }
                entries.push(EntriesOf { numbers: map.clone(), empty, sorted: found.sorted.clone() });
                surveys.push(found);
            }
        } else {
            let how = Relabelling {
                symbols: &symbols,
                maps: &maps,
                empty,
                rules: &job.relabel,
                deletions: &deletions,
                dir,
                memory: memory / 4,
            };
            (symbols, surveys, entries) = relabel_all(&mut inputs, &how)?;
            deletions = Arc::default();
        }
        Ok(Self {
            labels_out_of_order: surveys.iter().map(|s| s.labels_out_of_order).sum(),
            series: surveys.iter().map(|s| s.series).sum(),
            inputs,
            entries,
            symbols,
            deletions,
            surveys,
        })
    }

    /// Cuts the series into at most `shards` ranges of about equal size.
    pub(crate) fn cut(&self, shards: usize) -> Result<Vec<ShardRange>> {
        let whole = || vec![ShardRange { until: vec![None; self.inputs.len()], ..ShardRange::default() }];
        if shards <= 1 || self.entries.iter().any(|e| e.sorted.is_some()) {
            return Ok(whole());
        }
        let Some(largest) = self.surveys.iter().max_by_key(|s| s.series) else { return Ok(whole()) };
        let places = &largest.places;
        let mut borders: Vec<&Pairs> =
            (1..shards).filter_map(|n| places.get(n * places.len() / shards)).map(|p| &p.0).collect();
        borders.dedup();
        borders.retain(|b| places.first().is_some_and(|first| first.0 < **b));
        let mut ranges = Vec::new();
        let mut positions = Vec::new();
        for border in borders {
            let mut until = Vec::new();
            let mut next_positions = Vec::new();
            for at in 0..self.inputs.len() {
                let (position, first_chunk) = self.seek(at, border)?;
                next_positions.push(position);
                until.push(first_chunk);
            }
            let before = Some(border.clone());
            ranges.push(ShardRange { positions, before, ends: next_positions.clone(), until });
            positions = next_positions;
        }
        ranges.push(ShardRange { positions, until: vec![None; self.inputs.len()], ..ShardRange::default() });
        Ok(ranges)
    }

    /// Where an input's first series at or behind `border` is, and its first chunk.
    fn seek(&self, at: usize, border: &Pairs) -> Result<(u64, Option<u64>)> {
        let places = &self.surveys[at].places;
        let mut entries = self.entries[at].open(&self.inputs[at])?;
        if let Some(place) = places.partition_point(|p| p.0 < *border).checked_sub(1) {
            entries.seek(places[place].1)?;
        }
        let mut entry = Entry::default();
        while entries.next(&mut entry)? {
            if entry.labels >= *border {
                return Ok((entries.position(), entry.chunks.first().map(|c| c.reference)));
            }
        }
        Ok((entries.position(), None))
    }
}
