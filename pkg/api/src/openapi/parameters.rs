//! Parameters of the routes.

/// What a parameter's text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Unix seconds or RFC 3339.
    Time,
    /// Seconds or `1h30m`.
    Duration,
    Count,
    Switch,
    /// May be given several times.
    Texts,
    Choice(&'static [&'static str]),
}

/// A parameter of the URL or, for POST, of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub text: &'static str,
}

const fn optional(name: &'static str, kind: Kind, text: &'static str) -> Parameter {
    Parameter { name, kind, required: false, text }
}

const fn required(name: &'static str, kind: Kind, text: &'static str) -> Parameter {
    Parameter { name, kind, required: true, text }
}

pub(super) const QUERY: Parameter = required("query", Kind::Text, "A PromQL expression.");
pub(super) const TIME: Parameter = optional("time", Kind::Time, "When the query is evaluated; now if not given.");
pub(super) const TIMEOUT: Parameter = optional("timeout", Kind::Duration, "How long the query may take.");
pub(super) const LIMIT: Parameter = optional("limit", Kind::Count, "At most this many results; 0 = all.");
pub(super) const LOOKBACK: Parameter =
    optional("lookback_delta", Kind::Duration, "How old the latest sample of a series may be.");
pub(super) const STATS: Parameter =
    optional("stats", Kind::Choice(&["true", "all"]), "Statistics of the query; `all` = of each step too.");
pub(super) const START: Parameter = optional("start", Kind::Time, "First time of the range.");
pub(super) const END: Parameter = optional("end", Kind::Time, "Last time of the range.");
pub(super) const MATCH: Parameter = optional("match[]", Kind::Texts, "Selectors of series, any of which may match.");

pub(super) const INSTANT: &[Parameter] = &[QUERY, TIME, TIMEOUT, LIMIT, LOOKBACK, STATS];
pub(super) const RANGE: &[Parameter] = &[
    QUERY,
    Parameter { required: true, ..START },
    Parameter { required: true, ..END },
    optional("step", Kind::Duration, "Time from one value to the next."),
    TIMEOUT,
    LIMIT,
    LOOKBACK,
    STATS,
];
pub(super) const QUERIES: &[Parameter] = &[
    optional("state", Kind::Choice(&["active", "ended"]), "Which queries; those under way if not given."),
    optional(
        "group",
        Kind::Choice(&["query", "panel", "dashboard"]),
        "Of ended queries: those with the same together.",
    ),
    optional(
        "sort",
        Kind::Choice(&["seconds", "time", "series", "samples", "bytes", "memory"]),
        "Of ended queries: what they took most of comes first; by the time taken if not given.",
    ),
    optional("offset", Kind::Count, "How many to leave out."),
    optional("limit", Kind::Count, "At most this many, and at most 100."),
];
pub(super) const CANCEL: &[Parameter] = &[required("id", Kind::Text, "The query's id.")];
pub(super) const EXEMPLARS: &[Parameter] = &[QUERY, START, END];
pub(super) const EXPRESSION: &[Parameter] = &[QUERY];
pub(super) const LABELS: &[Parameter] = &[MATCH, START, END, LIMIT];
pub(super) const SERIES: &[Parameter] = &[Parameter { required: true, ..MATCH }, START, END, LIMIT];
pub(super) const NAME: Parameter =
    required("name", Kind::Text, "A label's name; as `U__…` where it is no classic name.");

pub(super) const METADATA: &[Parameter] = &[
    LIMIT,
    optional("limit_per_metric", Kind::Count, "At most this many entries of a metric."),
    optional("metric", Kind::Text, "Only this metric."),
];
pub(super) const POOL: Parameter = optional("scrapePool", Kind::Text, "Only this scrape pool (job).");
pub(super) const TARGETS: &[Parameter] = &[
    POOL,
    optional("state", Kind::Choice(&["active", "dropped", "any"]), "Which targets."),
    optional("limit", Kind::Count, "A page of at most this many, and at most 200 kB; all if not given."),
    optional("next", Kind::Text, "`next` of the page before: what comes after it."),
];
pub(super) const POOL_CONFIG: &[Parameter] = &[Parameter { required: true, ..POOL }];
pub(super) const TARGETS_METADATA: &[Parameter] = &[
    optional("match_target", Kind::Text, "A selector on the labels of targets."),
    optional("metric", Kind::Text, "Only this metric."),
    LIMIT,
];
pub(super) const RELABEL_STEPS: &[Parameter] = &[
    Parameter { required: true, ..POOL },
    required("labels", Kind::Text, "Labels of a discovered target, a JSON object."),
];
pub(super) const RULES: &[Parameter] = &[
    optional("type", Kind::Choice(&["alert", "record"]), "Which rules."),
    optional("rule_name[]", Kind::Texts, "Only rules of these names."),
    optional("rule_group[]", Kind::Texts, "Only groups of these names."),
    optional("file[]", Kind::Texts, "Only rules of these files."),
    MATCH,
    optional("exclude_alerts", Kind::Switch, "Leave the alerts of alerting rules out."),
    optional("group_limit", Kind::Count, "At most this many groups."),
    optional("group_next_token", Kind::Text, "`groupNextToken` of the answer before: what comes after it."),
];
pub(super) const TSDB: &[Parameter] = &[optional("limit", Kind::Count, "Entries of each list, 10000 at most.")];
pub(super) const TSDB_BLOCKS: &[Parameter] = &[
    optional("limit", Kind::Count, "A page of at most this many, and at most 200 kB; 0 = all."),
    optional("next", Kind::Text, "`next` of the page before: what comes after it."),
];
pub(super) const SELF_METRICS: &[Parameter] =
    &[optional("metric_name_pattern", Kind::Text, "A regular expression that the whole name matches.")];
pub(super) const DELETE: &[Parameter] = &[Parameter { required: true, ..MATCH }, START, END];
pub(super) const SNAPSHOT: &[Parameter] = &[optional("skip_head", Kind::Switch, "Leave the newest samples out.")];

const SEARCH: Parameter = optional("search[]", Kind::Texts, "Terms, any of which may fit.");
const THRESHOLD: Parameter = optional("fuzz_threshold", Kind::Count, "What a score must reach, 0 to 100.");
const ALGORITHM: Parameter =
    optional("fuzz_alg", Kind::Choice(&["subsequence", "jarowinkler"]), "How names are compared with terms.");
const CASE: Parameter = optional("case_sensitive", Kind::Switch, "Whether capital letters are others.");
const SORT_BY: Parameter = optional("sort_by", Kind::Choice(&["alpha", "score"]), "The order.");
const SORT_DIR: Parameter = optional("sort_dir", Kind::Choice(&["asc", "dsc"]), "The direction, for `alpha`.");
const SCORE: Parameter = optional("include_score", Kind::Switch, "Show how well each result fits.");
const BATCH: Parameter = optional("batch_size", Kind::Count, "Results of a line.");

pub(super) const SEARCH_LABELS: &[Parameter] =
    &[MATCH, SEARCH, THRESHOLD, ALGORITHM, CASE, SORT_BY, SORT_DIR, SCORE, START, END, LIMIT, BATCH];
pub(super) const SEARCH_METRICS: &[Parameter] = &[
    MATCH,
    SEARCH,
    THRESHOLD,
    ALGORITHM,
    CASE,
    SORT_BY,
    SORT_DIR,
    SCORE,
    optional("include_metadata", Kind::Switch, "Show type, help and unit."),
    START,
    END,
    LIMIT,
    BATCH,
];
pub(super) const SEARCH_VALUES: &[Parameter] = &[
    required("label", Kind::Text, "Values of this label."),
    MATCH,
    SEARCH,
    THRESHOLD,
    ALGORITHM,
    CASE,
    SORT_BY,
    SORT_DIR,
    SCORE,
    START,
    END,
    LIMIT,
    BATCH,
];
pub(super) const VERSION: &[Parameter] =
    &[optional("openapi_version", Kind::Choice(&["3.1", "3.2"]), "The version of this description.")];
