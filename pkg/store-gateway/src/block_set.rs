//! Blocks with the same external labels, by resolution: which of them answer for a range of time.

use model::{Resolution, TimeRange};

/// The levels of a set, coarsest first, ms.
const RESOLUTIONS_MS: [i64; 3] = [Resolution::OneHour.ms(), Resolution::FiveMinutes.ms(), Resolution::Raw.ms()];

/// What the set needs to know of a block.
pub trait Spans {
    /// First ms with data.
    fn min_time(&self) -> i64;
    /// First ms after the data.
    fn max_time(&self) -> i64;
    /// That of one of [`Resolution::ALL`].
    fn resolution_ms(&self) -> i64;
}

/// Blocks of one external label set.
#[derive(Debug, Clone)]
pub struct BlockSet<B> {
    /// By resolution, coarsest first; each sorted by start, then end.
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
    /// gaps. With `coarsest_ms`, what is still a gap then is filled from blocks of lower resolutions, finest first, that
    /// are no coarser than this, and downsampled blocks are needed from three of their windows earlier to one later. Each
    /// comes once, with the time it is needed for.
    pub fn get_for(&self, range: TimeRange, max_resolution_ms: i64, coarsest_ms: Option<i64>) -> Vec<(B, TimeRange)> {
        let first = RESOLUTIONS_MS.iter().position(|r| *r <= max_resolution_ms).unwrap_or(RESOLUTIONS_MS.len() - 1);
        let mut order: Vec<usize> = (first..RESOLUTIONS_MS.len()).collect();
        let within = |level: &usize| coarsest_ms.is_some_and(|max| RESOLUTIONS_MS[*level] <= max);
        order.extend((0..first).rev().filter(within));
        let mut found: Vec<(usize, usize, TimeRange)> = Vec::new();
        self.fill(range, &order, &mut found);
        if let (Some(coarsest_ms), false) = (coarsest_ms, range.is_empty()) {
            self.reach_back(range, coarsest_ms.max(max_resolution_ms), &mut found);
        }
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

    /// Blocks of the first of the levels in `order`, and of the others where that has gaps.
    fn fill(&self, range: TimeRange, order: &[usize], found: &mut Vec<(usize, usize, TimeRange)>) {
        let Some((level, others)) = order.split_first() else { return };
        if range.is_empty() {
            return;
        }
        // Everything before is covered. Blocks may lie within each other, so a later one may end earlier.
        let mut covered = range.min;
        let mut full = false;
        for (at, block) in self.levels[*level].iter().enumerate() {
            if block.max_time() <= range.min {
                continue;
            }
            if block.min_time() > range.max {
                break;
            }
            if !full && block.min_time() > covered {
                self.fill(TimeRange::new(covered, block.min_time() - 1), others, found);
            }
            found.push((*level, at, range));
            covered = covered.max(block.max_time());
            full = covered > range.max;
        }
        if !full {
            self.fill(TimeRange::new(covered, range.max), others, found);
        }
    }

    /// What windows show lies up to two windows back, and a chunk may end in the middle of a third: widens what
    /// downsampled blocks are needed for, and, where no block holds the begin of `range`, adds the finest that end not
    /// long before it.
    fn reach_back(&self, range: TimeRange, coarsest_ms: i64, found: &mut Vec<(usize, usize, TimeRange)>) {
        let reach = |level: usize| RESOLUTIONS_MS[level].saturating_mul(3);
        let begin_held = found.iter().any(|(level, at, _)| {
            let block = &self.levels[*level][*at];
            block.min_time() <= range.min && range.min < block.max_time()
        });
        for (level, _, needed) in found.iter_mut() {
            needed.min = needed.min.saturating_sub(reach(*level));
            // The window that holds the end ends after it.
            needed.max = needed.max.saturating_add(RESOLUTIONS_MS[*level]);
        }
        let downsampled =
            (0..RESOLUTIONS_MS.len()).rev().filter(|level| (1..=coarsest_ms).contains(&RESOLUTIONS_MS[*level]));
        for level in downsampled.filter(|_| !begin_held) {
            let from = range.min.saturating_sub(reach(level));
            let ended = |b: &B| b.max_time() > from && b.max_time() <= range.min;
            let before = self.levels[level].iter().enumerate().filter(|(_, b)| ended(b));
            let had = found.len();
            found.extend(before.map(|(at, _)| (level, at, TimeRange::new(from, range.min))));
            if found.len() > had {
                break;
            }
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
        show_found(&BlockSet::new(blocks.to_vec()).get_for(TimeRange::new(range.0, range.1), max, None))
    }

    fn show_found(found: &[(B, TimeRange)]) -> String {
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

    #[test]
    fn coarser_blocks_fill_what_is_left() {
        const H: i64 = HOUR;
        let day = |from: i64, to: i64, resolution: i64| B(from * 24 * H, to * 24 * H, resolution);
        let at = |from: i64, to: i64| TimeRange::new(from * 24 * H, to * 24 * H - 1);
        let days = |t: i64| t as f64 / (24 * H) as f64;
        let brief = |blocks: &[B], range: TimeRange, max: i64| -> Vec<String> {
            let found = BlockSet::new(blocks.to_vec()).get_for(range, max, Some(i64::MAX));
            let one = |(b, r): &(B, TimeRange)| {
                let back = match b.2 {
                    RAW => 0,
                    FIVE => 3 * FIVE,
                    _ => 3 * HOUR,
                };
                let kind = match b.2 {
                    RAW => "raw",
                    FIVE => "5m",
                    _ => "1h",
                };
                format!("{kind} {}-{} for {}-{}", days(b.0), days(b.1), days(r.min + back), days(r.max + 1 - b.2))
            };
            found.iter().map(one).collect()
        };
        // Raw data was kept for two days, 5 m for four.
        let kept = [day(0, 10, HOUR), day(6, 10, FIVE), day(8, 10, RAW)];
        assert_eq!(brief(&kept, at(0, 10), RAW), ["1h 0-10 for 0-6", "5m 6-10 for 0-8", "raw 8-10 for 0-10"]);
        assert_eq!(brief(&kept, at(0, 10), FIVE), ["1h 0-10 for 0-6", "5m 6-10 for 0-10"]);
        assert_eq!(brief(&kept, at(0, 10), HOUR), ["1h 0-10 for 0-10"]);
        assert_eq!(brief(&kept, at(9, 10), RAW), ["raw 8-10 for 9-10"]);
        // Of coarser ones the finest.
        assert_eq!(brief(&kept[..2], at(7, 8), RAW), ["5m 6-10 for 7-8"]);
        assert_eq!(brief(&kept[..1], at(7, 8), RAW), ["1h 0-10 for 7-8"]);
        // No coarser than that.
        let set = BlockSet::new(kept.to_vec());
        let at_most =
            |range, coarsest| set.get_for(range, RAW, Some(coarsest)).iter().map(|(b, _)| b.2).collect::<Vec<_>>();
        assert_eq!(
            [at_most(at(7, 8), FIVE), at_most(at(1, 2), FIVE), at_most(at(7, 8), RAW)],
            [vec![FIVE], vec![], vec![]]
        );
        // A hole in the middle, and one at the end that nothing fills.
        let holes = [day(0, 3, RAW), day(4, 6, RAW), day(2, 5, HOUR)];
        assert_eq!(brief(&holes, at(0, 8), RAW), ["1h 2-5 for 3-4", "raw 0-3 for 0-8", "raw 4-6 for 0-8"]);
        // The windows just before the range, where nothing holds its begin.
        let now = TimeRange::new(10 * 24 * H + H, 11 * 24 * H - 1);
        let found = BlockSet::new(kept.to_vec()).get_for(now, RAW, Some(i64::MAX));
        assert_eq!(found, [(kept[0].clone(), TimeRange::new(10 * 24 * H - 2 * H, now.min))]);
        assert_eq!(BlockSet::new(kept.to_vec()).get_for(now, RAW, None), []);
        let live = [kept[0].clone(), day(10, 11, RAW)];
        assert_eq!(BlockSet::new(live.to_vec()).get_for(now, RAW, Some(i64::MAX)), [(live[1].clone(), now)]);
        assert_eq!(BlockSet::new(kept.to_vec()).get_for(TimeRange::new(10, 9), RAW, Some(i64::MAX)), []);
    }

    /// What is allowed does not depend on whether coarser will do; what is not is filled as far as any block reaches.
    #[test]
    fn coarser_only_adds() {
        let mut seed = 7u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..2000 {
            let blocks: Vec<B> = (0..next(8))
                .map(|_| {
                    let from = next(20) as i64 * HOUR;
                    B(from, from + (1 + next(10) as i64) * HOUR, RESOLUTIONS_MS[next(3) as usize])
                })
                .collect();
            let from = next(30) as i64 * HOUR;
            let range = TimeRange::new(from, from + (1 + next(12) as i64) * HOUR - 1);
            let max = RESOLUTIONS_MS[next(3) as usize];
            let set = BlockSet::new(blocks.clone());
            let (strict, wide) = (set.get_for(range, max, None), set.get_for(range, max, Some(i64::MAX)));
            assert!(strict.iter().all(|(b, _)| b.2 <= max));
            for (block, r) in &strict {
                let kept = wide.iter().any(|(b, w)| b == block && w.min <= r.min && w.max >= r.max);
                assert!(kept, "{blocks:?} {range:?} {max}: {block:?}");
            }
            for t in (range.min..range.max).step_by(HOUR as usize) {
                let held = |b: &B| b.0 <= t && t < b.1;
                let any = blocks.iter().any(held);
                let got = wide.iter().any(|(b, r)| held(b) && r.min <= t && t <= r.max);
                assert_eq!(any, got, "{blocks:?} {range:?} {max} at {t}");
            }
        }
    }
}
