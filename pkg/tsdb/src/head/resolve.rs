//! From label sets to series, old ones and new ones.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use storage::append::{LabelLimits, SeriesRef, SeriesRefusal, label_set};

use super::core::Core;
use super::index::{Index, LabelHash};
use super::series::Series;
use super::slab::reference;
use super::symbols::{Kin, LabelIds};

type Pairs<'a> = Cow<'a, [(&'a str, &'a str)]>;
type Resolved = Result<SeriesRef, SeriesRefusal>;

/// A series that is to be made if there is none.
struct Wanted<'a> {
    hash: LabelHash,
    kin: Kin,
    /// Its number in the log, if it has one.
    number: Option<u64>,
    pairs: &'a [(&'a str, &'a str)],
}

/// Sorts pairs and drops empty values, where that is to be done.
pub(crate) fn clean<'a>(pairs: &'a [(&'a str, &'a str)], limits: &LabelLimits) -> Result<Pairs<'a>, SeriesRefusal> {
    let over = |len: usize, max: usize| max > 0 && len > max;
    let within = |(name, value): &(&str, &str)| {
        !name.is_empty() && !over(name.len(), limits.name_bytes_max) && !over(value.len(), limits.value_bytes_max)
    };
    let is_clean = |pairs: &[(&str, &str)]| {
        !pairs.is_empty()
            && !over(pairs.len(), limits.labels_max)
            && pairs.is_sorted_by(|a, b| a.0 < b.0)
            && pairs.iter().all(within)
    };
    if is_clean(pairs) && pairs.iter().all(|(_, value)| !value.is_empty()) {
        return Ok(Cow::Borrowed(pairs));
    }
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let unique = sorted.windows(2).all(|w| w[0].0 != w[1].0);
    sorted.retain(|(_, value)| !value.is_empty());
    if unique && is_clean(&sorted) {
        return Ok(Cow::Owned(sorted));
    }
    // What is wrong is told as everywhere.
    match label_set(pairs, limits) {
        Err(refusal) => Err(refusal),
        Ok(_) => Ok(Cow::Owned(sorted)),
    }
}

impl Core {
    /// The series of label sets; new ones are made. Each is used once more, until [`Core::release`].
    pub fn resolve(&self, sets: &[&[(&str, &str)]], limits: &LabelLimits) -> Vec<Resolved> {
        self.resolve_numbered(sets, limits, None)
    }

    /// The same, where new series get `numbers`, one for each set.
    pub fn resolve_numbered(
        &self,
        sets: &[&[(&str, &str)]],
        limits: &LabelLimits,
        numbers: Option<&[u64]>,
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
        let mut ids: Vec<(LabelIds, Kin)> = Vec::with_capacity(new.len());
        for (_, _, pairs) in &new {
            let interned = symbols.intern_pairs(pairs, ids.last().map(|(before, _)| before));
            let kin = symbols.kin(&interned);
            ids.push((interned, kin));
        }
        drop(symbols);
        let mut unneeded = Vec::new();
        for ((n, hash, pairs), (ids, kin)) in new.into_iter().zip(ids) {
            let number = numbers.and_then(|numbers| numbers.get(n).copied());
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
        let slot = match self.make_room(wanted) {
            Ok(slot) => slot,
            Err(refusal) => {
                unneeded.push(ids);
                return Err(refusal);
            }
        };
        Index::insert(&mut stripe, hash, slot);
        Ok(self.fill_slot(slot, wanted, ids))
    }

    /// A slot for a new series, if the limits allow it.
    fn make_room(&self, wanted: &Wanted<'_>) -> Result<u32, SeriesRefusal> {
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
        self.slab.allocate(self.isolation.settled()).ok_or_else(|| {
            self.counts.series.fetch_sub(1, Ordering::Relaxed);
            self.census.remove(wanted.kin);
            refusal
        })
    }

    /// Puts a new series, used once, into a slot.
    fn fill_slot(&self, slot: u32, wanted: &Wanted<'_>, labels: LabelIds) -> SeriesRef {
        let Some(mut series) = self.slab.get(slot).map(parking_lot::Mutex::lock) else { return reference(slot, 0) };
        let generation = series.generation;
        *series = Series {
            reference: wanted.number.unwrap_or_else(|| self.reference()),
            generation,
            users: 1,
            labels,
            spread: wanted.hash.spread(),
            ..Series::default()
        };
        self.counts.heap(0, series.heap_bytes());
        self.metrics.series_created.inc();
        reference(slot, generation)
    }

    /// An open transaction less uses these series. Those that nobody uses and that have no samples are forgotten.
    pub fn release(&self, used: &[SeriesRef]) {
        // A replay has samples for series yet that have none; at its end it looks for idle ones itself.
        let replaying = self.replaying.load(Ordering::Acquire);
        let mut idle = Vec::new();
        for used in used {
            if let Some(mut series) = self.slab.find(*used) {
                series.users = series.users.saturating_sub(1);
                if series.users == 0 && !series.has_samples() && !replaying {
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
        self.forget_telling(series, |_, series| gone(series), &mut |_| {})
    }

    /// The same. `tell` gets the numbers of those that are gone before there can be another series with their labels.
    pub fn forget_telling(
        &self,
        series: &[SeriesRef],
        gone: impl Fn(u32, &Series) -> bool,
        tell: &mut dyn FnMut(&[u64]),
    ) -> Vec<u64> {
        let mut all = self.hashed(series);
        all.sort_unstable_by_key(|(hash, _)| Index::stripe_number(*hash));
        let mut removed = Removed::default();
        for stripe in all.chunk_by(|(a, _), (b, _)| Index::stripe_number(*a) == Index::stripe_number(*b)) {
            // Nobody waits for long.
            for part in stripe.chunks(FORGOTTEN_TOGETHER) {
                self.remove_part(part, &gone, tell, &mut removed);
            }
        }
        let Removed { slots, numbers, labels, metadata } = removed;
        self.counts.series.fetch_sub(slots.len(), Ordering::Relaxed);
        self.metrics.series_removed.inc_by(slots.len() as u64);
        self.slab.free(&slots, self.isolation.next());
        self.release_symbols(&labels);
        let mut table = self.metadata.write();
        metadata.into_iter().for_each(|number| table.release(number));
        numbers
    }

    fn hashed(&self, series: &[SeriesRef]) -> Vec<(LabelHash, SeriesRef)> {
        let (mut scratch, symbols) = (Vec::new(), self.symbols.read());
        let hash = |one: &SeriesRef| {
            let series = self.slab.find(*one)?;
            Some((self.index.hash(symbols.pairs(&series.labels), &mut scratch), *one))
        };
        series.iter().filter_map(hash).collect()
    }

    /// Removes series of one stripe of the index.
    fn remove_part(
        &self,
        part: &[(LabelHash, SeriesRef)],
        gone: &impl Fn(u32, &Series) -> bool,
        tell: &mut dyn FnMut(&[u64]),
        removed: &mut Removed,
    ) {
        let Some((hash, _)) = part.first() else { return };
        let symbols = self.symbols.read();
        let mut stripe = self.index.stripe(*hash).write();
        let mut postings = self.postings.write();
        let mut order = self.order.write();
        let before = removed.numbers.len();
        for (hash, one) in part {
            let slot = one.0 as u32;
            let Some(mut series) = self.slab.find(*one) else { continue };
            if series.users > 0 || !gone(slot, &series) {
                continue;
            }
            if series.indexed {
                postings.remove(slot, symbols.pair_ids(&series.labels));
                let ranked = order.forget(slot);
                self.counts.unranked.fetch_sub(i64::from(!ranked), Ordering::Relaxed);
            }
            Index::remove(&mut stripe, *hash, slot);
            self.census.remove(symbols.kin(&series.labels));
            self.counts.stale.fetch_sub(i64::from(series.stale), Ordering::Relaxed);
            self.counts.chunks.fetch_sub(series.chunks() as i64, Ordering::Relaxed);
            self.counts.heap(series.heap_bytes(), 0);
            let generation = series.generation.wrapping_add(1).max(1);
            let old = std::mem::replace(&mut *series, Series { generation, ..Series::default() });
            removed.slots.push(slot);
            removed.numbers.push(old.reference);
            removed.labels.push(old.labels);
            removed.metadata.push(old.metadata);
        }
        let numbers = &removed.numbers[before..];
        if !numbers.is_empty() {
            tell(numbers);
        }
    }
}

/// Series that are removed while others wait.
const FORGOTTEN_TOGETHER: usize = 512;

/// What is left of removed series.
#[derive(Default)]
struct Removed {
    slots: Vec<u32>,
    numbers: Vec<u64>,
    labels: Vec<LabelIds>,
    metadata: Vec<u32>,
}
