//! Targets as service discovery finds them.

use labels::Labels;

/// The label that holds a target's `host:port`.
pub const ADDRESS_LABEL: &str = "__address__";

/// Targets that were found at one place and share labels, as Prometheus' `targetgroup.Group`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// What found the group, such as a file and a place in it. A group replaces the one of the same source.
    pub source: String,
    /// Each target's own labels, of which `__address__` is one.
    pub targets: Vec<Labels>,
    /// The labels that all targets have unless they have their own of that name.
    pub labels: Labels,
}

impl TargetGroup {
    /// The targets' `host:port`, of those that have one.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter_map(|target| target.get(ADDRESS_LABEL))
    }
}
