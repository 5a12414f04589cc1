//! How dense lanes are around a place, beside one another.

use model::is_stale;

use crate::read::Lane;

/// How many spacings on each side of a place tell how far apart samples are there.
const AROUND: usize = 4;

/// What a sample counts in [`Lane::lead`], and what is taken away for each of the followed lane: a lane that has an
/// eighth more samples is still about as dense.
pub(crate) const SAMPLE: i64 = 8;
pub(crate) const EXPECTED: i64 = 9;
/// Two samples more are no jitter.
pub(crate) const LEAD_MIN: i64 = 2 * SAMPLE;
/// More than this is not counted at a time.
pub(crate) const SAMPLES_MAX: usize = 8;

/// The longest pause between samples of a spacing that is no gap.
#[inline]
pub(crate) fn pause_of(interval: i64, gap_max_ms: i64) -> i64 {
    interval.saturating_add(interval / 2).clamp(1, gap_max_ms.max(1))
}

/// Whether a pause is a gap by a spacing of samples.
fn is_gap(pause: i64, spacing: i64) -> bool {
    pause > spacing.saturating_add(spacing / 2)
}

/// The lesser of two spacings, of which 0 is not known.
pub(crate) fn least(a: i64, b: i64) -> i64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// The median spacing within each of two lists of at most one more than [`AROUND`] times; the longer of two.
fn median(before: &[i64], after: &[i64]) -> Option<i64> {
    let mut spacings = [0i64; 2 * AROUND];
    let mut known = 0;
    for pair in before.windows(2).chain(after.windows(2)) {
        spacings[known] = pair[1].saturating_sub(pair[0]);
        known += 1;
    }
    spacings[..known].sort_unstable();
    spacings[..known].get(known / 2).copied()
}

impl Lane {
    /// How far apart samples are around the next one, ms: the median of the spacings on both sides. The one that ends at
    /// the next sample may be a pause and counts only where there is no other. 0 = not known.
    pub fn spacing(&self) -> i64 {
        let (before, after) = self.around();
        median(before, after).unwrap_or_else(|| self.pause())
    }

    /// The same on the side where samples are nearer to one another: a lane may begin or cease to be dense here.
    pub fn spacing_min(&self) -> i64 {
        let (before, after) = self.around();
        let sides = [median(before, &[]), median(&[], after)];
        sides.into_iter().flatten().min().unwrap_or_else(|| self.pause())
    }

    /// The samples before the next one, and that with those after it.
    fn around(&self) -> (&[i64], &[i64]) {
        let times = &self.samples.times;
        let at = self.at.min(times.len());
        (&times[at.saturating_sub(AROUND + 1)..at], &times[at..times.len().min(at + AROUND + 1)])
    }

    /// From the sample before to the next one; 0 where there is none.
    fn pause(&self) -> i64 {
        match self.around() {
            ([.., a], [b, ..]) => b.saturating_sub(*a),
            _ => 0,
        }
    }

    /// Whether a pause before the next sample of this lane, which is followed, is a gap.
    pub fn has_gap(&mut self, pause: i64, gap_max_ms: i64) -> bool {
        if self.interval > 0 && pause <= pause_of(self.interval, gap_max_ms) {
            return false;
        }
        self.interval = self.spacing();
        pause > pause_of(self.interval, gap_max_ms)
    }

    /// Learns the spacing of samples of the followed lane; a pause is none.
    pub fn note_interval(&mut self, delta: i64, gap_max_ms: i64) {
        if self.interval == 0 || delta <= pause_of(self.interval, gap_max_ms) {
            self.interval = delta;
        }
    }

    /// Finds out whether this lane is denser than the followed one, which has a sample at `last` and its next at `next`.
    pub fn compare(&mut self, last: i64, next: i64) {
        self.seek_after(last);
        let (times, values) = (&self.samples.times, &self.samples.values);
        let (mut live, mut at) = (0, self.at);
        while at < times.len().min(self.at + SAMPLES_MAX) && times[at] <= next {
            live += i64::from(!is_stale(values[at]));
            at += 1;
        }
        self.lead = (self.lead + SAMPLE * live - EXPECTED).clamp(0, SAMPLE * SAMPLES_MAX as i64);
        self.is_denser = self.lead >= LEAD_MIN || live > 0 && self.is_gap_here(next.saturating_sub(last));
    }

    /// Whether a pause in which the lane's next sample lies would be a gap of its own: by the spacings next to that
    /// sample, which is seen at once, and by those around.
    fn is_gap_here(&self, pause: i64) -> bool {
        self.may_have_gap(self.at, pause) && is_gap(pause, self.spacing_min())
    }

    /// Whether it would be one by the spacings next to the sample at place `at`.
    #[inline]
    pub fn may_have_gap(&self, at: usize, pause: i64) -> bool {
        let times = &self.samples.times;
        let Some(here) = times.get(at) else { return false };
        let before = at.checked_sub(1).map(|before| here.saturating_sub(times[before]));
        let after = times.get(at + 1).map(|after| after.saturating_sub(*here));
        before.is_some_and(|spacing| is_gap(pause, spacing)) || after.is_some_and(|spacing| is_gap(pause, spacing))
    }

    /// How many samples lie after `after` and no later than `to`.
    pub fn count(&self, after: i64, to: i64) -> usize {
        let place = |t: i64| self.samples.times.partition_point(|time| *time <= t);
        place(to).saturating_sub(place(after))
    }
}
