//! Where the samples of a series go on from one another, and where they are windows of downsampled data.

use std::ops::Range;

use crate::samples::{Cover, Samples};

/// Running counts over the samples of one series, so that a step need not look at all samples of its range.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// `holes[i]`: how many of the samples up to `i` do not go on from the one before.
    holes: Vec<u32>,
    /// `windows[i]`: how many of the samples up to `i` are windows; empty where all are, as most often.
    windows: Vec<u32>,
    /// The longest windows there are, ms.
    pub window_max_ms: i64,
}

impl Marks {
    /// Marks the samples, which have covers.
    pub fn fill(&mut self, samples: &Samples, lookback_ms: i64) {
        self.holes.clear();
        self.windows.clear();
        let extremes = |(min, max): (i64, i64), c: &Cover| (min.min(c.resolution_ms), max.max(c.resolution_ms));
        let (window_min_ms, window_max_ms) = samples.covers.iter().fold((i64::MAX, 0), extremes);
        self.window_max_ms = window_max_ms;
        let near_ms = lookback_ms.max(self.window_max_ms);
        let (mut holes, mut before) = (0, None);
        for (i, (time, cover)) in samples.column.times.iter().zip(&samples.covers).enumerate() {
            // Who begins right after another goes on from it, whatever both are.
            let adjoins = before.is_some_and(|before: i64| cover.since_ms <= before.saturating_add(1));
            holes += u32::from(!adjoins && (i == 0 || !samples.goes_on(i - 1, near_ms)));
            self.holes.push(holes);
            before = Some(*time);
        }
        if window_min_ms == 0 {
            let mut windows = 0;
            self.windows.extend(samples.covers.iter().map(|cover| {
                windows += u32::from(cover.resolution_ms > 0);
                windows
            }));
        }
    }

    /// Whether sample `i` goes on from the one before, of which there is one.
    pub fn linked(&self, i: usize) -> bool {
        match (i.checked_sub(1).and_then(|before| self.holes.get(before)), self.holes.get(i)) {
            (Some(before), Some(own)) => before == own,
            _ => false,
        }
    }

    /// Whether some of the samples do not go on from the one before, which is one of them too.
    pub fn any_hole(&self, among: &Range<usize>) -> bool {
        match among.end.checked_sub(1) {
            Some(last) if among.start < last => self.holes[among.start] != self.holes[last],
            _ => false,
        }
    }

    /// Whether some of the samples are windows.
    pub fn any_window(&self, among: &Range<usize>) -> bool {
        let until = |i: usize| i.checked_sub(1).map_or(0, |last| self.windows[last]);
        !among.is_empty() && (self.windows.is_empty() || until(among.start) != until(among.end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;

    proptest! {
        /// Marks say what each pair and each sample says.
        #[test]
        fn marks_are_what_samples_say(
            list in proptest::collection::vec((1i64..12, 0usize..3, 0i64..12), 1..40),
            only in proptest::option::of(0usize..3),
        ) {
            let (mut samples, mut time) = (Samples::default(), 0);
            for (pause, kind, back) in list {
                let before = time;
                time += pause * MINUTE / 2;
                let resolution_ms = [0, 5 * MINUTE, 60 * MINUTE][only.unwrap_or(kind)];
                let begin = if resolution_ms == 0 { time } else { time - time % resolution_ms };
                let since_ms = begin.max(before + 1 + back * MINUTE / 4).min(time);
                samples.column.push(time, 0.0);
                samples.covers.push(Cover { count: 1.0, since_ms, resolution_ms });
            }
            let mut marks = Marks::default();
            marks.fill(&samples, MINUTE);
            let near_ms = MINUTE.max(marks.window_max_ms);
            for i in 0..samples.covers.len() {
                prop_assert_eq!(marks.linked(i), i > 0 && samples.goes_on(i - 1, near_ms), "{}", i);
                for end in i..=samples.covers.len() {
                    let any = samples.covers[i..end].iter().any(|c| c.resolution_ms > 0);
                    prop_assert_eq!(marks.any_window(&(i..end)), any);
                }
            }
        }
    }
}
