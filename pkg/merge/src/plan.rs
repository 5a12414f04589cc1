//! Before the merge: one symbol table, a look at every series, and where threads begin and end.

use std::path::Path;
use std::sync::Arc;

use block::Tombstones;

use crate::deletion::Deletions;
use crate::entries::{Entry, Pairs};
use crate::error::Result;
use crate::input::OpenInput;
use crate::job::Job;
use crate::relabel_pass::relabel_all;
use crate::survey::{EntriesOf, Survey, survey};
use crate::symbols::{SymbolSection, SymbolTable, join};

/// All that the threads share.
pub(crate) struct Plan {
    pub(crate) inputs: Vec<OpenInput>,
    pub(crate) entries: Vec<EntriesOf>,
    pub(crate) tombstones: Vec<Arc<Tombstones>>,
    pub(crate) symbols: SymbolTable,
    pub(crate) deletions: Arc<Deletions>,
    pub(crate) labels_out_of_order: u64,
    pub(crate) series: u64,
    surveys: Vec<Survey>,
}

/// A range of series.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShardRange {
    /// Where each input begins; empty = at its start.
    pub(crate) positions: Vec<u64>,
    /// The first series that is no longer part; none = to the end.
    pub(crate) before: Option<Pairs>,
    /// For each input the first chunk that is no longer part.
    pub(crate) until: Vec<Option<u64>>,
}

impl Plan {
    /// Reads every series of every input. `memory` bounds what is held, in bytes.
    pub(crate) fn make(mut inputs: Vec<OpenInput>, job: &Job, dir: &Path, memory: u64) -> Result<Self> {
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
                let found = survey(input, map, empty, &dir.join(format!("sorted.{n}")), memory / 4)?;
                entries.push(EntriesOf { numbers: map.clone(), empty, sorted: found.sorted.clone() });
                surveys.push(found);
            }
        } else {
            (symbols, surveys, entries) =
                relabel_all(&mut inputs, &maps, empty, &symbols, &job.relabel, &deletions, dir, memory / 4)?;
            deletions = Arc::default();
        }
        let tombstones = inputs.iter_mut().map(|i| Arc::new(std::mem::take(&mut i.tombstones))).collect();
        Ok(Self {
            labels_out_of_order: surveys.iter().map(|s| s.labels_out_of_order).sum(),
            series: surveys.iter().map(|s| s.series).sum(),
            inputs,
            entries,
            tombstones,
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
            ranges.push(ShardRange { positions, before: Some(border.clone()), until });
            positions = next_positions;
        }
        ranges.push(ShardRange { positions, before: None, until: vec![None; self.inputs.len()] });
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
