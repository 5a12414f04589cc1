//! The samples of one series, raw ones and those that stand for windows of downsampled data.

use chunkenc::Column;
use model::is_stale;

/// What a sample stands for: itself, or all raw samples of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cover {
    /// How many raw samples.
    pub count: f64,
    /// The first ms of the window; a raw sample's own time.
    pub since_ms: i64,
    /// Windows are this long at most, ms; 0 for a raw sample.
    pub resolution_ms: i64,
}

impl Cover {
    /// The last ms of the whole window that the sample at `time` is in. The last window of a chunk is cut short.
    pub fn window_end(&self, time: i64) -> i64 {
        if self.resolution_ms == 0 { time } else { time - time.rem_euclid(self.resolution_ms) + self.resolution_ms - 1 }
    }
}

/// Samples ascending by time, each time once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub column: Column,
    /// One per sample; empty when all are raw, as most often.
    pub covers: Vec<Cover>,
}

impl Samples {
    pub fn clear(&mut self) {
        self.column.clear();
        self.covers.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.column.is_empty()
    }

    /// Whether some of the samples are downsampled.
    pub fn aggregated(&self) -> bool {
        !self.covers.is_empty()
    }

    /// Takes stale markers out.
    pub fn drop_stale(&mut self) {
        let Self { column: Column { times, values }, covers } = self;
        let Some(first) = values.iter().position(|v| is_stale(*v)) else { return };
        let mut to = first;
        for from in first..values.len() {
            if !is_stale(values[from]) {
                times[to] = times[from];
                values[to] = values[from];
                if let Some(cover) = covers.get(from).copied() {
                    covers[to] = cover;
                }
                to += 1;
            }
        }
        times.truncate(to);
        values.truncate(to);
        covers.truncate(to);
    }

    /// Up to when, that ms not included, an instant selector shows sample `i` of data whose resolution was chosen
    /// automatically: for the lookback, and as long as data of this resolution has no more to show. Else a lookback
    /// shorter than the windows would leave gaps where there is data.
    pub fn shown_until(&self, i: usize, lookback_ms: i64) -> i64 {
        let time = self.column.times[i];
        let plain = time.saturating_add(lookback_ms);
        let Some(cover) = self.covers.get(i) else { return plain };
        let mut until = plain;
        if cover.resolution_ms > 0 {
            until = until.max(cover.window_end(time) + 1 + cover.resolution_ms);
        }
        if self.next_adjoins(i, lookback_ms) {
            until = until.max(self.column.times[i + 1]);
        }
        until
    }

    /// Whether the sample after `i` is a window that goes on where `i` ends, without a pause of more than the lookback
    /// or a window.
    pub fn next_adjoins(&self, i: usize, lookback_ms: i64) -> bool {
        let (Some(cover), Some(next)) = (self.covers.get(i), self.covers.get(i + 1)) else { return false };
        if next.resolution_ms == 0 {
            return false;
        }
        let begin = next.window_end(self.column.times[i + 1]) + 1 - next.resolution_ms;
        cover.window_end(self.column.times[i]).saturating_add(lookback_ms.max(cover.resolution_ms)) >= begin
    }

    /// The last ms at which data as coarse as sample `i` would have shown nothing newer.
    pub fn newest_until(&self, i: usize) -> i64 {
        let time = self.column.times[i];
        self.covers.get(i).map_or(time, |c| c.window_end(time) + c.resolution_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn samples(list: &[(i64, i64)]) -> Samples {
        let mut out = Samples::default();
        for (time, resolution_ms) in list {
            out.column.push(*time, 1.0);
            let since_ms = if *resolution_ms == 0 { *time } else { time - time % resolution_ms };
            out.covers.push(Cover { count: 1.0, since_ms, resolution_ms: *resolution_ms });
        }
        out
    }

    #[test]
    fn coarse_samples_are_shown_until_the_next() {
        let minute = 60_000;
        let lookback = 5 * minute;
        for (list, want) in [
            // Raw only: the lookback.
            (&[(0, 0), (HOUR, 0)][..], [5 * minute, HOUR + 5 * minute]),
            // Two windows: each for an hour after its end.
            (&[(HOUR - 1, HOUR), (2 * HOUR - 1, HOUR)], [2 * HOUR, 3 * HOUR]),
            // A window cut short, then the rest of the hour.
            (&[(HOUR / 2, HOUR), (HOUR - 1, HOUR)], [2 * HOUR, 2 * HOUR]),
            // Raw, then windows, without and with a pause.
            (&[(HOUR - 1000, 0), (2 * HOUR - 1, HOUR)], [2 * HOUR - 1, 3 * HOUR]),
            (&[(HOUR - 6 * minute, 0), (2 * HOUR - 1, HOUR)], [HOUR - minute, 3 * HOUR]),
            // Windows of 5 minutes, the first cut short.
            (&[(3 * minute, 5 * minute), (10 * minute - 1, 5 * minute)], [10 * minute, 15 * minute]),
        ] {
            let s = samples(list);
            assert_eq!([s.shown_until(0, lookback), s.shown_until(1, lookback)], want, "{list:?}");
        }
    }

    #[test]
    fn stale_markers_go_with_their_covers() {
        let mut s = samples(&[(1, 0), (2, 0), (HOUR - 1, HOUR)]);
        s.column.values[1] = f64::from_bits(model::STALE_NAN_BITS);
        s.drop_stale();
        assert_eq!(s.column.times, [1, HOUR - 1]);
        assert_eq!(s.covers.iter().map(|c| c.resolution_ms).collect::<Vec<_>>(), [0, HOUR]);
    }
}
