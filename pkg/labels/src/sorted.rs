//! Building label sets from pairs that come sorted, with one allocation a set.

use crate::set::push;
use crate::{Labels, LabelsError};

/// Collects pairs that ascend strictly by name, as decoders meet them. Its memory is used again from set to set.
#[derive(Debug, Default, Clone)]
pub struct SortedBuilder {
    bytes: Vec<u8>,
    last: String,
    any: bool,
}

impl SortedBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops what was pushed since the last [`Self::finish`].
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.any = false;
    }

    /// Adds a pair; an empty `value` is the same as no label.
    ///
    /// # Errors
    /// [`LabelsError`] unless `name` sorts after the one before.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), LabelsError> {
        if self.any && self.last.as_str() >= name {
            return Err(match self.last == name {
                true => LabelsError::Duplicate(name.to_owned()),
                false => LabelsError::OutOfOrder(self.last.clone(), name.to_owned()),
            });
        }
        self.any = true;
        self.last.clear();
        self.last.push_str(name);
        if !value.is_empty() {
            push(&mut self.bytes, name);
            push(&mut self.bytes, value);
        }
        Ok(())
    }

    /// The set of what was pushed; the builder is empty again.
    pub fn finish(&mut self) -> Labels {
        let labels = Labels::from_encoded(&self.bytes);
        self.clear();
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_what_from_sorted_builds() {
        let mut builder = SortedBuilder::new();
        for pairs in [&[][..], &[("a", "1"), ("b", ""), ("c", "3")], &[("a", "2")], &[("", "x"), ("a", "1")]] {
            for (name, value) in pairs {
                builder.push(name, value).unwrap();
            }
            assert_eq!(builder.finish(), Labels::from_sorted(pairs.iter().copied()).unwrap(), "{pairs:?}");
        }
    }

    #[test]
    fn refuses_disorder() {
        let mut builder = SortedBuilder::new();
        builder.push("b", "1").unwrap();
        assert_eq!(builder.push("b", "2"), Err(LabelsError::Duplicate("b".into())));
        assert_eq!(builder.push("a", "2"), Err(LabelsError::OutOfOrder("b".into(), "a".into())));
        builder.clear();
        builder.push("a", "1").unwrap();
        assert_eq!(builder.finish().to_string(), r#"{a="1"}"#);
    }
}
