//! Lists of names and of label sets.

use std::vec::IntoIter;

use labels::Labels;

use super::produce::Produce;
use super::text::{write_labels, write_string};

/// A list of strings: `["a","b"]`.
#[derive(Debug)]
pub struct Names(List<String>);

impl Names {
    /// The list in this order.
    pub fn new(names: Vec<String>) -> Self {
        Self(List::new(names))
    }
}

impl Produce for Names {
    fn produce(&mut self, out: &mut Vec<u8>, full: usize) -> bool {
        self.0.produce(out, full, |out, name| write_string(out, name))
    }
}

/// A list of label sets: `[{"a":"1"},{"a":"2"}]`.
#[derive(Debug)]
pub struct LabelSets(List<Labels>);

impl LabelSets {
    /// The list in this order.
    pub fn new(sets: Vec<Labels>) -> Self {
        Self(List::new(sets))
    }
}

impl Produce for LabelSets {
    fn produce(&mut self, out: &mut Vec<u8>, full: usize) -> bool {
        self.0.produce(out, full, write_labels)
    }
}

/// An array whose items are dropped once written.
#[derive(Debug)]
pub(super) struct List<T> {
    items: IntoIter<T>,
    opened: bool,
    closed: bool,
    first: bool,
}

impl<T> List<T> {
    pub(super) fn new(items: Vec<T>) -> Self {
        Self { items: items.into_iter(), opened: false, closed: false, first: true }
    }

    pub(super) fn produce(&mut self, out: &mut Vec<u8>, full: usize, write: impl Fn(&mut Vec<u8>, &T)) -> bool {
        if self.closed {
            return false;
        }
        if !self.opened {
            self.opened = true;
            out.push(b'[');
        }
        while out.len() < full {
            let Some(item) = self.items.next() else {
                self.closed = true;
                out.push(b']');
                break;
            };
            if !self.first {
                out.push(b',');
            }
            self.first = false;
            write(out, &item);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::whole;

    #[test]
    fn pieces_make_the_whole() {
        let names = || vec!["a".to_owned(), "b\"".to_owned(), "c".to_owned()];
        for full in [1, 4, 1000] {
            assert_eq!(whole(Names::new(names()), full), r#"["a","b\"","c"]"#);
            assert_eq!(whole(Names::new(vec![]), full), "[]");
            let sets = vec![Labels::from_pairs([("a", "1")]), Labels::empty()];
            assert_eq!(whole(LabelSets::new(sets), full), r#"[{"a":"1"},{}]"#);
        }
    }
}
