//! A downsampled series between its samples: what a counter rose, or a gauge changed, from any ms to any other.
//!
//! A counter's total belongs to the end of its window, a gauge's average to the middle. Between samples that go on from
//! one another the value is taken to change evenly. A hole is no part of the curve: as over raw samples, a change across
//! it counts where the range holds both sides, and neither side goes on into it.

use crate::marks::Marks;
use crate::samples::Samples;

/// The values of one series, of samples that have covers.
#[derive(Clone, Copy)]
pub(crate) struct Curve<'a> {
    pub samples: &'a Samples,
    pub marks: &'a Marks,
    pub is_counter: bool,
    /// From a raw sample to the next the value stays.
    pub anchored: bool,
    /// How many samples come before the times that are looked at, or one more, most often.
    pub near: [usize; 2],
}

impl Curve<'_> {
    /// The change after `start_ms` up to `end_ms`; `None` where there is no data in between, or one sample only.
    pub fn change(&self, start_ms: i64, end_ms: i64) -> Option<f64> {
        let (from, to) = (self.first_from(start_ms)?, self.last_until(end_ms)?);
        (to.0 > from.0).then_some(to.1 - from.1)
    }

    /// The mean rise per second up to the last that is known until `end_ms`, over as long as windows, or scrapes, are there.
    pub fn slope_until(&self, start_ms: i64, end_ms: i64) -> Option<f64> {
        let to = self.last_until(end_ms).filter(|(time, _)| *time > start_ms)?;
        let next = self.before(to.0 - 1).min(self.samples.covers.len() - 1);
        let before = next.saturating_sub(1);
        let times = &self.samples.column.times;
        let apart = if self.marks.linked(next) { times[next] - times[before] } else { 0 };
        let reach = self.samples.covers[before..=next].iter().map(|c| c.resolution_ms).fold(apart, i64::max);
        let from = match self.first_from(to.0 - reach)? {
            // Behind a hole, a single sample: as raw ones, from the one before.
            from if from.0 >= to.0 && times[before] > start_ms => (times[before], self.samples.column.values[before]),
            from => from,
        };
        (to.0 > from.0).then_some((to.1 - from.1) / ((to.0 - from.0) as f64 / 1000.0))
    }

    /// The first time from `at_ms` on at which the value is known, and the value.
    fn first_from(&self, at_ms: i64) -> Option<(i64, f64)> {
        let next = self.before(at_ms);
        if let Some(value) = self.known(at_ms, next) {
            return Some((at_ms, value));
        }
        (next < self.samples.covers.len()).then(|| (self.begin(next), self.lead_in(next, self.begin(next))))
    }

    /// The last time until `at_ms` at which the value is known, and the value.
    fn last_until(&self, at_ms: i64) -> Option<(i64, f64)> {
        let next = self.before(at_ms);
        if let Some(value) = self.known(at_ms, next) {
            return Some((at_ms, value));
        }
        let last = next.checked_sub(1)?;
        Some((self.end(last), self.lead_out(last, self.end(last))))
    }

    /// The value at `at_ms`, if that is in no hole; `next` is the first sample whose value belongs to a later time.
    fn known(&self, at_ms: i64, next: usize) -> Option<f64> {
        let last = next.checked_sub(1);
        match last {
            Some(last) if self.marks.linked(next) => Some(self.between(last, next, at_ms)),
            _ if next < self.samples.covers.len() && self.begin(next) <= at_ms => Some(self.lead_in(next, at_ms)),
            Some(last) if at_ms <= self.end(last) => Some(self.lead_out(last, at_ms)),
            _ => None,
        }
    }

    /// How many samples' values belong to times until `at_ms`.
    fn before(&self, at_ms: i64) -> usize {
        let times = &self.samples.column.times[..];
        let is_until = |i: &usize| {
            let (last, next) = (i.checked_sub(1).and_then(|last| times.get(last)), times.get(*i));
            last.is_none_or(|t| *t <= at_ms) && next.is_none_or(|t| *t > at_ms) && *i <= times.len()
        };
        let [low, high] = self.near;
        let until = [low, high, high.saturating_sub(1)].into_iter().find(is_until);
        let until = until.unwrap_or_else(|| times.partition_point(|t| *t <= at_ms));
        // The middle of a window may come before it and its end after it.
        until + usize::from(until < self.samples.covers.len() && self.point(until) <= at_ms)
    }

    /// The time that sample `i`'s value belongs to. Before raw samples a counter's total is that of the last sample of its
    /// window, one scrape before.
    fn point(&self, i: usize) -> i64 {
        if !self.is_counter {
            return self.samples.middle(i);
        }
        let (times, cover) = (&self.samples.column.times, self.samples.covers[i]);
        let raw_next = || self.marks.linked(i + 1) && self.samples.covers[i + 1].resolution_ms == 0;
        if self.anchored || cover.resolution_ms == 0 || !raw_next() {
            return times[i];
        }
        let spacing = (times[i] - cover.since_ms + 1) as f64 / cover.count;
        times[i].min(times[i + 1].saturating_sub(spacing as i64).max(cover.since_ms))
    }

    /// From when on the value is known, of a sample that does not go on from the one before.
    fn begin(&self, i: usize) -> i64 {
        let (cover, time) = (self.samples.covers[i], self.samples.column.times[i]);
        let next = self.marks.linked(i + 1).then(|| self.samples.covers[i + 1]);
        if cover.resolution_ms == 0 || cover.count == 0.0 || (next.is_none() && cover.count <= 1.0) {
            return self.point(i);
        }
        let Some(next) = next.filter(|n| self.is_counter && n.resolution_ms > 0) else { return cover.since_ms };
        // A window that holds less than the next one began late.
        let full = (cover.count / next.count).clamp(0.0, 1.0);
        time - ((time - cover.since_ms) as f64 * full) as i64
    }

    /// Until when the value is known, of a sample from which the next does not go on.
    fn end(&self, i: usize) -> i64 {
        let alone = self.samples.covers[i].count <= 1.0 && !self.marks.linked(i);
        if self.is_counter || alone { self.point(i) } else { self.samples.column.times[i] }
    }

    /// The value between two samples.
    fn between(&self, a: usize, b: usize, at_ms: i64) -> f64 {
        let values = &self.samples.column.values;
        let covers = &self.samples.covers;
        if self.anchored && covers[a].resolution_ms == 0 && at_ms < covers[b].since_ms {
            return values[a];
        }
        let (from, to) = (self.point(a), self.point(b));
        values[a] + (values[b] - values[a]) * ((at_ms - from) as f64 / (to - from).max(1) as f64)
    }

    /// The value before that of sample `i`, behind a hole: as it goes on afterwards. A counter rose no more than since
    /// the sample before.
    fn lead_in(&self, i: usize, at_ms: i64) -> f64 {
        let own = self.samples.column.values[i];
        if !self.marks.linked(i + 1) {
            return own;
        }
        let value = self.between(i, i + 1, at_ms);
        match i.checked_sub(1) {
            Some(before) if self.is_counter => value.max(self.samples.column.values[before]),
            _ => value,
        }
    }

    /// The value after that of sample `i`, before a hole: as it came there.
    fn lead_out(&self, i: usize, at_ms: i64) -> f64 {
        if self.is_counter || !self.marks.linked(i) {
            return self.samples.column.values[i];
        }
        self.between(i - 1, i, at_ms)
    }
}
