//! From label sets to series, old ones and new ones.

use std::sync::atomic::Ordering;

use storage::append::{LabelLimits, SeriesRef, SeriesRefusal, label_set};

use super::core::Core;
use super::index::{Index, LabelHash};
use super::series::Series;
use super::slab::reference;
use super::symbols::{Kin, LabelIds};

type Pairs<'a> = Vec<(&'a str, &'a str)>;
type Resolved = Result<SeriesRef, SeriesRefusal>;

/// A series that is to be made if there is none.
struct Wanted<'a> {
    hash: LabelHash,
    kin: Kin,
    /// Its number in the log, if it has one.
    number: Option<u64>,
    pairs: &'a [(&'a str, &'a str)],
}

/// Sorts pairs and drops empty values.
pub(crate) fn clean<'a>(pairs: &[(&'a str, &'a str)], limits: &LabelLimits) -> Result<Pairs<'a>, SeriesRefusal> {
    let over = |len: usize, max: usize| max > 0 && len > max;
    let mut sorted = pairs.to_vec();
    if !sorted.is_sorted_by(|a, b| a.0 < b.0) {
        sorted.sort_unstable();
    }
    let unique = sorted.windows(2).all(|w| w[0].0 != w[1].0);
    sorted.retain(|(_, value)| !value.is_empty());
    let within = |(name, value): &(&str, &str)| {
        !name.is_empty() && !over(name.len(), limits.name_bytes_max) && !over(value.len(), limits.value_bytes_max)
    };
    if unique && !sorted.is_empty() && !over(sorted.len(), limits.labels_max) && sorted.iter().all(within) {
        return Ok(sorted);
    }
    // What is wrong is told as everywhere.
    match label_set(pairs, limits) {
        Err(refusal) => Err(refusal),
        Ok(_) => Ok(sorted),
    }
}

impl Core {
    /// The series of label sets; new ones are made. Each is used once more, until [`Core::release`].
    pub fn resolve(&self, sets: &[&[(&str, &str)]], limits: &LabelLimits) -> Vec<Resolved> {
        self.resolve_numbered(sets, limits, None)
    }

    /// The same, where a new series gets `number`.
    pub fn resolve_numbered(
        &self,
        sets: &[&[(&str, &str)]],
        limits: &LabelLimits,
        number: Option<u64>,
    ) -> Vec<Resolved> {
        let mut scratch = Vec::new();
        let mut found: Vec<Resolved> = Vec::with_capacity(sets.len());
        let mut new: Vec<(usize, LabelHash, Pairs<'_>)> = Vec::new();
        let symbols = self.symbols.read();
        for (n, set) in sets.iter().enumerate() {
            found.push(match clean(set, limits) {
                Err(refusal) => Err(refusal),
                Ok(pairs) => {
                    let hash = self.index.hash(pairs.iter().copied(), &mut scratch);
                    let known = self.use_known(hash, |ids| symbols.is(ids, &pairs));
                    if known.is_none() {
                        new.push((n, hash, pairs));
                    }
                    // A placeholder for new ones.
                    known.ok_or(SeriesRefusal::Empty)
                }
            });
        }
        drop(symbols);
        if new.is_empty() {
            return found;
        }
        let mut symbols = self.symbols.write();
        let intern = |(_, _, pairs): &(usize, LabelHash, Pairs<'_>)| {
            let ids = symbols.intern_pairs(pairs);
            let kin = symbols.kin(&ids);
            (ids, kin)
        };
        let ids: Vec<(LabelIds, Kin)> = new.iter().map(intern).collect();
        drop(symbols);
        let mut unneeded = Vec::new();
        for ((n, hash, pairs), (ids, kin)) in new.into_iter().zip(ids) {
            let wanted = Wanted { hash, kin, number, pairs: &pairs };
            found[n] = self.use_or_make(&wanted, ids, &mut unneeded);
        }
        self.release_symbols(&unneeded);
        found
    }

    fn release_symbols(&self, ids: &[LabelIds]) {
        if !ids.is_empty() {
            let mut symbols = self.symbols.write();
            ids.iter().for_each(|ids| symbols.release(ids));
        }
    }

    fn use_known(&self, hash: LabelHash, is: impl Fn(&LabelIds) -> bool) -> Option<SeriesRef> {
        let stripe = self.index.stripe(hash).read();
        let mut known = None;
        Index::find(&stripe, hash, |slot| {
            let Some(mut series) = self.slab.lock(slot).filter(|series| is(&series.labels)) else { return false };
            series.users += 1;
            known = Some(reference(slot, series.generation));
            true
        });
        known
    }

    /// The series with these labels, made if there is none. Ids that are not needed go to `unneeded`.
    fn use_or_make(&self, wanted: &Wanted<'_>, ids: LabelIds, unneeded: &mut Vec<LabelIds>) -> Resolved {
        let hash = wanted.hash;
        let mut stripe = self.index.stripe(hash).write();
        let mut known = None;
        Index::find(&stripe, hash, |slot| {
            let Some(mut series) = self.slab.lock(slot).filter(|series| series.labels == ids) else { return false };
            series.users += 1;
            known = Some(reference(slot, series.generation));
            true
        });
        if let Some(known) = known {
            unneeded.push(ids);
            return Ok(known);
        }
        let made = self.make(wanted, &ids);
        match made {
            Ok((slot, made)) => {
                Index::insert(&mut stripe, hash, slot);
                Ok(made)
            }
            Err(refusal) => {
                unneeded.push(ids);
                Err(refusal)
            }
        }
    }

    /// Puts a new series, used once, into a slot.
    fn make(&self, wanted: &Wanted<'_>, ids: &LabelIds) -> Result<(u32, SeriesRef), SeriesRefusal> {
        let max = match self.options.series_max {
            max if max > 0 && wanted.number.is_none() => max,
            _ => u32::MAX as usize,
        };
        let refusal = SeriesRefusal::TooManySeries { max };
        if self.counts.series.fetch_add(1, Ordering::Relaxed) >= max {
            self.counts.series.fetch_sub(1, Ordering::Relaxed);
            return Err(refusal);
        }
        match wanted.number {
            // What is in the log was taken once.
            Some(_) => self.census.add_restored(wanted.kin),
            None => {
                if let Err(refusal) = self.census.add(wanted.kin, &self.options, wanted.pairs) {
                    self.counts.series.fetch_sub(1, Ordering::Relaxed);
                    return Err(refusal);
                }
            }
        }
        let slot = self.slab.allocate(self.isolation.settled());
        let Some((slot, cell)) = slot.and_then(|slot| Some((slot, self.slab.get(slot)?))) else {
            self.counts.series.fetch_sub(1, Ordering::Relaxed);
            self.census.remove(wanted.kin);
            return Err(refusal);
        };
        let mut series = cell.lock();
        let generation = series.generation;
        *series = Series {
            reference: wanted.number.unwrap_or_else(|| self.reference()),
            generation,
            users: 1,
            labels: ids.clone(),
            spread: wanted.hash.spread(),
            ..Series::default()
        };
        self.counts.heap(0, series.heap_bytes());
        self.metrics.series_created.inc();
        Ok((slot, reference(slot, generation)))
    }

    /// An open transaction less uses these series. Those that nobody uses and that have no samples are forgotten.
    pub fn release(&self, used: &[SeriesRef]) {
        let mut idle = Vec::new();
        for used in used {
            if let Some(mut series) = self.slab.find(*used) {
                series.users = series.users.saturating_sub(1);
                if series.users == 0 && !series.has_samples() {
                    idle.push(*used);
                }
            }
        }
        if !idle.is_empty() {
            self.forget(&idle, |series| !series.has_samples());
        }
    }

    /// Removes series that nobody uses, if `gone` still says so; their numbers in the log.
    pub fn forget(&self, series: &[SeriesRef], gone: impl Fn(&Series) -> bool) -> Vec<u64> {
        let mut scratch = Vec::new();
        let (mut slots, mut numbers, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut metadata = Vec::new();
        for one in series {
            let slot = one.0 as u32;
            let hash = {
                let symbols = self.symbols.read();
                let Some(series) = self.slab.find(*one) else { continue };
                self.index.hash(symbols.pairs(&series.labels), &mut scratch)
            };
            let symbols = self.symbols.read();
            let mut stripe = self.index.stripe(hash).write();
            let mut postings = self.postings.write();
            let mut order = self.order.write();
            let Some(mut series) = self.slab.find(*one) else { continue };
            if series.users > 0 || !gone(&series) {
                continue;
            }
            if series.indexed {
                postings.remove(slot, symbols.pair_ids(&series.labels));
                let ranked = order.forget(slot);
                self.counts.unranked.fetch_sub(i64::from(!ranked), Ordering::Relaxed);
            }
            Index::remove(&mut stripe, hash, slot);
            self.census.remove(symbols.kin(&series.labels));
            self.counts.stale.fetch_sub(i64::from(series.stale), Ordering::Relaxed);
            self.counts.heap(series.heap_bytes(), 0);
            let generation = series.generation.wrapping_add(1).max(1);
            let old = std::mem::replace(&mut *series, Series { generation, ..Series::default() });
            slots.push(slot);
            numbers.push(old.reference);
            ids.push(old.labels);
            metadata.push(old.metadata);
        }
        self.counts.series.fetch_sub(slots.len(), Ordering::Relaxed);
        self.metrics.series_removed.inc_by(slots.len() as u64);
        self.slab.free(&slots, self.isolation.next());
        self.release_symbols(&ids);
        let mut table = self.metadata.write();
        metadata.into_iter().for_each(|number| table.release(number));
        numbers
    }
}
