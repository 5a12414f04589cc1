//! Which series a selector reads.

use std::sync::{Arc, OnceLock};

use labels::Matcher;
use promql_syntax::Span;

/// What an instant selector shows of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Values,
    /// Their times, in seconds.
    Times,
    /// Their start timestamps, in seconds; 0 = not known.
    Starts,
}

/// Which series, and which instants or ranges of them.
#[derive(Debug, Clone)]
pub(crate) struct SelectPlan {
    pub matchers: Arc<[Matcher]>,
    pub offset_ms: i64,
    pub at_ms: Option<i64>,
    /// How much less than the lookback an instant sees, ms.
    pub unseen_ms: i64,
    pub anchored: bool,
    pub smoothed: bool,
    /// The range of the subquery that it is in, ms.
    pub within_ms: Option<i64>,
    /// The function or aggregation around it, a hint to the source.
    pub hint: Option<Arc<str>>,
    /// Of native histograms only count and sum are looked at, and whether counters were reset.
    pub stats_only: bool,
    /// Selects of one number read the same series, so that these are read once.
    pub shared: OnceLock<u32>,
    /// The labels that are looked at, sorted; not set = all.
    pub labels: OnceLock<Arc<[String]>>,
    pub span: Span,
}

impl SelectPlan {
    /// How far back an instant sees, ms.
    pub fn lookback_ms(&self, lookback_ms: i64) -> i64 {
        lookback_ms.saturating_sub(self.unseen_ms).max(0)
    }

    pub fn single_name(&self) -> bool {
        self.matchers
            .iter()
            .any(|m| m.name() == labels::METRIC_NAME && m.kind() == labels::MatchType::Equal && !m.value().is_empty())
    }
}

/// Labels that say what a metric is and go when its values become something else.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    METADATA_LABELS.contains(&name)
}

pub(crate) const METADATA_LABELS: [&str; 3] = [labels::METRIC_NAME, "__type__", "__unit__"];
