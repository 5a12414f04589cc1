//! Which series of two sides belong together.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};
use labels::{Builder, Labels, METRIC_NAME};
use promql_syntax::{Cardinality, Matching};

use crate::eval::{Cx, Result};
use crate::select_plan::METADATA_LABELS;

/// Match groups, numbered as they appear.
pub(crate) struct Signatures {
    on: bool,
    /// Label names, sorted and each once.
    names: Vec<String>,
    numbers: HashTable<u32>,
    /// The labels of the first series of each group, which tell its key.
    first: Vec<Labels>,
    hasher: DefaultHashBuilder,
}

impl Signatures {
    pub fn new(matching: &Matching) -> Self {
        let mut names = matching.labels.clone();
        if !matching.on {
            names.push(METRIC_NAME.to_owned());
        }
        names.sort_unstable();
        names.dedup();
        let hasher = DefaultHashBuilder::default();
        Self { on: matching.on, names, numbers: HashTable::new(), first: Vec::new(), hasher }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// The number of a series' group, if it was met before.
    pub fn find(&self, labels: &Labels) -> Option<usize> {
        self.find_hashed(hash(&self.hasher, &self.names, self.on, labels), labels)
    }

    /// The number of a series' group, a new one if need be. Groups count as held.
    pub fn number(&mut self, labels: &Labels, cx: &mut Cx) -> Result<usize> {
        let own = hash(&self.hasher, &self.names, self.on, labels);
        if let Some(number) = self.find_hashed(own, labels) {
            return Ok(number);
        }
        let Self { on, names, numbers, first, hasher } = self;
        let number = first.len();
        cx.hold(0, labels.size_bytes() + GROUP_BYTES)?;
        numbers.insert_unique(own, number as u32, |other| hash(hasher, names, *on, &first[*other as usize]));
        first.push(labels.clone());
        Ok(number)
    }

    fn find_hashed(&self, hash: u64, labels: &Labels) -> Option<usize> {
        let same = |number: &u32| {
            let first = &self.first[*number as usize];
            first == labels || matched(&self.names, self.on, first).eq(matched(&self.names, self.on, labels))
        };
        self.numbers.find(hash, same).map(|number| *number as usize)
    }
}

/// What a group takes beside its labels, about.
const GROUP_BYTES: usize = 48;

/// The pairs of `labels` that decide what they match.
fn matched<'a>(names: &'a [String], on: bool, labels: &'a Labels) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut names = names.iter().peekable();
    labels.iter_bytes().filter(move |(name, _)| {
        while names.next_if(|n| n.as_bytes() < *name).is_some() {}
        names.peek().is_some_and(|n| n.as_bytes() == *name) == on
    })
}

fn hash(hasher: &DefaultHashBuilder, names: &[String], on: bool, labels: &Labels) -> u64 {
    let mut state = hasher.build_hasher();
    for (name, value) in matched(names, on, labels) {
        state.write(name);
        state.write(value);
    }
    state.finish()
}

/// The labels that two series matched by, for messages and fills.
pub(crate) fn match_labels(labels: &Labels, matching: &Matching) -> Labels {
    if matching.on {
        return labels.only(&matching.labels);
    }
    let mut builder = Builder::from_labels(labels);
    builder.remove(METRIC_NAME);
    for name in &matching.labels {
        builder.remove(name);
    }
    builder.build()
}

/// The labels of a result: of the "many" side without those in `dropped`, less or more what the matching says.
pub(crate) fn result_labels(many: &Labels, one: &Labels, matching: &Matching, dropped: &[String]) -> Labels {
    let labels = match (matching.cardinality, matching.on) {
        (Cardinality::OneToOne, true) => many.only(&matching.labels).without(dropped),
        _ => many.without(dropped),
    };
    if matching.include.is_empty() {
        return labels;
    }
    let mut builder = Builder::from_labels(&labels);
    for name in &matching.include {
        // An empty value deletes.
        builder.set(name, one.value(name));
    }
    builder.build()
}

/// The labels that no result has: where `drops_name`, those of the metric, and those that were ignored.
pub(crate) fn dropped_labels(matching: &Matching, drops_name: bool) -> Vec<String> {
    let metric = METADATA_LABELS.iter().filter(|_| drops_name).map(|name| (*name).to_owned());
    let is_ignored = matching.cardinality == Cardinality::OneToOne && !matching.on;
    metric.chain(matching.labels.iter().filter(|_| is_ignored).cloned()).collect()
}
