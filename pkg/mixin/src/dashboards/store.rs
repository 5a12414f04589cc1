//! The store: requests, and the blocks that it serves.

use super::rows::resources;
use super::{panel, row};
use crate::{Dashboard, Panel};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "aion-store",
        title: "aion / Store",
        marker: "thanos_bucket_store_blocks_loaded",
        rows: vec![row("Requests", requests()), row("Blocks", blocks()), resources()],
    }
}

fn requests() -> Vec<Panel> {
    vec![
        panel(
            "gRPC requests",
            "reqps",
            "By method and code.",
            &[(
                r#"sum by (grpc_method, grpc_code) (rate(grpc_server_handled_total{job=~"$job"}[$__rate_interval]))"#,
                "{{grpc_method}} {{grpc_code}}",
            )],
        ),
        panel(
            "Time of Series, 99th percentile",
            "s",
            "To the end of the answer.",
            &[(
                r#"histogram_quantile(0.99, sum by (job, le) (rate(grpc_server_handling_seconds_bucket{job=~"$job", grpc_method="Series"}[$__rate_interval])))"#,
                "{{job}}",
            )],
        ),
        panel(
            "Requests under way",
            "short",
            "At the line, requests wait: `--store.grpc.series-max-concurrency`.",
            &[
                (
                    r#"sum by (instance) (thanos_bucket_store_series_gate_queries_in_flight{job=~"$job"})"#,
                    "{{instance}}",
                ),
                (r#"max(thanos_bucket_store_series_gate_queries_max{job=~"$job"})"#, "limit"),
            ],
        ),
        panel(
            "Refused over a limit",
            "reqps",
            "By the limit; the error names its flag.",
            &[(
                r#"sum by (job, reason) (rate(thanos_bucket_store_queries_dropped_total{job=~"$job"}[$__rate_interval]))"#,
                "{{job}} {{reason}}",
            )],
        ),
        panel(
            "Bytes fetched for a request, mean",
            "bytes",
            "By kind of data.",
            &[(
                r#"sum by (data_type) (rate(thanos_bucket_store_series_data_size_fetched_bytes_sum{job=~"$job"}[$__rate_interval])) / sum by (data_type) (rate(thanos_bucket_store_series_data_size_fetched_bytes_count{job=~"$job"}[$__rate_interval]))"#,
                "{{data_type}}",
            )],
        ),
        panel(
            "Corrupt reads",
            "short",
            "Above zero, a block is corrupt: warnings and the log name it.",
            &[(
                r#"sum by (instance) (increase(thanos_bucket_store_damaged_reads_total{job=~"$job"}[1h]))"#,
                "{{instance}}",
            )],
        ),
    ]
}

fn blocks() -> Vec<Panel> {
    vec![
        panel(
            "Blocks",
            "short",
            "Those that are served.",
            &[(r#"thanos_bucket_store_blocks_loaded{job=~"$job"}"#, "{{instance}}")],
        ),
        panel(
            "Blocks loaded and dropped",
            "ops",
            "Failures are tried again.",
            &[
                (
                    r#"sum by (job) (rate(thanos_bucket_store_block_loads_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} loaded",
                ),
                (
                    r#"sum by (job) (rate(thanos_bucket_store_block_load_failures_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} failed",
                ),
                (
                    r#"sum by (job) (rate(thanos_bucket_store_block_drops_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} dropped",
                ),
            ],
        ),
        panel(
            "Index cache, hits",
            "percentunit",
            "Share of look-ups that need no request to the bucket.",
            &[(
                r#"sum by (item_type) (rate(thanos_store_index_cache_hits_total{job=~"$job"}[$__rate_interval])) / sum by (item_type) (rate(thanos_store_index_cache_requests_total{job=~"$job"}[$__rate_interval]))"#,
                "{{item_type}}",
            )],
        ),
    ]
}
