//! When a chunk is full, as Prometheus decides it, but for one thing: cut points inside a chunk range are shifted by
//! the series' hash, so that not all series cut in the same scrape.

/// Samples that a chunk is meant to have.
pub(crate) const SAMPLES: usize = 120;
/// Bytes of a float chunk: 1 KiB, less what one more sample takes at most.
pub(crate) const BYTES_MAX: usize = 1024 - 19;
/// Bytes that a histogram chunk is meant to have, and samples that it has at least.
pub(crate) const HISTOGRAM_BYTES: usize = 1024;
pub(crate) const HISTOGRAM_SAMPLES_MIN: usize = 10;

/// The end of the chunk range that `time_ms` lies in; chunks do not reach over it.
pub(crate) fn range_end(time_ms: i64, range_ms: i64) -> i64 {
    time_ms.div_euclid(range_ms).saturating_mul(range_ms).saturating_add(range_ms)
}

/// Where a chunk is to end that has come from `first_ms` to `last_ms` with the `part`-th part of what it is meant to have:
/// such that the chunks up to `end_ms` become about equal. `spread` (0 to 255) shifts the first cut of a range by up to a
/// quarter of a chunk.
pub(crate) fn predicted_end(first_ms: i64, last_ms: i64, end_ms: i64, part: f64, (spread, range_ms): (u8, i64)) -> i64 {
    let length = (last_ms.saturating_sub(first_ms).saturating_add(1)) as f64 * part;
    let left = end_ms.saturating_sub(first_ms) as f64;
    let chunks = (left / length).floor();
    // Also when it is not finite.
    if chunks.is_nan() || chunks <= 1.0 {
        return end_ms;
    }
    let each = left / chunks;
    let is_first = end_ms.saturating_sub(first_ms) as f64 > range_ms as f64 - each / 2.0;
    let shift = if is_first { (f64::from(spread) / 255.0 - 0.5) * 0.5 } else { 0.0 };
    first_ms.saturating_add((each * (1.0 + shift)) as i64).min(end_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: i64 = 7_200_000;

    #[test]
    fn ranges_are_aligned() {
        for (time, end) in [(0, RANGE), (RANGE - 1, RANGE), (RANGE, 2 * RANGE), (-1, 0), (-RANGE, 0)] {
            assert_eq!(range_end(time, RANGE), end, "{time}");
        }
        assert_eq!(range_end(i64::MAX, RANGE), i64::MAX);
    }

    #[test]
    fn chunks_become_equal_and_series_differ() {
        let end = |first: i64, spread| predicted_end(first, first + 29 * 15_000, RANGE, 4.0, (spread, RANGE));
        // 30 samples of 15 s took a quarter: 480 in the range, about 120 a chunk.
        let ends: Vec<i64> = (0..=255).map(|spread| end(0, spread) / 15_000).collect();
        assert!(ends.is_sorted() && ends[0] < 100 && ends[255] > 140, "{ends:?}");
        assert_eq!(end(3 * RANGE / 4, 0), RANGE, "the last one ends with the range");
        assert_eq!(predicted_end(0, 0, i64::MAX, f64::INFINITY, (0, RANGE)), i64::MAX);
    }
}
