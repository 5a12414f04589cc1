//! The server: samples, disk, rules, uploads.

use super::rows::{resources, rules, uploads};
use super::{panel, row};
use crate::{Dashboard, Panel};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "aion-server",
        title: "aion / Server",
        marker: "aion_head_refuses_new_series",
        rows: vec![row("Samples", samples()), row("Disk", disk()), rules(), uploads(), resources()],
    }
}

fn samples() -> Vec<Panel> {
    vec![
        panel(
            "Samples",
            "short",
            "Appended, a second.",
            &[(
                r#"sum by (instance) (rate(prometheus_tsdb_head_samples_appended_total{job=~"$job"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
        ),
        panel("Series in the head", "short", "", &[(r#"prometheus_tsdb_head_series{job=~"$job"}"#, "{{instance}}")]),
        panel(
            "Series made",
            "ops",
            "High with few series in the head: churn.",
            &[(
                r#"sum by (instance) (rate(prometheus_tsdb_head_series_created_total{job=~"$job"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
        ),
        panel(
            "Refuses new series",
            "short",
            "1 at the limit of memory.",
            &[(r#"aion_head_refuses_new_series{job=~"$job"}"#, "{{instance}}")],
        ),
        panel(
            "Targets",
            "short",
            "By job of the configuration.",
            &[(
                r#"topk(20, sum by (scrape_job) (prometheus_target_scrape_pool_targets{job=~"$job"}))"#,
                "{{scrape_job}}",
            )],
        ),
        panel(
            "Scrapes skipped",
            "ops",
            "They take longer than their interval.",
            &[(
                r#"sum by (instance) (rate(aion_scrapes_skipped_total{job=~"$job"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
        ),
    ]
}

fn disk() -> Vec<Panel> {
    vec![
        panel(
            "Disk",
            "bytes",
            "Blocks and write-ahead log.",
            &[
                (r#"prometheus_tsdb_storage_blocks_bytes{job=~"$job"}"#, "{{instance}} blocks"),
                (r#"prometheus_tsdb_wal_storage_size_bytes{job=~"$job"}"#, "{{instance}} log"),
            ],
        ),
        panel(
            "Failures",
            "ops",
            "Of compactions and of writes to the log: look at the disk.",
            &[
                (
                    r#"sum by (instance) (rate(prometheus_tsdb_compactions_failed_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{instance}} compactions",
                ),
                (
                    r#"sum by (instance) (rate(aion_tsdb_wal_fsyncs_failed_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{instance}} log",
                ),
            ],
        ),
        panel(
            "Remote write, bytes behind",
            "bytes",
            "What of the log is not sent yet.",
            &[(r#"aion_remote_write_log_behind_bytes{job=~"$job"}"#, "{{instance}} {{remote_name}}")],
        ),
    ]
}
