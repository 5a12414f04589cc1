//! The querier: queries, and the endpoints that it asks.

use super::rows::resources;
use super::{panel, row};
use crate::{Dashboard, Panel};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "aion-query",
        title: "aion / Query",
        marker: "thanos_store_nodes_grpc_connections",
        rows: vec![row("Queries", queries()), row("Endpoints", endpoints()), resources()],
    }
}

fn queries() -> Vec<Panel> {
    vec![
        panel(
            "Queries under way",
            "short",
            "At the line, queries wait for their turn: `--query.max-concurrent`.",
            &[
                (r#"sum by (instance) (thanos_query_concurrent_gate_queries_in_flight{job=~"$job"})"#, "{{instance}}"),
                (r#"max(thanos_query_concurrent_gate_queries_max{job=~"$job"})"#, "limit"),
            ],
        ),
        panel(
            "Wait for a turn, 99th percentile",
            "s",
            "Before a query begins.",
            &[(
                r#"histogram_quantile(0.99, sum by (job, le) (rate(thanos_query_concurrent_gate_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                "{{job}}",
            )],
        ),
        panel(
            "Samples read",
            "short",
            "By all queries, a second.",
            &[(
                r#"sum by (instance) (rate(prometheus_engine_query_samples_total{job=~"$job"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
        ),
    ]
}

fn endpoints() -> Vec<Panel> {
    vec![
        panel(
            "Endpoints that answer",
            "short",
            "Each that is missing makes answers incomplete, and they say so.",
            &[(
                r#"sum by (job, store_type) (thanos_store_nodes_grpc_connections{job=~"$job"})"#,
                "{{job}} {{store_type}}",
            )],
        ),
        panel(
            "Failures of endpoints",
            "percentunit",
            "Share of requests that end in an error.",
            &[(r#"job_method:grpc_client_errors:ratio_rate5m{job=~"$job"}"#, "{{job}} {{grpc_method}}")],
        ),
        panel(
            "Time of endpoints, 99th percentile",
            "s",
            "To the end of the answer.",
            &[(
                r#"histogram_quantile(0.99, sum by (job, grpc_method, le) (rate(grpc_client_handling_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                "{{job}} {{grpc_method}}",
            )],
        ),
        panel(
            "DNS",
            "ops",
            "Where lookups fail, the addresses found before stay in use.",
            &[
                (
                    r#"sum by (job) (rate(thanos_query_store_apis_dns_lookups_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} lookups",
                ),
                (
                    r#"sum by (job) (rate(thanos_query_store_apis_dns_failures_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} failures",
                ),
            ],
        ),
    ]
}
