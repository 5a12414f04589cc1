//! `--index-cache.config` and `--store.caching-bucket.config`, in Thanos' YAML.
//!
//! Caches are held in this process. Those that Thanos keeps in servers of their own are taken with a warning: each key is
//! checked, then a cache in memory stands in.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::Spanned;

use crate::chunk_cache::ChunkCacheOptions;
use crate::index_cache::IndexCacheOptions;

/// A setting, and what happens otherwise than it was asked for.
type WithWarning<T> = (T, Option<String>);

/// Only the type, whatever else is there.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: Spanned<String>,
}

/// The file of an index cache.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "C: DeserializeOwned + Default")]
struct IndexYaml<C> {
    /// `IN-MEMORY`; `MEMCACHED` and `REDIS` are taken with a warning, an in-memory cache is used instead. Required.
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    /// The keys of this type.
    #[serde(default)]
    config: Option<C>,
    /// Without effect: what is cached is not chosen. Names other than `Postings`, `Series` and `ExpandedPostings` are
    /// refused.
    #[serde(default)]
    enabled_items: Vec<String>,
    /// Without effect: entries leave the cache when there is no room.
    #[serde(default, rename = "ttl")]
    _ttl: IgnoredAny,
}

/// The file of a caching bucket. The keys that are not read have nothing to act on: listings and metas are kept by the
/// syncer, sizes come with the listing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "C: DeserializeOwned + Default")]
struct ChunksYaml<C> {
    /// `IN-MEMORY` or `FILESYSTEM`; `MEMCACHED`, `REDIS` and `GROUPCACHE` are taken with a warning, an in-memory cache is used instead.
    /// Required.
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    /// The keys of this type.
    #[serde(default)]
    config: Option<C>,
    /// Bytes that are read and cached as one piece of a file of chunks. Default: `16000`.
    #[serde(default)]
    chunk_subrange_size: Option<serde_json::Value>,
    /// Requests to the bucket into which the missing pieces of one read are joined, at most. Default: `3`.
    #[serde(default)]
    max_chunks_get_range_requests: Option<serde_json::Value>,
    /// Without effect: listings are kept by the sync of blocks.
    #[serde(default, rename = "blocks_iter_ttl")]
    _blocks_iter_ttl: IgnoredAny,
    /// Without effect: the sync of blocks keeps each `meta.json`.
    #[serde(default, rename = "metafile_exists_ttl")]
    _metafile_exists_ttl: IgnoredAny,
    /// Without effect, as above.
    #[serde(default, rename = "metafile_doesnt_exist_ttl")]
    _metafile_doesnt_exist_ttl: IgnoredAny,
    /// Without effect, as above.
    #[serde(default, rename = "metafile_content_ttl")]
    _metafile_content_ttl: IgnoredAny,
    /// Without effect, as above.
    #[serde(default, rename = "metafile_max_size")]
    _metafile_max_size: IgnoredAny,
    /// Without effect: sizes come with the listing.
    #[serde(default, rename = "chunk_object_attrs_ttl")]
    _chunk_object_attrs_ttl: IgnoredAny,
    /// Without effect: pieces leave the cache when there is no room.
    #[serde(default, rename = "chunk_subrange_ttl")]
    _chunk_subrange_ttl: IgnoredAny,
    /// Without effect: a piece has the size above.
    #[serde(default, rename = "max_item_size")]
    _max_item_size: IgnoredAny,
    /// Without effect, as for pieces.
    #[serde(default, rename = "ttl")]
    _ttl: IgnoredAny,
}

/// Keys of type `IN-MEMORY`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InMemory {
    /// Size of the cache, a number of bytes or with a unit. Default: `250MB`.
    max_size: serde_json::Value,
    /// Largest entry of the index cache; no more than `max_size`. Default: `125MB`.
    max_item_size: serde_json::Value,
}

impl Default for InMemory {
    fn default() -> Self {
        Self { max_size: "250MB".into(), max_item_size: "125MB".into() }
    }
}

/// Keys of type `FILESYSTEM` of the cache of chunks.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct OnDisk {
    /// Where pieces are kept; no other process may use it. Required.
    directory: String,
    /// Size of the cache on disk, a number of bytes or with a unit. Default: `10GB`.
    max_size: Option<serde_json::Value>,
    /// Size of a cache in memory in front of it. Default: `0`, none.
    memory_size: Option<serde_json::Value>,
}

/// Declares the keys of a cache that is not spoken to.
macro_rules! keys {
    ($(#[$doc:meta])* $name:ident: $($key:ident)*) => {
        $(#[$doc])*
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, default)]
        #[allow(dead_code, reason = "the keys are checked, their values are not used")]
        struct $name {
            $($key: IgnoredAny,)*
        }
    };
}

keys!(Memcached: addresses timeout max_idle_connections max_async_concurrency max_async_buffer_size
    max_get_multi_concurrency max_item_size max_get_multi_batch_size dns_provider_update_interval auto_discovery
    set_async_circuit_breaker_config);
keys!(Redis: addr prefix username password db dial_timeout read_timeout write_timeout pool_size min_idle_conns
    idle_timeout max_conn_age max_get_multi_concurrency get_multi_batch_size max_set_multi_concurrency
    set_multi_batch_size tls_enabled tls_config cache_size master_name max_async_buffer_size max_async_concurrency
    set_async_circuit_breaker_config);
keys!(Groupcache: self_url peers groupcache_group dns_sd_resolver dns_interval timeout max_size);

/// How the size of the cache that stands in is set.
const INDEX: &str = "--index-cache-size sets its size";
const CHUNKS: &str = "type IN-MEMORY with a max_size sets its size";

/// `--index-cache.config`. `size` is what `--index-cache-size` says.
pub(crate) fn index_cache(yaml: &str, size: IndexCacheOptions) -> Result<WithWarning<IndexCacheOptions>, String> {
    let kind = kind(yaml)?;
    match kind.value.to_uppercase().as_str() {
        "IN-MEMORY" => in_memory_index(&index_yaml::<InMemory>(yaml)?).map(|options| (options, None)),
        "MEMCACHED" => index_yaml::<Memcached>(yaml).map(|_| (size, stands_in("MEMCACHED", size.max_bytes, INDEX))),
        "REDIS" => index_yaml::<Redis>(yaml).map(|_| (size, stands_in("REDIS", size.max_bytes, INDEX))),
        _ => Err(unknown(&kind, "IN-MEMORY, MEMCACHED or REDIS")),
    }
}

/// `--store.caching-bucket.config`.
pub(crate) fn chunk_cache(yaml: &str) -> Result<WithWarning<ChunkCacheOptions>, String> {
    let kind = kind(yaml)?;
    match kind.value.to_uppercase().as_str() {
        "IN-MEMORY" => {
            let (mut options, config) = chunks_yaml::<InMemory>(yaml)?;
            options.max_bytes = size("max_size", &config.max_size)?;
            Ok((options, None))
        }
        "FILESYSTEM" => {
            let (mut options, config) = chunks_yaml::<OnDisk>(yaml)?;
            if config.directory.is_empty() {
                return Err(format!("line {}: type FILESYSTEM needs config.directory", kind.referenced.line()));
            }
            let or = |key: &str, value: &Option<serde_json::Value>, default| {
                value.as_ref().map_or(Ok(default), |value| size(key, value))
            };
            options.max_bytes = or("memory_size", &config.memory_size, 0)?;
            options.disk = Some((config.directory.into(), or("max_size", &config.max_size, 10 << 30)?));
            Ok((options, None))
        }
        "MEMCACHED" => other_chunks::<Memcached>(yaml, "MEMCACHED"),
        "REDIS" => other_chunks::<Redis>(yaml, "REDIS"),
        "GROUPCACHE" => other_chunks::<Groupcache>(yaml, "GROUPCACHE"),
        _ => Err(unknown(&kind, "IN-MEMORY, FILESYSTEM, MEMCACHED, REDIS or GROUPCACHE")),
    }
}

fn kind(yaml: &str) -> Result<Spanned<String>, String> {
    flags::parse_yaml::<Head>(yaml).map(|head| head.kind)
}

fn unknown(kind: &Spanned<String>, known: &str) -> String {
    format!("line {}: type {:?} is unknown, use {known}", kind.referenced.line(), kind.value)
}

fn stands_in(kind: &str, max_bytes: u64, how: &str) -> Option<String> {
    let size = model::ByteSize(max_bytes);
    Some(format!("type {kind} is not spoken, an in-memory cache of {size} is used instead; {how}"))
}

fn index_yaml<C: DeserializeOwned + Default>(yaml: &str) -> Result<C, String> {
    let file: IndexYaml<C> = flags::parse_yaml(yaml)?;
    let known = ["Postings", "Series", "ExpandedPostings"];
    if let Some(item) = file.enabled_items.iter().find(|i| !known.contains(&i.as_str())) {
        return Err(format!("enabled_items: {item:?} is none of {}", known.join(", ")));
    }
    Ok(file.config.unwrap_or_default())
}

fn in_memory_index(config: &InMemory) -> Result<IndexCacheOptions, String> {
    let options = IndexCacheOptions {
        max_bytes: size("max_size", &config.max_size)?,
        max_item_bytes: size("max_item_size", &config.max_item_size)?,
    };
    if options.max_item_bytes > options.max_bytes {
        let (item, all) = (options.max_item_bytes, options.max_bytes);
        return Err(format!("max item size ({item}) cannot be bigger than overall cache size ({all})"));
    }
    Ok(options)
}

fn chunks_yaml<C: DeserializeOwned + Default>(yaml: &str) -> Result<(ChunkCacheOptions, C), String> {
    let file: ChunksYaml<C> = flags::parse_yaml(yaml)?;
    let mut options = ChunkCacheOptions { max_bytes: 250 << 20, piece_bytes: 16_000, requests_max: 3, disk: None };
    if let Some(value) = &file.chunk_subrange_size {
        options.piece_bytes = size("chunk_subrange_size", value)?.max(1);
    }
    if let Some(value) = &file.max_chunks_get_range_requests {
        options.requests_max = size("max_chunks_get_range_requests", value)?.max(1) as usize;
    }
    Ok((options, file.config.unwrap_or_default()))
}

fn other_chunks<C: DeserializeOwned + Default>(
    yaml: &str,
    kind: &str,
) -> Result<WithWarning<ChunkCacheOptions>, String> {
    let (options, _) = chunks_yaml::<C>(yaml)?;
    let warning = stands_in(kind, options.max_bytes, CHUNKS);
    Ok((options, warning))
}

fn size(key: &str, value: &serde_json::Value) -> Result<u64, String> {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse::<model::ByteSize>().map(|s| s.0).map_err(|e| format!("{key}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: IndexCacheOptions = IndexCacheOptions { max_bytes: 250 << 20, max_item_bytes: 0 };

    /// The keys that Thanos documents, at the values that it shows.
    const MEMCACHED: &str = "type: memcached
config:
  addresses: ['dns+memcached:11211']
  timeout: 500ms
  max_idle_connections: 100
  max_async_concurrency: 20
  max_async_buffer_size: 10000
  max_item_size: 1MiB
  max_get_multi_concurrency: 100
  max_get_multi_batch_size: 0
  dns_provider_update_interval: 10s
  auto_discovery: false
  set_async_circuit_breaker_config: {enabled: false, half_open_max_requests: 0, open_duration: 0s, min_requests: 50,
    consecutive_failures: 0, failure_percent: 0.05}
";
    const REDIS: &str = "type: REDIS
config:
  addr: redis:6379
  username: ''
  password: ''
  db: 0
  dial_timeout: 5s
  read_timeout: 3s
  write_timeout: 3s
  pool_size: 100
  min_idle_conns: 10
  idle_timeout: 5m0s
  max_conn_age: 0s
  max_get_multi_concurrency: 100
  get_multi_batch_size: 100
  max_set_multi_concurrency: 100
  set_multi_batch_size: 100
  tls_enabled: false
  tls_config: {ca_file: '', cert_file: '', key_file: '', server_name: '', insecure_skip_verify: false}
  cache_size: 0
  master_name: ''
  max_async_buffer_size: 10000
  max_async_concurrency: 20
";
    const GROUPCACHE: &str = "type: GROUPCACHE
config:
  self_url: http://10.123.22.3:8080
  peers: ['http://10.123.22.3:8080']
  groupcache_group: test_group
  dns_interval: 1s
  timeout: 2s
  max_size: 0
";
    const CHUNK_KEYS: &str = "chunk_subrange_size: 32000
max_chunks_get_range_requests: 4
chunk_object_attrs_ttl: 24h
chunk_subrange_ttl: 24h
blocks_iter_ttl: 5m
metafile_exists_ttl: 2h
metafile_doesnt_exist_ttl: 15m
metafile_content_ttl: 24h
metafile_max_size: 1MiB
";

    #[test]
    fn a_cache_in_memory_stands_in_for_servers() {
        for yaml in [MEMCACHED, REDIS] {
            let yaml = format!("{yaml}enabled_items: [Postings]\nttl: 24h\n");
            let (options, warning) = index_cache(&yaml, SIZE).unwrap();
            assert_eq!(options, SIZE);
            let warning = warning.unwrap();
            assert!(warning.contains("in-memory cache of 250") && warning.contains("--index-cache-size"), "{warning}");
        }
        for yaml in [MEMCACHED, REDIS, GROUPCACHE] {
            let (options, warning) = chunk_cache(&format!("{yaml}{CHUNK_KEYS}")).unwrap();
            assert_eq!(
                options,
                ChunkCacheOptions { max_bytes: 250 << 20, piece_bytes: 32_000, requests_max: 4, disk: None }
            );
            assert!(warning.unwrap().contains("in-memory cache of 250"));
        }
        for yaml in ["type: REDIS", "type: MEMCACHED\nconfig:", "{type: Redis, config: {}}"] {
            assert!(index_cache(yaml, SIZE).unwrap().1.is_some(), "{yaml}");
        }
        assert_eq!(index_cache("type: IN-MEMORY\nconfig:\n", SIZE).unwrap().1, None);
        assert_eq!(chunk_cache(&format!("type: IN-MEMORY\n{CHUNK_KEYS}")).unwrap().1, None);
    }

    #[test]
    fn on_disk() {
        let read =
            |config: &str| chunk_cache(&format!("type: FILESYSTEM\nconfig: {{directory: /c{config}}}\n")).unwrap().0;
        let options = read("");
        assert_eq!((options.max_bytes, options.disk), (0, Some(("/c".into(), 10 << 30))));
        let options = read(", max_size: 1TB, memory_size: 64MB");
        assert_eq!((options.max_bytes, options.disk), (64 << 20, Some(("/c".into(), 1 << 40))));
    }

    #[test]
    fn mistakes_have_a_line() {
        for (yaml, words) in [
            ("config: {}\ntype: GROUPCACHE", ["line 2", "MEMCACHED or REDIS"]),
            ("type: MEMCACHED\nconfig:\n  addresses: []\n  adresses: []", ["line 4", "adresses"]),
            ("type: REDIS\nconfig:\n  addresses: []", ["line 3", "addresses"]),
            ("type: REDIS\nconfigs: {}", ["line 2", "configs"]),
            ("config: {}", ["type", "missing"]),
            ("type: REDIS\nenabled_items: [Post]", ["enabled_items", "Post"]),
        ] {
            let error = index_cache(yaml, SIZE).unwrap_err();
            assert!(words.iter().all(|w| error.contains(w)), "{yaml}: {error}");
        }
        for (yaml, words) in [
            ("type: GROUPCACHE\nconfig:\n  peer: []", ["line 3", "peer"]),
            ("type: MEMCACHED\nchunk_subrange_sizes: 1", ["line 2", "chunk_subrange_sizes"]),
            ("type: GALAXY", ["line 1", "GROUPCACHE"]),
            ("type: FILESYSTEM", ["line 1", "config.directory"]),
            ("type: FILESYSTEM\nconfig: {directory: a, max_size: much}", ["max_size", "much"]),
            ("type: FILESYSTEM\nconfig: {directory: a, dir: b}", ["line 2", "dir"]),
            ("type: MEMCACHED\nchunk_subrange_size: much", ["chunk_subrange_size", "much"]),
        ] {
            let error = chunk_cache(yaml).unwrap_err();
            assert!(words.iter().all(|w| error.contains(w)), "{yaml}: {error}");
        }
    }
}
