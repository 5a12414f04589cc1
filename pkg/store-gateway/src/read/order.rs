//! The order of the answer. The index is sorted by the series' own labels; external labels put between them, and labels
//! taken away, may change that.
//!
//! A label that no series of the block has changes the order in one case only: series A's labels are the beginning of
//! series B's, and the new label sorts before B's next one. All such series stand together behind A, so that it is
//! enough to sort each such group. Anything else needs all labels of the answer first.

use block::IndexHeader;
use labels::Labels;

use super::series::Entry;

/// How the series of one block come into order.
#[derive(Debug)]
pub(crate) enum Order {
    /// The order stays as it is.
    Kept,
    /// Entries may change places within these groups.
    Groups(Groups),
    /// Entries must be sorted all together.
    All,
}

/// What is done to the labels of one block's series.
#[derive(Debug)]
pub(crate) struct Relabel<'a> {
    external: &'a Labels,
    without: &'a [String],
    /// External labels that stay and the replica, where they are the same for all series.
    constant: Option<(Labels, u64)>,
}

impl<'a> Relabel<'a> {
    /// Puts `external` labels on and takes the labels in `without` away.
    pub(crate) fn new(header: &IndexHeader, external: &'a Labels, without: &'a [String]) -> Self {
        let mut names = header.postings_table().label_names();
        let own = names.any(|n| external.get(n).is_some() || without.iter().any(|w| w == n));
        let constant = (!own).then(|| (external.without(without), storage::replica_id(external, without)));
        Self { external, without, constant }
    }

    pub(crate) fn order(&self) -> Order {
        match &self.constant {
            Some((put, _)) if put.is_empty() => Order::Kept,
            Some((put, _)) => Order::Groups(Groups::new(put.clone())),
            None => Order::All,
        }
    }

    /// Labels to put between all series' own, none of which has the same name, and the replica; `None` where it is not
    /// the same for all, see [`Self::apply`].
    pub(crate) fn constant(&self) -> Option<(&Labels, u64)> {
        self.constant.as_ref().map(|(put, replica)| (put, *replica))
    }

    /// The labels and the replica for a series' own labels.
    pub(crate) fn apply(&self, own: &Labels) -> (Labels, u64) {
        let full = own.overlay(self.external);
        let replica = storage::replica_id(&full, self.without);
        (full.without(self.without), replica)
    }
}

/// Series that stand together since their own labels begin with those of the first.
#[derive(Debug)]
pub(crate) struct Groups {
    put: Labels,
    /// The labels of the first of them, and how many of these its entry has.
    first: Option<(Labels, usize)>,
    open: Vec<Entry>,
}

impl Groups {
    /// Of series that all had `put` added.
    fn new(put: Labels) -> Self {
        Self { put, first: None, open: Vec::new() }
    }

    /// Adds the next series in the index's order; groups that are complete go to `out`, in order.
    pub(crate) fn push(&mut self, entry: Entry, out: &mut Vec<Entry>) {
        // One that has fewer labels does not begin with it, nor does another one of as many.
        let may_begin = |own: usize| entry.own > own;
        if !self.first.as_ref().is_some_and(|(first, own)| may_begin(*own) && self.begins_with(&entry.labels, first)) {
            self.flush(out);
            self.first = Some((entry.labels.clone(), entry.own));
        }
        self.open.push(entry);
    }

    /// Whether the own labels of a series begin with those of another.
    fn begins_with(&self, labels: &Labels, first: &Labels) -> bool {
        let own = |(name, _): &(&[u8], &[u8])| self.put.iter_bytes().all(|(n, _)| n != *name);
        let mut pairs = labels.iter_bytes().filter(own);
        first.iter_bytes().filter(own).all(|pair| pairs.next() == Some(pair))
    }

    /// The last group, at the end.
    pub(crate) fn flush(&mut self, out: &mut Vec<Entry>) {
        if self.open.len() > 1 {
            self.open.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        out.append(&mut self.open);
        self.first = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(labels: Labels) -> Entry {
        Entry { id: 0, own: labels.len(), labels, chunks: Vec::new(), chunk_bytes: 0, replica: 0, deleted: Vec::new() }
    }

    /// Every set of up to three of these labels, in the index's order, with every external label between them.
    #[test]
    fn groups_are_enough() {
        let pairs = [("a", "1"), ("a", "2"), ("c", "1"), ("e", "1"), ("e", "2"), ("g", "1")];
        let mut sets: Vec<Labels> = (0u32..64)
            .map(|bits| {
                Labels::from_pairs(pairs.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, p)| *p))
            })
            .collect();
        sets.sort();
        sets.dedup();
        for external in ["A", "b", "d", "f", "h"] {
            let put = Labels::from_pairs([(external, "x")]);
            let (mut groups, mut out) = (Groups::new(put.clone()), Vec::new());
            for own in &sets {
                groups.push(entry(own.overlay(&put)), &mut out);
            }
            groups.flush(&mut out);
            let got: Vec<Labels> = out.into_iter().map(|e| e.labels).collect();
            let mut want: Vec<Labels> = sets.iter().map(|s| s.overlay(&put)).collect();
            want.sort();
            assert_eq!(got, want, "external label {external}");
        }
        // Some of them do change their order, or this would show nothing.
        let put = Labels::from_pairs([("d", "x")]);
        let moved: Vec<Labels> = sets.iter().map(|s| s.overlay(&put)).collect();
        assert!(!moved.is_sorted());
    }
}
