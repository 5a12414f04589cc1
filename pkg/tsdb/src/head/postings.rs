//! Which series have a label: from (name, value) to the set of slots.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::set::Set;

/// Slots of one label; most labels of high cardinality have one series.
#[derive(Debug, Clone)]
enum Slots {
    One(u32),
    Many(Box<Set>),
}

impl Slots {
    fn add(&mut self, slot: u32) {
        match self {
            Self::One(one) if *one == slot => {}
            Self::One(one) => *self = Self::Many(Box::new([*one, slot].into_iter().collect())),
            Self::Many(set) => {
                set.insert(slot);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(set) => set.len(),
        }
    }
}

impl Slots {
    fn size_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(set) => set.size_bytes() + size_of::<Set>(),
        }
    }
}

type Values = HashMap<u32, Slots>;

/// Series on their way into postings. Neighbours share most labels, so that each label is looked up once for a run of them.
pub(crate) struct Adding<'a> {
    postings: &'a mut Postings,
    /// By place among the labels of a series: a label, and series that have it.
    runs: Vec<Run>,
}

struct Run {
    name: u32,
    value: u32,
    slots: Vec<u32>,
}

impl Adding<'_> {
    /// Adds a series with these labels.
    pub fn add(&mut self, slot: u32, pairs: impl Iterator<Item = (u32, u32)>) {
        self.postings.all.insert(slot);
        for (place, (name, value)) in pairs.enumerate() {
            match self.runs.get_mut(place) {
                Some(run) if (run.name, run.value) == (name, value) => run.slots.push(slot),
                Some(run) => {
                    self.postings.add(run);
                    (run.name, run.value) = (name, value);
                    run.slots.push(slot);
                }
                None => self.runs.push(Run { name, value, slots: vec![slot] }),
            }
        }
    }
}

impl Drop for Adding<'_> {
    fn drop(&mut self) {
        for run in &mut self.runs {
            self.postings.add(run);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Postings {
    all: Set,
    /// By name, then by value.
    names: HashMap<u32, Values>,
}

impl Postings {
    /// Adds the series of a run, which has none then.
    fn add(&mut self, run: &mut Run) {
        let mut slots = run.slots.drain(..);
        let Some(first) = slots.next() else { return };
        let of_label = self.names.entry(run.name).or_default().entry(run.value);
        let of_label = match of_label {
            Entry::Occupied(of_label) => {
                let of_label = of_label.into_mut();
                of_label.add(first);
                of_label
            }
            Entry::Vacant(new) => new.insert(Slots::One(first)),
        };
        slots.for_each(|slot| of_label.add(slot));
    }

    /// Adds series. They are all there once it is dropped.
    pub fn adding(&mut self) -> Adding<'_> {
        Adding { postings: self, runs: Vec::new() }
    }

    pub fn remove(&mut self, slot: u32, pairs: impl Iterator<Item = (u32, u32)>) {
        self.all.remove(slot);
        for (name, value) in pairs {
            let Some(values) = self.names.get_mut(&name) else { continue };
            let empty = match values.get_mut(&value) {
                Some(Slots::One(one)) => *one == slot,
                Some(Slots::Many(set)) => {
                    set.remove(slot);
                    set.is_empty()
                }
                None => false,
            };
            if empty {
                values.remove(&value);
                if values.is_empty() {
                    self.names.remove(&name);
                }
            }
        }
    }

    pub fn all(&self) -> &Set {
        &self.all
    }

    pub fn names(&self) -> impl Iterator<Item = u32> + '_ {
        self.names.keys().copied()
    }

    /// The values of a name.
    pub fn values(&self, name: u32) -> Vec<u32> {
        self.names.get(&name).map(|values| values.keys().copied().collect()).unwrap_or_default()
    }

    /// How many values a name has.
    pub fn count_values(&self, name: u32) -> usize {
        self.names.get(&name).map_or(0, Values::len)
    }

    /// Whether any of these series has a label.
    pub fn meets(&self, name: u32, value: u32, series: &Set) -> bool {
        match self.names.get(&name).and_then(|values| values.get(&value)) {
            Some(Slots::One(slot)) => series.contains(*slot),
            Some(Slots::Many(set)) => series.meets(set),
            None => false,
        }
    }

    /// How many series have a label, and the bytes of their slots.
    pub fn count(&self, name: u32, value: u32) -> Option<(usize, usize)> {
        let slots = self.names.get(&name)?.get(&value)?;
        Some((slots.len(), slots.size_bytes()))
    }

    /// The series that have all of these labels; none if there are no labels.
    pub fn having(&self, labels: &[(u32, u32)]) -> Set {
        let slots = labels.iter().map(|(name, value)| self.names.get(name)?.get(value));
        let Some(mut all) = slots.collect::<Option<Vec<&Slots>>>() else { return Set::default() };
        // What the narrowest one has is held against the others.
        all.sort_by_key(|slots| slots.len());
        let mut all = all.into_iter();
        let mut found = match all.next() {
            Some(Slots::One(slot)) => [*slot].into_iter().collect(),
            Some(Slots::Many(set)) => Set::clone(set),
            None => Set::default(),
        };
        for slots in all {
            match slots {
                Slots::One(slot) => found = found.contains(*slot).then_some(*slot).into_iter().collect(),
                Slots::Many(set) => found.intersect(set),
            }
        }
        found
    }

    /// Adds the slots of a label to `to`.
    pub fn unite(&self, name: u32, value: u32, to: &mut Set) {
        match self.names.get(&name).and_then(|values| values.get(&value)) {
            Some(Slots::One(slot)) => {
                to.insert(*slot);
            }
            Some(Slots::Many(set)) => to.unite(set),
            None => {}
        }
    }

    pub fn size_bytes(&self) -> usize {
        let values = |values: &Values| {
            values.capacity() * (size_of::<(u32, Slots)>() + 1) + values.values().map(Slots::size_bytes).sum::<usize>()
        };
        self.all.size_bytes() + self.names.values().map(values).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whichever labels are asked for, the series are those that have each of them.
        #[test]
        fn having_labels(
            series in prop::collection::vec(prop::collection::btree_map(0u32..3, 0u32..4, 0..3), 0..200),
            asked in prop::collection::vec((0u32..3, 0u32..4), 0..4),
            gone in prop::collection::vec(0usize..200, 0..20),
        ) {
            let mut series: BTreeMap<u32, BTreeMap<u32, u32>> =
                series.into_iter().enumerate().map(|(n, labels)| (n as u32 * 700, labels)).collect();
            let mut postings = Postings::default();
            let mut adding = postings.adding();
            series.iter().for_each(|(slot, labels)| adding.add(*slot, labels.iter().map(|(n, v)| (*n, *v))));
            drop(adding);
            for slot in gone {
                if let Some((slot, labels)) = series.remove_entry(&(slot as u32 * 700)) {
                    postings.remove(slot, labels.into_iter());
                }
            }
            let has = |labels: &BTreeMap<u32, u32>| asked.iter().all(|(name, value)| labels.get(name) == Some(value));
            let right: Vec<u32> = series.iter().filter(|(_, labels)| has(labels)).map(|(slot, _)| *slot).collect();
            let right = if asked.is_empty() { Vec::new() } else { right };
            prop_assert_eq!(postings.having(&asked).to_vec(), right);
        }
    }
}
