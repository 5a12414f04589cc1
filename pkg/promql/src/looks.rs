//! Which times an operator looks at.

use model::TimeRange;

/// The stretches of time that an operator looks at: for each step, the ms after `end − reach` up to `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    /// The end of the first stretch, ms.
    pub first_end: i64,
    /// The end of the last one, ms.
    pub last_end: i64,
    /// From one to the next, ms; at least 1.
    pub step_ms: i64,
    /// How long each is, ms.
    pub reach_ms: i64,
}

impl Looks {
    /// From the earliest to the latest ms looked at.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.first_end - self.reach_ms + 1, self.last_end)
    }

    /// Whether any of `min..=max` is looked at.
    pub fn touch(&self, min: i64, max: i64) -> bool {
        if min > self.last_end || max <= self.first_end - self.reach_ms {
            return false;
        }
        if self.reach_ms >= self.step_ms {
            // There are no gaps between them.
            return true;
        }
        // The first stretch that ends at or after `min`.
        let ahead = min.saturating_sub(self.first_end).max(0) as u64;
        let end = self.first_end + (ahead.div_ceil(self.step_ms as u64) * self.step_ms as u64) as i64;
        end <= self.last_end && max > end - self.reach_ms
    }

    /// For finding the first and the last sample of each stretch.
    pub fn edges(self) -> Edges {
        Edges { looks: self, before: i64::MIN, ending: self.first_end, beginning: self.first_end }
    }

    /// The end of the first stretch that ends at `time` or later, `end` being that of one that is not behind it.
    fn end_from(&self, end: i64, time: i64) -> i64 {
        match time.saturating_sub(end) {
            ..=0 => end,
            // As most often, the next one.
            ahead if ahead <= self.step_ms => end.saturating_add(self.step_ms),
            ahead => end.saturating_add(
                (ahead as u64).div_ceil(self.step_ms as u64).saturating_mul(self.step_ms as u64).min(i64::MAX as u64)
                    as i64,
            ),
        }
    }
}

/// Finds the first and the last sample of each stretch, asked for one sample after the other; it may begin anew.
pub(crate) struct Edges {
    looks: Looks,
    /// The sample before the one asked for last.
    before: i64,
    /// The end of the first stretch that ends at the last time asked for, or later.
    ending: i64,
    /// The end of the first stretch that begins at the sample before that one, or later.
    beginning: i64,
}

impl Edges {
    /// Whether the sample at `time` is the first or the last one in a stretch, with others right before and after it.
    pub fn is_edge(&mut self, before: i64, time: i64, next: i64) -> bool {
        let Looks { last_end, reach_ms, .. } = self.looks;
        if before < self.before {
            *self = self.looks.edges();
        }
        self.before = before;
        self.ending = self.looks.end_from(self.ending, time);
        self.beginning = self.looks.end_from(self.beginning, before.saturating_add(reach_ms));
        (self.ending < next && self.ending <= last_end)
            || (self.beginning < time.saturating_add(reach_ms) && self.beginning <= last_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_touch_what_steps_see() {
        // (0, 10], (100, 110], (200, 210]
        let looks = Looks { first_end: 10, last_end: 210, step_ms: 100, reach_ms: 10 };
        for (min, max, want) in [
            (-5, 0, false),
            (-5, 1, true),
            (10, 10, true),
            (11, 100, false),
            (11, 101, true),
            (110, 150, true),
            (50, 160, true),
            (111, 200, false),
            (210, 300, true),
            (211, 300, false),
        ] {
            assert_eq!(looks.touch(min, max), want, "{min}..={max}");
        }
        // The starts are -0, 90+, 200; samples every 4 ms.
        let mut finder = looks.edges();
        let edges = (0..60).map(|i| 4 * i).filter(|t| finder.is_edge(t - 4, *t, t + 4)).collect::<Vec<_>>();
        assert_eq!(edges, [4, 8, 104, 108, 204, 208]);
        assert!(finder.is_edge(0, 4, 8) && !finder.is_edge(12, 16, 20));
        // Where samples are far apart, stretches are passed over.
        let mut finder = looks.edges();
        let apart = [(-500, -300), (-300, 4), (4, 207), (207, 900)];
        let found = apart.map(|(before, time)| finder.is_edge(before, time, time + 100));
        assert_eq!(found, [false, true, true, false]);
        let dense = Looks { step_ms: 5, ..looks };
        assert!((1..210).all(|t| dense.touch(t, t)));
    }
}
