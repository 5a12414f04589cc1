//! Which group a series belongs to.

use hashbrown::HashMap;
use labels::{Builder, Labels, METRIC_NAME};

/// `by` and `without`, and the groups met so far, numbered in order of appearance.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// Sorted.
    names: Vec<String>,
    without: bool,
    groups: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    /// The labels of each group.
    pub labels: Vec<Labels>,
}

impl Grouping {
    /// `names` must be sorted.
    pub fn new(names: Vec<String>, without: bool) -> Self {
        Self { names, without, groups: HashMap::new(), key: Vec::new(), labels: Vec::new() }
    }

    /// The number of the group of `series`, and whether it is new.
    pub fn of(&mut self, series: &Labels) -> (usize, bool) {
        if !self.without && self.names.is_empty() {
            // One group.
            let new = self.labels.is_empty();
            if new {
                self.labels.push(Labels::empty());
            }
            return (0, new);
        }
        self.key.clear();
        let mut names = self.names.iter().peekable();
        for (name, value) in series {
            while names.peek().is_some_and(|n| n.as_str() < name) {
                names.next();
            }
            let listed = names.peek().is_some_and(|n| n.as_str() == name);
            let kept = if self.without { !listed && name != METRIC_NAME } else { listed };
            if kept {
                push(&mut self.key, name.as_bytes());
                push(&mut self.key, value.as_bytes());
            }
        }
        if let Some(at) = self.groups.get(self.key.as_slice()) {
            return (*at, false);
        }
        let at = self.labels.len();
        self.groups.insert(self.key.clone().into_boxed_slice(), at);
        self.labels.push(self.group_labels(series));
        (at, true)
    }

    /// The labels that the group of `series` has.
    pub fn group_labels(&self, series: &Labels) -> Labels {
        if !self.without {
            return series.only(&self.names);
        }
        let mut builder = Builder::from_labels(series);
        for name in &self.names {
            builder.remove(name);
        }
        builder.remove(METRIC_NAME);
        builder.build()
    }

    /// Adds a label to `by` (nothing to `without`).
    pub fn also_by(&mut self, name: &str) {
        if !self.without
            && let Err(at) = self.names.binary_search_by(|n| n.as_str().cmp(name))
        {
            self.names.insert(at, name.to_owned());
        }
    }
}

fn push(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    key.extend_from_slice(bytes);
}
