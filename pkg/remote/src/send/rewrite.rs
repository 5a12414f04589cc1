//! The labels that a queue sends: those of the series, external labels, and what rules make of both.

use std::sync::Arc;

use hashbrown::HashMap;
use labels::{Builder, Labels};
use parking_lot::RwLock;
use relabel::Rule;

use super::series::{Known, LabelIds, SeriesTable};

/// What rules make of a series.
#[derive(Debug)]
enum Rewritten {
    Dropped,
    /// No other labels than without rules.
    Same,
    Other(LabelIds),
}

/// Labels of one queue.
#[derive(Debug)]
pub(super) struct Rewrites {
    table: Arc<SeriesTable>,
    rules: Arc<[Rule]>,
    /// External labels by the text numbers of `table`, sorted by name.
    external_ids: LabelIds,
    /// Only with rules.
    rewritten: RwLock<HashMap<u64, Rewritten>>,
}

/// Why a series is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSent {
    /// Rules drop it.
    Dropped,
    /// The log has no labels of it.
    Unknown,
}

impl Rewrites {
    pub fn new(table: Arc<SeriesTable>, rules: Arc<[Rule]>, external: &Labels) -> Self {
        let external_ids = table.intern(external);
        Self { table, rules, external_ids, rewritten: RwLock::default() }
    }

    /// Whether a series is sent; to be asked before [`Rewrites::labels`].
    pub fn is_sent(&self, number: u64) -> Result<(), NotSent> {
        if self.rules.is_empty() {
            return self.table.read().labels(number).map(drop).ok_or(NotSent::Unknown);
        }
        if let Some(rewritten) = self.rewritten.read().get(&number) {
            return if matches!(rewritten, Rewritten::Dropped) { Err(NotSent::Dropped) } else { Ok(()) };
        }
        let rewritten = self.rewrite(number)?;
        let dropped = matches!(rewritten, Rewritten::Dropped);
        self.rewritten.write().insert(number, rewritten);
        if dropped { Err(NotSent::Dropped) } else { Ok(()) }
    }

    /// As [`Rewrites::is_sent`], for the series of many rows.
    pub fn are_sent(&self, numbers: impl Iterator<Item = u64>) -> Vec<Result<(), NotSent>> {
        if self.rules.is_empty() {
            let known = self.table.read();
            let mut known = known.in_turn();
            return numbers.map(|number| known.labels(number).map(drop).ok_or(NotSent::Unknown)).collect();
        }
        numbers.map(|number| self.is_sent(number)).collect()
    }

    fn rewrite(&self, number: u64) -> Result<Rewritten, NotSent> {
        let before = {
            let known = self.table.read();
            let ids = known.labels(number).ok_or(NotSent::Unknown)?;
            let mut merged = Vec::new();
            merge(&known, ids, &self.external_ids, &mut merged);
            Labels::from_pairs(known.pairs(&merged))
        };
        let mut labels = Builder::from_labels(&before);
        if !relabel::apply_to(&self.rules, &mut labels) {
            return Ok(Rewritten::Dropped);
        }
        let after = labels.build();
        Ok(match (after == before, after.is_empty()) {
            (_, true) => Rewritten::Dropped,
            (true, _) => Rewritten::Same,
            (false, _) => Rewritten::Other(self.table.intern(&after)),
        })
    }

    /// The labels of a series that are sent, by the numbers of their texts; `own` are those in the table. `None` if it is not
    /// sent.
    pub fn labels<'l>(
        &self,
        known: &Known,
        number: u64,
        own: Option<&'l LabelIds>,
        memory: &'l mut Vec<u32>,
    ) -> Option<&'l [u32]> {
        memory.clear();
        if !self.rules.is_empty()
            && let Some(rewritten) = self.rewritten.read().get(&number)
        {
            match rewritten {
                Rewritten::Dropped => return None,
                Rewritten::Other(labels) => {
                    memory.extend_from_slice(labels);
                    return Some(memory);
                }
                Rewritten::Same => {}
            }
        }
        let own = own?;
        if self.external_ids.is_empty() {
            return Some(own);
        }
        merge(known, own, &self.external_ids, memory);
        Some(memory)
    }

    /// Forgets what was made of series that are not known any more.
    pub fn tidy(&self) {
        let mut gone = Vec::new();
        {
            let known = self.table.read();
            let mut rewritten = self.rewritten.write();
            gone.extend(rewritten.extract_if(|number, _| known.labels(*number).is_none()).map(|(_, labels)| labels));
        }
        self.table.give_back(gone.iter().filter_map(ids));
    }
}

fn ids(rewritten: &Rewritten) -> Option<&LabelIds> {
    match rewritten {
        Rewritten::Other(labels) => Some(labels),
        _ => None,
    }
}

impl Drop for Rewrites {
    fn drop(&mut self) {
        self.table.give_back(self.rewritten.get_mut().values().filter_map(ids).chain([&self.external_ids]));
    }
}

/// Both, sorted by name. A series' own label wins.
fn merge(known: &Known, own: &[u32], external: &[u32], out: &mut Vec<u32>) {
    if external.is_empty() {
        return out.extend_from_slice(own);
    }
    let (mut left, mut right) =
        (own.as_chunks::<2>().0.iter().peekable(), external.as_chunks::<2>().0.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) if left[0] == right[0] => std::cmp::Ordering::Equal,
            (Some(left), Some(right)) => known.symbols.text(left[0]).cmp(known.symbols.text(right[0])),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return,
        };
        let next = if order.is_gt() { right.next() } else { left.next() };
        out.extend(next.into_iter().flatten());
        if order.is_eq() {
            right.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(rewrites: &Rewrites, table: &SeriesTable, number: u64) -> Result<String, NotSent> {
        rewrites.is_sent(number)?;
        let (known, mut memory) = (table.read(), Vec::new());
        let ids = rewrites.labels(&known, number, known.labels(number), &mut memory).unwrap();
        Ok(known.pairs(ids).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn own_labels_win_and_rules_come_last() {
        let table = Arc::new(SeriesTable::default());
        table.add(1, &[("__name__", "up"), ("job", "a")], 0);
        table.add(2, &[("__name__", "down"), ("cluster", "own")], 0);
        let external = Labels::from_pairs([("cluster", "c"), ("zone", "z")]);
        let plain = Rewrites::new(table.clone(), Arc::default(), &external);
        assert_eq!(sent(&plain, &table, 1).unwrap(), "__name__=up,cluster=c,job=a,zone=z");
        assert_eq!(sent(&plain, &table, 2).unwrap(), "__name__=down,cluster=own,zone=z");
        assert_eq!(sent(&plain, &table, 3), Err(NotSent::Unknown));
        let rules = "- {source_labels: [cluster], regex: own, action: drop}\n- {regex: zone, action: labeldrop}";
        let rules = relabel::parse_rules(rules).unwrap().into();
        let ruled = Rewrites::new(table.clone(), rules, &external);
        assert_eq!(sent(&ruled, &table, 1).unwrap(), "__name__=up,cluster=c,job=a");
        assert_eq!(sent(&ruled, &table, 2), Err(NotSent::Dropped));
        drop((plain, ruled));
        table.forget(9, &|_| false);
        assert_eq!(table.read().symbols.len(), 0, "all texts were given back");
    }
}
