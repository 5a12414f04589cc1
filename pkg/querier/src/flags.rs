//! The flags of `aion query`: Thanos' names and defaults, and a few of our own.

use assembly::STORE_LIMITS;
use flags::{Command, Flag, Kind};
use transport::flags::{COMMON, GRPC_CLIENT, GRPC_SERVER, HTTP, REQUEST_LOG};

const ONE_ENGINE: &str = "there is one engine, with Prometheus' answers";

const QUERY: &[Flag] = &[
    Flag::text("web.route-prefix", "", "Prefix for API and UI endpoints. Defaults to the value of --web.external-prefix."),
    Flag::text("web.external-prefix", "", "Static prefix for all HTML links and redirect URLs in the UI."),
    Flag::text("web.prefix-header", "", "Name of HTTP request header used for dynamic prefixing of UI links and redirects."),
    Flag::switch("web.disable-cors", "Whether to disable CORS headers to be set by Thanos."),
    Flag::duration("query.timeout", "2m", "Maximum time to process query by query node."),
    Flag::word("query.promql-engine", &["prometheus", "thanos"], "prometheus", "Default PromQL engine to use.")
        .ignored(ONE_ENGINE),
    Flag::switch("query.enable-x-functions", "Enable the extended rate functions xrate, xincrease and xdelta.")
        .ignored("use the anchored and smoothed modifiers of Prometheus 3"),
    Flag::word("query.mode", &["local", "distributed"], "local", "PromQL query mode. distributed: what can be evaluated by the queriers behind this one is, where that changes no answer."),
    Flag::switch_on("query.evaluate-at-store", "Have a query evaluated by the store gateway that has all its series, where it is an aion of the same version and results are smaller than series. Steps that need series of others are evaluated here."),
    Flag::count("query.max-concurrent", "20", "Maximum number of queries processed concurrently by query node."),
    Flag::count("query.threads", "0", "Maximum number of threads that a single query is evaluated on. All queries together have as many helping threads as the process has cores, less one. 0 means as many as the process has cores."),
    Flag::duration("query.lookback-delta", "", "The maximum lookback duration for retrieving metrics during expression evaluations. Default 5m; with auto-downsampling at least two steps of the resolution used."),
    Flag::count("query.max-concurrent-select", "4", "Maximum number of select requests made concurrently per a query.")
        .ignored("the selects of a query start together, one task each"),
    Flag::text("query.conn-metric.label", "", "Optional selection of query connection metric labels to be collected from endpoint set.")
        .placeholder("external_labels...")
        .repeated(),
    Flag::word("deduplication.func", &["penalty", "chain"], "penalty", "How replicas are put together: penalty follows one replica and leaves it at gaps, chain shows every sample of all."),
    Flag::text("query.replica-label", "", "Labels to treat as a replica indicator along which data is deduplicated. Still you will be able to query without deduplication using 'dedup=false' parameter.")
        .placeholder("QUERY.REPLICA-LABEL")
        .repeated(),
    Flag::text("query.partition-label", "", "Labels that partition the leaf queriers of a distributed query: no two queriers have series with the same values of them. Default: all external labels but those of replicas.")
        .placeholder("QUERY.PARTITION-LABEL")
        .repeated(),
    Flag::duration("query.metadata.default-time-range", "0s", "The default metadata time range duration for retrieving labels through Labels and Series API when the range parameters are not specified. The zero value means range covers the time since the beginning."),
    Flag::text("selector-label", "", "Query selector labels that will be exposed in info endpoint.")
        .placeholder("<name>=\"<value>\"")
        .repeated(),
    Flag::switch("query.auto-downsampling", "Enable automatic adjustment (step / 5) to what source of data should be used in store gateways if no max_source_resolution param is specified."),
    Flag::switch_on("query.partial-response", "Enable partial response for queries if no partial_response param is specified. --no-query.partial-response for disabling."),
    Flag::text("query.active-query-path", "", "Directory to log currently active queries in the queries.active file.")
        .ignored("running queries are in the log and in the metrics"),
    Flag::duration("query.default-evaluation-interval", "1m", "Set default evaluation interval for sub queries."),
    Flag::duration("query.default-step", "1s", "Set default step for range queries. Default step is only used when step is not set in UI. In such cases, Thanos UI will use default step to calculate resolution."),
    Flag::duration("store.response-timeout", "0ms", "If a Store doesn't send any data in this specified duration then a Store will be ignored and partial data will be returned if it's enabled. 0 disables timeout."),
    Flag::text("selector.relabel-config-file", "", "Path to YAML with relabeling configuration that allows selecting endpoints by their external labels.")
        .placeholder("<file-path>"),
    Flag::text("selector.relabel-config", "", "Relabeling configuration that allows selecting endpoints by their external labels, instead of a file.")
        .placeholder("<content>"),
    Flag::text("alert.query-url", "", "The external Thanos Query URL that would be set in all alerts 'Source' field.")
        .placeholder("ALERT.QUERY-URL")
        .ignored("this querier makes no alerts"),
    Flag::new("query.telemetry.request-duration-seconds-quantiles", Kind::Number, "", "The quantiles for exporting metrics about the request duration quantiles.")
        .placeholder("0.1...")
        .repeated()
        .ignored("durations are in http_request_duration_seconds"),
    Flag::new("query.telemetry.request-samples-quantiles", Kind::Number, "", "The quantiles for exporting metrics about the samples count quantiles.")
        .placeholder("100...")
        .repeated()
        .ignored("samples are in each answer's stats"),
    Flag::new("query.telemetry.request-series-seconds-quantiles", Kind::Number, "", "The quantiles for exporting metrics about the series count quantiles.")
        .placeholder("10...")
        .repeated()
        .ignored("series are in each answer's stats"),
    Flag::text("query.tenant-header", "THANOS-TENANT", "HTTP header to determine tenant."),
    Flag::text("query.default-tenant-id", "default-tenant", "Default tenant ID to use if tenant header is not present."),
    Flag::switch("query.enforce-tenancy", "Enforce tenancy on Query APIs. Responses are returned only if the label value of the configured tenant-label-name and the value of the tenant header matches."),
    Flag::text("query.tenant-label-name", "tenant_id", "Label name to use when enforcing tenancy (if --query.enforce-tenancy is enabled)."),
    Flag::duration("store.sd-dns-interval", "30s", "Interval between DNS resolutions."),
    Flag::duration("store.unhealthy-timeout", "5m", "How long what an endpoint that stopped answering last said of its data decides which answers it is missing in. After that every answer says that it is missing."),
    Flag::text("endpoint.sd-config-file", "", "Path to YAML file with endpoint definitions, read again when it changes.").placeholder("<file-path>"),
    Flag::text("endpoint.sd-config", "", "Endpoint definitions, instead of a file.").placeholder("<content>"),
    Flag::duration("endpoint.sd-config-reload-interval", "5m", "Interval between endpoint config refreshes."),
    Flag::text("store.sd-files", "", "(Deprecated) Path to files that contain addresses of store API servers. The path can be a glob pattern (repeatable).")
        .placeholder("<path>")
        .repeated(),
    Flag::duration("store.sd-interval", "5m", "(Deprecated) Refresh interval to re-read file SD files. It is used as a resync fallback."),
    Flag::text("endpoint", "", "(Repeatable) Addresses of statically configured Thanos API servers. The scheme may be prefixed with 'dns+' or 'dnssrv+' to detect Thanos API servers through respective DNS lookups.")
        .placeholder("<endpoint>")
        .repeated(),
    Flag::text("endpoint-group", "", "(Repeatable) DNS name of statically configured Thanos API server groups. Targets resolved from the DNS name will be queried in a round-robin, instead of a fanout manner.")
        .placeholder("<endpoint-group>")
        .repeated(),
    Flag::text("endpoint-strict", "", "(Repeatable) Addresses of only statically configured Thanos API servers that are always used, even if the health check fails.")
        .placeholder("<endpoint-strict>")
        .repeated(),
    Flag::text("endpoint-group-strict", "", "(Repeatable) DNS name of statically configured Thanos API server groups that are always used, even if the health check fails.")
        .placeholder("<endpoint-group-strict>")
        .repeated(),
];

/// What Thanos' documentation does not list: deprecated spellings, and limits of our own.
const MORE: &[Flag] = &[
    Flag::text("store", "", "Deprecated spelling of --endpoint.").placeholder("<store>").repeated().hidden(),
    Flag::text("store-strict", "", "Deprecated spelling of --endpoint-strict.")
        .placeholder("<store>")
        .repeated()
        .hidden(),
    Flag::text("rule", "", "Deprecated spelling of --endpoint.").placeholder("<rule>").repeated().hidden(),
    Flag::text("metadata", "", "Deprecated spelling of --endpoint.").placeholder("<metadata>").repeated().hidden(),
    Flag::text("exemplar", "", "Deprecated spelling of --endpoint.").placeholder("<exemplar>").repeated().hidden(),
    Flag::text("target", "", "Deprecated spelling of --endpoint.").placeholder("<target>").repeated().hidden(),
    Flag::switch_on("query.dynamic-lookback-delta", "Allow for larger lookback duration for queries based on resolution.").hidden(),
    Flag::duration("query.instant.default.max_source_resolution", "0s", "Default max_source_resolution of instant queries.").hidden(),
    Flag::switch_on("rule.partial-response", "Enable partial response for rules endpoint.").hidden(),
    Flag::switch_on("target.partial-response", "Enable partial response for targets endpoint.").hidden(),
    Flag::switch_on("metric-metadata.partial-response", "Enable partial response for metric metadata endpoint.").hidden(),
    Flag::switch_on("exemplar.partial-response", "Enable partial response for exemplar endpoint.").hidden(),
    Flag::switch_on("status.partial-response", "Enable partial response for status endpoint.").hidden(),
    Flag::duration("endpoint.info-timeout", "5s", "Timeout of gRPC Info requests.").hidden(),
    Flag::switch("query.disable-fallback", "Fail where the other engine would be fallen back to.").hidden().ignored(ONE_ENGINE),
    Flag::switch("query.distributed-with-overlapping-interval", "Distributed queries by an engine's lowest time.").hidden().ignored("queriers whose series are not told apart by labels are not distributed to"),
    Flag::word("grpc.proxy-strategy", &["eager", "lazy"], "eager", "How streams of stores are read.").hidden().ignored("streams are merged as they come"),
    Flag::text("store.sd-dns-resolver", "miekgdns", "Resolver to use.").hidden().ignored("there is one resolver"),
    Flag::count(
        "query.max-samples",
        "50000000",
        "Maximum number of samples a single query can hold in memory. A query that would hold more fails. 0 means no limit.",
    ),
    Flag::size(
        "query.max-bytes",
        "2GiB",
        "Maximum bytes a single query can hold in memory. A query that would hold more fails. 0 means no limit.",
    ),
    Flag::size(
        "query.max-label-bytes",
        "16MiB",
        "Longest label value that a query can make, as with label_replace. A query that would make a longer one fails. 0 means no limit.",
    ),
    Flag::size(
        "query.max-regex-bytes",
        "64MiB",
        "Maximum bytes that the compiled regular expressions of one query, or of all match[] of one request, can take. A request that needs more is refused. 0 means no limit.",
    ),
    Flag::count(
        "query.max-parameters",
        "1000",
        "Maximum number of parameters of one HTTP request; each value of match[] and others that repeat counts. A request with more is refused. 0 means no limit.",
    ),
    Flag::count(
        "query.max-series",
        "0",
        "Maximum number of series a single query can read. A query that would read more fails. 0 means no limit.",
    ),
    Flag::count(
        "query.max-queued",
        "1000",
        "Maximum number of queries that wait for their turn, of all tenants together. Beyond it queries are refused with 503, first those of the tenant that has the most. 0 means no limit.",
    ),
    Flag::count(
        "query.tenant-max-concurrent",
        "0",
        "Maximum number of queries of one tenant processed concurrently by query node. 0 means no limit but that of all tenants.",
    ),
    Flag::count(
        "query.tenant-max-queued",
        "0",
        "Maximum number of queries of one tenant that wait for their turn. Beyond it the tenant's queries are refused with 429. 0 means no limit but that of all tenants.",
    ),
    Flag::size(
        "query.tenant-max-bytes",
        "0",
        "Maximum bytes all queries of one tenant together can hold in memory. 0 means no limit.",
    ),
    Flag::text(
        "query.tenant-limits-file",
        "",
        "Path to YAML file with limits of single tenants, read again when it changes.",
    )
    .placeholder("<file-path>"),
    Flag::count("query.recent-queries", "1000", "Number of ended queries that the page Queries and /api/v1/status/queries remember. 0 means none."),
    Flag::text(
        "query.disable-pass",
        "",
        "Name of a pass of the planner that is left out. /api/v1/query_explain shows their names, and what each of them changes. No answer depends on them (repeatable).",
    )
    .placeholder("<name>")
    .repeated(),
    Flag::size(
        "query.max-bytes-total",
        "0",
        "Maximum bytes all queries together can hold in memory. 0 means no limit.",
    ),
    Flag::text(
        "enable-feature",
        "",
        "Comma separated feature names to enable: promql-experimental-functions, promql-delayed-name-removal, promql-duration-expr, promql-extended-range-selectors, promql-binop-fill-modifiers.",
    )
    .placeholder("<feature>")
    .repeated(),
];

/// The command line of `aion query`.
pub fn command() -> Command {
    Command {
        name: "query",
        about: "Query node exposing PromQL enabled Query API with data retrieved from multiple store nodes.",
        flags: vec![COMMON, HTTP, GRPC_SERVER, GRPC_CLIENT, REQUEST_LOG, QUERY, STORE_LIMITS, MORE],
        args: None,
    }
}
