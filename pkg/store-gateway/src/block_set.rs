//! Blocks with the same external labels, by resolution: which of them answer for a range of time.

use model::TimeRange;

/// The resolutions that blocks may have, in ms, coarsest first.
pub const RESOLUTIONS_MS: [i64; 3] = [3_600_000, 300_000, 0];

/// What the set needs to know of a block.
pub trait Spans {
    /// First ms with data.
    fn min_time(&self) -> i64;
    /// First ms after the data.
    fn max_time(&self) -> i64;
    /// One of [`RESOLUTIONS_MS`].
    fn resolution_ms(&self) -> i64;
}

/// Blocks of one external label set.
#[derive(Debug, Clone)]
pub struct BlockSet<B> {
    /// By resolution as in [`RESOLUTIONS_MS`]; each sorted by start, then end.
    levels: [Vec<B>; 3],
}

impl<B: Spans + Clone> BlockSet<B> {
    /// A set of `blocks`; those with another resolution are left out.
    pub fn new(blocks: impl IntoIterator<Item = B>) -> Self {
        let mut levels = [const { Vec::new() }; 3];
        for block in blocks {
            if let Some(level) = RESOLUTIONS_MS.iter().position(|r| *r == block.resolution_ms()) {
                levels[level].push(block);
            }
        }
        for level in &mut levels {
            level.sort_by_key(|b: &B| (b.min_time(), b.max_time()));
        }
        Self { levels }
    }

    /// The blocks that overlap `range`, whatever their resolution.
    pub fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &B> {
        self.levels.iter().flatten().filter(move |b| b.min_time() <= range.max && range.min < b.max_time())
    }

    /// The blocks that answer for `range`: the coarsest that `max_resolution_ms` allows, finer ones where those have
    /// gaps. Each comes once, with the time it is needed for.
    pub fn get_for(&self, range: TimeRange, max_resolution_ms: i64) -> Vec<(B, TimeRange)> {
        let first = RESOLUTIONS_MS.iter().position(|r| *r <= max_resolution_ms).unwrap_or(RESOLUTIONS_MS.len() - 1);
        let mut found: Vec<(usize, usize, TimeRange)> = Vec::new();
        self.fill(range, first, &mut found);
        found.sort_by_key(|(level, at, r)| (*level, *at, r.min));
        // A fine block that fills two gaps answers once, from the first gap to the last.
        found.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 = TimeRange::new(kept.2.min.min(next.2.min), kept.2.max.max(next.2.max));
            }
            same
        });
        found.into_iter().map(|(level, at, r)| (self.levels[level][at].clone(), r)).collect()
    }

    fn fill(&self, range: TimeRange, level: usize, found: &mut Vec<(usize, usize, TimeRange)>) {
        if range.is_empty() || level >= self.levels.len() {
            return;
        }
        // Everything before is covered. Blocks may lie within each other, so a later one may end earlier.
        let mut covered = range.min;
        let mut full = false;
        for (at, block) in self.levels[level].iter().enumerate() {
            if block.max_time() <= range.min {
                continue;
            }
            if block.min_time() > range.max {
                break;
            }
            if !full && block.min_time() > covered {
                self.fill(TimeRange::new(covered, block.min_time() - 1), level + 1, found);
            }
            found.push((level, at, range));
            covered = covered.max(block.max_time());
            full = covered > range.max;
        }
        if !full {
            self.fill(TimeRange::new(covered, range.max), level + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct B(i64, i64, i64);

    impl Spans for B {
        fn min_time(&self) -> i64 {
            self.0
        }

        fn max_time(&self) -> i64 {
            self.1
        }

        fn resolution_ms(&self) -> i64 {
            self.2
        }
    }

    const RAW: i64 = 0;
    const FIVE: i64 = 300_000;
    const HOUR: i64 = 3_600_000;

    fn show(blocks: &[B], range: (i64, i64), max: i64) -> String {
        let set = BlockSet::new(blocks.to_vec());
        let found = set.get_for(TimeRange::new(range.0, range.1), max);
        let name = |r: i64| match r {
            RAW => "raw",
            FIVE => "5m",
            _ => "1h",
        };
        let shown = found.iter().map(|(b, r)| format!("{} {}-{} for {}-{}", name(b.2), b.0, b.1, r.min, r.max));
        let mut shown: Vec<_> = shown.collect();
        shown.sort();
        shown.join(", ")
    }

    #[test]
    fn table() {
        let mixed =
            [B(0, 100, RAW), B(100, 200, RAW), B(200, 300, RAW), B(0, 100, FIVE), B(100, 200, FIVE), B(0, 100, HOUR)];
        for (blocks, range, max, want) in [
            (&mixed[..], (0, 299), RAW, "raw 0-100 for 0-299, raw 100-200 for 0-299, raw 200-300 for 0-299"),
            (&mixed, (0, 299), FIVE, "5m 0-100 for 0-299, 5m 100-200 for 0-299, raw 200-300 for 200-299"),
            (&mixed, (0, 299), HOUR, "1h 0-100 for 0-299, 5m 100-200 for 100-299, raw 200-300 for 200-299"),
            (&mixed, (0, 299), i64::MAX, "1h 0-100 for 0-299, 5m 100-200 for 100-299, raw 200-300 for 200-299"),
            // A resolution between two steps means the finer one.
            (&mixed, (0, 99), FIVE - 1, "raw 0-100 for 0-99"),
            (&mixed, (0, 99), HOUR - 1, "5m 0-100 for 0-99"),
            // Ends: blocks are half-open, requests are not.
            (&mixed, (100, 100), RAW, "raw 100-200 for 100-100"),
            (&mixed, (99, 99), RAW, "raw 0-100 for 99-99"),
            (&mixed, (99, 100), RAW, "raw 0-100 for 99-100, raw 100-200 for 99-100"),
            (&mixed, (300, 400), HOUR, ""),
            (&mixed, (-5, -1), HOUR, ""),
            (&mixed, (10, 9), HOUR, ""),
            // A gap in the middle.
            (
                &[B(0, 300, RAW), B(0, 100, FIVE), B(200, 300, FIVE)],
                (0, 299),
                FIVE,
                "5m 0-100 for 0-299, 5m 200-300 for 0-299, raw 0-300 for 100-199",
            ),
            // One fine block for two gaps.
            (&[B(0, 300, RAW), B(100, 200, FIVE)], (0, 299), FIVE, "5m 100-200 for 0-299, raw 0-300 for 0-299"),
            // No gap at the borders of the request.
            (&[B(0, 300, RAW), B(0, 300, FIVE)], (50, 250), FIVE, "5m 0-300 for 50-250"),
            (&[B(0, 300, RAW), B(0, 300, HOUR)], (0, 299), FIVE, "raw 0-300 for 0-299"),
            (
                &[B(i64::MIN, i64::MAX, RAW)],
                (i64::MIN, i64::MAX),
                RAW,
                "raw -9223372036854775808-9223372036854775807 for -9223372036854775808-9223372036854775807",
            ),
            // An unknown resolution is never read.
            (&[B(0, 100, 7)], (0, 99), i64::MAX, ""),
        ] {
            assert_eq!(show(blocks, range, max), want, "{range:?} at {max}");
        }
    }

    /// A block inside another one ends earlier; what the outer one covers is no gap.
    #[test]
    fn r9_nested_blocks_open_no_gap() {
        let blocks =
            [B(0, 300, RAW), B(100, 200, RAW), B(200, 300, RAW), B(0, 250, FIVE), B(50, 100, FIVE), B(120, 130, FIVE)];
        assert_eq!(
            show(&blocks, (0, 299), FIVE),
            "5m 0-250 for 0-299, 5m 120-130 for 0-299, 5m 50-100 for 0-299, raw 0-300 for 250-299, raw 200-300 for 250-299"
        );
    }
}
