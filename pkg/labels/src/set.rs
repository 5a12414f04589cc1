//! The label set. Layout: for each pair, sorted by name: `uvarint len | name | uvarint len | value`, all in one
//! `Arc<[u8]>`. The bytes are only ever written by this crate from `&str`s, so reading them back cannot fail.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::encoded::{encoded_len, first_difference, push, text_at};

/// A sorted, immutable set of labels with unique names.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels {
    bytes: Arc<[u8]>,
}

/// Why a list of pairs is no label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// The same name came twice.
    #[error("duplicate label name {0:?}")]
    Duplicate(String),
    /// Names did not ascend where the caller promised they would.
    #[error("label names out of order: {1:?} after {0:?}")]
    OutOfOrder(String, String),
}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self { bytes: Arc::from([] as [u8; 0]) }
    }

    /// Builds a set from pairs in any order; of two pairs with one name the later wins, empty values are dropped (a
    /// label with an empty value is the same as no label, see Prometheus' data model).
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = crate::Builder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// As [`Self::from_pairs`], but with empty values: for what a rule says about its alerts, which names no series.
    pub fn with_empty_values<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let sorted: BTreeMap<&str, &str> = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        let size = sorted.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
        Self::from_clean(sorted.into_iter(), size)
    }

    /// Builds a set from pairs which must ascend strictly by name, as on disk and on the wire. Empty values are kept
    /// out. Nothing is sorted, so this is the fast way in for decoders.
    ///
    /// # Errors
    /// [`LabelsError`] on a repeated or descending name.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<Self, LabelsError> {
        let mut size = 0;
        let mut last: Option<&str> = None;
        for (name, value) in pairs.clone() {
            if let Some(before) = last {
                match before.cmp(name) {
                    Ordering::Less => {}
                    Ordering::Equal => return Err(LabelsError::Duplicate(name.to_owned())),
                    Ordering::Greater => return Err(LabelsError::OutOfOrder(before.to_owned(), name.to_owned())),
                }
            }
            last = Some(name);
            if !value.is_empty() {
                size += encoded_len(name) + encoded_len(value);
            }
        }
        let mut bytes = Vec::with_capacity(size);
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            push(&mut bytes, name);
            push(&mut bytes, value);
        }
        Ok(Self { bytes: bytes.into() })
    }

    /// For [`crate::SortedBuilder`], which has checked the pairs.
    pub(crate) fn from_encoded(bytes: &[u8]) -> Self {
        Self { bytes: Arc::from(bytes) }
    }

    /// For [`crate::Builder`], whose pairs are sorted, unique and without empty values already.
    pub(crate) fn from_clean<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, size_hint: usize) -> Self {
        let mut bytes = Vec::with_capacity(size_hint);
        for (name, value) in pairs {
            push(&mut bytes, name);
            push(&mut bytes, value);
        }
        Self { bytes: bytes.into() }
    }

    /// The pairs, ascending by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.bytes }
    }

    /// The pairs as bytes, ascending by name: for comparing and copying, where iterating strings would check each of them
    /// for UTF-8 again.
    pub fn iter_bytes(&self) -> IterBytes<'_> {
        IterBytes { rest: &self.bytes }
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (n, v) in self.iter_bytes() {
            match n.cmp(name.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return Some(text(v)),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of `name`, or `""`: for matchers, to which both are the same.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric's name, or `""`.
    pub fn metric_name(&self) -> &str {
        self.value(crate::METRIC_NAME)
    }

    /// How many labels.
    pub fn len(&self) -> usize {
        self.iter_bytes().count()
    }

    /// Whether the set has no label.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Memory held by the encoded pairs, in bytes; what budgets count.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The encoded pairs: equal bytes if and only if equal sets. For grouping keys; no stable format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The set without the labels in `names`. Shares the allocation when nothing is dropped.
    pub fn without(&self, names: &[impl AsRef<str>]) -> Self {
        let dropped = |name: &[u8]| names.iter().any(|n| n.as_ref().as_bytes() == name);
        if !self.iter_bytes().any(|(n, _)| dropped(n)) {
            return self.clone();
        }
        self.filtered(|name| !dropped(name))
    }

    /// The set with only the labels in `names`.
    pub fn only(&self, names: &[impl AsRef<str>]) -> Self {
        self.filtered(|name| names.iter().any(|n| n.as_ref().as_bytes() == name))
    }

    /// The pairs whose name `keep` says yes to.
    fn filtered(&self, keep: impl Fn(&[u8]) -> bool) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut at = 0;
        while at < self.bytes.len() {
            let name = text_at(&self.bytes, at);
            let end = text_at(&self.bytes, name.end).end;
            if keep(&self.bytes[name]) {
                bytes.extend_from_slice(&self.bytes[at..end]);
            }
            at = end;
        }
        Self { bytes: bytes.into() }
    }

    /// The set with `other`'s labels put over its own: on a shared name `other` wins (how external labels apply).
    pub fn overlay(&self, other: &Labels) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        let mut pairs = Vec::with_capacity(self.len() + other.len());
        let (mut a, mut b) = (self.iter().peekable(), other.iter().peekable());
        loop {
            match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => match x.0.cmp(y.0) {
                    Ordering::Less => pairs.extend(a.next()),
                    Ordering::Greater => pairs.extend(b.next()),
                    Ordering::Equal => {
                        a.next();
                        pairs.extend(b.next());
                    }
                },
                (Some(_), None) => pairs.extend(a.next()),
                (None, Some(_)) => pairs.extend(b.next()),
                (None, None) => break,
            }
        }
        Self::from_clean(pairs.into_iter(), self.bytes.len() + other.bytes.len())
    }

    /// The stable hash used across the family: XXH64 (seed 0) over `name 0xFF value 0xFF` for each pair.
    pub fn stable_hash(&self) -> u64 {
        crate::hash_pairs(self.iter())
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// Prometheus' order: pair by pair, name before value; a prefix sorts first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.bytes, &other.bytes) {
            return Ordering::Equal;
        }
        let (a, b) = (&*self.bytes, &*other.bytes);
        let at = first_difference(a, b);
        if at == a.len() || at == b.len() {
            // The pairs of one are the first of the other.
            return a.len().cmp(&b.len());
        }
        // Up to the text that differs, all lie at the same places.
        let (mut begin, mut text) = (0, text_at(a, 0));
        while text.end <= at {
            begin = text.end;
            text = text_at(a, begin);
        }
        // UTF-8 sorts as its bytes do.
        a[text].cmp(&b[text_at(b, begin)])
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `{a="1", b="2"}`, as Prometheus prints a label set (`__name__` is a label like others here).
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if crate::is_legacy_label_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&crate::quote(name))?;
            }
            write!(f, "={}", crate::quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterates the pairs of a [`Labels`], ascending by name.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name = text(take(&mut self.rest));
        let value = text(take(&mut self.rest));
        Some((name, value))
    }
}

/// Iterates the pairs of a [`Labels`] as bytes, ascending by name.
#[derive(Clone, Debug)]
pub struct IterBytes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for IterBytes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name = take(&mut self.rest);
        let value = take(&mut self.rest);
        Some((name, value))
    }
}

#[inline]
fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = text_at(rest, 0);
    let (bytes, tail) = (&rest[text.clone()], &rest[text.end..]);
    *rest = tail;
    bytes
}

fn text(bytes: &[u8]) -> &str {
    // Checked again rather than `unsafe`: validating ASCII of this length costs a few ns.
    std::str::from_utf8(bytes).expect("only this crate writes the bytes, from &str")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_and_drops_empty_values() {
        let l = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(l.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!((l.get("a"), l.get("c"), l.value("zz")), (Some("1"), None, ""));
    }

    #[test]
    fn from_sorted_refuses_disorder() {
        assert!(matches!(Labels::from_sorted([("b", "1"), ("a", "1")].into_iter()), Err(LabelsError::OutOfOrder(..))));
        assert!(matches!(Labels::from_sorted([("a", "1"), ("a", "2")].into_iter()), Err(LabelsError::Duplicate(_))));
    }

    #[test]
    fn order_is_prometheus() {
        let l = |p: &[(&str, &str)]| Labels::from_pairs(p.iter().copied());
        // A long name must not sort by its length byte.
        let long = "a".repeat(300);
        assert!(l(&[(&long, "1")]) < l(&[("b", "1")]));
        assert!(l(&[("a", "1")]) < l(&[("a", "1"), ("b", "1")]));
        assert!(l(&[("a", "10")]) < l(&[("a", "9")]));
        assert!(l(&[("a", "2")]) > l(&[("a", "1"), ("b", "1")]));
    }

    #[test]
    fn overlay_wins_on_shared_names() {
        let own = Labels::from_pairs([("a", "1"), ("cluster", "own"), ("z", "9")]);
        let ext = Labels::from_pairs([("cluster", "eu"), ("replica", "0")]);
        assert_eq!(own.overlay(&ext).to_string(), r#"{a="1", cluster="eu", replica="0", z="9"}"#);
    }

    proptest::proptest! {
        #[test]
        fn some_labels_of_a_set(
            all in proptest::collection::btree_map("[a-dä]{1,2}", "([a-bö]|x{200}){1,2}", 0..6),
            names in proptest::collection::vec("[a-dä]{1,2}", 0..4),
        ) {
            let set = Labels::from_pairs(&all);
            let (listed, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| names.contains(name));
            proptest::prop_assert_eq!(set.only(&names), Labels::from_pairs(listed));
            proptest::prop_assert_eq!(set.without(&names), Labels::from_pairs(others));
        }

        #[test]
        fn bytes_sort_as_texts(
            a in proptest::collection::btree_map("[a-bä]{1,3}", "[a-bö]{1,2}|a{126,129}", 0..4),
            b in proptest::collection::btree_map("[a-bä]{1,3}", "[a-bö]{1,2}|a{126,129}b?", 0..4),
        ) {
            let order = Labels::from_pairs(a.iter()).cmp(&Labels::from_pairs(b.iter()));
            proptest::prop_assert_eq!(order, a.iter().cmp(b.iter()));
        }

        #[test]
        fn pairs_survive(pairs in proptest::collection::btree_map("[a-z]{1,200}", "\\PC{1,300}", 0..8)) {
            let l = Labels::from_pairs(pairs.iter());
            let back: Vec<_> = l.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            proptest::prop_assert_eq!(back, pairs.into_iter().collect::<Vec<_>>());
            proptest::prop_assert_eq!(l.clone(), Labels::from_sorted(l.iter()).unwrap());
        }
    }
}
