//! Type, help and unit of metrics: each text once, however many series it is of.

use std::sync::Arc;

use hashbrown::HashMap;
use model::MetricMetadata;
use storage::MetadataByMetric;

type Key = Arc<(String, MetricMetadata)>;

/// Entries by number, from 1.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable {
    numbers: HashMap<Key, u32>,
    /// An entry, and how many series have it.
    entries: Vec<Option<(Key, usize)>>,
    free: Vec<u32>,
}

impl MetadataTable {
    /// The number of an entry, with one series more.
    pub fn add(&mut self, family: &str, metadata: &MetricMetadata) -> u32 {
        let key = Arc::new((family.to_owned(), metadata.clone()));
        if let Some(number) = self.numbers.get(&key) {
            if let Some(Some((_, uses))) = self.entries.get_mut(*number as usize - 1) {
                *uses += 1;
            }
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32
        });
        self.entries[number as usize - 1] = Some((key.clone(), 1));
        self.numbers.insert(key, number);
        number
    }

    pub fn get(&self, number: u32) -> Option<&(String, MetricMetadata)> {
        let entry = self.entries.get((number as usize).checked_sub(1)?)?;
        entry.as_ref().map(|(key, _)| &**key)
    }

    /// One series less.
    pub fn release(&mut self, number: u32) {
        let Some(place) = (number as usize).checked_sub(1).and_then(|at| self.entries.get_mut(at)) else { return };
        let Some((key, uses)) = place else { return };
        *uses -= 1;
        if *uses == 0 {
            self.numbers.remove(key);
            *place = None;
            self.free.push(number);
        }
    }

    /// Entries by metric family; `0` as a limit = all.
    pub fn by_metric(&self, metric: &str, limit: usize, limit_per_metric: usize) -> MetadataByMetric {
        let or_all = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let mut found = MetadataByMetric::new();
        for (key, _) in self.entries.iter().flatten() {
            if metric.is_empty() || metric == key.0 {
                let entries = found.entry(key.0.clone()).or_default();
                if entries.len() < or_all(limit_per_metric) {
                    entries.push(key.1.clone());
                }
            }
        }
        found.into_iter().take(or_all(limit)).collect()
    }

    pub fn size_bytes(&self) -> usize {
        let text = |(key, _): &(Key, usize)| key.0.len() + key.1.help.len() + key.1.unit.len() + 160;
        self.entries.iter().flatten().map(text).sum::<usize>() + self.entries.capacity() * 24
    }
}
