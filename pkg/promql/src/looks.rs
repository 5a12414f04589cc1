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

    /// Whether the sample at `time` is the first or the last one in a stretch, with others right before and after it.
    pub fn is_edge(&self, before: i64, time: i64, next: i64) -> bool {
        self.ends_in(time, next)
            || self.ends_in(before.saturating_add(self.reach_ms), time.saturating_add(self.reach_ms))
    }

    /// Whether a stretch ends in `from..to`.
    fn ends_in(&self, from: i64, to: i64) -> bool {
        let ahead = from.saturating_sub(self.first_end).max(0) as u64;
        let end = self.first_end.saturating_add((ahead.div_ceil(self.step_ms as u64) * self.step_ms as u64) as i64);
        end < to && end >= from && end <= self.last_end
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
        let edges = (0..60).map(|i| 4 * i).filter(|t| looks.is_edge(t - 4, *t, t + 4)).collect::<Vec<_>>();
        assert_eq!(edges, [4, 8, 104, 108, 204, 208]);
        let dense = Looks { step_ms: 5, ..looks };
        assert!((1..210).all(|t| dense.touch(t, t)));
    }
}
