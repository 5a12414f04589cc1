//! The flags of `aion sidecar`: Thanos' names and defaults, and a few of our own.

use assembly::{OBJSTORE, STORE_LIMITS, STORE_REQUESTS};
use flags::{Command, Flag, Kind};
use transport::flags::{COMMON, GRPC_SERVER, HTTP, REQUEST_LOG};

const SIDECAR: &[Flag] = &[
    Flag::new(
        "prometheus.url",
        Kind::Url,
        "http://localhost:9090",
        "URL at which to reach Prometheus's API. For better performance use local network.",
    ),
    Flag::duration("prometheus.ready_timeout", "10m", "Maximum time to wait for the Prometheus instance to start up."),
    Flag::duration("prometheus.get_config_interval", "30s", "How often to get Prometheus config."),
    Flag::duration("prometheus.get_config_timeout", "30s", "Timeout for getting Prometheus config."),
    Flag::text(
        "prometheus.http-client-file",
        "",
        "Path to YAML file with the configuration of the HTTP client for Prometheus.",
    )
    .placeholder("<file-path>"),
    Flag::text("prometheus.http-client", "", "Configuration of the HTTP client for Prometheus, instead of a file.")
        .placeholder("<content>"),
    Flag::text("tsdb.path", "./data", "Data directory of TSDB."),
    Flag::text("reloader.config-file", "", "Config file watched by the reloader."),
    Flag::text("reloader.config-envsubst-file", "", "Output file for environment variable substituted config file."),
    Flag::text("reloader.rule-dir", "", "Rule directories for the reloader to refresh (repeated field).")
        .placeholder("RELOADER.RULE-DIR")
        .repeated(),
    Flag::duration("reloader.watch-interval", "3m", "Controls how often reloader re-reads config and rules."),
    Flag::duration(
        "reloader.retry-interval",
        "5s",
        "Controls how often reloader retries config reload in case of error.",
    ),
    Flag::word("reloader.method", &["http", "signal"], "http", "Method used to reload the configuration."),
    Flag::text(
        "reloader.process-name",
        "prometheus",
        "Executable name used to match the process being reloaded when using the signal method.",
    ),
    Flag::switch(
        "shipper.upload-compacted",
        "If true shipper will try to upload compacted blocks as well. Useful for migration purposes. Works only if compaction is disabled on Prometheus. Do it once and then disable the flag when done.",
    ),
    Flag::text("shipper.meta-file-name", "thanos.shipper.json", "the file to store shipper metadata in"),
    Flag::count("shipper.upload-concurrency", "0", "How many parts of one file are uploaded in parallel. 0 means 2."),
    Flag::new(
        "min-time",
        Kind::Time,
        "0000-01-01T00:00:00Z",
        "Start of time range limit to serve. Only metrics which happened later than this value are served. Option can be a constant time in RFC3339 format or time duration relative to current time, such as -1d or 2h45m. Valid duration units are ms, s, m, h, d, w, y.",
    ),
];

/// What Thanos hides too, and what is our own.
const MORE: &[Flag] = &[
    Flag::switch("shipper.ignore-unequal-block-size", "If true shipper will not require prometheus min and max block size flags to be set to the same value. Only use this if you want to keep long retention and compaction enabled on your Prometheus instance, as in the worst case it can result in ~2h data loss for your bucket storage.").hidden(),
    Flag::switch("shipper.allow-out-of-order-uploads", "If true, newer blocks are uploaded although an older one cannot be for now. This can trigger compaction without that block and as a result create an overlap.").hidden(),
    Flag::switch("shipper.skip-corrupted-blocks", "Skip corrupt blocks.").hidden().ignored("corrupt blocks never stop the others"),
    Flag::word("hash-func", &["SHA256", ""], "", "Which hash function to use when calculating the hashes of uploaded files.").hidden(),
    Flag::word("shipper.verify", &["index", "full"], "index", "What is checked of a block before it is uploaded: its index tables, or every series and chunk as well.").hidden(),
    Flag::count("prometheus.remote-read-concurrency", "10", "Remote reads of Prometheus at a time, as many as its --storage.remote.read-concurrent-limit allows. 0 means no limit.").hidden(),
];

/// The command line of `aion sidecar`.
pub fn command() -> Command {
    Command {
        name: "sidecar",
        about: "Sidecar for Prometheus server.",
        flags: vec![COMMON, HTTP, GRPC_SERVER, REQUEST_LOG, SIDECAR, OBJSTORE, STORE_LIMITS, STORE_REQUESTS, MORE],
        args: None,
    }
}
