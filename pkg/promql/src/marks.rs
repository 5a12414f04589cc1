//! Where the samples of a series go on from one another, and where they are windows of downsampled data.

use std::ops::Range;

use crate::samples::Samples;

/// Running counts over the samples of one series, so that a step need not look at all samples of its range.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// `holes[i]`: how many of the samples up to `i` do not go on from the one before.
    holes: Vec<u32>,
    /// `windows[i]`: how many of the samples up to `i` are windows.
    windows: Vec<u32>,
    /// The longest windows there are, ms.
    pub window_max_ms: i64,
}

impl Marks {
    /// Marks the samples, which have covers.
    pub fn fill(&mut self, samples: &Samples, lookback_ms: i64) {
        self.holes.clear();
        self.windows.clear();
        self.window_max_ms = samples.covers.iter().map(|c| c.resolution_ms).max().unwrap_or(0);
        let near_ms = lookback_ms.max(self.window_max_ms);
        let (mut holes, mut windows) = (0, 0);
        for (i, cover) in samples.covers.iter().enumerate() {
            holes += u32::from(i == 0 || !samples.goes_on(i - 1, near_ms));
            windows += u32::from(cover.resolution_ms > 0);
            self.holes.push(holes);
            self.windows.push(windows);
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
        !among.is_empty() && until(among.start) != until(among.end)
    }
}
