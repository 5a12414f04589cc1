//! Where windows end, and how many output chunks a run of samples makes: Thanos' rules, so that outputs are alike.

/// Chunks are planned so that they have about this many windows.
const WINDOWS_PER_CHUNK: usize = 140;
/// The spacing of raw samples that the plan assumes, ms.
pub(crate) const RAW_SPACING_MS: i64 = 60_000;
/// No chunk gets more windows, whatever the plan: the count of samples must hold them and two more.
pub(crate) const WINDOWS_MAX: usize = chunkenc::MAX_SAMPLES - 2;

/// The last millisecond of the window that holds `time`. Windows of times before 1970 are aligned as all others are.
#[inline]
pub(crate) fn window_end(time: i64, resolution_ms: i64) -> i64 {
    (time - time.rem_euclid(resolution_ms)).saturating_add(resolution_ms - 1)
}

/// How many chunks to make of `samples` samples over the time from `min` to `max`, whose spacing is `from_ms` when
/// nothing is missing.
pub(crate) fn chunk_count(min: i64, max: i64, from_ms: i64, to_ms: i64, samples: usize) -> usize {
    let range = max.saturating_sub(min).max(0);
    let windows_max = (range / to_ms) as f64;
    // Without a range: x / 0 is infinite, that is full.
    let fullness = (samples as f64 / (range as f64 / from_ms as f64)).min(1.0);
    let expected = (windows_max * fullness) as usize + 1;
    // The least number of chunks with at most so many windows each, rounded down.
    expected / (WINDOWS_PER_CHUNK + 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        for (time, end) in [(0, 99), (99, 99), (100, 199), (-1, -1), (-100, -1), (-101, -101)] {
            assert_eq!(window_end(time, 100), end, "{time}");
        }
        assert_eq!(window_end(i64::MAX, 100), i64::MAX);
    }

    #[test]
    fn counts() {
        const HOUR: i64 = 3_600_000;
        // One sample; two hours; 14 days at a minute, at ten minutes, at an hour.
        for (range, samples, count) in
            [(0, 1, 1), (2 * HOUR, 480, 1), (336 * HOUR, 20_160, 29), (336 * HOUR, 2016, 3), (336 * HOUR, 336, 1)]
        {
            assert_eq!(chunk_count(0, range, RAW_SPACING_MS, 300_000, samples), count, "{range} {samples}");
        }
        // Every number of expected windows: never more than the plan's, never a chunk too many.
        for expected in 1..3000usize {
            let count = chunk_count(0, (expected as i64 - 1) * 100, 1, 100, usize::MAX);
            assert!(expected / count <= WINDOWS_PER_CHUNK, "{expected}");
            assert!(count == 1 || expected / (count - 1) > WINDOWS_PER_CHUNK, "{expected}");
        }
    }
}
