//! Functions of ranges over series with native histograms, or with start timestamps, step by step.

use std::ops::Range;
use std::sync::Arc;

use histogram::FloatHistogram;

use crate::StepColumn;
use crate::eval::{Cx, Result};
use crate::native::{as_samples, size_bytes};
use crate::notes::{Note, Notes};
use crate::samples::{Cover, HistogramSamples};
use crate::window::{Window, Windows};

/// A float or a native histogram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Sample {
    /// A histogram that was just calculated.
    pub fn new(h: FloatHistogram) -> Self {
        Self::Histogram(Arc::new(h))
    }
}

/// The samples of a step's window; at least one.
pub(crate) struct MixedWindow<'a> {
    pub floats: Window<'a>,
    /// Start timestamps of the floats in the window; empty where they do not count.
    pub float_starts: &'a [i64],
    pub histograms: HistogramWindow<'a>,
    pub anchored: bool,
    pub smoothed: bool,
}

/// The native histograms of a window.
#[derive(Clone, Copy)]
pub(crate) struct HistogramWindow<'a> {
    pub times: &'a [i64],
    pub values: &'a [Arc<FloatHistogram>],
    /// Start timestamps; empty where they do not count.
    pub starts: &'a [i64],
    /// Whether a counter was reset between the histogram before and this one; the first one's is not known.
    pub resets: &'a [bool],
    /// What each stands for; empty when all are raw.
    pub covers: &'a [Cover],
}

/// The value of a window.
pub(crate) type HistogramKernel = fn(&MixedWindow<'_>, &mut Notes) -> Option<Sample>;

impl MixedWindow<'_> {
    pub fn start_ms(&self) -> i64 {
        self.floats.start_ms
    }

    pub fn end_ms(&self) -> i64 {
        self.floats.end_ms
    }

    pub fn has_floats(&self) -> bool {
        self.floats.low < self.floats.high
    }

    /// True, and noted, when there are floats and histograms.
    pub fn is_mixed(&self, notes: &mut Notes) -> bool {
        let mixed = self.has_floats() && !self.histograms.times.is_empty();
        notes.add_if(mixed, Note::MixedRange);
        mixed
    }

    /// All samples in order of time.
    pub fn in_order(&self) -> Vec<Point<'_>> {
        let starts = |list: &[i64], i: usize| list.get(i).copied().unwrap_or(0);
        let floats = self.floats.times().iter().zip(self.floats.values()).enumerate();
        let mut all: Vec<Point<'_>> = floats
            .map(|(i, (t, v))| Point { time: *t, start: starts(self.float_starts, i), value: PointValue::Float(*v) })
            .collect();
        let h = &self.histograms;
        all.extend((0..h.times.len()).map(|i| Point {
            time: h.times[i],
            start: starts(h.starts, i),
            value: PointValue::Histogram(&h.values[i], h.resets.get(i).copied().unwrap_or(false)),
        }));
        all.sort_by_key(|p| p.time);
        all
    }
}

/// A sample among those of both kinds.
#[derive(Clone, Copy)]
pub(crate) struct Point<'a> {
    pub time: i64,
    /// 0 = not known.
    pub start: i64,
    pub value: PointValue<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum PointValue<'a> {
    Float(f64),
    /// And whether a counter was reset since the histogram before.
    Histogram(&'a Arc<FloatHistogram>, bool),
}

/// Whether the start time of a sample says that its counter was reset after the sample before; times in ms, a start of 0
/// is not known, and one at or after its sample's own time is none.
pub(crate) fn start_resets(before: (i64, i64), now: (i64, i64)) -> bool {
    let ((start_before, time_before), (start, time)) = (before, now);
    if start == 0 || start >= time || start < time_before {
        return false;
    }
    // At the very time of the sample before: each sample counts from the one before it, unless that one's start was not
    // known either.
    start > time_before || (start_before < time_before && start_before != 0)
}

/// Whether the start time of a sample lies before the sample before it without being that one's.
pub(crate) fn start_overlaps(before: (i64, i64), start: i64) -> bool {
    start != 0 && start < before.1 && start != before.0
}

fn resets(samples: &HistogramSamples) -> Vec<bool> {
    let with_start = |i: usize| (samples.starts.get(i).copied().unwrap_or(0), samples.times[i]);
    let reset = |i: usize| {
        i > 0
            && (start_resets(with_start(i - 1), with_start(i))
                || samples.values[i].is_reset_since(&samples.values[i - 1]))
    };
    (0..samples.len()).map(reset).collect()
}

/// Calculates the steps of a series that has histograms or start timestamps.
pub(crate) fn each(
    windows: &Windows,
    kernel: HistogramKernel,
    with_resets: bool,
    metric: &str,
    column: &mut StepColumn,
    cx: &mut Cx,
) -> Result<()> {
    let mut notes = Notes::default();
    let histograms = &windows.samples.histograms;
    let resets = if with_resets { resets(histograms) } else { Vec::new() };
    // As how many samples all histograms before each one count.
    let mut sizes: Vec<usize> = Vec::with_capacity(histograms.len() + 1);
    sizes.push(0);
    sizes.extend(histograms.values.iter().scan(0, |sum, h| {
        *sum += as_samples(h, h.positive_buckets.len() + h.negative_buckets.len());
        Some(*sum)
    }));
    let mut held = 0;
    let mut looked_at = 0;
    let mut place = Place::default();
    for step in 0..windows.grid.steps() {
        let Some((window, at)) = look(windows, &resets, step, cx.lookback_ms, &mut place) else { continue };
        let seen = window.floats.high - window.floats.low + sizes[at.end] - sizes[at.start];
        cx.work(seen + 1)?;
        looked_at += seen as u64;
        if let Some(counts) = cx.step_counters(windows.grid) {
            counts[step] += seen as u64;
        }
        held += put(kernel(&window, &mut notes), step, column, cx)?;
    }
    // Who keeps the column counts it.
    cx.release(0, held);
    cx.stats.total_samples += looked_at;
    cx.annotations.notes(notes, metric, windows.first_span);
    let window_ms = histograms.window_max_ms();
    if window_ms.saturating_mul(2) > windows.range_ms && !column.is_empty() {
        cx.annotations.long_windows(windows.range_ms, window_ms, windows.span);
    }
    Ok(())
}

/// So many samples are looked at one by one where a window moves on.
const NEAR: usize = 16;

/// Which floats and histograms the step before saw.
#[derive(Default)]
struct Place {
    floats: Range<usize>,
    histograms: Range<usize>,
}

/// Puts what a kernel made of a step into the column, and counts it; gives its bytes.
pub(crate) fn put(value: Option<Sample>, step: usize, column: &mut StepColumn, cx: &mut Cx) -> Result<usize> {
    match value {
        None => Ok(0),
        Some(Sample::Float(v)) => {
            column.set(step, v);
            Ok(0)
        }
        Some(Sample::Histogram(h)) => {
            let bytes = size_bytes(&h);
            cx.hold(0, bytes)?;
            column.native_histograms.push((step as u32, h));
            Ok(bytes)
        }
    }
}

/// What a step sees; `None` where there is nothing. And which of the histograms that is.
fn look<'a>(
    windows: &'a Windows,
    resets: &'a [bool],
    step: usize,
    lookback_ms: i64,
    place: &mut Place,
) -> Option<(MixedWindow<'a>, Range<usize>)> {
    let (start_ms, end_ms) = windows.bounds(step);
    let (before, after) = windows.reach(lookback_ms);
    let column = &windows.samples.column;
    let move_on = |times: &[i64], from: usize, bound: i64| {
        // Steps go on in time: most often the next few samples.
        let near = times[from..].iter().take(NEAR).take_while(|t| **t <= bound).count();
        if near < NEAR { from + near } else { from + times[from..].partition_point(|t| *t <= bound) }
    };
    let inside = |times: &[i64], seen: &Range<usize>| {
        move_on(times, seen.start, start_ms - before)..move_on(times, seen.end, end_ms + after)
    };
    place.floats = inside(&column.times, &place.floats);
    place.histograms = inside(&windows.samples.histograms.times, &place.histograms);
    let (floats, at) = (place.floats.clone(), place.histograms.clone());
    if floats.is_empty() && at.is_empty() {
        return None;
    }
    Some((window(windows, resets, step, floats, at.clone()), at))
}

/// The window of a step in which these floats and histograms lie.
pub(crate) fn window<'a>(
    windows: &'a Windows,
    resets: &'a [bool],
    step: usize,
    floats: Range<usize>,
    at: Range<usize>,
) -> MixedWindow<'a> {
    let (start_ms, end_ms) = windows.bounds(step);
    let (column, starts) = (&windows.samples.column, &windows.samples.starts[..]);
    let HistogramSamples { times, values, starts: histogram_starts, covers } = &windows.samples.histograms;
    let histograms = HistogramWindow {
        times: &times[at.clone()],
        values: &values[at.clone()],
        starts: histogram_starts.get(at.clone()).unwrap_or_default(),
        resets: resets.get(at.clone()).unwrap_or_default(),
        covers: covers.get(at).unwrap_or_default(),
    };
    MixedWindow {
        float_starts: starts.get(floats.clone()).unwrap_or_default(),
        floats: Window {
            all_times: &column.times,
            all_values: &column.values,
            low: floats.start,
            high: floats.end,
            start_ms,
            end_ms,
            step,
            time_ms: windows.grid.time(step),
        },
        histograms,
        anchored: windows.anchored,
        smoothed: windows.smoothed,
    }
}

/// Whether the two arguments of a function make sense.
pub(crate) type CheckFactors = fn(f64, f64) -> Result<()>;

/// Tells of histograms that were left out where a window has floats too. Arguments that make no sense are an error where
/// there are histograms alone as well.
pub(crate) fn ignored(windows: &Windows, check: Option<CheckFactors>, metric: &str, cx: &mut Cx) -> Result<()> {
    let mut notes = Notes::default();
    let mut place = Place::default();
    for step in 0..windows.grid.steps() {
        if let Some((window, at)) = look(windows, &[], step, cx.lookback_ms, &mut place) {
            if let Some(check) = check {
                check(windows.argument(0, step), windows.argument(1, step))?;
            }
            notes.add_if(window.has_floats() && !at.is_empty(), Note::IgnoredInRange);
        }
    }
    cx.annotations.notes(notes, metric, windows.first_span);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_by_start_times() {
        for (before, now, want) in [
            ((0, 60), (0, 120), false),
            // A new start after the sample before.
            ((10, 60), (90, 120), true),
            ((10, 60), (10, 120), false),
            // Each sample counts from the one before.
            ((10, 60), (60, 120), true),
            // The start of the one before was not known: nothing says that this is such a series.
            ((0, 60), (60, 120), false),
            ((60, 60), (60, 120), false),
            ((70, 60), (60, 120), false),
            // No start at all.
            ((10, 60), (120, 120), false),
            ((10, 60), (130, 120), false),
        ] {
            assert_eq!(start_resets(before, now), want, "{before:?} {now:?}");
        }
        assert!(start_overlaps((10, 60), 50));
        assert!(!start_overlaps((10, 60), 10) && !start_overlaps((10, 60), 60) && !start_overlaps((10, 60), 0));
    }
}
