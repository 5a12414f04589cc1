//! What happened in the days before the demo began: an incident, a cardinality explosion, a gap.

use std::ops::Range;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Something that happened in one cluster, `from..to` in ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub cluster: &'static str,
    pub time_ms: Range<i64>,
}

/// The events of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story {
    /// A new version of the API: errors and slow answers, with one instance down in its midst, until it is taken back.
    pub incident: Event,
    /// A label with a value for each session: thousands of series that live for minutes.
    pub explosion: Event,
    /// Both replicas of a cluster scraped nothing.
    pub gap: Event,
}

impl Story {
    /// That of a history of `days` days which ends at `end_ms`: the events lie a tenth, but at most a day, two ninths and a
    /// third of it back.
    pub fn of(end_ms: i64, days: u32) -> Self {
        let span_ms = i64::from(days) * DAY_MS;
        let event = |cluster, back_ms: i64, long_ms: i64| {
            let from = (end_ms - back_ms).min(end_ms - long_ms).div_euclid(HOUR_MS) * HOUR_MS;
            Event { cluster, time_ms: from..from + long_ms }
        };
        Self {
            incident: event("eu-1", (span_ms / 10).min(DAY_MS), 2 * HOUR_MS),
            explosion: event("us-1", span_ms / 9 * 2, 6 * HOUR_MS),
            gap: event("us-1", span_ms / 3, 3 * HOUR_MS),
        }
    }

    /// When the incident was, in seconds, if it was in `cluster`.
    pub fn incident_s(&self, cluster: &str) -> Option<(f64, f64)> {
        let Event { cluster: of, time_ms } = &self.incident;
        (*of == cluster).then_some((time_ms.start as f64 / 1000.0, time_ms.end as f64 / 1000.0))
    }

    /// Whether all replicas of `cluster` scraped nothing at `t_ms`.
    pub fn is_gap(&self, cluster: &str, t_ms: i64) -> bool {
        self.gap.cluster == cluster && self.gap.time_ms.contains(&t_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END_MS: i64 = 1_795_223_720_123;

    #[test]
    fn events_lie_in_the_history() {
        for days in [1, 3, 15, 90, 3650] {
            let story = Story::of(END_MS, days);
            let begin = END_MS - i64::from(days) * DAY_MS - 6 * HOUR_MS;
            for event in [&story.incident, &story.explosion, &story.gap] {
                assert!(event.time_ms.start >= begin && event.time_ms.end <= END_MS, "{days} days: {event:?}");
            }
        }
        assert_eq!(Story::of(END_MS, 90), Story::of(END_MS, 90));
    }

    #[test]
    fn gaps_are_of_one_cluster() {
        let story = Story::of(END_MS, 90);
        let within = story.gap.time_ms.start;
        assert!(story.is_gap("us-1", within) && !story.is_gap("eu-1", within));
        assert!(!story.is_gap("us-1", within - 1) && !story.is_gap("us-1", story.gap.time_ms.end));
        assert!(story.incident_s("eu-1").is_some() && story.incident_s("us-1").is_none());
    }
}
