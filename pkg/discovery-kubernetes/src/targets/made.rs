//! What becomes of an object.

use labels::Labels;

use super::set::Set;

/// What became of an object.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Made {
    /// The labels that all targets share.
    pub(crate) labels: Labels,
    pub(crate) targets: Vec<Labels>,
    /// Why there are fewer targets than there should be.
    pub(crate) trouble: Option<String>,
}

/// Targets with what they share; none share nothing.
pub(super) fn group(shared: &Set, targets: Vec<Labels>) -> Made {
    let labels = if targets.is_empty() { Labels::empty() } else { shared.labels() };
    Made { labels, targets, trouble: None }
}
