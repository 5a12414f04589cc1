//! The replicas, and when they scrape.

use std::ops::Range;

use crate::story::Story;

/// How often replicas scrape today, and how often they did in history that is compacted already.
pub(crate) const SCRAPE_MS: i64 = 30_000;
pub(crate) const SCRAPE_THEN_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The clusters, each with two HA replicas.
pub(crate) const CLUSTERS: [&str; 2] = ["eu-1", "us-1"];
/// Replica, its scrape offset in ms, and the hours of each day of history in which it scrapes nothing.
const REPLICAS: [(&str, i64, Range<i64>); 2] =
    [("a", 123, 3 * HOUR_MS..3 * HOUR_MS + 1_200_000), ("b", 7_456, 15 * HOUR_MS..16 * HOUR_MS)];

/// One replica of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub cluster: &'static str,
    pub replica: &'static str,
    offset_ms: i64,
    down: Range<i64>,
}

/// All replicas of all clusters.
pub(crate) fn lanes() -> impl Iterator<Item = Lane> {
    CLUSTERS.into_iter().flat_map(lanes_of)
}

fn lanes_of(cluster: &'static str) -> [Lane; 2] {
    REPLICAS.map(|(replica, offset_ms, down)| Lane { cluster, replica, offset_ms, down })
}

impl Lane {
    pub fn external(&self) -> [(&'static str, &'static str); 2] {
        [("cluster", self.cluster), ("replica", self.replica)]
    }

    fn ticks(&self, from: i64, to: i64, every_ms: i64) -> impl Iterator<Item = i64> {
        let offset = self.offset_ms;
        let ticks = ((from - every_ms).div_euclid(every_ms) * every_ms..to).step_by(every_ms as usize);
        ticks.map(move |t| t + offset).filter(move |t| (from..to).contains(t))
    }

    fn is_down(&self, t: i64) -> bool {
        self.down.contains(&t.rem_euclid(DAY_MS))
    }

    /// When it scrapes in `from..to`. From `always_ms` on it has no gaps.
    pub fn scrapes(&self, from: i64, to: i64, always_ms: i64, story: &Story) -> Vec<i64> {
        let up = |t: &i64| *t >= always_ms || !(self.is_down(*t) || story.is_gap(self.cluster, *t));
        self.ticks(from, to, SCRAPE_MS).filter(up).collect()
    }
}

/// What a compactor makes of a cluster's replicas: it follows the first, and the second where that one has a gap.
pub(crate) fn deduplicated(cluster: &'static str, from: i64, to: i64, story: &Story) -> Vec<i64> {
    let [a, b] = lanes_of(cluster);
    let followed = a.ticks(from, to, SCRAPE_THEN_MS).filter(|t| !a.is_down(*t));
    let filled = b.ticks(from, to, SCRAPE_THEN_MS).filter(|t| a.is_down(*t));
    let mut times: Vec<i64> = followed.chain(filled).filter(|t| !story.is_gap(cluster, *t)).collect();
    times.sort_unstable();
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const END_MS: i64 = 1_795_219_200_000;

    #[test]
    fn a_gap_of_one_replica_is_filled_and_one_of_both_stays() {
        let story = Story::of(END_MS, 90);
        let times = deduplicated("us-1", END_MS - 60 * DAY_MS, END_MS, &story);
        let holes: Vec<_> = times.windows(2).filter(|w| w[1] - w[0] > 2 * SCRAPE_THEN_MS).collect();
        assert_eq!(holes.len(), 1, "{holes:?}");
        assert!(story.gap.time_ms.start - holes[0][0] <= SCRAPE_THEN_MS && holes[0][1] >= story.gap.time_ms.end);
    }

    #[test]
    fn a_replica_has_gaps_of_its_own_until_now() {
        let story = Story::of(END_MS, 90);
        let lane = lanes().next().unwrap();
        let longest = |always: i64| {
            let times = lane.scrapes(END_MS - DAY_MS, END_MS, always, &story);
            times.windows(2).map(|w| w[1] - w[0]).max().unwrap()
        };
        assert!(longest(END_MS) > 1_200_000 && longest(END_MS - DAY_MS) == SCRAPE_MS);
    }
}
