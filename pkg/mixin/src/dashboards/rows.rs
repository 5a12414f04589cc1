//! Rows that several dashboards have.

use super::{panel, row};
use crate::Row;

/// Rules and alerts of what evaluates them.
pub fn rules() -> Row {
    row(
        "Rules",
        vec![
            panel(
                "Evaluations and failures",
                "ops",
                "The page Rules has the last error of each.",
                &[
                    (
                        r#"sum by (job) (rate(prometheus_rule_evaluations_total{job=~"$job"}[$__rate_interval]))"#,
                        "{{job}}",
                    ),
                    (
                        r#"sum by (job) (rate(prometheus_rule_evaluation_failures_total{job=~"$job"}[$__rate_interval]))"#,
                        "{{job}} failed",
                    ),
                ],
            ),
            panel(
                "Groups, time and interval",
                "percentunit",
                "Share of the interval that the ten slowest groups take.",
                &[(
                    r#"topk(10, prometheus_rule_group_last_duration_seconds{job=~"$job"} / prometheus_rule_group_interval_seconds{job=~"$job"})"#,
                    "{{rule_group}}",
                )],
            ),
            panel(
                "Alerts sent and dropped",
                "ops",
                "By Alertmanager.",
                &[
                    (
                        r#"sum by (alertmanager) (rate(prometheus_notifications_sent_total{job=~"$job"}[$__rate_interval]))"#,
                        "{{alertmanager}}",
                    ),
                    (
                        r#"sum by (alertmanager) (rate(prometheus_notifications_errors_total{job=~"$job"}[$__rate_interval]))"#,
                        "{{alertmanager}} errors",
                    ),
                    (r#"sum(rate(prometheus_notifications_dropped_total{job=~"$job"}[$__rate_interval]))"#, "dropped"),
                ],
            ),
        ],
    )
}

/// Blocks on their way to the bucket.
pub fn uploads() -> Row {
    row(
        "Uploads",
        vec![
            panel(
                "Blocks uploaded",
                "short",
                "In the last two hours, which bring one block.",
                &[(
                    r#"sum by (job, instance) (increase(thanos_shipper_uploads_total{job=~"$job"}[2h]))"#,
                    "{{instance}}",
                )],
            ),
            panel(
                "Failed uploads",
                "ops",
                "Blocks stay on the disk until they are uploaded.",
                &[(
                    r#"sum by (job, instance) (rate(thanos_shipper_upload_failures_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{instance}}",
                )],
            ),
            panel(
                "Corrupt blocks on disk",
                "short",
                "They are not uploaded; others go on.",
                &[(r#"sum by (job, instance) (thanos_shipper_corrupted_blocks_total{job=~"$job"})"#, "{{instance}}")],
            ),
        ],
    )
}

/// What every process needs.
pub fn resources() -> Row {
    row(
        "Resources",
        vec![
            panel(
                "Memory",
                "bytes",
                "Resident.",
                &[(r#"process_resident_memory_bytes{job=~"$job"}"#, "{{job}} {{instance}}")],
            ),
            panel(
                "CPU",
                "short",
                "Cores.",
                &[(r#"rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval])"#, "{{job}} {{instance}}")],
            ),
            panel("Open files", "short", "", &[(r#"process_open_fds{job=~"$job"}"#, "{{job}} {{instance}}")]),
        ],
    )
}
