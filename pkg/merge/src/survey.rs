//! A first pass over an input's series: every entry's checksum is checked before anything is written, the order is
//! tested, and places are noted where threads may begin.

use std::path::Path;

use crate::entries::{Entries, Entry, IndexEntries, Pairs};
use crate::error::Result;
use crate::input::OpenInput;
use crate::sort::{Sorted, Sorter};
use crate::symbols::NumberMap;

/// Every how many series a place is noted at first.
const EVERY: u64 = 16;
/// Places kept; beyond that every other one goes.
const PLACES: usize = 4096;

/// What the pass found.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) series: u64,
    pub(crate) labels_out_of_order: u64,
    /// Series, first of all, with the position to seek to.
    pub(crate) places: Vec<(Pairs, u64)>,
    /// Present where the index is not in order.
    pub(crate) sorted: Option<Sorted>,
}

/// How to read an input's series; each thread opens its own.
#[derive(Debug, Clone)]
pub(crate) struct EntriesOf {
    pub(crate) numbers: NumberMap,
    pub(crate) empty: Option<u32>,
    pub(crate) sorted: Option<Sorted>,
}

impl EntriesOf {
    pub(crate) fn open(&self, input: &OpenInput) -> Result<Entries> {
        Ok(match &self.sorted {
            Some(sorted) => Entries::Sorted(sorted.entries()?),
            None => Entries::Index(Box::new(IndexEntries::new(input, &self.numbers, self.empty))),
        })
    }
}

/// Reads all series of an input; sorts them into `spool` where they are not in order.
pub(crate) fn survey(
    input: &OpenInput,
    numbers: &NumberMap,
    empty: Option<u32>,
    spool: &Path,
    memory: u64,
) -> Result<Survey> {
    let mut entries = IndexEntries::new(input, numbers, empty);
    let mut found = Survey { series: 0, labels_out_of_order: 0, places: Vec::new(), sorted: None };
    let (mut entry, mut before) = (Entry::default(), Entry::default());
    let (mut stray, mut every) = (0, EVERY);
    while entries.next_in_order(&mut entry)? {
        if found.series > 0 && entry.labels < before.labels {
            stray += 1;
        }
        if found.series.is_multiple_of(every) {
            let mut labels = entry.labels.clone();
            if entries.is_unmapped() {
                entries.map(&mut labels)?;
            }
            found.places.push((labels, entries.position()));
            if found.places.len() > PLACES {
                let mut keep = false;
                found.places.retain(|_| {
                    keep = !keep;
                    keep
                });
                every *= 2;
            }
        }
        found.series += 1;
        std::mem::swap(&mut entry, &mut before);
    }
    found.labels_out_of_order = entries.labels_out_of_order + stray;
    if stray > 0 {
        let mut sorter = Sorter::create(spool, memory)?;
        let mut entries = IndexEntries::new(input, numbers, empty);
        while entries.next(&mut entry)? {
            sorter.push(entry.clone())?;
        }
        found.sorted = Some(sorter.finish()?);
        found.places.clear();
    }
    Ok(found)
}
