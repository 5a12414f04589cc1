//! Windows over a column of floats.

use crate::sizing::{WINDOWS_MAX, window_end};

/// The aggregates of consecutive windows, column by column, and what the counter part tells beside them.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// Last millisecond of each window; at the end of a batch its last sample's time.
    pub(crate) times: Vec<i64>,
    pub(crate) counts: Vec<f64>,
    pub(crate) sums: Vec<f64>,
    pub(crate) mins: Vec<f64>,
    pub(crate) maxs: Vec<f64>,
    /// Running totals, corrected for resets.
    pub(crate) counters: Vec<f64>,
    /// The true first and last sample of the counter.
    pub(crate) first: (i64, f64),
    pub(crate) last: f64,
}

impl Windows {
    fn clear(&mut self) {
        self.times.clear();
        for column in [&mut self.counts, &mut self.sums, &mut self.mins, &mut self.maxs, &mut self.counters] {
            column.clear();
        }
    }

    /// Aggregates samples, at least one, times ascending, without NaN. Returns how many it took: all, unless there were
    /// too many windows for a chunk.
    pub(crate) fn fill(&mut self, times: &[i64], values: &[f64], resolution_ms: i64) -> usize {
        self.clear();
        let len = times.len().min(values.len());
        let (times, values) = (&times[..len], &values[..len]);
        let (Some(first_time), Some(first)) = (times.first(), values.first()) else { return 0 };
        let mut counter = *first;
        let mut last = *first;
        let (mut at, mut expected) = (0, 1);
        while at < len && self.times.len() < WINDOWS_MAX {
            // Mostly the window after the one before, which is known without a division.
            let next = self.times.last().and_then(|before| before.checked_add(resolution_ms));
            let end = match next {
                Some(end) if times[at] <= end => end,
                _ => window_end(times[at], resolution_ms),
            };
            let start = at;
            let stop = at + window_len(&times[at..], end, expected);
            expected = stop - start;
            let value = values[at];
            // The first sample sets the counter; `+ 0` would turn its −0 into 0.
            if at > 0 {
                counter += if value < last { value } else { value - last };
            }
            let (mut sum, mut min, mut max) = (0.0 + value, value, value);
            last = value;
            for value in &values[at + 1..stop] {
                let value = *value;
                counter += if value < last { value } else { value - last };
                last = value;
                sum += value;
                min = if value < min { value } else { min };
                max = if value > max { value } else { max };
            }
            at = stop;
            self.times.push(end);
            self.counts.push((at - start) as f64);
            self.sums.push(sum);
            self.mins.push(min);
            self.maxs.push(max);
            self.counters.push(counter);
        }
        // The next batch may go on within this window; times must not overlap.
        if let Some(end) = self.times.last_mut() {
            *end = (*end).min(times[at - 1]);
        }
        (self.first, self.last) = ((*first_time, *first), last);
        if !counter.is_finite() {
            self.count_finite(&times[..at], &values[..at]);
        }
        at
    }

    /// The counter over finite samples only: one infinite value would make all totals after it NaN.
    fn count_finite(&mut self, times: &[i64], values: &[f64]) {
        self.counters.clear();
        let mut samples = times.iter().zip(values).peekable();
        let mut state: Option<(f64, f64)> = None;
        for end in &self.times {
            while let Some((time, value)) = samples.next_if(|(time, _)| *time <= end) {
                if !value.is_finite() {
                    continue;
                }
                state = Some(match state {
                    None => {
                        self.first = (*time, *value);
                        (*value, *value)
                    }
                    Some((total, last)) if *value < last => (total + value, *value),
                    Some((total, last)) => (total + (value - last), *value),
                });
            }
            self.counters.push(state.map_or(f64::NAN, |(total, _)| total));
        }
        match state {
            Some((_, last)) => self.last = last,
            // NaN is passed over by readers.
            None => (self.first.1, self.last) = (f64::NAN, f64::NAN),
        }
    }
}

/// How many of `times`, which ascend and begin with one of them, are at or before `end`; `expected` is a guess.
#[inline]
fn window_len(times: &[i64], end: i64, expected: usize) -> usize {
    let inside = expected.checked_sub(1).and_then(|last| times.get(last)).is_some_and(|t| *t <= end);
    if inside && times.get(expected).is_none_or(|t| *t > end) {
        return expected;
    }
    // Mostly the guess is wrong by one.
    let from = if inside { expected } else { 1 };
    from + times[from..].iter().take_while(|t| **t <= end).count()
}

/// One number per window from samples with ascending times; written to `out_times` and `out`, which are emptied first.
pub(crate) fn fold(
    times: &[i64],
    values: &[f64],
    resolution_ms: i64,
    start: f64,
    step: impl Fn(f64, f64) -> f64,
    (out_times, out): (&mut Vec<i64>, &mut Vec<f64>),
) {
    out_times.clear();
    out.clear();
    let len = times.len().min(values.len());
    let (times, values) = (&times[..len], &values[..len]);
    let mut at = 0;
    while at < len {
        let end = window_end(times[at], resolution_ms);
        let mut state = start;
        while at < len && times[at] <= end {
            state = step(state, values[at]);
            at += 1;
        }
        out_times.push(end);
        out.push(state);
    }
    if let (Some(end), Some(last)) = (out_times.last_mut(), times.last()) {
        *end = (*end).min(*last);
    }
}
