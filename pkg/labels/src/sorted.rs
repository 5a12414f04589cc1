//! Building label sets from pairs that come sorted, with one allocation a set.

use std::ops::Range;

use crate::set::push;
use crate::{Labels, LabelsError};

/// Collects pairs that ascend strictly by name, as decoders meet them. Its memory is used again from set to set.
#[derive(Debug, Default, Clone)]
pub struct SortedBuilder {
    bytes: Vec<u8>,
    /// Bytes of complete pairs; behind them lies the last name, if its value was empty.
    complete: usize,
    /// Where the last name lies.
    last: Option<Range<usize>>,
}

impl SortedBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops what was pushed since the last [`Self::finish`].
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.complete = 0;
        self.last = None;
    }

    /// Adds a pair; an empty `value` is the same as no label.
    ///
    /// # Errors
    /// [`LabelsError`] unless `name` sorts after the one before.
    #[inline]
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), LabelsError> {
        if let Some(last) = &self.last
            && &self.bytes[last.clone()] >= name.as_bytes()
        {
            let last = String::from_utf8_lossy(&self.bytes[last.clone()]).into_owned();
            return Err(match last == name {
                true => LabelsError::Duplicate(last),
                false => LabelsError::OutOfOrder(last, name.to_owned()),
            });
        }
        self.bytes.truncate(self.complete);
        push(&mut self.bytes, name);
        self.last = Some(self.bytes.len() - name.len()..self.bytes.len());
        if !value.is_empty() {
            push(&mut self.bytes, value);
            self.complete = self.bytes.len();
        }
        Ok(())
    }

    /// The set of what was pushed; the builder is empty again.
    pub fn finish(&mut self) -> Labels {
        let labels = Labels::from_encoded(&self.bytes[..self.complete]);
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
        for pairs in [
            &[][..],
            &[("a", "1"), ("b", ""), ("c", "3")],
            &[("a", "2")],
            &[("", "x"), ("a", "1")],
            &[("a", "1"), ("b", "")],
            &[("a", ""), ("b", ""), ("c", "1")],
        ] {
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
        builder.push("b", "").unwrap();
        assert_eq!(builder.push("b", "2"), Err(LabelsError::Duplicate("b".into())));
        builder.clear();
        builder.push("a", "1").unwrap();
        assert_eq!(builder.finish().to_string(), r#"{a="1"}"#);
    }
}
