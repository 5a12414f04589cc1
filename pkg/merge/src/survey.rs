//! A first pass over an input's series: they are counted, and places are noted where threads may begin.
//!
//! It steps from entry to entry and reads few. Whether series are in order the merge finds out as it reads them; then it
//! starts again, and [`sort`] reads and sorts them first.

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

/// What is known of an input's series before the merge.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) series: u64,
    /// Those that the merge will not count itself.
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

/// Counts the series of an input.
pub(crate) fn survey(input: &OpenInput, numbers: &NumberMap, empty: Option<u32>) -> Result<Survey> {
    let mut entries = IndexEntries::new(input, numbers, empty);
    let mut found = Survey::default();
    let (mut entry, mut every) = (Entry::default(), EVERY);
    loop {
        if !found.series.is_multiple_of(every) {
            if !entries.skip()? {
                return Ok(found);
            }
        } else {
            if !entries.next(&mut entry)? {
                return Ok(found);
            }
            found.places.push((entry.labels.clone(), entries.position()));
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
    }
}

/// Reads all series of an input, and sorts them into `spool` where they are not in order.
pub(crate) fn sort(
    input: &OpenInput,
    numbers: &NumberMap,
    empty: Option<u32>,
    spool: &Path,
    memory: u64,
    found: &mut Survey,
) -> Result<()> {
    let mut entries = IndexEntries::new(input, numbers, empty);
    let (mut entry, mut before) = (Entry::default(), Entry::default());
    let (mut stray, mut odd) = (0, 0);
    while entries.next(&mut entry)? {
        stray += u64::from(entry.labels < before.labels);
        odd += u64::from(entry.labels_out_of_order);
        std::mem::swap(&mut entry, &mut before);
    }
    if stray > 0 {
        let mut sorter = Sorter::create(spool, memory)?;
        let mut entries = IndexEntries::new(input, numbers, empty);
        while entries.next(&mut entry)? {
            sorter.push(entry.clone())?;
        }
        // The merge does not see any more which ones were odd.
        found.labels_out_of_order = stray + odd;
        found.sorted = Some(sorter.finish()?);
        found.places.clear();
    }
    Ok(())
}
