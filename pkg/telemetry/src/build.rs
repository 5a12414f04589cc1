//! Which program this is, as a metric.

use crate::Metrics;

/// Where a binary comes from.
#[derive(Debug, Clone, Copy)]
pub struct BuildInfo {
    /// Release, `1.2.3`.
    pub version: &'static str,
    /// Commit, empty when unknown.
    pub revision: &'static str,
    /// Branch, empty when unknown.
    pub branch: &'static str,
    /// Compiler, empty when unknown.
    pub rustc: &'static str,
}

/// Registers `aion_build_info` and, with the labels dashboards know, `thanos_build_info`; both are always 1.
pub fn register(metrics: &Metrics, info: BuildInfo) {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    metrics
        .gauges("aion_build_info", "The running program.", &["version", "revision", "branch", "rustc", "os", "arch"])
        .with(&[info.version, info.revision, info.branch, info.rustc, os, arch])
        .set(1.0);
    // `goversion` names the compiler, whichever it is: dashboards join on the label's presence
    metrics
        .gauges(
            "thanos_build_info",
            "The running program, under the name Thanos' dashboards ask for.",
            &["version", "revision", "branch", "goversion", "goos", "goarch"],
        )
        .with(&[info.version, info.revision, info.branch, info.rustc, os, arch])
        .set(1.0);
}
