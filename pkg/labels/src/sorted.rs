//! Building label sets from pairs that come sorted, with one allocation a set. Neighbours in a sorted list share most of
//! their pairs.

use std::ops::Range;

use crate::encoded::{push, text_at};
use crate::{Labels, LabelsError};

/// Collects pairs that ascend strictly by name, as decoders meet them. What a set shares with the one before at the same
/// places is copied as it lies. Its memory is used again from set to set.
#[derive(Debug, Default, Clone)]
pub struct SortedBuilder {
    /// The encoded pairs of the set before, and where each ends.
    before: Vec<u8>,
    before_ends: Vec<usize>,
    /// Those of this one; behind the last complete pair lies its name, if its value was empty.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Where the last name lies.
    last: Range<usize>,
    /// The last name is that of the set before at its place: what follows it there may follow it here.
    in_step: bool,
    /// A pair without a value takes a place and no bytes: no set goes on from such a one.
    has_empty: bool,
}

impl SortedBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops what was pushed since the last [`Self::finish`].
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        (self.in_step, self.has_empty) = (false, false);
    }

    /// How many places of the set before can be gone on from.
    pub fn places(&self) -> usize {
        self.before_ends.len()
    }

    /// Adds a pair; an empty `value` is the same as no label.
    ///
    /// # Errors
    /// [`LabelsError`] unless `name` sorts after the one before.
    #[inline]
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), LabelsError> {
        self.check(name.as_bytes())?;
        self.bytes.truncate(self.complete());
        push(&mut self.bytes, name);
        self.last = self.bytes.len() - name.len()..self.bytes.len();
        self.in_step = false;
        self.end_pair(value);
        Ok(())
    }

    /// Adds a pair with the name that the set before has at the next place; an empty `value` is the same as no label.
    ///
    /// # Errors
    /// [`LabelsError`] unless that name sorts after the one before.
    ///
    /// # Panics
    /// When the set before has no such place, see [`Self::places`].
    #[inline]
    pub fn push_value(&mut self, value: &str) -> Result<(), LabelsError> {
        let start = self.begin(self.ends.len());
        let name = text_at(&self.before, start);
        if !self.in_step {
            self.check(&self.before[name.clone()])?;
            self.bytes.truncate(self.complete());
        }
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&self.before[start..name.end]);
        self.last = name.start - start + shift..self.bytes.len();
        self.in_step = true;
        self.end_pair(value);
        Ok(())
    }

    /// Adds the `count` pairs that the set before has at the next places.
    ///
    /// # Errors
    /// [`LabelsError`] unless the first of their names sorts after the one before.
    ///
    /// # Panics
    /// When the set before has no such places, see [`Self::places`].
    #[inline]
    pub fn repeat(&mut self, count: usize) -> Result<(), LabelsError> {
        let (place, to) = (self.ends.len(), self.ends.len() + count);
        if count == 0 {
            return Ok(());
        }
        let (start, end) = (self.begin(place), self.before_ends[to - 1]);
        if !self.in_step {
            self.check(&self.before[text_at(&self.before, start)])?;
            self.bytes.truncate(self.complete());
        }
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&self.before[start..end]);
        self.ends.extend(self.before_ends[place..to].iter().map(|end| end - start + shift));
        self.last = text_at(&self.bytes, self.begin(to - 1) - start + shift);
        self.in_step = true;
        Ok(())
    }

    /// The set of what was pushed; the builder is empty again, and the next set goes on from this one.
    pub fn finish(&mut self) -> Labels {
        let labels = Labels::from_encoded(&self.bytes[..self.complete()]);
        if self.has_empty {
            self.ends.clear();
        }
        std::mem::swap(&mut self.before, &mut self.bytes);
        std::mem::swap(&mut self.before_ends, &mut self.ends);
        self.clear();
        labels
    }

    /// Bytes of complete pairs.
    fn complete(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Where a place of the set before begins.
    fn begin(&self, place: usize) -> usize {
        place.checked_sub(1).map_or(0, |last| self.before_ends[last])
    }

    /// Whether `name` sorts after the last one.
    #[inline]
    fn check(&self, name: &[u8]) -> Result<(), LabelsError> {
        if self.ends.is_empty() || &self.bytes[self.last.clone()] < name {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let last = &self.bytes[self.last.clone()];
        Err(match last == name {
            true => LabelsError::Duplicate(text(last)),
            false => LabelsError::OutOfOrder(text(last), text(name)),
        })
    }

    /// The value of the name that was added last.
    #[inline]
    fn end_pair(&mut self, value: &str) {
        if value.is_empty() {
            (self.in_step, self.has_empty) = (false, true);
            self.ends.push(self.complete());
        } else {
            push(&mut self.bytes, value);
            self.ends.push(self.bytes.len());
        }
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

    fn set(builder: &mut SortedBuilder, pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().for_each(|(name, value)| builder.push(name, value).unwrap());
        builder.finish()
    }

    #[test]
    fn what_is_shared_must_follow_too() {
        let mut builder = SortedBuilder::new();
        set(&mut builder, &[("b", "1"), ("d", "2"), ("e", "3")]);
        assert_eq!(builder.places(), 3);
        builder.push("c", "1").unwrap();
        assert_eq!(builder.push_value("2"), Ok(()));
        builder.push("f", "1").unwrap();
        builder.clear();
        builder.push("e", "1").unwrap();
        assert_eq!(builder.repeat(1), Err(LabelsError::OutOfOrder("e".into(), "d".into())));
        builder.clear();
        builder.push("d", "1").unwrap();
        assert_eq!(builder.push_value("2"), Err(LabelsError::Duplicate("d".into())));
        builder.clear();
        // What was refused left nothing behind.
        builder.push_value("4").unwrap();
        builder.repeat(2).unwrap();
        assert_eq!(builder.finish().to_string(), r#"{b="4", d="2", e="3"}"#);
        // The name of a label without a value counts, and nothing goes on from such a set.
        builder.push_value("").unwrap();
        assert_eq!(builder.push("b", "1"), Err(LabelsError::Duplicate("b".into())));
        builder.clear();
        builder.push_value("").unwrap();
        builder.push("c", "1").unwrap();
        assert_eq!(builder.finish().to_string(), r#"{c="1"}"#);
        assert_eq!(builder.places(), 0);
    }

    proptest::proptest! {
        /// However a set is told, it is the same.
        #[test]
        fn sets_go_on_from_one_another(
            sets in proptest::collection::vec(
                proptest::collection::btree_map("[a-d]{1,2}", "[x-yä]{0,2}", 0..5), 1..20),
        ) {
            let mut builder = SortedBuilder::new();
            let mut before: Vec<(String, String)> = Vec::new();
            for pairs in sets {
                let pairs: Vec<(String, String)> = pairs.into_iter().collect();
                let old = before.get(..builder.places()).unwrap_or_default();
                for (place, (name, value)) in pairs.iter().enumerate() {
                    match old.get(place) {
                        Some((n, v)) if n == name && v == value => builder.repeat(1).unwrap(),
                        Some((n, _)) if n == name => builder.push_value(value).unwrap(),
                        _ => builder.push(name, value).unwrap(),
                    }
                }
                proptest::prop_assert_eq!(builder.finish(), Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v))));
                before = pairs;
            }
        }
    }
}
