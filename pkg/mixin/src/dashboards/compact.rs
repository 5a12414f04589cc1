//! The compactor: what is to do, what is done, what is cleaned away.

use super::rows::resources;
use super::{panel, row};
use crate::{Dashboard, Panel};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "aion-compact",
        title: "aion / Compact",
        marker: "thanos_compact_halted",
        rows: vec![row("Work", [backlog(), progress()].concat()), row("Cleaning", cleaning()), resources()],
    }
}

fn backlog() -> Vec<Panel> {
    vec![
        panel(
            "To do",
            "short",
            "It should come down between uploads.",
            &[
                (r#"sum(thanos_compact_todo_compactions{job=~"$job"})"#, "compactions"),
                (r#"sum(thanos_compact_todo_compaction_blocks{job=~"$job"})"#, "blocks to merge"),
                (r#"sum(thanos_compact_todo_downsample_blocks{job=~"$job"})"#, "blocks to downsample"),
                (r#"sum(thanos_compact_todo_deletion_blocks{job=~"$job"})"#, "blocks to delete"),
            ],
        ),
        panel(
            "Left alone",
            "short",
            "Groups and blocks in quarantine; the page Pipeline of the compactor tells why.",
            &[(r#"sum by (what) (aion_compact_quarantined{job=~"$job"})"#, "{{what}}")],
        ),
    ]
}

fn progress() -> Vec<Panel> {
    vec![
        panel(
            "Running",
            "short",
            "Tasks by kind.",
            &[(r#"sum by (kind) (aion_compact_running{job=~"$job"})"#, "{{kind}}")],
        ),
        panel(
            "Merges",
            "ops",
            "Failures are tried again after a while.",
            &[
                (
                    r#"sum by (job) (rate(thanos_compact_group_compactions_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} merged",
                ),
                (
                    r#"sum by (job) (rate(thanos_compact_group_compactions_failures_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} failed",
                ),
            ],
        ),
        panel(
            "Downsampled",
            "ops",
            "Blocks.",
            &[
                (
                    r#"sum by (job) (rate(thanos_compact_downsample_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} done",
                ),
                (
                    r#"sum by (job) (rate(thanos_compact_downsample_failures_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{job}} failed",
                ),
            ],
        ),
        panel(
            "Bytes",
            "Bps",
            "From and to the bucket.",
            &[(
                r#"sum by (direction) (rate(aion_compact_bytes_total{job=~"$job"}[$__rate_interval]))"#,
                "{{direction}}",
            )],
        ),
    ]
}

fn cleaning() -> Vec<Panel> {
    vec![
        panel(
            "Marked and deleted",
            "ops",
            "A block is deleted when its mark is older than `--delete-delay`.",
            &[
                (
                    r#"sum by (marker, reason) (rate(thanos_compact_blocks_marked_total{job=~"$job"}[$__rate_interval]))"#,
                    "{{marker}} {{reason}}",
                ),
                (r#"sum(rate(thanos_compact_blocks_cleaned_total{job=~"$job"}[$__rate_interval]))"#, "deleted"),
                (r#"sum(rate(thanos_compact_block_cleanup_failures_total{job=~"$job"}[$__rate_interval]))"#, "failed"),
            ],
        ),
        panel(
            "Requests to delete series",
            "short",
            "Those not carried out in all blocks yet.",
            &[(r#"max(aion_compact_deletion_requests_pending{job=~"$job"})"#, "pending")],
        ),
        panel(
            "Passes",
            "ops",
            "Standing still for an hour with work to do is a fault.",
            &[(
                r#"sum by (instance) (rate(thanos_compact_iterations_total{job=~"$job"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
        ),
    ]
}
