//! Names and values of labels, from the index: of all the head where it has data in the range, as Prometheus answers.

use std::collections::HashSet;

use model::TimeRange;
use storage::{Ctx, LabelQuery, Result};

use crate::head::core::Core;
use crate::head::set::Set;
use crate::head::symbols::{LabelIds, Symbols};

/// Series or values between two looks at whether somebody still waits, or wants a lock.
const BATCH: usize = 1024;

impl Core {
    fn overlaps(&self, range: TimeRange) -> bool {
        let (min, max) = self.times.range();
        range.overlaps(TimeRange::new(min, max))
    }

    pub fn label_names(&self, ctx: &Ctx, want: &LabelQuery) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if self.overlaps(want.range) {
            if want.matchers.is_empty() {
                let symbols = self.symbols.read();
                found.extend(self.postings.read().names().map(|name| symbols.text(name).to_owned()));
            } else {
                let (mut shapes, mut names) = (HashSet::new(), HashSet::new());
                let _reading = self.isolation.snapshot();
                let matching = self.matching(&want.matchers, &|| ctx.check())?;
                self.each_series(ctx, &matching, |symbols, ids| {
                    if shapes.insert(ids.shape) {
                        names.extend(symbols.pair_ids(ids).map(|(name, _)| symbols.text(name).to_owned()));
                    }
                })?;
                found.extend(names);
            }
        }
        found.retain(|name| !want.without_replica_labels.iter().any(|hidden| hidden == name));
        Ok(limited(found, want.limit))
    }

    pub fn label_values(&self, ctx: &Ctx, name: &str, want: &LabelQuery) -> Result<Vec<String>> {
        if want.without_replica_labels.iter().any(|hidden| hidden == name) || !self.overlaps(want.range) {
            return Ok(Vec::new());
        }
        if want.matchers.is_empty() {
            return Ok(limited(self.values_among(ctx, name, None)?, want.limit));
        }
        let _reading = self.isolation.snapshot();
        let matching = self.matching(&want.matchers, &|| ctx.check())?;
        let values = {
            let symbols = self.symbols.read();
            let Some(name) = symbols.find(name) else { return Ok(Vec::new()) };
            self.postings.read().count_values(name)
        };
        let found = if matching.len() > values {
            self.values_among(ctx, name, Some(&matching))?
        } else {
            let (mut ids_seen, mut found) = (HashSet::new(), Vec::new());
            self.each_series(ctx, &matching, |symbols, ids| {
                let value = symbols.pair_ids(ids).find(|(n, _)| symbols.text(*n) == name);
                if let Some((_, value)) = value
                    && ids_seen.insert(value)
                {
                    found.push(symbols.text(value).to_owned());
                }
            })?;
            found
        };
        Ok(limited(found, want.limit))
    }

    /// The values of a name that a series has, one of these if they are given.
    fn values_among(&self, ctx: &Ctx, name: &str, series: Option<&Set>) -> Result<Vec<String>> {
        let values = {
            let symbols = self.symbols.read();
            let Some(name) = symbols.find(name) else { return Ok(Vec::new()) };
            self.postings.read().values(name)
        };
        let mut found = Vec::with_capacity(if series.is_none() { values.len() } else { 0 });
        for some in values.chunks(BATCH) {
            ctx.check()?;
            // Values may come and go between two batches: a number that the name still has is a value of it now.
            let symbols = self.symbols.read();
            let Some(name) = symbols.find(name) else { break };
            let postings = self.postings.read();
            let has = |value: &&u32| match series {
                Some(series) => postings.meets(name, **value, series),
                None => postings.count(name, **value).is_some(),
            };
            found.extend(some.iter().filter(has).map(|value| symbols.text(*value).to_owned()));
        }
        Ok(found)
    }

    /// The labels of series.
    fn each_series(&self, ctx: &Ctx, slots: &Set, mut sink: impl FnMut(&Symbols, &LabelIds)) -> Result<()> {
        for batch in slots.to_vec().chunks(BATCH) {
            ctx.check()?;
            let symbols = self.symbols.read();
            for slot in batch {
                if let Some(series) = self.slab.lock(*slot) {
                    sink(&symbols, &series.labels);
                }
            }
        }
        Ok(())
    }
}

/// Sorted, each once, at most `limit` of them (0 = all).
fn limited(mut found: Vec<String>, limit: usize) -> Vec<String> {
    found.sort_unstable();
    found.dedup();
    if limit > 0 {
        found.truncate(limit);
    }
    found
}
