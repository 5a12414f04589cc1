//! The steps of a query.

/// Points in time at equal distances: `start_ms`, `start_ms + step_ms`, … up to `end_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Time of the first step, ms since the epoch.
    pub start_ms: i64,
    /// No step lies after this, ms.
    pub end_ms: i64,
    /// Distance, ms; 0 for the one step of an instant query.
    pub step_ms: i64,
}

impl Grid {
    /// Steps from `start_ms` to at most `end_ms`.
    pub const fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        Self { start_ms, end_ms, step_ms }
    }

    /// One step, as an instant query has it.
    pub const fn instant(time_ms: i64) -> Self {
        Self { start_ms: time_ms, end_ms: time_ms, step_ms: 0 }
    }

    /// Whether this is a range query's, which has a step even if there is only one point.
    pub const fn is_range(&self) -> bool {
        self.step_ms > 0
    }

    /// How many steps; 0 when the end lies before the start.
    pub fn steps(&self) -> usize {
        if self.end_ms < self.start_ms {
            return 0;
        }
        (self.end_ms.wrapping_sub(self.start_ms) as u64 / self.step_ms.max(1) as u64) as usize + 1
    }

    /// The time of step `i`, ms.
    pub fn time(&self, i: usize) -> i64 {
        // The sum is in range where the product need not be.
        self.start_ms.wrapping_add((i as i64).wrapping_mul(self.step_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        for (grid, steps) in [
            (Grid::instant(7), 1),
            (Grid::new(0, 10, 5), 3),
            (Grid::new(0, 9, 5), 2),
            (Grid::new(0, -1, 5), 0),
            (Grid::new(i64::MIN, i64::MAX, i64::MAX), 3),
        ] {
            assert_eq!(grid.steps(), steps, "{grid:?}");
        }
        assert_eq!((Grid::new(10, 20, 5).time(2), Grid::instant(7).time(0)), (20, 7));
        assert!(Grid::new(1, 1, 1).is_range() && !Grid::instant(1).is_range());
    }
}
