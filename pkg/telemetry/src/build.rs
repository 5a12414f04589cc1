//! Which program this is, as a value and as metrics.

/// Where a binary comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Default for BuildInfo {
    /// The version of the workspace, and nothing else known.
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), revision: "", branch: "", rustc: "" }
    }
}
