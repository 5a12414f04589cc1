//! What the flags mean, checked once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bucket::flags::TimeLimits;
use bucket::{FetchOptions, Filters};
use flags::Parsed;
use serde::Deserialize;
use storeapi::StoreLimits;
use transport::http::{Prefixes, WebConfig};
use transport::{RequestLog, ServeOptions};

use crate::chunk_cache::ChunkCacheOptions;
use crate::error::Error;
use crate::header::HeaderOptions;
use crate::index_cache::IndexCacheOptions;
use crate::limits::Limits;

/// Settings of a store gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// HTTP listener.
    pub http: ServeOptions,
    /// Authentication and headers of the HTTP listener.
    pub web: WebConfig,
    /// gRPC listener.
    pub grpc: ServeOptions,
    /// `--request.logging-config`.
    pub request_log: RequestLog,
    /// `--objstore.config`, as text; empty when the bucket is given otherwise.
    pub objstore: String,
    /// `--data-dir`, or `None` where nothing is kept on disk.
    pub data_dir: Option<PathBuf>,
    /// See [`IndexCacheOptions`].
    pub index_cache: IndexCacheOptions,
    /// See [`ChunkCacheOptions`]; `None` = no such cache.
    pub chunk_cache: Option<ChunkCacheOptions>,
    /// `--chunk-pool-size`: bytes of all calls together; 0 = no limit.
    pub pool_bytes_max: u64,
    /// `--store.limits.request-bytes`: bytes of one call; 0 = no limit.
    pub request_bytes_max: u64,
    /// `--store.limits.…`, as the server checks them on what it sends.
    pub store_limits: StoreLimits,
    /// The same and more, as checked on what is read.
    pub limits: Limits,
    /// `--store.grpc.series-max-concurrency`.
    pub series_concurrency: usize,
    /// `--sync-block-duration`.
    pub sync_interval: Duration,
    /// How metas are fetched.
    pub fetch: FetchOptions,
    /// How index-headers are made.
    pub header: HeaderOptions,
    /// `--block-sync-concurrency`.
    pub header_concurrency: usize,
    /// `--store.index-header-lazy-download-strategy=eager`.
    pub eager_headers: bool,
    /// Index-headers that nobody used for so long are closed; 0 = never.
    pub header_idle: Duration,
    /// `--min-time`, `--max-time`.
    pub times: TimeLimits,
    /// Which blocks are served; the time limits are put in at each sync.
    pub filters: Filters,
    /// `--debug.series-batch-size`.
    pub batch_series: usize,
    /// `--debug.estimated-max-series-size`.
    pub series_bytes: u64,
    /// `--debug.estimated-max-chunk-size`.
    pub chunk_bytes: u64,
    /// `--store.coalesce-gap`.
    pub gap_bytes: u64,
    /// `--store.coalesce-gap-free`.
    pub gap_free_bytes: u64,
    /// `--store.coalesce-ratio`.
    pub fetched_per_wanted: u64,
    /// Range requests at a time, of all calls.
    pub requests_max: usize,
    /// `--web.disable`.
    pub web_disabled: bool,
    /// `--web.disable-cors`.
    pub cors_disabled: bool,
    /// `--web.external-prefix` and `--web.prefix-header`.
    pub prefixes: Prefixes,
    /// `--bucket-web-label`.
    pub web_label: String,
    /// `--disable-admin-operations`.
    pub admin_disabled: bool,
    /// All flags with their values, for the API.
    pub shown_flags: Vec<(String, String)>,
}

impl Config {
    /// From a command line.
    ///
    /// # Errors
    /// The first flag or file that cannot be used.
    pub fn new(parsed: &Parsed) -> Result<Self, Error> {
        let (http, web) = transport::flags::http_server(parsed)?;
        let shard = bucket::flags::selector(parsed)?;
        let index_cache = match parsed.content("index-cache.config")? {
            Some(yaml) => index_cache(&yaml).map_err(|e| Error::Config(format!("--index-cache.config: {e}")))?,
            None => IndexCacheOptions { max_bytes: parsed.size_bytes("index-cache-size"), max_item_bytes: 0 },
        };
        let chunk_cache = match parsed.content("store.caching-bucket.config")? {
            Some(yaml) => {
                Some(chunk_cache(&yaml).map_err(|e| Error::Config(format!("--store.caching-bucket.config: {e}")))?)
            }
            None => None,
        };
        let times = TimeLimits::new(parsed)?;
        for flag in ["block-sync-concurrency", "store.grpc.series-max-concurrency"] {
            if parsed.count(flag) == 0 {
                return Err(Error::Config(format!("--{flag} must be at least 1")));
            }
        }
        let data_dir = parsed.switch("cache-index-header").then(|| PathBuf::from(parsed.text("data-dir")));
        let fetch = bucket::flags::fetch(parsed, data_dir.as_ref().map(|d| d.join("meta-syncer")))?;
        let either = |new: &str, old: &str| match parsed.count(new) {
            0 => parsed.count(old),
            n => n,
        };
        let store_limits = StoreLimits {
            series: either("store.limits.request-series", "store.grpc.touched-series-limit"),
            samples: either("store.limits.request-samples", "store.grpc.series-sample-limit"),
        };
        let millis = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        Ok(Self {
            http,
            web,
            grpc: transport::flags::grpc_server(parsed)?,
            request_log: transport::flags::request_log(parsed)?,
            objstore: parsed.content("objstore.config")?.unwrap_or_default(),
            data_dir,
            index_cache,
            chunk_cache,
            pool_bytes_max: parsed.size_bytes("chunk-pool-size"),
            request_bytes_max: parsed.size_bytes("store.limits.request-bytes"),
            store_limits,
            limits: Limits {
                touched_series: store_limits.series,
                samples: store_limits.samples,
                downloaded_bytes: parsed.size_bytes("store.grpc.downloaded-bytes-limit"),
            },
            series_concurrency: parsed.count("store.grpc.series-max-concurrency") as usize,
            sync_interval: millis("sync-block-duration").max(Duration::from_secs(1)),
            fetch,
            header: HeaderOptions::default(),
            header_concurrency: parsed.count("block-sync-concurrency") as usize,
            eager_headers: parsed.text("store.index-header-lazy-download-strategy") == "eager",
            header_idle: millis("store.index-header-lazy-reader-idle-timeout"),
            times,
            filters: Filters {
                shard,
                consistency_delay_ms: parsed.duration_ms("consistency-delay"),
                ignore_deletion_marks_delay_ms: Some(parsed.duration_ms("ignore-deletion-marks-delay")),
                deduplicate: true,
                ..Filters::default()
            },
            batch_series: parsed.count("debug.series-batch-size").max(1) as usize,
            series_bytes: parsed.size_bytes("debug.estimated-max-series-size").max(64),
            chunk_bytes: parsed.size_bytes("debug.estimated-max-chunk-size").max(64),
            gap_bytes: parsed.size_bytes("store.coalesce-gap"),
            gap_free_bytes: parsed.size_bytes("store.coalesce-gap-free"),
            fetched_per_wanted: parsed.count("store.coalesce-ratio").max(1),
            requests_max: 128,
            web_disabled: parsed.switch("web.disable"),
            cors_disabled: parsed.switch("web.disable-cors"),
            prefixes: Prefixes::new("", parsed.text("web.external-prefix"), parsed.text("web.prefix-header")),
            web_label: parsed.text("bucket-web-label").to_owned(),
            admin_disabled: parsed.switch("disable-admin-operations"),
            shown_flags: parsed.all().into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
        })
    }

    /// The defaults of the flags.
    ///
    /// # Errors
    /// None with the flags as declared.
    pub fn with_defaults() -> Result<Self, Error> {
        match flags::parse(&crate::command(), std::iter::empty(), "")? {
            flags::Outcome::Run(parsed) => Self::new(&parsed),
            flags::Outcome::Print(text) => Err(Error::Config(text)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheYaml {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: serde_json::Value,
    #[serde(default, rename = "enabled_items")]
    enabled: Vec<String>,
    #[serde(default, rename = "ttl")]
    _ttl: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InMemoryYaml {
    #[serde(default = "default_max_size")]
    max_size: serde_json::Value,
    #[serde(default = "default_max_item_size")]
    max_item_size: serde_json::Value,
}

fn default_max_size() -> serde_json::Value {
    "250MB".into()
}

fn default_max_item_size() -> serde_json::Value {
    "125MB".into()
}

fn size(key: &str, value: &serde_json::Value) -> Result<u64, String> {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse::<model::ByteSize>().map(|s| s.0).map_err(|e| format!("{key}: {e}"))
}

fn refuse(kind: &str, what: &str) -> String {
    match kind {
        "MEMCACHED" | "REDIS" | "GROUPCACHE" => format!(
            "type {kind} is not built in: {what} is held in this process, use type IN-MEMORY with a max_size that fits the machine"
        ),
        _ => format!("type {kind:?} is unknown, use IN-MEMORY"),
    }
}

/// `--index-cache.config`.
fn index_cache(yaml: &str) -> Result<IndexCacheOptions, String> {
    let cache: CacheYaml = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
    if cache.kind.to_uppercase() != "IN-MEMORY" {
        return Err(refuse(&cache.kind.to_uppercase(), "the index cache"));
    }
    let known = ["Postings", "Series", "ExpandedPostings"];
    if let Some(item) = cache.enabled.iter().find(|i| !known.contains(&i.as_str())) {
        return Err(format!("enabled_items: {item:?} is none of {}", known.join(", ")));
    }
    let config = if cache.config.is_null() { serde_json::json!({}) } else { cache.config };
    let config: InMemoryYaml = serde_json::from_value(config).map_err(|e| format!("config: {e}"))?;
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

/// Keys of Thanos' that have nothing to act on: listings and metas are kept by the syncer, sizes come with the listing.
const WITHOUT_EFFECT: [&str; 9] = [
    "blocks_iter_ttl",
    "metafile_exists_ttl",
    "metafile_doesnt_exist_ttl",
    "metafile_content_ttl",
    "metafile_max_size",
    "chunk_object_attrs_ttl",
    "chunk_subrange_ttl",
    "max_item_size",
    "ttl",
];

/// `--store.caching-bucket.config`.
fn chunk_cache(yaml: &str) -> Result<ChunkCacheOptions, String> {
    let map: std::collections::BTreeMap<String, serde_json::Value> =
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
    let mut options = ChunkCacheOptions { max_bytes: 250 << 20, piece_bytes: 16_000, requests_max: 3 };
    for (key, value) in &map {
        match key.as_str() {
            "type" => {
                let kind = value.as_str().unwrap_or_default().to_uppercase();
                if kind != "IN-MEMORY" {
                    return Err(refuse(&kind, "the cache of chunks"));
                }
            }
            "config" => {
                let config: InMemoryYaml = match value {
                    serde_json::Value::Null => serde_json::from_value(serde_json::json!({})),
                    value => serde_json::from_value(value.clone()),
                }
                .map_err(|e| format!("config: {e}"))?;
                options.max_bytes = size("max_size", &config.max_size)?;
            }
            "chunk_subrange_size" => options.piece_bytes = size(key, value)?.max(1),
            "max_chunks_get_range_requests" => options.requests_max = size(key, value)?.max(1) as usize,
            other if WITHOUT_EFFECT.contains(&other) => {}
            other => return Err(format!("key {other:?} is unknown")),
        }
    }
    if !map.contains_key("type") {
        return Err("type is missing, use IN-MEMORY".to_owned());
    }
    Ok(options)
}

/// The store's budget per call.
pub(crate) fn budgets(config: &Config) -> Arc<dyn Fn() -> Arc<storage::Budget> + Send + Sync> {
    let process = storage::Budget::new("the store gateway", "--chunk-pool-size", config.pool_bytes_max, None);
    let max = config.request_bytes_max;
    Arc::new(move || storage::Budget::new("the request", "--store.limits.request-bytes", max, Some(process.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        match flags::parse(&crate::command(), args.iter().map(|a| (*a).to_owned()), "v") {
            Ok(flags::Outcome::Run(parsed)) => Config::new(&parsed).map_err(|e| e.to_string()),
            Ok(flags::Outcome::Print(text)) => Err(text),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn defaults_are_thanos() {
        let c = config(&[]).unwrap();
        assert_eq!((c.index_cache.max_bytes, c.pool_bytes_max, c.series_concurrency), (250 << 20, 2 << 30, 20));
        assert_eq!(
            (c.sync_interval.as_secs(), c.batch_series, c.series_bytes, c.chunk_bytes),
            (900, 10_000, 65_536, 16_000)
        );
        assert_eq!(c.filters.ignore_deletion_marks_delay_ms, Some(86_400_000));
        assert_eq!(
            (c.fetch.discovery, c.fetch.concurrency, c.header_concurrency),
            (bucket::Discovery::Recursive, 32, 20)
        );
        assert!(c.eager_headers && c.chunk_cache.is_none() && c.limits == Limits::default());
        assert_eq!(c.data_dir, Some("./data".into()));
    }

    #[test]
    fn flags_become_settings() {
        let c = config(&[
            "--no-cache-index-header",
            "--index-cache.config={type: in-memory, config: {max_size: 1GB, max_item_size: 10MB}}",
            "--store.caching-bucket.config={type: IN-MEMORY, config: {max_size: 64MB}, chunk_subrange_size: 32000, metafile_content_ttl: 1h}",
            "--store.grpc.touched-series-limit=5",
            "--store.limits.request-samples=240",
            "--store.grpc.downloaded-bytes-limit=1MB",
            "--store.index-header-lazy-download-strategy=lazy",
            "--min-time=-2w",
            "--debug.series-batch-size=7",
        ])
        .unwrap();
        assert_eq!(c.index_cache, IndexCacheOptions { max_bytes: 1 << 30, max_item_bytes: 10 << 20 });
        let cache = ChunkCacheOptions { max_bytes: 64 << 20, piece_bytes: 32_000, requests_max: 3 };
        assert_eq!(c.chunk_cache, Some(cache));
        assert_eq!(c.limits, Limits { touched_series: 5, samples: 240, downloaded_bytes: 1 << 20 });
        assert_eq!((c.store_limits.series, c.store_limits.samples), (5, 240));
        assert!(!c.eager_headers && c.data_dir.is_none() && c.fetch.cache_dir.is_none());
        assert_eq!((c.times.at(1_209_600_000).min, c.batch_series), (0, 7));
    }

    #[test]
    fn contradictions_are_refused() {
        for (args, text) in [
            (&["--index-cache.config={type: MEMCACHED, config: {}}"][..], "type MEMCACHED is not built in"),
            (&["--index-cache.config={type: REDIS}"], "use type IN-MEMORY"),
            (&["--index-cache.config={type: X}"], "is unknown, use IN-MEMORY"),
            (
                &["--index-cache.config={type: IN-MEMORY, config: {max_size: 1MB, max_item_size: 2MB}}"],
                "cannot be bigger",
            ),
            (&["--index-cache.config={type: IN-MEMORY, config: {nonsense: 1}}"], "nonsense"),
            (&["--store.caching-bucket.config={type: MEMCACHED}"], "type MEMCACHED is not built in"),
            (&["--store.caching-bucket.config={type: IN-MEMORY, nonsense: 1}"], "\"nonsense\" is unknown"),
            (&["--min-time=2026-01-01T00:00:00Z", "--max-time=2025-01-01T00:00:00Z"], "can't be greater than"),
            (&["--block-sync-concurrency=0"], "must be at least 1"),
            (&["--selector.relabel-config=- {action: nonsense}"], "--selector.relabel-config"),
            (&["--block-discovery-strategy=psychic"], "is none of concurrent, recursive"),
            (&["--objstore.config=x", "--objstore.config-file=y"], "use one"),
        ] {
            let error = config(args).unwrap_err();
            assert!(error.contains(text), "{args:?}: {error}");
        }
    }
}
