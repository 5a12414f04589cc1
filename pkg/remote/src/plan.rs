//! What is asked of Prometheus for a select, by what is known of its labels.

use std::collections::BTreeSet;
use std::sync::Arc;

use labels::{Labels, METRIC_NAME, MatchType, Matcher};
use model::TimeRange;
use storage::{Select, Sorter};

/// What is known of a Prometheus beside its series.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The external labels of its configuration.
    pub external: Labels,
    /// The times of its data, for [`SeriesSource::info`].
    pub range: TimeRange,
    /// Nothing before this is asked for, ms.
    pub limit_min_time: i64,
    /// The names of labels that its series have themselves; `None` = not known, then answers are put in order as a
    /// whole before the first series goes out.
    pub label_names: Option<Arc<BTreeSet<String>>>,
}

/// What Prometheus is asked for.
pub(crate) struct Plan {
    pub identity: Identity,
    pub range: TimeRange,
    pub matchers: Vec<Matcher>,
}

impl Plan {
    /// Whether a series without any label would match. Prometheus' API refuses such selectors.
    pub fn matches_empty(&self) -> bool {
        self.matchers.iter().all(Matcher::matches_empty)
    }

    /// Matchers for Prometheus' API; where that would refuse them, for series that have a name.
    pub fn named(&self) -> Vec<Matcher> {
        let named = Matcher::new(MatchType::NotEqual, METRIC_NAME, "").ok().filter(|_| self.matches_empty());
        self.matchers.iter().cloned().chain(named).collect()
    }

    /// Matchers for remote read, which wants one at least.
    pub fn for_read(&self) -> Vec<Matcher> {
        let all = Matcher::new(MatchType::Regex, METRIC_NAME, ".*").ok().filter(|_| self.matchers.is_empty());
        self.matchers.iter().cloned().chain(all).collect()
    }

    /// Whether label calls have to ask for series without a name apart: without any matcher Prometheus tells of all.
    pub fn apart(&self) -> bool {
        !self.matchers.is_empty() && self.matches_empty()
    }

    pub fn for_labels(&self) -> Vec<Matcher> {
        if self.matchers.is_empty() { Vec::new() } else { self.named() }
    }

    /// Whether a series may have a label of its own that is replaced or taken away.
    pub fn may_clash(&self, want: &Select) -> bool {
        let Some(names) = &self.identity.label_names else { return true };
        self.identity.external.iter().any(|(n, _)| names.contains(n))
            || want.without_replica_labels.iter().any(|n| names.contains(n))
    }

    pub fn sorter(&self, want: &Select, streaming: bool) -> Sorter {
        let external = self.identity.external.clone();
        Sorter::new(external, want.without_replica_labels.clone(), want.shard.clone(), streaming)
    }
}
