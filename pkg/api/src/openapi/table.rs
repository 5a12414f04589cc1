//! The routes.

use super::parameters::{self as p, Parameter};

/// What a route answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The envelope, with this in `data`.
    Json(Data),
    /// Lines of JSON.
    Lines,
    /// Server-sent events.
    Events,
    /// Only a status.
    Nothing,
    Yaml,
    Protobuf,
}

/// The type of `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Object,
    List,
    Text,
}

/// What a route takes as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// For POST the parameters, as a form.
    Form,
    /// A message in protobuf, packed with snappy.
    Protobuf,
}

/// A path and what it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub path: &'static str,
    pub methods: &'static [&'static str],
    pub tag: &'static str,
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    pub body: Body,
    pub answer: Answer,
}

const GET: &[&str] = &["get"];
const BOTH: &[&str] = &["get", "post"];
const POST: &[&str] = &["post"];
const WRITES: &[&str] = &["post", "put"];

const OBJECT: Answer = Answer::Json(Data::Object);
const LIST: Answer = Answer::Json(Data::List);
const TEXT: Answer = Answer::Json(Data::Text);

const fn route(
    methods: &'static [&'static str],
    path: &'static str,
    tag: &'static str,
    parameters: &'static [Parameter],
    answer: Answer,
    summary: &'static str,
) -> Operation {
    Operation { path, methods, tag, summary, parameters, body: Body::Form, answer }
}

/// All routes, by topic.
pub(super) const OPERATIONS: &[Operation] = &[
    route(BOTH, "/query", "query", p::INSTANT, OBJECT, "Evaluates a query at one time."),
    route(BOTH, "/query_range", "query", p::RANGE, OBJECT, "Evaluates a query at each step of a range."),
    route(BOTH, "/query_exemplars", "query", p::EXEMPLARS, LIST, "Exemplars of the series that a query selects."),
    route(BOTH, "/format_query", "query", p::EXPRESSION, TEXT, "A query in readable form."),
    route(BOTH, "/parse_query", "query", p::EXPRESSION, OBJECT, "A query as a tree."),
    route(BOTH, "/labels", "labels", p::LABELS, LIST, "Names of labels."),
    route(GET, "/label/{name}/values", "labels", p::LABELS, LIST, "Values of a label."),
    route(BOTH, "/series", "series", p::SERIES, LIST, "Label sets of series."),
    route(
        BOTH,
        "/search/metric_names",
        "labels",
        p::SEARCH_METRICS,
        Answer::Lines,
        "Names of metrics that fit a term.",
    ),
    route(BOTH, "/search/label_names", "labels", p::SEARCH_LABELS, Answer::Lines, "Names of labels that fit a term."),
    route(
        BOTH,
        "/search/label_values",
        "labels",
        p::SEARCH_VALUES,
        Answer::Lines,
        "Values of a label that fit a term.",
    ),
    route(GET, "/metadata", "metadata", p::METADATA, OBJECT, "Type, help and unit of metrics."),
    route(GET, "/targets", "targets", p::TARGETS, OBJECT, "Targets and their last scrapes."),
    route(GET, "/targets/metadata", "targets", p::TARGETS_METADATA, LIST, "Metadata by target."),
    route(
        GET,
        "/targets/relabel_steps",
        "targets",
        p::RELABEL_STEPS,
        OBJECT,
        "What each relabel rule makes of a target.",
    ),
    route(GET, "/scrape_pools", "targets", &[], OBJECT, "Names of scrape pools."),
    route(GET, "/scrape_pools/config", "targets", p::POOL_CONFIG, OBJECT, "The configuration of a scrape pool."),
    route(GET, "/rules", "rules", p::RULES, OBJECT, "Recording and alerting rules."),
    route(GET, "/alerts", "alerts", &[], OBJECT, "Alerts that are pending or firing."),
    route(GET, "/alertmanagers", "alerts", &[], OBJECT, "Alertmanagers that alerts are sent to."),
    route(GET, "/status/config", "status", &[], OBJECT, "The configuration in force."),
    route(GET, "/status/flags", "status", &[], OBJECT, "Flags and their values."),
    route(GET, "/status/runtimeinfo", "status", &[], OBJECT, "What is known of the process."),
    route(GET, "/status/buildinfo", "status", &[], OBJECT, "The version."),
    route(GET, "/status/tsdb", "status", p::TSDB, OBJECT, "Cardinality of the newest data."),
    route(GET, "/status/tsdb/blocks", "status", p::TSDB_BLOCKS, OBJECT, "Blocks on disk."),
    route(GET, "/status/walreplay", "status", &[], OBJECT, "How far the replay of the write-ahead log is."),
    route(GET, "/status/self_metrics", "status", p::SELF_METRICS, LIST, "The server's own metrics."),
    route(GET, "/status/queries", "status", p::QUERIES, OBJECT, "Queries under way, and those that ended last."),
    route(POST, "/status/queries/cancel", "status", p::CANCEL, OBJECT, "Ends a query that is under way."),
    route(GET, "/features", "features", &[], OBJECT, "Features, and which of them are on."),
    route(GET, "/notifications", "notifications", &[], LIST, "What operators should know now."),
    route(GET, "/notifications/live", "notifications", &[], Answer::Events, "The same, and each change as it comes."),
    route(WRITES, "/admin/tsdb/delete_series", "admin", p::DELETE, Answer::Nothing, "Deletes samples of series."),
    route(WRITES, "/admin/tsdb/clean_tombstones", "admin", &[], Answer::Nothing, "Frees the space of deleted samples."),
    route(WRITES, "/admin/tsdb/snapshot", "admin", p::SNAPSHOT, OBJECT, "Copies the data into a directory."),
    Operation { body: Body::Protobuf, ..route(POST, "/write", "remote", &[], Answer::Nothing, "Takes remote write.") },
    Operation { body: Body::Protobuf, ..route(POST, "/read", "remote", &[], Answer::Protobuf, "Answers remote read.") },
    route(GET, "/openapi.yaml", "status", p::VERSION, Answer::Yaml, "This description."),
];
