//! Which series have a label: from (name, value) to the set of slots.

use hashbrown::HashMap;

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

#[derive(Debug, Default)]
pub(crate) struct Postings {
    all: Set,
    /// By name, then by value.
    names: HashMap<u32, Values>,
}

impl Postings {
    pub fn add(&mut self, slot: u32, pairs: impl Iterator<Item = (u32, u32)>) {
        self.all.insert(slot);
        for (name, value) in pairs {
            let values = self.names.entry(name).or_default();
            values.entry(value).and_modify(|slots| slots.add(slot)).or_insert(Slots::One(slot));
        }
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

    /// How many series have a label, and the bytes of their slots.
    pub fn count(&self, name: u32, value: u32) -> Option<(usize, usize)> {
        let slots = self.names.get(&name)?.get(&value)?;
        Some((slots.len(), slots.size_bytes()))
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
