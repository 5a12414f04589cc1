//! When a target is scraped.

use labels::Labels;

/// Scrapes that are due within this time are due together: a processor that is awake for one, its caches full of what that
/// needs, has little to do for the next.
const TOGETHER_MS: i64 = 100;
/// Times within the interval that there are at least, so that scrapes stay spread.
const PHASES_MIN: i64 = 150;

/// Multiples of the interval, moved by the phase, that scrapes are due at: the same times whenever the server was started,
/// spread over the interval from target to target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval_ms: i64,
    phase_ms: i64,
}

impl Schedule {
    /// The times of a target, which `labels` and `url` name.
    pub(crate) fn new(labels: &Labels, url: &str, seed: u64, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(url.as_bytes(), labels.stable_hash()) ^ seed;
        let together_ms = (interval_ms / PHASES_MIN).clamp(1, TOGETHER_MS);
        let phases = (interval_ms / together_ms).unsigned_abs();
        Self { interval_ms, phase_ms: (hash % phases) as i64 * together_ms }
    }

    /// The first time behind `now_ms` that a scrape is due at.
    pub(crate) fn after(self, now_ms: i64) -> i64 {
        now_ms - (now_ms - self.phase_ms).rem_euclid(self.interval_ms) + self.interval_ms
    }

    /// The time that a scrape's samples get which was due at `due_ms` and began at `now_ms`.
    pub(crate) fn stamp(self, due_ms: i64, now_ms: i64, tolerance_ms: i64) -> i64 {
        let tolerance_ms = tolerance_ms.min(self.interval_ms / 100);
        if (0..=tolerance_ms).contains(&(now_ms - due_ms)) { due_ms } else { now_ms }
    }

    pub(crate) fn interval_ms(self) -> i64 {
        self.interval_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let schedule = Schedule { interval_ms: 1000, phase_ms: 300 };
        for (now, due) in [(0, 300), (299, 300), (300, 1300), (1299, 1300), (-700, 300), (-701, -700)] {
            assert_eq!(schedule.after(now), due, "{now}");
        }
        for (now, tolerance, stamp) in [(300, 2, 300), (302, 2, 300), (303, 2, 303), (310, 50, 300), (311, 50, 311)] {
            assert_eq!(schedule.stamp(300, now, tolerance), stamp, "{now} {tolerance}");
        }
        // A clock that went back.
        assert_eq!(schedule.stamp(300, 299, 2), 299);
    }

    #[test]
    fn phases_are_spread_and_differ_by_seed() {
        let phase = |i: i32, seed| {
            let labels = Labels::from_pairs([("instance", i.to_string())]);
            Schedule::new(&labels, "http://a/metrics", seed, 10_000).phase_ms
        };
        let mut by_second = [0; 10];
        for i in 0..5000 {
            by_second[(phase(i, 1) / 1000) as usize] += 1;
        }
        assert!(by_second.iter().all(|n| (400..600).contains(n)), "{by_second:?}");
        assert_eq!(phase(1, 1), phase(1, 1));
        assert!((0..100).any(|i| phase(i, 1) != phase(i, 2)));
    }

    #[test]
    fn together() {
        for (interval_ms, together_ms) in [(1, 1), (100, 1), (1000, 6), (15_000, 100), (3_600_000, 100)] {
            let phase = |i: i32| Schedule::new(&Labels::empty(), &format!("http://a/{i}"), 1, interval_ms).phase_ms;
            let phases: std::collections::BTreeSet<i64> = (0..5000).map(phase).collect();
            assert!(phases.iter().all(|phase| phase % together_ms == 0 && (0..interval_ms).contains(phase)));
            assert!(phases.len() as i64 >= interval_ms.min(PHASES_MIN), "{interval_ms}: {}", phases.len());
        }
    }
}
