//! Which series of two sides belong together.

use hashbrown::HashMap;
use labels::{Builder, Labels, METRIC_NAME};
use promql_syntax::{Cardinality, Matching};

use crate::eval::{Cx, Result};
use crate::merge::ENTRY_BYTES;

/// Match groups, numbered as they appear.
#[derive(Debug)]
pub(crate) struct Signatures {
    on: bool,
    /// Label names, sorted and each once.
    names: Vec<String>,
    numbers: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
}

impl Signatures {
    pub fn new(matching: &Matching) -> Self {
        let mut names = matching.labels.clone();
        if !matching.on {
            names.push(METRIC_NAME.to_owned());
        }
        names.sort_unstable();
        names.dedup();
        Self { on: matching.on, names, numbers: HashMap::new(), key: Vec::new() }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of a series' group, a new one if need be. Groups count as held.
    pub fn number(&mut self, labels: &Labels, cx: &mut Cx) -> Result<usize> {
        self.make_key(labels);
        if let Some(n) = self.numbers.get(self.key.as_slice()) {
            return Ok(*n);
        }
        let n = self.numbers.len();
        cx.hold(0, self.key.len() + ENTRY_BYTES)?;
        self.numbers.insert(self.key.clone().into_boxed_slice(), n);
        Ok(n)
    }

    fn make_key(&mut self, labels: &Labels) {
        self.key.clear();
        let mut names = self.names.iter().peekable();
        for (name, value) in labels {
            while names.peek().is_some_and(|n| n.as_str() < name) {
                names.next();
            }
            if names.peek().is_some_and(|n| n.as_str() == name) == self.on {
                for text in [name, value] {
                    self.key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    self.key.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
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

/// The labels of a result: of the "many" side, less or more what the matching says.
pub(crate) fn result_labels(many: &Labels, one: &Labels, matching: &Matching, drop_name: bool) -> Labels {
    let mut builder = Builder::from_labels(many);
    if drop_name {
        for name in crate::select_plan::METADATA_LABELS {
            builder.remove(name);
        }
    }
    if matching.cardinality == Cardinality::OneToOne {
        if matching.on {
            builder.keep(&matching.labels);
        } else {
            for name in &matching.labels {
                builder.remove(name);
            }
        }
    }
    for name in &matching.include {
        // An empty value deletes.
        builder.set(name, one.value(name));
    }
    builder.build()
}
