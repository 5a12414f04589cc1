//! What the flags mean, checked once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use assembly::{BucketConfig, Deps, Error, GrpcConfig, HttpConfig, store_limits};
use bucket::flags::TimeLimits;
use bucket::{FetchOptions, Filters};
use flags::Parsed;
use storeapi::StoreLimits;
use tracing::warn;

use crate::cache_config::{chunk_cache, index_cache};
use crate::chunk_cache::ChunkCacheOptions;
use crate::header::HeaderOptions;
use crate::index_cache::IndexCacheOptions;
use crate::limits::Limits;
use crate::read::PaceOptions;

/// Settings of a store gateway.
#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    pub grpc: GrpcConfig,
    pub bucket: BucketConfig,
    /// `--data-dir`, or `None` where nothing is kept on disk.
    pub data_dir: Option<PathBuf>,
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
    pub series_concurrency: usize,
    /// `--store.evaluate-max-concurrent`: queries evaluated here at a time; 0 = none is.
    pub evaluations_max: usize,
    pub sync_interval: Duration,
    pub fetch: FetchOptions,
    pub header: HeaderOptions,
    pub header_concurrency: usize,
    /// Whether index-headers are built after each sync, before a query needs them.
    pub eager_headers: bool,
    /// Index-headers that nobody used for so long are closed; 0 = never.
    pub header_idle: Duration,
    pub times: TimeLimits,
    /// Which blocks are served; the time limits are put in at each sync.
    pub filters: Filters,
    pub batch_series: usize,
    pub series_bytes: u64,
    pub chunk_bytes: u64,
    /// Which ranges are fetched together.
    pub pace: PaceOptions,
    /// Indexes whose series and postings take no more are read and kept whole; 0 = none.
    pub whole_index_bytes: u64,
    /// So many bytes of such indexes are kept on disk, those of the newest blocks first; 0 = none.
    pub index_disk_bytes: u64,
    /// Range requests at a time, of all calls.
    pub requests_max: usize,
    pub web_label: String,
}

impl assembly::Config for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn grpc(&self) -> Option<&GrpcConfig> {
        Some(&self.grpc)
    }

    fn from_flags(parsed: &Parsed, _deps: &Deps) -> Result<Self, Error> {
        let shard = bucket::flags::selector(parsed)?;
        let size = IndexCacheOptions { max_bytes: parsed.size_bytes("index-cache-size"), max_item_bytes: 0 };
        let index_cache = cache(parsed, "index-cache.config", |yaml| index_cache(yaml, size))?.unwrap_or(size);
        let chunk_cache = cache(parsed, "store.caching-bucket.config", chunk_cache)?;
        let times = TimeLimits::new(parsed)?;
        for flag in ["block-sync-concurrency", "store.grpc.series-max-concurrency"] {
            if parsed.count(flag) == 0 {
                return Err(Error::flag(flag, "must be at least 1"));
            }
        }
        let data_dir = parsed.switch("cache-index-header").then(|| PathBuf::from(parsed.text("data-dir")));
        let fetch = bucket::flags::fetch(parsed, data_dir.as_ref().map(|d| d.join("meta-syncer")))?;
        let either = |limit: u64, old: &str| if limit == 0 { parsed.count(old) } else { limit };
        let StoreLimits { series, samples } = store_limits(parsed);
        let store_limits = StoreLimits {
            series: either(series, "store.grpc.touched-series-limit"),
            samples: either(samples, "store.grpc.series-sample-limit"),
        };
        let millis = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        Ok(Self {
            http: HttpConfig::from_flags(parsed)?,
            grpc: GrpcConfig::from_flags(parsed)?,
            bucket: BucketConfig::from_flags(parsed)?,
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
            evaluations_max: parsed.count("store.evaluate-max-concurrent") as usize,
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
            pace: pace(parsed)?,
            whole_index_bytes: parsed.size_bytes("store.whole-index-size"),
            index_disk_bytes: parsed.size_bytes("store.whole-index-disk-size"),
            requests_max: 128,
            web_label: parsed.text("bucket-web-label").to_owned(),
        })
    }
}

/// What the flags of joined ranges say.
fn pace(parsed: &Parsed) -> Result<PaceOptions, Error> {
    let gap_bytes = match parsed.text("store.coalesce-gap") {
        "auto" => None,
        text => {
            let size = text.parse::<model::ByteSize>();
            Some(size.map_err(|e| Error::flag("store.coalesce-gap", format!("is neither auto nor a size: {e}")))?.0)
        }
    };
    Ok(PaceOptions {
        gap_bytes,
        gap_free_bytes: parsed.size_bytes("store.coalesce-gap-free"),
        fetched_per_wanted: parsed.count("store.coalesce-ratio").max(1),
    })
}

/// What `read` makes of the YAML of `flag` or of its file; its warning is logged.
fn cache<T>(
    parsed: &Parsed,
    flag: &str,
    read: impl FnOnce(&str) -> Result<(T, Option<String>), String>,
) -> Result<Option<T>, Error> {
    let Some(yaml) = parsed.content(flag)? else { return Ok(None) };
    let origin = parsed.origin(flag);
    let (options, warning) = read(&yaml).map_err(|e| Error::Config(format!("{origin}: {e}")))?;
    if let Some(text) = warning {
        warn!("{origin}: {text}");
    }
    Ok(Some(options))
}

impl Config {
    /// The defaults of the flags.
    ///
    /// # Errors
    /// None with the flags as declared.
    pub fn with_defaults(deps: &Deps) -> Result<Self, Error> {
        assembly::configured::<crate::Store>(std::iter::empty::<&str>(), deps)
    }
}

/// The store's budget per call.
pub(crate) fn budgets(config: &Config) -> Arc<dyn Fn() -> Arc<storage::Budget> + Send + Sync> {
    let process = storage::Budget::new("the store gateway", "--chunk-pool-size", config.pool_bytes_max, None);
    let max = config.request_bytes_max;
    Arc::new(move || storage::Budget::new("the request", "--store.limits.request-bytes", max, Some(process.clone())))
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        let deps = Deps::isolated(Metrics::new());
        assembly::configured::<crate::Store>(args.iter().copied(), &deps).map_err(|e| e.to_string())
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
        assert_eq!((c.fetch.listing, c.fetch.concurrency, c.header_concurrency), (bucket::Listing::Recursive, 32, 20));
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
        let cache = ChunkCacheOptions { max_bytes: 64 << 20, piece_bytes: 32_000, requests_max: 3, disk: None };
        assert_eq!(c.chunk_cache, Some(cache));
        assert_eq!(c.limits, Limits { touched_series: 5, samples: 240, downloaded_bytes: 1 << 20 });
        assert_eq!((c.store_limits.series, c.store_limits.samples), (5, 240));
        assert!(!c.eager_headers && c.data_dir.is_none() && c.fetch.cache_dir.is_none());
        assert_eq!((c.times.at(1_209_600_000).min, c.batch_series), (0, 7));
        let c = config(&["--index-cache-size=1GB", "--index-cache.config={type: REDIS, config: {addr: r}}"]).unwrap();
        assert_eq!(c.index_cache, IndexCacheOptions { max_bytes: 1 << 30, max_item_bytes: 0 });
    }

    #[test]
    fn contradictions_are_refused() {
        for (args, text) in [
            (&["--index-cache.config={type: X}"][..], "--index-cache.config: line 1: type \"X\" is unknown"),
            (
                &["--index-cache.config={type: IN-MEMORY, config: {max_size: 1MB, max_item_size: 2MB}}"],
                "cannot be bigger",
            ),
            (&["--index-cache.config={type: IN-MEMORY, config: {nonsense: 1}}"], "nonsense"),
            (&["--store.caching-bucket.config={type: IN-MEMORY, nonsense: 1}"], "nonsense"),
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
