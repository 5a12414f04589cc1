//! Instant selectors: at each step the last sample within the lookback.

use std::sync::Arc;

use model::is_stale;

use crate::Grid;
use crate::decode::{Decoder, Looks};
use crate::eval::{Cx, Operator, Result};
use crate::fetch::Fetch;
use crate::plan::SelectPlan;
use crate::samples::{Samples, aligned};
use crate::series::{StepSeries, bits};
use crate::wanted::Wanted;

pub(crate) struct InstantSelector {
    plan: Arc<SelectPlan>,
    fetch: Fetch,
    grid: Grid,
    decoder: Decoder,
    samples: Samples,
    /// Give the samples' times, in seconds, in place of their values.
    sample_times: bool,
}

impl InstantSelector {
    pub fn open(plan: Arc<SelectPlan>, grid: Grid, sample_times: bool, cx: &mut Cx) -> Self {
        let ahead = if plan.smoothed { cx.lookback_ms } else { 0 };
        let range = plan.looks(grid, cx.lookback_ms, ahead).range();
        let wanted = Wanted::instant(plan.hint.as_deref());
        let select = cx.select(range, &plan, wanted, None);
        Self {
            fetch: Fetch::start(cx, select),
            decoder: Decoder::new(wanted, cx),
            plan,
            grid,
            samples: Samples::default(),
            sample_times,
        }
    }
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

impl Operator for InstantSelector {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let (first, last) = self.plan.bounds(self.grid);
        let steps = self.grid.steps();
        while let Some(series) = self.fetch.next(cx)? {
            cx.work(steps)?;
            let after = first - cx.lookback_ms;
            if first == last && !self.plan.smoothed {
                self.decoder.last_before(&series, after, last, &mut self.samples, cx)?;
            } else {
                let ahead = if self.plan.smoothed { cx.lookback_ms } else { 0 };
                let looks = self.plan.looks(self.grid, cx.lookback_ms, ahead);
                self.decoder.series(&series, looks, &mut self.samples, cx)?;
            }
            if self.decoder.saw_histograms {
                cx.annotations.histograms_unread(series.labels.metric_name(), self.plan.span);
            }
            if self.samples.is_empty() {
                continue;
            }
            let mut column = cx.column(steps);
            let found = if self.plan.smoothed {
                self.smooth(&mut column, cx.lookback_ms)
            } else if self.samples.aggregated() {
                // A window stands for all of its time: the one that holds the step is nearer than the one before.
                self.look_up(&mut column, cx.lookback_ms, |next, at| self.samples.holds(next, aligned(at)))
            } else {
                self.look_up(&mut column, cx.lookback_ms, |_, _| false)
            };
            if found == 0 {
                cx.recycle(column);
                continue;
            }
            if let Some(range_ms) = self.plan.within_ms
                && let Some(ms) = self.samples.longest_window(after, last).filter(|ms| ms.saturating_mul(2) > range_ms)
            {
                cx.annotations.long_windows(range_ms, ms, self.plan.span);
            }
            cx.stats.total_samples += found;
            if let Some(counts) = cx.step_counters(self.grid) {
                bits(&column.present).for_each(|i| counts[i] += 1);
            }
            return Ok(Some(StepSeries { labels: series.labels, drop_name: false, column }));
        }
        Ok(None)
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
                column.set(step, if self.sample_times { t as f64 / 1000.0 } else { v });
                found += 1;
            }
        }
        found
    }

    /// `smoothed`: between two samples the value is interpolated.
    fn smooth(&self, column: &mut crate::StepColumn, lookback_ms: i64) -> u64 {
        let live = self.samples.column.iter().filter(|(_, v)| !is_stale(*v));
        let (times, values): (Vec<i64>, Vec<f64>) = live.unzip();
        let mut found = 0;
        for step in 0..self.grid.steps() {
            let at = self.plan.at_ms.unwrap_or_else(|| self.grid.time(step)) - self.plan.offset_ms;
            let from = times.partition_point(|t| *t <= at - lookback_ms);
            let to = times.partition_point(|t| *t <= at + lookback_ms);
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
        found
    }
}
