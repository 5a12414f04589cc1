//! The flags of `aion server`: Prometheus' names and defaults, those of Thanos' sidecar where blocks are shipped, and
//! limits of our own.

use assembly::{OBJSTORE, PROMETHEUS_HTTP, STORE_LIMITS, STORE_REQUESTS};
use flags::{Command, Flag, Kind};
use transport::flags::{COMMON, GRPC_SERVER, REQUEST_LOG};

const NO_GC: &str = "there is no garbage collector to tune";
const NO_PAGES: &str = "there are no console templates";

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
        "",
        "The remote write protobuf messages to accept: prometheus.WriteRequest, io.prometheus.write.v2.Request. Can be repeated. Without it both are accepted.",
    )
    .placeholder("<message>")
    .repeated(),
    Flag::switch("web.enable-otlp-receiver", "Enable API endpoint accepting OTLP write requests."),
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
    Flag::duration(
        "storage.remote.flush-deadline",
        "1m",
        "How long what is left is sent to remote storages at the end. The rest is sent after the next start.",
    ),
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
    Flag::count(
        "alertmanager.notification-queue-capacity",
        "10000",
        "The capacity of the queue for pending Alertmanager notifications, of each Alertmanager.",
    ),
    Flag::count(
        "alertmanager.notification-batch-size",
        "256",
        "The maximum number of notifications per batch to send to the Alertmanager.",
    ),
    Flag::switch_on(
        "alertmanager.drain-notification-queue-on-shutdown",
        "Send any outstanding Alertmanager notifications when shutting down. If false, any outstanding notifications are dropped.",
    ),
    Flag::duration(
        "rules.alert.for-outage-tolerance",
        "1h",
        "Max time to tolerate prometheus outage for restoring \"for\" state of alert.",
    ),
    Flag::duration("rules.alert.for-grace-period", "10m", "Minimum duration between alert and restored \"for\" state."),
    Flag::duration(
        "rules.alert.resend-delay",
        "1m",
        "Minimum amount of time to wait before resending an alert to Alertmanager.",
    ),
    Flag::count(
        "rules.max-concurrent-evals",
        "4",
        "Global concurrency limit for independent rules that can run concurrently. When set, \"query.max-concurrency\" may need to be adjusted accordingly. Has an effect with the feature concurrent-rule-eval.",
    ),
    Flag::duration("query.lookback-delta", "5m", "The maximum lookback duration for retrieving metrics during expression evaluations and federation."),
    Flag::duration("query.timeout", "2m", "Maximum time a query may take before being aborted."),
    Flag::count("query.max-concurrency", "20", "Maximum number of queries executed concurrently."),
    Flag::count("query.threads", "0", "Maximum number of threads that a single query is evaluated on. All queries together have as many helping threads as the process has cores, less one. 0 means as many as the process has cores."),
    Flag::count("query.max-samples", "50000000", "Maximum number of samples a single query can load into memory. Queries fail if they try to load more samples than this into memory, so this also limits the number of samples a query can return."),
    Flag::size("query.max-bytes", "2GiB", "Maximum bytes a single query can hold in memory. A query that would hold more fails. 0 means no limit."),
    Flag::text(
        "query.max-bytes-total",
        "30%",
        "Maximum bytes all queries together can hold in memory: a size, or a percentage of --limits.memory. A quarter of it is kept for rules. 0 means no limit.",
    ),
    Flag::text("query.disable-pass", "", "Name of a pass of the planner that is left out. /api/v1/query_explain shows their names, and what each of them changes. No answer depends on them (repeatable).")
        .placeholder("<name>")
        .repeated(),
    Flag::count("query.max-parameters", "1000", "Maximum number of parameters of one HTTP request; each value of match[] and others that repeat counts. 0 means no limit."),
    Flag::count("query.recent-queries", "1000", "Number of ended queries that the page Queries and /api/v1/status/queries remember. 0 means none."),
    Flag::text(
        "enable-feature",
        "",
        "Comma separated feature names to enable, as in Prometheus: concurrent-rule-eval, created-timestamp-zero-ingestion, delayed-compaction, exemplar-storage, extra-scrape-metrics, histograms-st-encoding, memory-snapshot-on-shutdown, metadata-wal-records, otlp-deltatocumulative, otlp-native-delta-ingestion, promql-binop-fill-modifiers, promql-delayed-name-removal, promql-experimental-functions, promql-extended-range-selectors, search-api, st-storage, type-and-unit-labels, use-start-timestamps, xor2-encoding.",
    )
    .placeholder("<feature>")
    .repeated(),
    Flag::switch("agent", "Run in agent mode: what is scraped goes into a write-ahead log, and by remote write to other storages. Nothing is kept for queries."),
];

const AGENT: &[Flag] = &[
    Flag::text("storage.agent.path", "data-agent/", "Base path for metrics storage. Use with agent mode only."),
    Flag::switch_on("storage.agent.wal-compression", "Compress the agent WAL. Use with agent mode only."),
    Flag::duration(
        "storage.agent.retention.min-time",
        "5m",
        "Minimum age samples may be before being considered for deletion when the WAL is truncated. Use with agent mode only.",
    ),
    Flag::duration(
        "storage.agent.retention.max-time",
        "4h",
        "Maximum age samples may be before being forcibly deleted when the WAL is truncated. Use with agent mode only.",
    ),
    Flag::size(
        "storage.agent.retention.size",
        "0",
        "Most bytes that the WAL may take. The oldest segments go first, sent or not. 0 means no limit. Use with agent mode only.",
    ),
    Flag::switch("storage.agent.no-lockfile", "Do not create lockfile in data directory. Use with agent mode only."),
];

const SCRAPE: &[Flag] = &[Flag::switch(
    "scrape.keep-one-twin",
    "Of several targets with the same labels, whose series collide, scrape the first one alone. Without it all of them are scraped, as Prometheus does.",
)];

const LIMITS: &[Flag] = &[
    Flag::text(
        "limits.memory",
        "80%",
        "Most memory the server may use: a size, or a percentage of what the control group or the machine has. Near it new series are refused, running scrapes go on. 0 means no limit.",
    ),
    Flag::count("limits.series", "0", "Most series in the head. Further new ones are refused. 0 means no limit."),
    Flag::count("limits.series-per-metric", "0", "Most series of one metric name in the head. 0 means no limit."),
    Flag::count("limits.series-per-job", "0", "Most series of one job in the head. 0 means no limit."),
    Flag::count(
        "limits.rule-series",
        "1000000",
        "Most series or alerts that one rule may give in one evaluation. 0 means no limit.",
    ),
    Flag::count("limits.labels", "1000", "Most labels of a series that is written. 0 means no limit."),
    Flag::size("limits.label-name-bytes", "4KiB", "Longest label name of a series that is written. 0 means no limit."),
    Flag::size(
        "limits.label-value-bytes",
        "128KiB",
        "Longest label value of a series that is written. 0 means no limit.",
    ),
    Flag::size(
        "limits.write-request-bytes",
        "32MiB",
        "Most bytes of a remote write or OTLP request after decompression.",
    ),
    Flag::count(
        "limits.otlp-delta-streams",
        "1000000",
        "Most streams of OTLP whose deltas are summed up, with the feature otlp-deltatocumulative. Data points of further ones are rejected.",
    ),
    Flag::size(
        "limits.scrape-body-bytes",
        "256MiB",
        "Most bytes of a scraped body after decompression, where the configuration sets no body_size_limit. 0 means no limit.",
    ),
    Flag::size(
        "limits.discovery-body-bytes",
        "256MiB",
        "Most bytes of an answer of an HTTP server or of Consul that targets are discovered with.",
    ),
    Flag::count(
        "limits.consul-watches",
        "100",
        "Most requests that wait at one Consul for changes. Services beyond them are asked for again and again.",
    ),
    Flag::count("limits.consul-polls", "8", "Most requests at a time for those services."),
    Flag::count("limits.kubernetes-objects", "1000000", "Most objects of one watch in a Kubernetes cluster."),
    Flag::size(
        "limits.kubernetes-object-bytes",
        "16MiB",
        "Most bytes of one object that a Kubernetes API server sends.",
    ),
    Flag::size(
        "limits.kubernetes-page-bytes",
        "128MiB",
        "Most bytes of one page of objects, see --discovery.kubernetes-page-objects.",
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
    Flag::count("discovery.kubernetes-page-objects", "500", "Objects of a Kubernetes cluster that are asked for at a time.")
        .hidden(),
    Flag::duration(
        "discovery.kubernetes-request-timeout",
        "30s",
        "How long is waited for the first bytes of an answer of a Kubernetes API server, and for the rest of a page.",
    )
    .hidden(),
    Flag::duration(
        "discovery.kubernetes-watch-duration",
        "2m",
        "How long one watch of a Kubernetes cluster lasts, up to twice as long. One that is silent for longer is given up.",
    )
    .hidden(),
    Flag::duration(
        "discovery.kubernetes-retry-min",
        "1s",
        "Shortest pause before a Kubernetes API server that failed is asked again; it doubles with each failure.",
    )
    .hidden(),
    Flag::duration("discovery.kubernetes-retry-max", "30s", "Longest pause before it is asked again.").hidden(),
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
    Flag::count("web.search.max-limit", "10000", "Most results of a search.").hidden(),
    Flag::size(
        "storage.agent.wal-segment-size",
        "128MiB",
        "Size at which to split WAL segment files, 10MiB to 256MiB. Use with agent mode only.",
    )
    .hidden(),
    Flag::word(
        "storage.agent.wal-compression-type",
        &["snappy", "zstd"],
        "snappy",
        "Compression algorithm for the agent WAL. Use with agent mode only.",
    )
    .hidden(),
    Flag::duration(
        "storage.agent.wal-truncate-frequency",
        "5m",
        "The frequency at which to truncate the WAL and remove old data. Use with agent mode only.",
    )
    .hidden(),
    Flag::switch("storage.agent.checkpoint-from-in-memory-series", "Checkpoint from memory.")
        .hidden()
        .ignored("labels are in the log alone"),
    Flag::count("storage.agent.checkpoint-batch-size", "1000", "Batch size of checkpoints.")
        .hidden()
        .ignored("checkpoints are written record by record"),
];

/// The command line of `aion server`.
pub fn command() -> Command {
    Command {
        name: "server",
        about: "Scrapes, stores and answers, in place of a Prometheus server.",
        flags: vec![
            COMMON,
            PROMETHEUS_HTTP,
            SERVER,
            SCRAPE,
            AGENT,
            LIMITS,
            OBJSTORE,
            SHIP,
            GRPC,
            STORE_LIMITS,
            STORE_REQUESTS,
            REQUEST_LOG,
            MORE,
        ],
        args: None,
    }
}
