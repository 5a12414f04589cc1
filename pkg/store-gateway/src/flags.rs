//! The flags of `aion store`: Thanos' names and defaults, its hidden ones too, and a few of our own.

use assembly::{OBJSTORE, STORE_LIMITS};
use flags::{Command, Flag, Kind};
use transport::flags::{COMMON, GRPC_SERVER, HTTP, REQUEST_LOG};

const ALWAYS_LAZY: &str = "index-headers are always opened at their first use";

const STORE: &[Flag] = &[
    Flag::text("data-dir", "./data", "Local data directory used for caching purposes (index-headers and meta.jsons). If removed, no data will be lost, just store will have to rebuild the cache. Ignored if --no-cache-index-header option is specified."),
    Flag::switch_on("cache-index-header", "Keep index-headers on disk, in --data-dir, so that a restart need not download them again."),
    Flag::size("index-cache-size", "250MB", "Maximum size of items held in the in-memory index cache. Ignored if --index-cache.config or --index-cache.config-file option is specified."),
    Flag::text("index-cache.config-file", "", "Path to YAML file that contains index cache configuration.").placeholder("<file-path>"),
    Flag::text("index-cache.config", "", "Index cache configuration, instead of a file.").placeholder("<content>"),
    Flag::size("chunk-pool-size", "2GB", "Maximum size of bytes that all Series, LabelNames and LabelValues calls together hold of downloaded data. A call that would exceed it fails. 0 means no limit."),
    Flag::count("store.grpc.touched-series-limit", "0", "DEPRECATED: use store.limits.request-series."),
    Flag::count("store.grpc.series-sample-limit", "0", "DEPRECATED: use store.limits.request-samples."),
    Flag::size("store.grpc.downloaded-bytes-limit", "0", "Maximum amount of downloaded bytes in a single Series/LabelNames/LabelValues call. The Series call fails if this limit is exceeded. 0 means no limit."),
    Flag::count("store.grpc.series-max-concurrency", "20", "Maximum number of concurrent Series calls."),
    Flag::text("objstore-parquet.config-file", "", "Path to YAML file that contains the object store configuration of a bucket with Parquet blocks.")
        .placeholder("<file-path>")
        .ignored("blocks in Parquet are not read, all blocks are read as TSDB blocks"),
    Flag::text("objstore-parquet.config", "", "Object store configuration of a bucket with Parquet blocks, instead of a file.")
        .placeholder("<content>")
        .ignored("blocks in Parquet are not read, all blocks are read as TSDB blocks"),
    Flag::duration("sync-block-duration", "15m", "Repeat interval for syncing the blocks between local and remote view."),
    Flag::word("block-discovery-strategy", &["concurrent", "recursive"], "concurrent", "When set to concurrent, one call per directory discovers the blocks in the bucket. The recursive strategy lists all objects, one call for each thousand of them: fewer calls where the bucket holds nothing but blocks. It is what is done when the flag is not given."),
    Flag::count("block-sync-concurrency", "20", "How many index-headers to download at a time. Must be equal or greater than 1."),
    Flag::count("block-meta-fetch-concurrency", "32", "How many block metadata files to fetch from object storage at a time."),
    Flag::new("min-time", Kind::Time, "0000-01-01T00:00:00Z", "Start of time range limit to serve. Only metrics which happened later than this value are served. Option can be a constant time in RFC3339 format or time duration relative to current time, such as -1d or 2h45m."),
    Flag::new("max-time", Kind::Time, "9999-12-31T23:59:59Z", "End of time range limit to serve. Only blocks which happened earlier than this value are served. Option can be a constant time in RFC3339 format or time duration relative to current time, such as -1d or 2h45m."),
    Flag::text("selector.relabel-config-file", "", "Path to YAML with relabeling configuration that allows selecting blocks by their external labels and __block_id.").placeholder("<file-path>"),
    Flag::text("selector.relabel-config", "", "Relabeling configuration that allows selecting blocks, instead of a file.").placeholder("<content>"),
    Flag::duration("consistency-delay", "0s", "Minimum age of all blocks before they are being read. Set it to safe value (e.g 30m) if your object storage is eventually consistent. GCS and S3 are (roughly) strongly consistent."),
    Flag::duration("ignore-deletion-marks-delay", "24h", "Duration after which the blocks marked for deletion are no longer read: long enough for their replacement to have been found, shorter than the compactor's --delete-delay."),
    Flag::switch("store.enable-index-header-lazy-reader", "Open an index-header only once its block is required by a query.").ignored(ALWAYS_LAZY),
    Flag::switch("store.enable-lazy-expanded-postings", "Expand postings lazily if that downloads less data than expanding all of them.")
        .ignored("all postings are fetched in one round and cached"),
    Flag::new("store.posting-group-max-key-series-ratio", Kind::Number, "100", "Mark a posting group as lazy if it fetches more keys than this ratio times the series wanted.")
        .ignored("all postings are fetched in one round and cached"),
    Flag::word("store.index-header-lazy-download-strategy", &["eager", "lazy"], "eager", "When to download index-headers: eager downloads them after each sync, in the background; lazy during the first query that needs them."),
    Flag::switch("web.disable", "Disable the block viewer page."),
    Flag::text("web.external-prefix", "", "Static prefix for all HTML links and redirect URLs in the bucket web UI interface. Actual endpoints are still served on /."),
    Flag::text("web.prefix-header", "", "Name of HTTP request header used for dynamic prefixing of UI links and redirects."),
    Flag::switch("web.disable-cors", "Whether to disable CORS headers to be set by Thanos. By default Thanos sets CORS headers to be allowed by all."),
    Flag::text("bucket-web-label", "", "External block label to use as group title in the bucket web UI").placeholder("BUCKET-WEB-LABEL"),
    Flag::count("matcher-cache-size", "0", "Max number of cached matchers items. Using 0 disables caching.")
        .ignored("matchers are compiled once for each request, which takes microseconds"),
    Flag::switch("disable-admin-operations", "Disable UI/API admin operations like marking blocks for deletion and no compaction."),
];

/// What Thanos accepts and does not list, and limits of our own.
const MORE: &[Flag] = &[
    Flag::text(
        "store.caching-bucket.config-file",
        "",
        "Path to YAML that contains configuration for the cache of chunks.",
    )
    .placeholder("<file-path>")
    .hidden(),
    Flag::text("store.caching-bucket.config", "", "Configuration for the cache of chunks, instead of a file.")
        .placeholder("<content>")
        .hidden(),
    Flag::count("debug.series-batch-size", "10000", "How many series of a block to fetch at a time.").hidden(),
    Flag::size("debug.estimated-max-series-size", "65536", "Bytes to fetch for a series whose length is not known.")
        .hidden(),
    Flag::size("debug.estimated-max-chunk-size", "16000", "Bytes to fetch for a chunk whose length is not known.")
        .hidden(),
    Flag::count(
        "store.index-header-posting-offsets-in-mem-sampling",
        "32",
        "Every how many label values an offset is kept in memory.",
    )
    .hidden()
    .ignored("every 32nd is kept"),
    Flag::duration(
        "store.index-header-lazy-reader-idle-timeout",
        "5m",
        "Index-headers that no query needed for so long are closed; their files stay. 0 keeps them open.",
    )
    .hidden(),
    Flag::size(
        "store.limits.request-bytes",
        "1GiB",
        "Maximum bytes of downloaded data that a single call holds at a time. A call that would hold more fails. 0 means no limit but --chunk-pool-size.",
    ),
    Flag::count(
        "store.evaluate-max-concurrent",
        "20",
        "Maximum number of queries that are evaluated here at a time for queriers of the same version, which then get results in place of series; queriers evaluate more by themselves. 0 means that queriers evaluate by themselves.",
    ),
    Flag::text(
        "store.coalesce-gap",
        "auto",
        "Parts of an object that are further apart than this are fetched in requests of their own. auto: as many bytes as the bucket sends in the time in which it would begin to answer another request, as measured, between 128KiB and 2MiB.",
    ),
    Flag::size(
        "store.coalesce-gap-free",
        "32KiB",
        "Parts of an object that are closer than this are always fetched in one request: it costs more than what lies between them.",
    ),
    Flag::count(
        "store.coalesce-ratio",
        "2",
        "Parts of an object whose distance is between the two are fetched in one request if that fetches no more than so many times the bytes that are wanted, or no more than the larger distance in all.",
    ),
    Flag::size(
        "store.whole-index-size",
        "4MiB",
        "The series and postings of an index that take no more than this are read in one request, and kept as they are: in --data-dir, or in the index cache. 0 reads only the parts that a query needs.",
    ),
    Flag::size(
        "store.whole-index-disk-size",
        "1GiB",
        "Maximum size of the indexes, each no larger than --store.whole-index-size, whose series and postings are kept in --data-dir. The newest blocks come first. Queries of these blocks read only chunks from the bucket. 0 keeps none.",
    ),
];

/// The command line of `aion store`.
pub fn command() -> Command {
    Command {
        name: "store",
        about: "Store node giving access to blocks in a bucket provider. Now supported GCS, S3, Azure and local directories.",
        flags: vec![COMMON, HTTP, GRPC_SERVER, REQUEST_LOG, OBJSTORE, STORE_LIMITS, STORE, MORE],
        args: None,
    }
}
