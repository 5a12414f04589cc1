//! The ruler: rules, the queriers that it asks, uploads.

use super::rows::{resources, rules, uploads};
use super::{panel, row};
use crate::{Dashboard, Panel};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "aion-rule",
        title: "aion / Rule",
        marker: "thanos_rule_loaded_rules",
        rows: vec![rules(), row("Answers of queriers", answers()), uploads(), resources()],
    }
}

fn answers() -> Vec<Panel> {
    vec![
        panel(
            "Queriers that gave no answer",
            "ops",
            "The next one is asked.",
            &[(
                r#"sum by (instance) (rate(aion_rule_query_failures_total{job=~"$job"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
        ),
        panel(
            "Answers with warnings",
            "ops",
            "Data may be missing in what the rules saw.",
            &[(
                r#"sum by (instance) (rate(thanos_rule_evaluation_with_warnings_total{job=~"$job"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
        ),
        panel(
            "Rules loaded",
            "short",
            "",
            &[(r#"sum by (instance) (thanos_rule_loaded_rules{job=~"$job"})"#, "{{instance}}")],
        ),
    ]
}
