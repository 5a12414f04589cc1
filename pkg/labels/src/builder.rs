//! Building and changing label sets.

use crate::Labels;

/// Collects labels in any order, then makes a [`Labels`]. Reuse one to save allocations: [`Builder::reset`].
#[derive(Debug, Default, Clone)]
pub struct Builder {
    pairs: Vec<(String, String)>,
}

impl Builder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder that starts with `base`'s labels.
    pub fn from_labels(base: &Labels) -> Self {
        Self { pairs: base.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Starts over with `base`'s labels.
    pub fn reset(&mut self, base: &Labels) -> &mut Self {
        self.pairs.clear();
        self.pairs.extend(base.iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
        self
    }

    /// Sets `name`; an empty `value` deletes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => value.clone_into(&mut self.pairs[at].1),
            Err(_) if value.is_empty() => {}
            Err(at) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes the label `name`, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Removes all labels but those in `names`.
    pub fn keep(&mut self, names: &[impl AsRef<str>]) -> &mut Self {
        self.pairs.retain(|(n, _)| names.iter().any(|k| k.as_ref() == n));
        self
    }

    /// The value of `name`, or `""`.
    pub fn value(&self, name: &str) -> &str {
        match self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(at) => &self.pairs[at].1,
            Err(_) => "",
        }
    }

    /// The pairs so far, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The finished set; the builder keeps its labels.
    pub fn build(&self) -> Labels {
        let size = self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
        Labels::from_clean(self.iter(), size)
    }
}
