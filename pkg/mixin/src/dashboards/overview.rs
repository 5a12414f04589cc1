//! Overview: what all components have.

use super::rows::resources;
use super::{panel, row};
use crate::{Dashboard, Panel};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "aion-overview",
        title: "aion / Overview",
        marker: "aion_build_info",
        rows: vec![row("Answers", answers()), row("Bucket", bucket()), resources()],
    }
}

fn answers() -> Vec<Panel> {
    vec![
        panel(
            "HTTP requests",
            "reqps",
            "Requests by job and handler.",
            &[(
                r#"sum by (job, handler) (rate(http_requests_total{job=~"$job"}[$__rate_interval]))"#,
                "{{job}} {{handler}}",
            )],
        ),
        panel(
            "HTTP errors",
            "percentunit",
            "Share of answers with a status of 500 and above.",
            &[(r#"job_handler:http_requests_errors:ratio_rate5m{job=~"$job"}"#, "{{job}} {{handler}}")],
        ),
        panel(
            "HTTP time, 99th percentile",
            "s",
            "One request in a hundred takes longer.",
            &[(r#"job_handler:http_request_duration_seconds:p99_rate5m{job=~"$job"}"#, "{{job}} {{handler}}")],
        ),
    ]
}

fn bucket() -> Vec<Panel> {
    vec![
        panel(
            "Requests to the bucket",
            "reqps",
            "What object storage is asked, and what it costs.",
            &[(
                r#"sum by (job, operation) (rate(thanos_objstore_bucket_operations_total{job=~"$job"}[$__rate_interval]))"#,
                "{{job}} {{operation}}",
            )],
        ),
        panel(
            "Failures of the bucket",
            "percentunit",
            "Failed requests are retried; look at the store when they stay.",
            &[(r#"job:thanos_objstore_bucket_operation_failures:ratio_rate5m{job=~"$job"}"#, "{{job}} {{operation}}")],
        ),
        panel(
            "Since the last upload",
            "s",
            "Blocks come every two hours.",
            &[(
                r#"time() - (max by (job, instance) (thanos_objstore_bucket_last_successful_upload_time{job=~"$job"}) > 0)"#,
                "{{job}} {{instance}}",
            )],
        ),
    ]
}
