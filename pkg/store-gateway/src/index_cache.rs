//! Parts of indexes kept in memory: lists of postings, expanded postings, series entries; of small indexes all of them as
//! they are. Bounded by bytes.

use std::sync::Arc;

use block::BlockId;
use bytes::Bytes;
use telemetry::{Counter, CounterVec, Gauge, Metrics};

use crate::clock_cache::ClockCache;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexCacheOptions {
    /// Bytes in all; 0 = no cache.
    pub max_bytes: u64,
    /// Larger items are not kept; 0 = no limit of its own.
    pub max_item_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A block's list at an offset of its index.
    Postings = 0,
    /// A block's series entry, by its id.
    Series = 1,
    /// The series of a block that match matchers, by a hash of their text.
    Expanded = 2,
    /// Series and postings of a block.
    Whole = 3,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    block: BlockId,
    at: u64,
    kind: Kind,
}

/// Values own exactly their bytes: a slice would keep the whole read that it was cut from in memory.
#[derive(Debug)]
enum Value {
    Ids(Arc<[u32]>),
    /// With the whole text, as hashes may be equal.
    Matched(Box<(Arc<str>, Arc<[u32]>)>),
    Entry(Box<[u8]>),
    Whole(Bytes),
}

/// Counts of an [`Arc`], in bytes.
const ARC_BYTES: usize = 16;

impl Value {
    fn size_bytes(&self) -> usize {
        let ids = |ids: &Arc<[u32]>| ids.len() * 4 + ARC_BYTES;
        match self {
            Self::Ids(list) => ids(list),
            Self::Matched(both) => size_of_val(&**both) + both.0.len() + ARC_BYTES + ids(&both.1),
            // Allocators round small sizes up.
            Self::Entry(bytes) => bytes.len().next_multiple_of(16),
            Self::Whole(bytes) => bytes.len(),
        }
    }
}

const KINDS: [&str; 4] = ["Postings", "Series", "ExpandedPostings", "Index"];

#[derive(Debug)]
struct Counters {
    requests: Counter,
    hits: Counter,
    added: Counter,
    evicted: Counter,
    overflowed: Counter,
}

/// The cache. Items are immutable: a block never changes, so nothing goes stale.
#[derive(Debug)]
pub struct IndexCache {
    cache: Option<ClockCache<Key, Value>>,
    max_item_bytes: usize,
    counters: [Counters; 4],
    size: Gauge,
}

impl IndexCache {
    pub fn new(options: IndexCacheOptions, metrics: &Metrics) -> Self {
        let kinds = &["item_type"];
        let counter = |name: &str, help: &str| metrics.counters(name, help, kinds);
        let requests = counter("thanos_store_index_cache_requests_total", "Items asked of the index cache.");
        let hits = counter("thanos_store_index_cache_hits_total", "Items that the index cache had.");
        let added = counter("thanos_store_index_cache_items_added_total", "Items put into the index cache.");
        let evicted: CounterVec = counter(
            "thanos_store_index_cache_items_evicted_total",
            "Items that made way for others in the index cache.",
        );
        let overflowed =
            counter("thanos_store_index_cache_items_overflowed_total", "Items too large for the index cache.");
        metrics
            .gauge("thanos_store_index_cache_max_size_bytes", "Bytes that the index cache may hold.")
            .set(options.max_bytes as f64);
        let max_item = match options.max_item_bytes {
            0 => options.max_bytes,
            max => max.min(options.max_bytes),
        };
        let of = |family: &CounterVec| KINDS.map(|k| family.with(&[k]));
        let [r, h, a, e, o] = [of(&requests), of(&hits), of(&added), of(&evicted), of(&overflowed)];
        let counters = std::array::from_fn(|i| Counters {
            requests: r[i].clone(),
            hits: h[i].clone(),
            added: a[i].clone(),
            evicted: e[i].clone(),
            overflowed: o[i].clone(),
        });
        let size = metrics.gauge("thanos_store_index_cache_total_size_bytes", "Bytes that the index cache holds.");
        Self {
            cache: (options.max_bytes > 0).then(|| ClockCache::new(options.max_bytes)),
            max_item_bytes: usize::try_from(max_item).unwrap_or(usize::MAX),
            counters,
            size,
        }
    }

    fn get<T>(&self, key: &Key, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let cache = self.cache.as_ref()?;
        let counters = &self.counters[key.kind as usize];
        counters.requests.inc();
        let found = cache.with(key, read)??;
        counters.hits.inc();
        Some(found)
    }

    fn put(&self, key: Key, value: Value) {
        let Some(cache) = &self.cache else { return };
        let counters = &self.counters[key.kind as usize];
        let bytes = value.size_bytes();
        if bytes > self.max_item_bytes {
            counters.overflowed.inc();
            return;
        }
        counters.added.inc();
        cache.insert(key, value, bytes, |gone| {
            self.counters[gone.kind as usize].evicted.inc();
        });
        self.size.set(cache.size_bytes() as f64);
    }

    /// The list at `offset` of a block's index.
    pub fn postings(&self, block: BlockId, offset: u64) -> Option<Arc<[u32]>> {
        self.get(&Key { block, at: offset, kind: Kind::Postings }, |value| match value {
            Value::Ids(ids) => Some(ids.clone()),
            _ => None,
        })
    }

    pub fn put_postings(&self, block: BlockId, offset: u64, ids: Arc<[u32]>) {
        self.put(Key { block, at: offset, kind: Kind::Postings }, Value::Ids(ids));
    }

    /// The series of a block that match.
    pub fn expanded(&self, block: BlockId, matchers: &Arc<str>) -> Option<Arc<[u32]>> {
        self.get(&expanded_key(block, matchers), |value| match value {
            Value::Matched(both) if both.0 == *matchers => Some(both.1.clone()),
            _ => None,
        })
    }

    /// Keeps the series that match.
    pub fn put_expanded(&self, block: BlockId, matchers: &Arc<str>, ids: Arc<[u32]>) {
        self.put(expanded_key(block, matchers), Value::Matched(Box::new((matchers.clone(), ids))));
    }

    /// What `read` makes of the bytes of a series entry.
    pub fn series<T>(&self, block: BlockId, id: u32, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.get(&Key { block, at: u64::from(id), kind: Kind::Series }, |value| match value {
            Value::Entry(bytes) => Some(read(bytes)),
            _ => None,
        })
    }

    /// Whether a series entry is here; counted as no request.
    pub fn has_series(&self, block: BlockId, id: u32) -> bool {
        let key = Key { block, at: u64::from(id), kind: Kind::Series };
        self.cache.as_ref().is_some_and(|cache| cache.with(&key, |_| ()).is_some())
    }

    /// Keeps a copy of a series entry.
    pub fn put_series(&self, block: BlockId, id: u32, entry: &[u8]) {
        if self.cache.is_some() {
            self.put(Key { block, at: u64::from(id), kind: Kind::Series }, Value::Entry(entry.into()));
        }
    }

    /// Series and postings of a block, as they stand in its index.
    pub fn whole(&self, block: BlockId) -> Option<Bytes> {
        self.get(&whole_key(block), |value| match value {
            Value::Whole(bytes) => Some(bytes.clone()),
            _ => None,
        })
    }

    /// Keeps a copy of series and postings.
    pub fn put_whole(&self, block: BlockId, bytes: &[u8]) {
        if self.cache.is_some() {
            self.put(whole_key(block), Value::Whole(Bytes::copy_from_slice(bytes)));
        }
    }

    /// Drops series and postings of a block.
    pub fn forget_whole(&self, block: BlockId) {
        if let Some(cache) = &self.cache {
            cache.remove(&whole_key(block));
            self.size.set(cache.size_bytes() as f64);
        }
    }

    /// Bytes that it may hold; `None` = nothing is kept at all.
    pub fn max_bytes(&self) -> Option<u64> {
        self.cache.as_ref().map(|cache| cache.max_bytes())
    }
}

fn whole_key(block: BlockId) -> Key {
    Key { block, at: 0, kind: Kind::Whole }
}

fn expanded_key(block: BlockId, matchers: &str) -> Key {
    let mut hasher = labels::LabelHasher::new();
    hasher.add("", matchers);
    Key { block, at: hasher.finish(), kind: Kind::Expanded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_by_bytes() {
        let metrics = Metrics::new();
        let cache = IndexCache::new(IndexCacheOptions { max_bytes: 10_000, max_item_bytes: 2_000 }, &metrics);
        let block = BlockId::new(1, 1);
        cache.put_postings(block, 0, vec![1; 501].into());
        assert!(cache.postings(block, 0).is_none());
        cache.put_postings(block, 1, vec![7; 100].into());
        assert_eq!(cache.postings(block, 1).unwrap().len(), 100);
        for id in 0..1000 {
            cache.put_series(block, id, &[0; 100]);
        }
        let size = cache.cache.as_ref().unwrap().size_bytes();
        assert!((8_000..=10_000).contains(&size), "{size}");
        let text = metrics.encode();
        for line in [
            r#"thanos_store_index_cache_items_overflowed_total{item_type="Postings"} 1"#,
            r#"thanos_store_index_cache_hits_total{item_type="Postings"} 1"#,
            r#"thanos_store_index_cache_requests_total{item_type="Postings"} 2"#,
            r#"thanos_store_index_cache_items_added_total{item_type="Series"} 1000"#,
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn equal_hashes_are_told_apart() {
        let cache = IndexCache::new(IndexCacheOptions { max_bytes: 10_000, max_item_bytes: 0 }, &Metrics::new());
        let (block, text): (_, Arc<str>) = (BlockId::new(1, 1), "a=\"1\"".into());
        cache.put_expanded(block, &text, vec![1, 2].into());
        assert_eq!(cache.expanded(block, &text).as_deref(), Some(&[1, 2][..]));
        assert!(cache.expanded(BlockId::new(1, 2), &text).is_none());
        // What another text of the same hash would find.
        let Key { at, .. } = expanded_key(block, &text);
        cache.put(Key { block, at, kind: Kind::Expanded }, Value::Matched(Box::new(("b".into(), vec![3].into()))));
        assert!(cache.expanded(block, &text).is_none());
    }

    #[test]
    fn entries_do_not_keep_the_read_they_came_from() {
        let cache = IndexCache::new(IndexCacheOptions { max_bytes: 1 << 20, max_item_bytes: 0 }, &Metrics::new());
        let read = bytes::Bytes::from(vec![7u8; 1 << 20]);
        cache.put_series(BlockId::new(1, 1), 1, &read.slice(5..25));
        assert!(read.is_unique(), "the cache holds a slice of the read");
        assert_eq!(cache.series(BlockId::new(1, 1), 1, <[u8]>::to_vec), Some(vec![7; 20]));
    }

    #[test]
    fn none() {
        let cache = IndexCache::new(IndexCacheOptions { max_bytes: 0, max_item_bytes: 0 }, &Metrics::new());
        cache.put_series(BlockId::new(1, 1), 1, b"x");
        assert!(cache.series(BlockId::new(1, 1), 1, <[u8]>::len).is_none());
    }
}
