//! Names and values of labels.

use std::collections::BTreeSet;

use model::TimeRange;
use storage::{Ctx, LabelQuery, Result};

use super::chunks::pieces;
use crate::head::core::Core;
use crate::head::isolation::Snapshot;

/// Series between two looks at whether somebody still waits.
const BATCH: usize = 1024;

impl Core {
    fn overlaps(&self, range: TimeRange) -> bool {
        let (min, max) = self.times.range();
        range.overlaps(TimeRange::new(min, max))
    }

    pub fn label_names(&self, ctx: &Ctx, want: &LabelQuery) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        if self.overlaps(want.range) {
            if want.matchers.is_empty() && self.is_within(want.range) {
                let symbols = self.symbols.read();
                let postings = self.postings.read();
                found.extend(postings.names().map(|name| symbols.text(name).to_owned()));
            } else {
                let mut names = BTreeSet::new();
                self.each_series(ctx, want, |core_symbols, ids| {
                    for (name, _) in core_symbols.pair_ids(ids) {
                        if names.insert(name) {
                            found.insert(core_symbols.text(name).to_owned());
                        }
                    }
                })?;
            }
        }
        found.retain(|name| !want.without_replica_labels.iter().any(|hidden| hidden == name));
        Ok(limited(found, want.limit))
    }

    pub fn label_values(&self, ctx: &Ctx, name: &str, want: &LabelQuery) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        if want.without_replica_labels.iter().any(|hidden| hidden == name) || !self.overlaps(want.range) {
            return Ok(Vec::new());
        }
        if want.matchers.is_empty() && self.is_within(want.range) {
            let symbols = self.symbols.read();
            let Some(name) = symbols.find(name) else { return Ok(Vec::new()) };
            let values = self.postings.read().values(name);
            found.extend(values.into_iter().map(|value| symbols.text(value).to_owned()));
        } else {
            let mut values = std::collections::HashSet::new();
            self.each_series(ctx, want, |symbols, ids| {
                let value = symbols.pair_ids(ids).find(|(n, _)| symbols.text(*n) == name);
                if let Some((_, value)) = value
                    && values.insert(value)
                {
                    found.insert(symbols.text(value).to_owned());
                }
            })?;
        }
        Ok(limited(found, want.limit))
    }

    /// Whether all of the head lies inside.
    fn is_within(&self, range: TimeRange) -> bool {
        let (min, max) = self.times.range();
        range.min <= min && max <= range.max
    }

    /// Labels of the series that match and have a sample in the range.
    fn each_series(
        &self,
        ctx: &Ctx,
        want: &LabelQuery,
        mut sink: impl FnMut(&crate::head::symbols::Symbols, &crate::head::symbols::LabelIds),
    ) -> Result<()> {
        let snapshot = self.isolation.snapshot();
        let slots = self.matching(&want.matchers, &|| ctx.check())?.to_vec();
        for batch in slots.chunks(BATCH) {
            ctx.check()?;
            let symbols = self.symbols.read();
            for slot in batch {
                let Some(series) = self.slab.lock(*slot) else { continue };
                if has_samples(&series, want.range, &snapshot)? {
                    sink(&symbols, &series.labels);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn has_samples(series: &crate::head::series::Series, range: TimeRange, snapshot: &Snapshot) -> Result<bool> {
    let unseen = series.unseen(|commit| snapshot.sees(commit));
    Ok(!pieces(series, range, unseen, true)?.is_empty())
}

fn limited(found: BTreeSet<String>, limit: usize) -> Vec<String> {
    found.into_iter().take(if limit == 0 { usize::MAX } else { limit }).collect()
}
