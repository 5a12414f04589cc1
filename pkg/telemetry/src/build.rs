//! Which program this is, as a value and as metrics.

/// Where a binary comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// The release, such as `1.2.3`.
    pub version: &'static str,
    /// The commit it was built from; empty where it is not known.
    pub revision: &'static str,
    /// The branch it was built from; empty where it is not known.
    pub branch: &'static str,
    /// The compiler's version; empty where it is not known.
    pub rustc: &'static str,
}

impl Default for BuildInfo {
    /// The version of the workspace, and nothing else known.
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), revision: "", branch: "", rustc: "" }
    }
}
