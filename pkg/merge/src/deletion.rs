//! Which times of which series are to go. Matchers are turned into sets of symbol numbers once, so that no text is
//! looked at series by series.

use std::sync::Arc;

use block::BlockMeta;
use labels::Matcher;
use model::TimeRange;

use crate::bits::Bits;
use crate::entries::Pairs;
use crate::error::Result;
use crate::job::Deletion;
use crate::symbols::SymbolTable;

/// A matcher over symbol numbers.
#[derive(Debug)]
struct ByNumber {
    matcher: Matcher,
    /// The label name's number, if any series has it.
    name: Option<u32>,
    /// Values that match.
    values: Bits,
}

/// One deletion over symbol numbers.
#[derive(Debug)]
struct Prepared {
    matchers: Vec<ByNumber>,
    ranges: Vec<TimeRange>,
}

/// All deletions of a job.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    prepared: Vec<Prepared>,
}

impl Deletions {
    /// Looks through all symbols once.
    pub(crate) fn prepare(deletions: &[Deletion], symbols: &SymbolTable) -> Result<Self> {
        let prepare = |deletion: &Deletion| Prepared {
            matchers: deletion
                .matchers
                .iter()
                .map(|m| ByNumber { matcher: m.clone(), name: None, values: Bits::new(symbols.len()) })
                .collect(),
            ranges: if deletion.ranges.is_empty() { vec![TimeRange::ALL] } else { deletion.ranges.clone() },
        };
        // One without matchers would delete everything: never meant.
        let mut prepared: Vec<Prepared> = deletions.iter().filter(|d| !d.matchers.is_empty()).map(prepare).collect();
        if !prepared.is_empty() {
            symbols.each(|number, text| {
                for by in prepared.iter_mut().flat_map(|p| &mut p.matchers) {
                    if by.matcher.name() == text {
                        by.name = Some(number);
                    }
                    if by.matcher.matches(text) {
                        by.values.insert(number);
                    }
                }
                Ok(())
            })?;
        }
        Ok(Self { prepared })
    }

    /// Those that can match series of a block with these external labels.
    pub(crate) fn of(self: &Arc<Self>, meta: &BlockMeta) -> BlockDeletions {
        let external = |name: &str| meta.thanos.as_ref().and_then(|t| t.labels.get(name));
        let mut active = Vec::new();
        for (at, prepared) in self.prepared.iter().enumerate() {
            let mut own = Vec::new();
            let possible = prepared.matchers.iter().enumerate().all(|(m, by)| match external(by.matcher.name()) {
                // External labels stand over the series' own.
                Some(value) => by.matcher.matches(value),
                None => {
                    own.push(m);
                    true
                }
            });
            if possible {
                active.push((at, own));
            }
        }
        BlockDeletions { all: self.clone(), active }
    }
}

/// The deletions that concern one input.
#[derive(Debug, Clone)]
pub(crate) struct BlockDeletions {
    all: Arc<Deletions>,
    /// Which deletion, and which of its matchers are left to test.
    active: Vec<(usize, Vec<usize>)>,
}

impl BlockDeletions {
    /// Adds the times of a series that are to go.
    pub(crate) fn add_ranges(&self, labels: &Pairs, out: &mut Vec<TimeRange>) {
        for (at, own) in &self.active {
            let prepared = &self.all.prepared[*at];
            let matches = own.iter().map(|m| &prepared.matchers[*m]).all(|by| {
                let label = by.name.and_then(|name| labels.binary_search_by_key(&name, |l| l.0).ok());
                match label {
                    Some(at) => by.values.contains(labels[at].1),
                    None => by.matcher.matches(""),
                }
            });
            if matches {
                out.extend_from_slice(&prepared.ranges);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }
}
