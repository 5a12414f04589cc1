//! Instant selectors: at each step the last sample within the lookback.

use std::ops::Range;
use std::sync::Arc;

use histogram::{FloatHistogram, ResetHint};
use model::is_stale;
use storage::Series;

use crate::Grid;
use crate::decode::Decoder;
use crate::each::{Each, OverSeries};
use crate::eval::{Cx, Result, Stream};
use crate::fetch::Fetch;
use crate::functions::extended_histograms;
use crate::looks::Looks;
use crate::native::with_hint;
use crate::notes::{Note, Notes};
use crate::reads;
use crate::samples::{HistogramSamples, Samples, aligned};
use crate::select_plan::{SelectPlan, Shown};
use crate::series::{StepSeries, bits};

/// The operator of an instant selector.
pub(crate) fn open(plan: Arc<SelectPlan>, grid: Grid, shown: Shown, cx: &mut Cx) -> Stream {
    let ahead = if plan.smoothed { cx.lookback_ms } else { 0 };
    let range = plan.looks(grid, plan.lookback_ms(cx.lookback_ms), ahead).range();
    let wanted = reads::of_instant(plan.hint.as_deref());
    let select = cx.select(range, &plan, wanted, None);
    let fetch = Fetch::start(cx, &plan, select);
    let decoder = Decoder::new(wanted, cx).with_starts(shown == Shown::Starts).stats_only(plan.stats_only);
    Box::new(OverSeries::new(fetch, InstantSelector { plan, grid, decoder, samples: Samples::default(), shown }))
}

struct InstantSelector {
    plan: Arc<SelectPlan>,
    grid: Grid,
    decoder: Decoder,
    samples: Samples,
    /// What is shown of each sample.
    shown: Shown,
}

impl SelectPlan {
    /// The first and last instant looked at, ms.
    pub fn bounds(&self, grid: Grid) -> (i64, i64) {
        let (first, last) = match self.at_ms {
            Some(at) => (at, at),
            None => (grid.start_ms, grid.time(grid.steps().max(1) - 1)),
        };
        (first.saturating_sub(self.offset_ms), last.saturating_sub(self.offset_ms))
    }

    /// What is looked at when each instant sees `before` ms back and `ahead` ms on.
    pub fn looks(&self, grid: Grid, before: i64, ahead: i64) -> Looks {
        let (first, last) = self.bounds(grid);
        Looks {
            first_end: first.saturating_add(ahead),
            last_end: last.saturating_add(ahead),
            step_ms: grid.step_ms.max(1),
            reach_ms: before.saturating_add(ahead),
        }
    }
}

impl Each for InstantSelector {
    fn make(&mut self, series: Series, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let (first, last) = self.plan.bounds(self.grid);
        let lookback_ms = self.plan.lookback_ms(cx.lookback_ms);
        let steps = self.grid.steps();
        cx.work(steps)?;
        let after = first - lookback_ms;
        if first == last && !self.plan.smoothed && !self.plan.stats_only {
            self.decoder.last_before(&series, after, last, &mut self.samples, cx)?;
        } else {
            let ahead = if self.plan.smoothed { cx.lookback_ms } else { 0 };
            let looks = self.plan.looks(self.grid, lookback_ms, ahead);
            self.decoder.series(&series, looks, &mut self.samples, cx)?;
        }
        if self.decoder.saw_histograms {
            cx.annotations.histograms_unread(series.labels.metric_name(), self.plan.span);
        }
        if self.samples.is_empty() {
            return Ok(None);
        }
        let mut column = cx.column(steps);
        let found = if self.plan.smoothed {
            self.smooth(&series.labels, &mut column, cx)
        } else if !self.samples.is_plain() {
            self.look_up_either(&mut column, lookback_ms)
        } else if self.samples.aggregated() {
            // A window stands for all of its time: the one that holds the step is nearer than the one before.
            self.look_up(&mut column, lookback_ms, |next, at| self.samples.holds(next, aligned(at)))
        } else {
            self.look_up(&mut column, lookback_ms, |_, _| false)
        };
        if found == 0 {
            cx.recycle(column);
            return Ok(None);
        }
        if let Some(range_ms) = self.plan.within_ms
            && let Some(ms) = self.samples.longest_window(after, last).filter(|ms| ms.saturating_mul(2) > range_ms)
        {
            cx.annotations.long_windows(range_ms, ms, self.plan.span);
        }
        cx.stats.total_samples += found;
        if let Some(counts) = cx.step_counters(self.grid) {
            bits(&column.occupied()).for_each(|i| counts[i] += 1);
        }
        Ok(Some(StepSeries { labels: series.labels, drop_name: false, column }))
    }

    fn fork(&self, cx: &Cx) -> Self {
        let Self { grid, shown, .. } = *self;
        Self { plan: self.plan.clone(), decoder: self.decoder.fork(cx), samples: Samples::default(), grid, shown }
    }

    fn steps(&self) -> usize {
        self.grid.steps()
    }

    fn work_bytes(&self, series: &Series) -> usize {
        let steps = self.grid.steps();
        // At one instant only the end of a series is looked at: that is done sooner than handed over.
        if steps == 1 { 0 } else { series.chunks.iter().map(|c| c.size_bytes()).sum::<usize>() + steps * 8 }
    }
}

impl InstantSelector {
    /// Sets the last sample within the lookback, or the sample after it where it `holds` the time.
    fn look_up(&self, column: &mut crate::StepColumn, lookback_ms: i64, holds: impl Fn(usize, i64) -> bool) -> u64 {
        let (times, values) = (&self.samples.column.times[..], &self.samples.column.values[..]);
        let n = times.len();
        let (mut next, mut found) = (0, 0);
        if self.grid.steps() == 1 || self.plan.at_ms.is_some() {
            next = times.partition_point(|t| *t <= self.plan.bounds(self.grid).0);
        }
        for step in 0..self.grid.steps() {
            let at = self.plan.at_ms.unwrap_or_else(|| self.grid.time(step)) - self.plan.offset_ms;
            while next < n && times[next] <= at {
                next += 1;
            }
            let i = if holds(next, at) { next } else { next.wrapping_sub(1) };
            let (Some(t), Some(v)) = (times.get(i), values.get(i)) else { continue };
            let (t, v) = ((*t).min(at), *v);
            if at < t.saturating_add(lookback_ms) && !is_stale(v) {
                column.set(step, if self.shown == Shown::Times { t as f64 / 1000.0 } else { v });
                found += 1;
            }
        }
        found
    }

    /// The same where some samples are native histograms, or their start timestamps are shown.
    fn look_up_either(&self, column: &mut crate::StepColumn, lookback_ms: i64) -> u64 {
        let Samples { column: floats, starts, histograms, .. } = &self.samples;
        let mut found = 0;
        for step in 0..self.grid.steps() {
            let at = self.plan.at_ms.unwrap_or_else(|| self.grid.time(step)) - self.plan.offset_ms;
            let last = |times: &[i64]| {
                let i = times.partition_point(|t| *t <= at).checked_sub(1)?;
                (at < times[i].saturating_add(lookback_ms)).then_some((times[i], i))
            };
            let next = histograms.times.partition_point(|t| *t <= at);
            let histogram = match histograms.holds(next, aligned(at)) {
                true => Some((at, next)),
                false => last(&histograms.times),
            };
            let float = last(&floats.times);
            let (t, start) = match (float, histogram) {
                (None, None) => continue,
                (Some((t, i)), h) if h.is_none_or(|(u, _)| u < t) => {
                    let v = floats.values[i];
                    if is_stale(v) {
                        continue;
                    }
                    if self.shown == Shown::Values {
                        column.set(step, v);
                    }
                    (t, starts.get(i))
                }
                (_, None) => continue,
                (_, Some((t, i))) => {
                    let h = &histograms.values[i];
                    if is_stale(h.sum) {
                        continue;
                    }
                    if self.shown == Shown::Values {
                        column.native_histograms.push((step as u32, h.clone()));
                    }
                    (t, histograms.starts.get(i))
                }
            };
            match self.shown {
                Shown::Values => {}
                Shown::Times => column.set(step, t as f64 / 1000.0),
                Shown::Starts => column.set(step, start.copied().unwrap_or(0) as f64 / 1000.0),
            }
            found += 1;
        }
        found
    }

    /// `smoothed`: between two samples the value is interpolated.
    fn smooth(&self, labels: &labels::Labels, column: &mut crate::StepColumn, cx: &mut Cx) -> u64 {
        let lookback_ms = cx.lookback_ms;
        let live = self.samples.column.iter().filter(|(_, v)| !is_stale(*v));
        let (times, values): (Vec<i64>, Vec<f64>) = live.unzip();
        let mut histograms = self.samples.histograms.clone();
        histograms.retain(|i, all| !is_stale(all.values[i].sum));
        let mut notes = Notes::default();
        let mut found = 0;
        for step in 0..self.grid.steps() {
            let at = self.plan.at_ms.unwrap_or_else(|| self.grid.time(step)) - self.plan.offset_ms;
            let inside = |times: &[i64]| {
                let to = times.partition_point(|t| *t <= at + lookback_ms);
                times[..to].partition_point(|t| *t <= at - lookback_ms)..to
            };
            let (floats, natives) = (inside(&times), inside(&histograms.times));
            if !floats.is_empty() && !natives.is_empty() {
                notes.add(Note::MixedRange);
                continue;
            }
            if !natives.is_empty() {
                if let Some(h) = smooth_histogram(&histograms, natives, at, &mut notes) {
                    column.native_histograms.push((step as u32, h));
                    found += 1;
                }
                continue;
            }
            let (from, to) = (floats.start, floats.end);
            let next = from + times[from..to].partition_point(|t| *t < at);
            let value = if next < to && times[next] == at {
                values[next]
            } else if next > from && next < to {
                let (t1, t2, v1, v2) = (times[next - 1], times[next], values[next - 1], values[next]);
                v1 + (v2 - v1) * (at - t1) as f64 / (t2 - t1) as f64
            } else if next > from {
                values[next - 1]
            } else {
                continue;
            };
            column.set(step, value);
            found += 1;
        }
        cx.annotations.notes(notes, labels.metric_name(), self.plan.span);
        found
    }
}

/// The histogram at `at`, interpolated between those `among` all; the last one where none follows.
fn smooth_histogram(
    all: &HistogramSamples,
    among: Range<usize>,
    at: i64,
    notes: &mut Notes,
) -> Option<Arc<FloatHistogram>> {
    let next = among.start + all.times[among.clone()].partition_point(|t| *t < at);
    let before = next.checked_sub(1).filter(|i| *i >= among.start);
    if next < among.end && all.times[next] == at {
        return Some(all.values[next].clone());
    }
    let before = before?;
    let (first, second) = (&all.values[before], all.values.get(next).filter(|_| next < among.end));
    let Some(second) = second else {
        // A hint is about two samples, not about a value.
        return Some(with_hint(first, ResetHint::Unknown));
    };
    if first.has_custom_buckets() != second.has_custom_buckets() {
        notes.add(Note::MixedSchemas);
        return None;
    }
    let is_counter = first.reset_hint != ResetHint::Gauge || second.reset_hint != ResetHint::Gauge;
    let (from, to) = ((all.times[before], &**first), (all.times[next], &**second));
    match extended_histograms::interpolate(from, to, at, is_counter, notes) {
        Ok(h) => Some(Arc::new(h)),
        Err(_) => {
            notes.add(Note::MixedSchemas);
            None
        }
    }
}
