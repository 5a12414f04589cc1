//! The flags of `aion rule`: Thanos' names and defaults, and limits of our own.

use assembly::{OBJSTORE, STORE_LIMITS, STORE_REQUESTS};
use flags::{Command, Flag};
use transport::flags::{COMMON, GRPC_SERVER, HTTP, REQUEST_LOG};

const RULE: &[Flag] = &[
    Flag::text("web.route-prefix", "", "Prefix for API and UI endpoints. Defaults to the value of --web.external-prefix."),
    Flag::text("web.external-prefix", "", "Static prefix for all HTML links and redirect URLs in the UI."),
    Flag::text("web.prefix-header", "", "Name of HTTP request header used for dynamic prefixing of UI links and redirects."),
    Flag::switch("web.disable-cors", "Whether to disable CORS headers to be set by Thanos."),
    Flag::text("label", "", "Labels to be applied to all generated metrics (repeated). Similar to external labels for Prometheus, used to identify ruler and its blocks as unique source.")
        .placeholder("<name>=\"<value>\"")
        .repeated(),
    Flag::text("data-dir", "data/", "data directory"),
    Flag::text("rule-file", "rules/", "Rule files that should be used by rule manager. Can be in glob format (repeated). Note that rules are not automatically detected, use SIGHUP or do HTTP POST /-/reload to re-read them.")
        .repeated(),
    Flag::duration("resend-delay", "1m", "Minimum amount of time to wait before resending an alert to Alertmanager."),
    Flag::duration("eval-interval", "1m", "The default evaluation interval to use."),
    Flag::duration("rule-query-offset", "0s", "The default rule group query_offset duration to use."),
    Flag::duration("for-outage-tolerance", "1h", "Max time to tolerate prometheus outage for restoring \"for\" state of alert."),
    Flag::duration("for-grace-period", "10m", "Minimum duration between alert and restored \"for\" state. This is maintained only for alerts with configured \"for\" time greater than grace period."),
    Flag::text("restore-ignored-label", "", "Label names to be ignored when restoring alerts from the remote storage. This is only used in stateless mode.")
        .placeholder("RESTORE-IGNORED-LABEL")
        .repeated(),
    Flag::count("rule-concurrent-evaluation", "1", "How many rules can be evaluated concurrently. Default is 1."),
];

const QUERY: &[Flag] = &[
    Flag::text("query", "", "Addresses of statically configured query API servers (repeatable). The scheme may be prefixed with 'dns+' or 'dnssrv+' to detect query API servers through respective DNS lookups.")
        .placeholder("<query>")
        .repeated(),
    Flag::text("query.config-file", "", "Path to YAML file that contains query API servers configuration. If defined, it takes precedence over the '--query' and '--query.sd-files' flags.")
        .placeholder("<file-path>"),
    Flag::text("query.config", "", "Configuration of query API servers, instead of a file.").placeholder("<content>"),
    Flag::text("query.sd-files", "", "Path to file that contains addresses of query API servers. The path can be a glob pattern (repeatable).")
        .placeholder("<path>")
        .repeated(),
    Flag::duration("query.sd-interval", "5m", "Refresh interval to re-read file SD files. (used as a fallback)"),
    Flag::duration("query.sd-dns-interval", "30s", "Interval between DNS resolutions."),
    Flag::word("query.http-method", &["POST", "GET"], "POST", "HTTP method to use when sending queries."),
    Flag::duration("query.default-step", "1s", "Default range query step to use. This is only used in stateless ruler and alert state restoration.")
        .ignored("states are restored by instant queries"),
    Flag::text("grpc-query-endpoint", "", "Addresses of Thanos gRPC query API servers (repeatable). The scheme may be prefixed with 'dns+' or 'dnssrv+' to detect Thanos API servers through respective DNS lookups.")
        .placeholder("<endpoint>")
        .repeated(),
    Flag::switch("query.enable-x-functions", "Whether to enable extended rate functions (xrate, xincrease and xdelta). Only has effect when used with Thanos engine.")
        .ignored("use the anchored and smoothed modifiers of Prometheus 3"),
];

const ALERT: &[Flag] = &[
    Flag::text("alertmanagers.config-file", "", "Path to YAML file that contains alerting configuration. If defined, it takes precedence over the '--alertmanagers.url' and '--alertmanagers.send-timeout' flags.")
        .placeholder("<file-path>"),
    Flag::text("alertmanagers.config", "", "Alerting configuration, instead of a file.").placeholder("<content>"),
    Flag::text("alertmanagers.url", "", "Alertmanager replica URLs to push firing alerts. Ruler claims success if push to at least one alertmanager from discovered succeeds. The scheme should not be empty e.g http might be used. The scheme may be prefixed with 'dns+' or 'dnssrv+' to detect Alertmanager IPs through respective DNS lookups. The port defaults to 9093 or the SRV record's value. The URL path is used as a prefix for the regular Alertmanager API path.")
        .placeholder("ALERTMANAGERS.URL")
        .repeated(),
    Flag::duration("alertmanagers.send-timeout", "10s", "Timeout for sending alerts to Alertmanager"),
    Flag::duration("alertmanagers.sd-dns-interval", "30s", "Interval between DNS resolutions of Alertmanager hosts."),
    Flag::text("alert.query-url", "", "The external Thanos Query URL that would be set in all alerts 'Source' field.")
        .placeholder("ALERT.QUERY-URL"),
    Flag::text("alert.label-drop", "", "Labels by name to drop before sending to alertmanager. This allows alert to be deduplicated on replica label (repeated). Similar Prometheus alert relabelling")
        .placeholder("ALERT.LABEL-DROP")
        .repeated(),
    Flag::text("alert.relabel-config-file", "", "Path to YAML file that contains alert relabelling configuration.")
        .placeholder("<file-path>"),
    Flag::text("alert.relabel-config", "", "Alert relabelling configuration, instead of a file.").placeholder("<content>"),
    Flag::text("alert.query-template", "/graph?g0.expr={{.Expr}}&g0.tab=1", "Template to use in alerts source field. Need only include {{.Expr}} parameter"),
];

const STORAGE: &[Flag] = &[
    Flag::duration("tsdb.block-duration", "2h", "Block duration for TSDB block."),
    Flag::duration("tsdb.retention", "48h", "Block retention time on local disk."),
    Flag::switch("tsdb.no-lockfile", "Do not create lockfile in TSDB data directory. In any case, the lockfiles will be deleted on next startup."),
    Flag::switch_on("tsdb.wal-compression", "Compress the tsdb WAL."),
    Flag::switch_on("tsdb.enable-native-histograms", "(Deprecated) Enables the ingestion of native histograms.")
        .ignored("native histograms are always taken"),
    Flag::text("remote-write.config-file", "", "Path to YAML file with the remote-write configurations, that specify servers where samples should be sent to. This automatically enables stateless mode for ruler and no series will be stored in the ruler's TSDB. If an empty file is provided, the flag is ignored and ruler is run with its own TSDB.")
        .placeholder("<file-path>"),
    Flag::text("remote-write.config", "", "Remote-write configurations, instead of a file.").placeholder("<content>"),
    Flag::switch("shipper.upload-compacted", "If true shipper will try to upload compacted blocks as well. Useful for migration purposes. Works only if compaction is disabled on Prometheus. Do it once and then disable the flag when done."),
    Flag::text("shipper.meta-file-name", "thanos.shipper.json", "the file to store shipper metadata in"),
    Flag::count("shipper.upload-concurrency", "0", "How many parts of one file are uploaded in parallel. 0 means 2."),
];

/// What Thanos hides too, and limits of our own.
const MORE: &[Flag] = &[
    Flag::text("enable-feature", "", "Comma separated feature names to enable. promql-experimental-functions: rules may use Prometheus' experimental functions.")
        .placeholder("<feature>")
        .repeated()
        .hidden(),
    Flag::switch("query.only-prometheus-params", "Send only the parameters of Prometheus' API with queries: no dedup, no partial_response.").hidden(),
    Flag::word("query.sd-dns-resolver", &["miekgdns", "golang"], "miekgdns", "Resolver of DNS names.").hidden().ignored("there is one resolver"),
    Flag::switch("shipper.allow-out-of-order-uploads", "If true, newer blocks are uploaded although an older one cannot be for now.").hidden(),
    Flag::switch("shipper.skip-corrupted-blocks", "Skip corrupt blocks.").hidden().ignored("corrupt blocks never stop the others"),
    Flag::word("hash-func", &["SHA256", ""], "", "Which hash function to use when calculating the hashes of uploaded files.").hidden(),
    Flag::size("limits.query-bytes", "512MiB", "Most bytes that all evaluations together hold of answers. 0 means no limit.").hidden(),
    Flag::count("limits.rule-series", "1000000", "Most series or alerts that one rule may give, whatever the limit of its group. 0 means no limit.").hidden(),
];

/// The command line of `aion rule`.
pub fn command() -> Command {
    Command {
        name: "rule",
        about: "Ruler evaluating Prometheus rules against given Query nodes, exposing Store API and storing old blocks in bucket.",
        flags: vec![
            COMMON,
            HTTP,
            GRPC_SERVER,
            REQUEST_LOG,
            RULE,
            QUERY,
            ALERT,
            STORAGE,
            OBJSTORE,
            STORE_LIMITS,
            STORE_REQUESTS,
            MORE,
        ],
        args: None,
    }
}
