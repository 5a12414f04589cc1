//! The flags of `aion server`: Prometheus' names and defaults, those of Thanos' sidecar where blocks are shipped, and
//! limits of our own.

use assembly::{OBJSTORE, PROMETHEUS_HTTP, STORE_LIMITS};
use flags::{Command, Flag, Kind};
use transport::flags::{COMMON, GRPC_SERVER, REQUEST_LOG};

const NO_GC: &str = "there is no garbage collector to tune";
const NO_PAGES: &str = "there are no console templates";
const NO_RULES: &str = "rules and alerts are not evaluated by this server";
const NO_AGENT: &str = "there is no agent mode";

/// All but the address, which has a default of its own here.
const GRPC: &[Flag] = GRPC_SERVER.split_at(1).1;

const SERVER: &[Flag] = &[
    Flag::text("config.file", "prometheus.yml", "Prometheus configuration file path."),
    Flag::switch(
        "config.auto-reload",
        "Reload the configuration when the content of its files changes, checked at --config.auto-reload-interval.",
    ),
    Flag::duration(
        "config.auto-reload-interval",
        "30s",
        "The interval at which the files of the configuration are checked for changes.",
    ),
    Flag::text(
        "web.external-url",
        "",
        "The URL under which the server is externally reachable, for example behind a reverse proxy. Its path prefixes all HTTP endpoints unless --web.route-prefix is given.",
    )
    .placeholder("<URL>"),
    Flag::text(
        "web.route-prefix",
        "",
        "Prefix for the internal routes of web endpoints. Defaults to path of --web.external-url.",
    )
    .placeholder("<path>"),
    Flag::switch("web.enable-admin-api", "Enable API endpoints for admin control actions."),
    Flag::switch("web.enable-remote-write-receiver", "Enable API endpoint accepting remote write requests."),
    Flag::text(
        "web.remote-write-receiver.accepted-protobuf-messages",
        "prometheus.WriteRequest",
        "The remote write protobuf messages to accept: prometheus.WriteRequest, io.prometheus.write.v2.Request. Can be repeated.",
    )
    .repeated(),
    Flag::text("web.page-title", "aion server", "Document title of the pages."),
    Flag::count("web.max-notifications-subscribers", "16", "Most subscribers of live notifications at a time."),
    Flag::text("web.cors.origin", ".*", "Regex for CORS origin, fully anchored. Example: 'https?://(domain1|domain2)\\.com'."),
    Flag::text("storage.tsdb.path", "data/", "Base path for metrics storage."),
    Flag::duration(
        "storage.tsdb.retention.time",
        "0s",
        "How long to retain samples. If neither this nor --storage.tsdb.retention.size is set, 15d.",
    ),
    Flag::size(
        "storage.tsdb.retention.size",
        "0",
        "Most bytes that blocks, the write-ahead log and head chunks may take together. The oldest blocks go first. 0 means no limit.",
    ),
    Flag::new(
        "storage.tsdb.retention.percentage",
        Kind::Number,
        "0",
        "The same as a percentage of the file system. It takes precedence over the size. 0 means no limit.",
    ),
    Flag::switch("storage.tsdb.no-lockfile", "Do not create lockfile in data directory."),
    Flag::text(
        "storage.tsdb.delay-compact-file.path",
        "",
        "Path to a file with the blocks that a sidecar has uploaded. Other blocks are not compacted.",
    )
    .placeholder("<path>"),
    Flag::duration(
        "storage.tsdb.wal-sync-interval",
        "1s",
        "How often the write-ahead log is brought to disk, at most that much is lost when power fails. 0s means each write.",
    ),
    Flag::duration("storage.remote.flush-deadline", "1m", "How long to wait flushing sample on shutdown or config reload.")
        .ignored("remote write is not sent by this server"),
    Flag::count(
        "storage.remote.read-sample-limit",
        "50000000",
        "Maximum overall number of samples to return via the remote read interface, in a single query. 0 means no limit. This limit is ignored for streamed response types.",
    ),
    Flag::count(
        "storage.remote.read-concurrent-limit",
        "10",
        "Maximum number of concurrent remote read calls. 0 means no limit.",
    ),
    Flag::count(
        "storage.remote.read-max-bytes-in-frame",
        "1048576",
        "Maximum number of bytes in a single frame for streaming remote read response types before marshalling.",
    ),
    Flag::duration("query.lookback-delta", "5m", "The maximum lookback duration for retrieving metrics during expression evaluations and federation."),
    Flag::duration("query.timeout", "2m", "Maximum time a query may take before being aborted."),
    Flag::count("query.max-concurrency", "20", "Maximum number of queries executed concurrently."),
    Flag::count("query.max-samples", "50000000", "Maximum number of samples a single query can load into memory. Queries fail if they try to load more samples than this into memory, so this also limits the number of samples a query can return."),
    Flag::size("query.max-bytes", "2GiB", "Maximum bytes a single query can hold in memory. A query that would hold more fails. 0 means no limit."),
    Flag::text(
        "query.max-bytes-total",
        "30%",
        "Maximum bytes all queries together can hold in memory: a size, or a percentage of --limits.memory. 0 means no limit.",
    ),
    Flag::count("query.max-parameters", "1000", "Maximum number of parameters of one HTTP request; each value of match[] and others that repeat counts. 0 means no limit."),
    Flag::text(
        "enable-feature",
        "",
        "Comma separated feature names to enable, as in Prometheus: created-timestamp-zero-ingestion, delayed-compaction, exemplar-storage, extra-scrape-metrics, memory-snapshot-on-shutdown, metadata-wal-records, promql-binop-fill-modifiers, promql-delayed-name-removal, promql-experimental-functions, promql-extended-range-selectors, search-api, st-storage, type-and-unit-labels, xor2-encoding.",
    )
    .placeholder("<feature>")
    .repeated(),
    Flag::switch("agent", "Run in agent mode.").hidden(),
];

const LIMITS: &[Flag] = &[
    Flag::text(
        "limits.memory",
        "80%",
        "Most memory the server may use: a size, or a percentage of what the control group or the machine has. Near it new series are refused, running scrapes go on. 0 means no limit.",
    ),
    Flag::count("limits.series", "0", "Most series in the head. Further new ones are refused. 0 means no limit."),
    Flag::count("limits.series-per-metric", "0", "Most series of one metric name in the head. 0 means no limit."),
    Flag::count("limits.series-per-job", "0", "Most series of one job in the head. 0 means no limit."),
    Flag::count("limits.labels", "1000", "Most labels of a series that is written. 0 means no limit."),
    Flag::size("limits.label-name-bytes", "4KiB", "Longest label name of a series that is written. 0 means no limit."),
    Flag::size(
        "limits.label-value-bytes",
        "128KiB",
        "Longest label value of a series that is written. 0 means no limit.",
    ),
    Flag::size("limits.write-request-bytes", "32MiB", "Most bytes of a remote write request after decompression."),
    Flag::size(
        "limits.scrape-body-bytes",
        "256MiB",
        "Most bytes of a scraped body after decompression, where the configuration sets no body_size_limit. 0 means no limit.",
    ),
];

const SHIP: &[Flag] = &[
    Flag::text("grpc-address", "", "Listen ip:port address for gRPC endpoints (StoreAPI). Without it there are none.")
        .placeholder("<ip:port>"),
    Flag::switch("shipper.upload-compacted", "Upload blocks that were compacted locally as well."),
    Flag::text("shipper.meta-file-name", "thanos.shipper.json", "the file to store shipper metadata in"),
    Flag::count("shipper.upload-concurrency", "0", "How many parts of one file are uploaded in parallel. 0 means 2."),
    Flag::word(
        "shipper.verify",
        &["index", "full"],
        "index",
        "What is checked of a block before it is uploaded: its index tables, or every series and chunk as well.",
    )
    .hidden(),
    Flag::size(
        "store.max-request-bytes",
        "1GiB",
        "Maximum bytes a single Series request can hold in memory. 0 means no limit.",
    )
    .hidden(),
    Flag::size(
        "store.max-request-bytes-total",
        "0",
        "Maximum bytes all Series requests together can hold in memory. 0 means no limit.",
    )
    .hidden(),
];

/// What Prometheus hides too, and what has no effect here.
const MORE: &[Flag] = &[
    Flag::duration(
        "storage.tsdb.min-block-duration",
        "2h",
        "Minimum duration of a data block before being persisted. For use in testing.",
    )
    .hidden(),
    Flag::duration(
        "storage.tsdb.max-block-duration",
        "0s",
        "Maximum duration compacted blocks may span. For use in testing. (Defaults to 10% of the retention period.)",
    )
    .hidden(),
    Flag::size(
        "storage.tsdb.max-block-chunk-segment-size",
        "512MiB",
        "The maximum size for a single chunk segment in a block.",
    )
    .hidden(),
    Flag::size(
        "storage.tsdb.wal-segment-size",
        "128MiB",
        "Size at which to split the write-ahead log into segments, 10MiB to 256MiB.",
    )
    .hidden(),
    Flag::switch_on("storage.tsdb.wal-compression", "Compress the write-ahead log.").hidden(),
    Flag::word(
        "storage.tsdb.wal-compression-type",
        &["snappy", "zstd"],
        "snappy",
        "Compression algorithm of the write-ahead log.",
    )
    .hidden(),
    Flag::count("storage.tsdb.samples-per-chunk", "120", "Target number of samples per chunk.").hidden(),
    Flag::duration(
        "storage.tsdb.block-reload-interval",
        "1m",
        "How often the blocks in the data directory are looked at.",
    )
    .hidden(),
    Flag::switch_on("storage.tsdb.allow-overlapping-compaction", "Compact blocks whose times overlap.").hidden(),
    Flag::count("storage.tsdb.head-chunks-write-queue-size", "0", "Size of the queue of head chunks.")
        .hidden()
        .ignored("head chunks are written in the background"),
    Flag::count(
        "storage.tsdb.delayed-compaction.max-percent",
        "10",
        "Longest delay of a compaction in percent of the block duration.",
    )
    .hidden()
    .ignored("compactions take little memory and are not delayed"),
    Flag::duration(
        "scrape.discovery-reload-interval",
        "5s",
        "Interval used by scrape manager to throttle target groups updates.",
    )
    .hidden(),
    Flag::switch_on(
        "scrape.adjust-timestamps",
        "Adjust scrape timestamps by up to --scrape.timestamp-tolerance to align them to the intended schedule.",
    )
    .hidden(),
    Flag::duration("scrape.timestamp-tolerance", "2ms", "Timestamp tolerance.").hidden(),
    Flag::switch_on("auto-gomaxprocs", "Set GOMAXPROCS.").hidden().ignored("all processors of the container are used"),
    Flag::switch_on("auto-gomemlimit", "Set GOMEMLIMIT.").hidden().ignored(NO_GC),
    Flag::duration("auto-gomemlimit.refresh-interval", "0s", "Refresh of GOMEMLIMIT.").hidden().ignored(NO_GC),
    Flag::text("web.user-assets", "", "Path to static asset directory.").hidden().ignored(NO_PAGES),
    Flag::text("web.console.templates", "consoles", "Path to the console template directory.")
        .hidden()
        .ignored(NO_PAGES),
    Flag::text("web.console.libraries", "console_libraries", "Path to the console library directory.")
        .hidden()
        .ignored(NO_PAGES),
    Flag::switch("web.enable-otlp-receiver", "Enable API endpoint accepting OTLP write requests.").hidden(),
    Flag::count("web.search.max-limit", "10000", "Most results of a search.").hidden(),
    Flag::duration(
        "rules.alert.for-outage-tolerance",
        "1h",
        "Max time to tolerate prometheus outage for restoring \"for\" state of alert.",
    )
    .hidden()
    .ignored(NO_RULES),
    Flag::duration("rules.alert.for-grace-period", "10m", "Minimum duration between alert and restored \"for\" state.")
        .hidden()
        .ignored(NO_RULES),
    Flag::duration(
        "rules.alert.resend-delay",
        "1m",
        "Minimum amount of time to wait before resending an alert to Alertmanager.",
    )
    .hidden()
    .ignored(NO_RULES),
    Flag::count(
        "rules.max-concurrent-evals",
        "4",
        "Global concurrency limit for independent rules that can run concurrently.",
    )
    .hidden()
    .ignored(NO_RULES),
    Flag::count(
        "alertmanager.notification-queue-capacity",
        "10000",
        "The capacity of the queue for pending Alertmanager notifications.",
    )
    .hidden()
    .ignored(NO_RULES),
    Flag::count(
        "alertmanager.notification-batch-size",
        "256",
        "The maximum number of notifications per batch to send to the Alertmanager.",
    )
    .hidden()
    .ignored(NO_RULES),
    Flag::switch_on(
        "alertmanager.drain-notification-queue-on-shutdown",
        "Send any outstanding Alertmanager notifications when shutting down.",
    )
    .hidden()
    .ignored(NO_RULES),
    Flag::text("storage.agent.path", "data-agent/", "Base path for metrics storage.").hidden().ignored(NO_AGENT),
    Flag::switch_on("storage.agent.wal-compression", "Compress the agent WAL.").hidden().ignored(NO_AGENT),
    Flag::duration(
        "storage.agent.retention.min-time",
        "5m",
        "Minimum age samples may be before being considered for deletion.",
    )
    .hidden()
    .ignored(NO_AGENT),
    Flag::duration(
        "storage.agent.retention.max-time",
        "4h",
        "Maximum age samples may be before being forcibly deleted.",
    )
    .hidden()
    .ignored(NO_AGENT),
    Flag::switch("storage.agent.no-lockfile", "Do not create lockfile in data directory.").hidden().ignored(NO_AGENT),
    Flag::switch("storage.agent.checkpoint-from-in-memory-series", "Checkpoint from memory.")
        .hidden()
        .ignored(NO_AGENT),
    Flag::count("storage.agent.checkpoint-batch-size", "1000", "Batch size of checkpoints.").hidden().ignored(NO_AGENT),
];

/// The command line of `aion server`.
pub fn command() -> Command {
    Command {
        name: "server",
        about: "Scrapes, stores and answers, in place of a Prometheus server.",
        flags: vec![COMMON, PROMETHEUS_HTTP, SERVER, LIMITS, OBJSTORE, SHIP, GRPC, STORE_LIMITS, REQUEST_LOG, MORE],
        args: None,
    }
}
