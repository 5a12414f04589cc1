//! What is done to a plan to make it a cheaper one with the same answer, annotations included. Each pass can be switched
//! off ([`crate::EngineOptions::passes`]); `tests/passes.rs` holds that no answer depends on any of them.

mod fold_constants;
mod histogram_stats;
mod project_labels;
mod propagate_matchers;
mod settings;
mod share_selectors;
mod share_subtrees;
pub(crate) mod step_invariant;
mod switches;

use settings::Settings;
pub use switches::Passes;

use crate::plan::Root;
use crate::{EngineOptions, Grid};

/// One of the passes.
struct Pass {
    name: &'static str,
    about: &'static str,
    /// Gives a line for each change.
    run: fn(&mut Root, &Settings) -> Vec<String>,
}

/// In the order in which they run.
const PASSES: &[Pass] = &[
    Pass {
        name: "fold-constants",
        about: "Arithmetic of numbers is done once, not at each step.",
        run: fold_constants::run,
    },
    Pass {
        name: "propagate-matchers",
        about: "What one side of a binary operator selects by, the other one selects by as well, where labels must be equal.",
        run: propagate_matchers::run,
    },
    Pass {
        name: "histogram-stats",
        about: "Buckets of native histograms are not decoded where only count and sum matter.",
        run: histogram_stats::run,
    },
    Pass {
        name: "step-invariant",
        about: "What is the same at every step, as with @, is evaluated at one.",
        run: step_invariant::run,
    },
    Pass { name: "share-subtrees", about: "Equal aggregations are evaluated once.", run: share_subtrees::run },
    Pass {
        name: "share-selectors",
        about: "Series that several selectors read are read once.",
        run: share_selectors::run,
    },
    Pass {
        name: "project-labels",
        about: "Below an aggregation by some labels the others are not read, where series come from one place.",
        run: project_labels::run,
    },
];

/// What a pass did to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassReport {
    /// The name of the pass.
    pub name: &'static str,
    /// What it is for, a sentence.
    pub about: &'static str,
    /// Whether it ran.
    pub enabled: bool,
    /// A line for each change.
    pub changes: Vec<String>,
}

/// Runs the passes that are on.
pub(crate) fn run(root: &mut Root, times: Grid, options: &EngineOptions) -> Vec<PassReport> {
    let settings = Settings { times, use_start_timestamps: options.use_start_timestamps };
    let report = |pass: &Pass| {
        let enabled = options.passes.has(pass.name);
        let changes = if enabled { (pass.run)(root, &settings) } else { Vec::new() };
        PassReport { name: pass.name, about: pass.about, enabled, changes }
    };
    PASSES.iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_can_be_switched() {
        assert_eq!(PASSES.iter().map(|pass| pass.name).collect::<Vec<_>>(), Passes::names().collect::<Vec<_>>());
    }
}
