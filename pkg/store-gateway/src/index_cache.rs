//! Parts of indexes kept in memory: lists of postings, expanded postings, series entries. Bounded by bytes.

use std::sync::Arc;

use block::BlockId;
use bytes::Bytes;
use moka::sync::Cache;
use telemetry::{Counter, CounterVec, Gauge, Metrics};

/// What an entry costs beside its data, in bytes.
const OVERHEAD_BYTES: usize = 128;

/// How much to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexCacheOptions {
    /// Bytes in all; 0 = no cache.
    pub max_bytes: u64,
    /// Larger items are not kept; 0 = no limit of its own.
    pub max_item_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A block's list at an offset of its index.
    Postings(BlockId, u64),
    /// The series of a block that match matchers, as text.
    Expanded(BlockId, Arc<str>),
    /// A block's series entry.
    Series(BlockId, u32),
}

#[derive(Debug, Clone)]
enum Value {
    Ids(Arc<[u32]>),
    Entry(Bytes),
}

impl Key {
    fn kind(&self) -> usize {
        match self {
            Self::Postings(..) => 0,
            Self::Series(..) => 1,
            Self::Expanded(..) => 2,
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Expanded(_, matchers) => matchers.len(),
            _ => 0,
        }
    }
}

impl Value {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len() * 4,
            Self::Entry(bytes) => bytes.len(),
        }
    }
}

const KINDS: [&str; 3] = ["Postings", "Series", "ExpandedPostings"];

#[derive(Debug)]
struct Counters {
    requests: Counter,
    hits: Counter,
    added: Counter,
    overflowed: Counter,
}

/// The cache. Items are immutable: a block never changes, so nothing goes stale.
#[derive(Debug)]
pub struct IndexCache {
    cache: Option<Cache<Key, Value>>,
    max_item_bytes: usize,
    counters: [Counters; 3],
    size: Gauge,
}

impl IndexCache {
    /// An empty cache.
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
        let evictions = of(&evicted);
        let cache = (options.max_bytes > 0).then(|| {
            Cache::builder()
                .max_capacity(options.max_bytes)
                .weigher(|key: &Key, value: &Value| {
                    (key.size_bytes() + value.size_bytes() + OVERHEAD_BYTES).try_into().unwrap_or(u32::MAX)
                })
                .eviction_listener(move |key: Arc<Key>, _, cause| {
                    if cause.was_evicted() {
                        evictions[key.kind()].inc();
                    }
                })
                .build()
        });
        let [r, h, a, o] = [of(&requests), of(&hits), of(&added), of(&overflowed)];
        let counters = std::array::from_fn(|i| Counters {
            requests: r[i].clone(),
            hits: h[i].clone(),
            added: a[i].clone(),
            overflowed: o[i].clone(),
        });
        let size = metrics.gauge("thanos_store_index_cache_total_size_bytes", "Bytes that the index cache holds.");
        Self { cache, max_item_bytes: usize::try_from(max_item).unwrap_or(usize::MAX), counters, size }
    }

    fn get(&self, key: &Key) -> Option<Value> {
        let cache = self.cache.as_ref()?;
        let counters = &self.counters[key.kind()];
        counters.requests.inc();
        let value = cache.get(key)?;
        counters.hits.inc();
        Some(value)
    }

    fn put(&self, key: Key, value: Value) {
        let Some(cache) = &self.cache else { return };
        let counters = &self.counters[key.kind()];
        if value.size_bytes() > self.max_item_bytes {
            counters.overflowed.inc();
            return;
        }
        counters.added.inc();
        cache.insert(key, value);
        self.size.set(cache.weighted_size() as f64);
    }

    /// The list at `offset` of a block's index.
    pub fn postings(&self, block: BlockId, offset: u64) -> Option<Arc<[u32]>> {
        match self.get(&Key::Postings(block, offset))? {
            Value::Ids(ids) => Some(ids),
            Value::Entry(_) => None,
        }
    }

    /// Keeps a list.
    pub fn put_postings(&self, block: BlockId, offset: u64, ids: Arc<[u32]>) {
        self.put(Key::Postings(block, offset), Value::Ids(ids));
    }

    /// The series of a block that match.
    pub fn expanded(&self, block: BlockId, matchers: &Arc<str>) -> Option<Arc<[u32]>> {
        match self.get(&Key::Expanded(block, matchers.clone()))? {
            Value::Ids(ids) => Some(ids),
            Value::Entry(_) => None,
        }
    }

    /// Keeps the series that match.
    pub fn put_expanded(&self, block: BlockId, matchers: &Arc<str>, ids: Arc<[u32]>) {
        self.put(Key::Expanded(block, matchers.clone()), Value::Ids(ids));
    }

    /// The bytes of a series entry.
    pub fn series(&self, block: BlockId, id: u32) -> Option<Bytes> {
        match self.get(&Key::Series(block, id))? {
            Value::Entry(bytes) => Some(bytes),
            Value::Ids(_) => None,
        }
    }

    /// Keeps a series entry; the bytes are copied, since they are a slice of a much larger read.
    pub fn put_series(&self, block: BlockId, id: u32, entry: &[u8]) {
        if self.cache.is_some() {
            self.put(Key::Series(block, id), Value::Entry(Bytes::copy_from_slice(entry)));
        }
    }

    /// Whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.cache.is_some()
    }
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
        let inner = cache.cache.as_ref().unwrap();
        inner.run_pending_tasks();
        assert!(inner.weighted_size() <= 10_000, "{}", inner.weighted_size());
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
    fn none() {
        let cache = IndexCache::new(IndexCacheOptions { max_bytes: 0, max_item_bytes: 0 }, &Metrics::new());
        cache.put_series(BlockId::new(1, 1), 1, b"x");
        assert!(cache.series(BlockId::new(1, 1), 1).is_none());
    }
}
