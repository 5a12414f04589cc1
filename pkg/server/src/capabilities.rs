//! What `/api/v1/features` shows, under Prometheus' names: clients ask it before they use what not every server has.

use std::collections::BTreeMap;

use promql_syntax::FUNCTIONS;

use crate::config::Config;

/// What is there whatever flags say.
const ALWAYS: &[(&str, &[&str])] = &[
    (
        "api",
        &[
            "exclude_alerts",
            "label_values_match",
            "openapi_3.1",
            "query_stats",
            "query_warnings",
            "search_fuzz_alg_jarowinkler",
            "search_fuzz_alg_subsequence",
            "time_range_labels",
            "time_range_series",
        ],
    ),
    (
        "promql",
        &[
            "at_modifier",
            "bool",
            "by",
            "duration_expr",
            "group_left",
            "group_right",
            "ignoring",
            "negative_offset",
            "offset",
            "on",
            "per_query_lookback_delta",
            "per_step_stats",
            "subqueries",
            "without",
        ],
    ),
    (
        "promql_operators",
        &[
            "!=",
            "!~",
            "%",
            "*",
            "+",
            "-",
            "/",
            "<",
            "</",
            "<=",
            "==",
            "=~",
            ">",
            ">/",
            ">=",
            "@",
            "^",
            "and",
            "atan2",
            "avg",
            "bottomk",
            "count",
            "count_values",
            "group",
            "max",
            "min",
            "or",
            "quantile",
            "stddev",
            "stdvar",
            "sum",
            "topk",
            "unless",
        ],
    ),
    ("rules", &["keep_firing_for", "query_offset"]),
    ("scrape", &["extra_scrape_metrics"]),
    ("service_discovery_providers", &["consul", "dns", "file", "http", "kubernetes", "static"]),
    ("templating_functions", &gotemplate::prometheus::NAMES),
    ("tsdb", &["isolation", "native_histograms", "xor2_encoding"]),
];

/// All of them by category, and whether each is on.
pub fn shown(config: &Config, is_agent: bool) -> BTreeMap<String, BTreeMap<String, bool>> {
    let on = config.features;
    let by_flag = [
        ("api", "admin", config.admin),
        ("api", "lifecycle", config.http.lifecycle == Some(true)),
        ("api", "otlp_write_receiver", config.otlp.enabled),
        ("api", "remote_write_receiver", config.receiver.enabled),
        ("api", "search", on.search_api),
        ("otlp_receiver", "delta_conversion", on.otlp_delta_to_cumulative),
        ("otlp_receiver", "native_delta_ingestion", on.otlp_native_delta),
        ("prometheus", "agent_mode", is_agent),
        ("prometheus", "auto_reload_config", config.auto_reload.is_some()),
        ("prometheus", "memory_snapshot_on_shutdown", on.memory_snapshot),
        ("prometheus", "server_mode", !is_agent),
        ("promql", "anchored", on.extended_range_selectors),
        ("promql", "delayed_name_removal", on.delayed_name_removal),
        ("promql", "fill", on.fill_modifiers),
        ("promql", "fill_left", on.fill_modifiers),
        ("promql", "fill_right", on.fill_modifiers),
        ("promql", "smoothed", on.extended_range_selectors),
        ("promql", "type_and_unit_labels", on.type_and_unit_labels),
        ("promql", "use_start_timestamps", on.use_start_timestamps),
        ("promql_operators", "limit_ratio", on.experimental_functions),
        ("promql_operators", "limitk", on.experimental_functions),
        ("rules", "concurrent_rule_eval", on.concurrent_rules),
        ("scrape", "start_timestamp_zero_ingestion", on.created_zero),
        ("scrape", "type_and_unit_labels", on.type_and_unit_labels),
        ("tsdb", "exemplar_storage", on.exemplars),
        ("tsdb", "histograms_st_encoding", on.histogram_starts),
        ("tsdb", "metadata_wal_records", on.metadata_records),
        ("tsdb", "st_storage", on.start_timestamps),
    ];
    let functions =
        FUNCTIONS.iter().map(|f| ("promql_functions", f.name, !f.experimental || on.experimental_functions));
    let always = ALWAYS.iter().flat_map(|(category, names)| names.iter().map(move |name| (*category, *name, true)));
    let mut out: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
    for (category, name, is_on) in always.chain(by_flag).chain(functions) {
        out.entry(category.to_owned()).or_default().insert(name.to_owned(), is_on);
    }
    out
}
