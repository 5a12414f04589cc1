//! What would become of a discovered target, without a scrape.

use labels::Labels;
use model::TargetGroup;

use crate::config::ScrapeConfig;
use crate::target::{Relabelled, discovered_labels, relabel};

/// A discovered target before and after relabelling.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Before relabelling.
    pub discovered: Labels,
    /// After it, those that begin with `__` too; empty if the target is dropped or cannot be scraped.
    pub labels: Labels,
    /// Why it cannot be scraped.
    pub error: Option<String>,
}

/// The targets of a group, as a job with this configuration would see them.
pub fn preview(config: &ScrapeConfig, group: &TargetGroup) -> Vec<Preview> {
    let one = |target: &Labels| {
        let discovered = discovered_labels(config, target, group).build();
        match relabel(config, target, group) {
            Relabelled::Target(target) => Preview { discovered, labels: target.labels, error: None },
            Relabelled::Dropped => Preview { discovered, labels: Labels::empty(), error: None },
            Relabelled::Invalid(why) => Preview { discovered, labels: Labels::empty(), error: Some(why) },
        }
    };
    group.targets.iter().map(one).collect()
}
