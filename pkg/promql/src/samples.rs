//! The samples of one series, raw ones and those that stand for windows of downsampled data.

use std::sync::Arc;

use chunkenc::{Column, HistogramEdges};
use histogram::FloatHistogram;
use model::{Resolution, is_stale};

/// What a sample stands for: itself, or all raw samples of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cover {
    pub count: f64,
    /// The first ms of the window; a raw sample's own time.
    pub since_ms: i64,
    /// Windows are this long at most, ms; 0 for a raw sample.
    pub resolution_ms: i64,
}

impl Cover {
    /// The last ms of the whole window that the sample at `time` is in. The last window of a chunk is cut short.
    pub fn window_end(&self, time: i64) -> i64 {
        if self.resolution_ms == 0 { time } else { window_begin(time, self.resolution_ms) + self.resolution_ms - 1 }
    }
}

/// The first ms of the window of `resolution_ms` that `time` is in.
#[inline]
pub(crate) fn window_begin(time: i64, resolution_ms: i64) -> i64 {
    const FIVE_MINUTES_MS: i64 = Resolution::FiveMinutes.ms();
    const HOUR_MS: i64 = Resolution::OneHour.ms();
    // Divisions by what is known take a fraction of the time.
    time - match resolution_ms {
        FIVE_MINUTES_MS => time.rem_euclid(FIVE_MINUTES_MS),
        HOUR_MS => time.rem_euclid(HOUR_MS),
        other => time.rem_euclid(other),
    }
}

/// Samples ascending by time, each time once: floats, and native histograms beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    pub column: Column,
    /// One per float; empty when all are raw, as most often.
    pub covers: Vec<Cover>,
    /// Start timestamps, one per float, ms; 0 = not known. Empty where they are not asked for.
    pub starts: Vec<i64>,
    pub histograms: HistogramSamples,
    /// All samples of a counter of native histograms whose windows are looked at by their edges.
    pub edges: HistogramEdges,
}

/// Native histograms ascending by time.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistogramSamples {
    pub times: Vec<i64>,
    pub values: Vec<Arc<FloatHistogram>>,
    /// Start timestamps, one per histogram, ms; 0 = not known. Empty where they are not asked for.
    pub starts: Vec<i64>,
    /// One per histogram; empty when all are raw, as most often.
    pub covers: Vec<Cover>,
}

impl HistogramSamples {
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.covers.clear();
    }

    /// Whether sample `i`, later than `at_ms`, is a window that began by then.
    pub fn holds(&self, i: usize, at_ms: i64) -> bool {
        self.covers.get(i).is_some_and(|c| c.resolution_ms > 0 && c.since_ms <= at_ms)
    }

    /// The longest windows there are, ms.
    pub fn window_max_ms(&self) -> i64 {
        self.covers.iter().map(|c| c.resolution_ms).max().unwrap_or(0)
    }

    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn push(&mut self, time: i64, value: Arc<FloatHistogram>) {
        self.times.push(time);
        self.values.push(value);
    }

    /// Keeps the samples that `keep` says yes to, by index.
    pub fn retain(&mut self, mut keep: impl FnMut(usize, &Self) -> bool) {
        let kept: Vec<usize> = (0..self.len()).filter(|i| keep(*i, self)).collect();
        if kept.len() < self.len() {
            self.times = kept.iter().map(|i| self.times[*i]).collect();
            self.values = kept.iter().map(|i| self.values[*i].clone()).collect();
            if !self.starts.is_empty() {
                self.starts = kept.iter().map(|i| self.starts[*i]).collect();
            }
            if !self.covers.is_empty() {
                self.covers = kept.iter().map(|i| self.covers[*i]).collect();
            }
        }
    }
}

impl Samples {
    pub fn clear(&mut self) {
        self.column.clear();
        self.covers.clear();
        self.starts.clear();
        self.histograms.clear();
        self.edges.clear(false);
    }

    pub fn is_empty(&self) -> bool {
        self.column.is_empty() && self.histograms.is_empty() && self.edges.times.is_empty()
    }

    /// Whether there is nothing but floats, as most often.
    pub fn is_plain(&self) -> bool {
        self.histograms.is_empty() && self.edges.times.is_empty() && self.starts.is_empty()
    }

    /// Whether some of the samples are downsampled.
    pub fn aggregated(&self) -> bool {
        !self.covers.is_empty()
    }

    pub fn drop_stale(&mut self) {
        if !self.histograms.is_empty() {
            self.histograms.retain(|i, all| !is_stale(all.values[i].sum));
        }
        let Self { column: Column { times, values }, covers, starts, .. } = self;
        // A loop without an exit takes several values at a time, and most series have no marker.
        if !values.iter().fold(false, |any, v| any | v.is_nan()) {
            return;
        }
        let Some(first) = values.iter().position(|v| is_stale(*v)) else { return };
        let mut to = first;
        for from in first..values.len() {
            if !is_stale(values[from]) {
                times[to] = times[from];
                values[to] = values[from];
                if let Some(cover) = covers.get(from).copied() {
                    covers[to] = cover;
                }
                if let Some(start) = starts.get(from).copied() {
                    starts[to] = start;
                }
                to += 1;
            }
        }
        times.truncate(to);
        values.truncate(to);
        covers.truncate(to);
        starts.truncate(to);
    }

    /// The middle of sample `i`'s window, ms; a raw sample's own time.
    pub fn middle(&self, i: usize) -> i64 {
        let time = self.column.times[i];
        match self.covers[i] {
            Cover { resolution_ms: 0, .. } => time,
            cover => time - (time - cover.since_ms) / 2,
        }
    }

    /// Whether the sample after `i` goes on where `i` ends: windows adjoin, other samples are at most `near_ms` apart.
    pub fn goes_on(&self, i: usize, near_ms: i64) -> bool {
        let (Some(cover), Some(next)) = (self.covers.get(i), self.covers.get(i + 1)) else { return false };
        let (time, next_time) = (self.column.times[i], self.column.times[i + 1]);
        let begin = next.window_end(next_time) + 1 - next.resolution_ms;
        match (cover.resolution_ms, next.resolution_ms) {
            (0, 0) => next_time - time <= near_ms,
            (0, _) => begin - time <= near_ms,
            (_, 0) => next_time - time <= near_ms,
            _ => begin <= cover.window_end(time) + 1,
        }
    }

    /// The longest window that `after..=last` cuts, ms.
    pub fn longest_window(&self, after: i64, last: i64) -> Option<i64> {
        let cut = |(time, cover): &(&i64, &Cover)| **time > after && cover.since_ms <= last;
        self.column.times.iter().zip(&self.covers).filter(cut).map(|(_, cover)| cover.resolution_ms).max()
    }

    /// Whether sample `i`, later than `at_ms`, is a window that began by then.
    pub fn holds(&self, i: usize, at_ms: i64) -> bool {
        self.covers.get(i).is_some_and(|c| c.resolution_ms > 0 && c.since_ms <= at_ms)
    }
}

/// What windows see of a step at `at_ms`: they end a ms before multiples of 5 minutes, and a step on the first ms of a window
/// is one at the end of the window before.
pub(crate) fn aligned(at_ms: i64) -> i64 {
    at_ms - i64::from(at_ms.rem_euclid(Resolution::FiveMinutes.ms()) == 0)
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
    fn windows_go_on_from_what_they_adjoin() {
        let minute = 60_000;
        let lookback = 5 * minute;
        for (list, want) in [
            (&[(0, 0), (lookback, 0)][..], true),
            (&[(0, 0), (lookback + 1, 0)], false),
            (&[(HOUR - 1, HOUR), (2 * HOUR - 1, HOUR)], true),
            // One is missing in between.
            (&[(HOUR - 1, HOUR), (3 * HOUR - 1, HOUR)], false),
            // A window cut short, then the rest of the hour, or the next one.
            (&[(HOUR / 2, HOUR), (HOUR - 1, HOUR)], true),
            (&[(HOUR / 2, HOUR), (2 * HOUR - 1, HOUR)], true),
            (&[(HOUR - 1, HOUR), (HOUR + lookback - 1, lookback)], true),
            (&[(HOUR - 1, HOUR), (HOUR + 2 * lookback - 1, lookback)], false),
            // Raw, then windows, without and with a pause; and back.
            (&[(HOUR - 1000, 0), (2 * HOUR - 1, HOUR)], true),
            (&[(HOUR - 6 * minute, 0), (2 * HOUR - 1, HOUR)], false),
            (&[(HOUR - 1, HOUR), (HOUR + minute, 0)], true),
            (&[(HOUR - 1, HOUR), (HOUR + 6 * minute, 0)], false),
        ] {
            assert_eq!(samples(list).goes_on(0, lookback), want, "{list:?}");
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
