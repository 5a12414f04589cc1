//! The sidecar: uploads, and the Prometheus beside it.

use super::rows::{resources, uploads};
use super::{panel, row};
use crate::{Dashboard, Panel};

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "aion-sidecar",
        title: "aion / Sidecar",
        marker: "thanos_sidecar_prometheus_up",
        rows: vec![uploads(), row("Prometheus", prometheus()), resources()],
    }
}

fn prometheus() -> Vec<Panel> {
    vec![
        panel("Prometheus is up", "short", "", &[(r#"thanos_sidecar_prometheus_up{job=~"$job"}"#, "{{instance}}")]),
        panel(
            "Since the last heartbeat",
            "s",
            "",
            &[(r#"time() - thanos_sidecar_last_heartbeat_success_time_seconds{job=~"$job"}"#, "{{instance}}")],
        ),
        panel(
            "gRPC requests",
            "reqps",
            "For live data.",
            &[(
                r#"sum by (grpc_method, grpc_code) (rate(grpc_server_handled_total{job=~"$job"}[$__rate_interval]))"#,
                "{{grpc_method}} {{grpc_code}}",
            )],
        ),
    ]
}
