//! Which group a series belongs to.

use hashbrown::HashMap;
use labels::{Builder, Labels, METRIC_NAME};

use crate::eval::{Cx, Result};
use crate::merge::ENTRY_BYTES;

/// `by` and `without`, and the groups met so far, numbered in order of appearance.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// Label names, sorted and each once.
    names: Vec<String>,
    without: bool,
    groups: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    /// Bytes counted for the groups.
    held_bytes: usize,
    /// The labels of each group.
    labels: Vec<Labels>,
}

impl Grouping {
    /// The grouping by, or without, `names`, which must be sorted.
    pub fn new(names: Vec<String>, without: bool) -> Self {
        Self { names, without, groups: HashMap::new(), key: Vec::new(), held_bytes: 0, labels: Vec::new() }
    }

    /// The number of the group of `series`, and whether it is new. Groups count as held.
    pub fn of(&mut self, series: &Labels, cx: &mut Cx) -> Result<(usize, bool)> {
        if !self.without && self.names.is_empty() {
            // One group.
            let new = self.labels.is_empty();
            if new {
                self.labels.push(Labels::empty());
            }
            return Ok((0, new));
        }
        self.key.clear();
        let mut names = self.names.iter().peekable();
        for (name, value) in series.iter_bytes() {
            while names.peek().is_some_and(|n| n.as_bytes() < name) {
                names.next();
            }
            let listed = names.peek().is_some_and(|n| n.as_bytes() == name);
            let kept = if self.without { !listed && name != METRIC_NAME.as_bytes() } else { listed };
            if kept {
                push(&mut self.key, name);
                push(&mut self.key, value);
            }
        }
        if let Some(at) = self.groups.get(self.key.as_slice()) {
            return Ok((*at, false));
        }
        let at = self.labels.len();
        // The key has as many bytes as the labels.
        let bytes = 2 * self.key.len() + ENTRY_BYTES;
        cx.hold(0, bytes)?;
        self.held_bytes += bytes;
        let labels = cx.make_labels(series.size_bytes(), || self.group_labels(series))?;
        self.groups.insert(self.key.clone().into_boxed_slice(), at);
        self.labels.push(labels);
        Ok((at, true))
    }

    /// The labels of all groups, which no longer count; the groups are forgotten.
    pub fn finish(&mut self, cx: &mut Cx) -> Vec<Labels> {
        self.groups = HashMap::new();
        cx.release(0, std::mem::take(&mut self.held_bytes));
        std::mem::take(&mut self.labels)
    }

    /// The labels that the group of `series` has.
    fn group_labels(&self, series: &Labels) -> Labels {
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
