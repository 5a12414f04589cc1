//! `prometheus_build_info`, by which Prometheus' dashboards find the servers among all jobs.

use std::env::consts::{ARCH, OS};

use telemetry::Metrics;
use telemetry::build::BuildInfo;

/// Adds the metric, which is always 1; the program that it tells of.
pub fn show(metrics: &Metrics) -> BuildInfo {
    let build = metrics.build();
    // `goversion` names the compiler, whichever it is.
    let labels = &["version", "revision", "branch", "goversion", "goos", "goarch"];
    let values = [build.version, build.revision, build.branch, build.rustc, OS, ARCH];
    let help = "The running program, under the name Prometheus' dashboards ask for.";
    metrics.gauges("prometheus_build_info", help, labels).with(&values).set(1.0);
    build
}
