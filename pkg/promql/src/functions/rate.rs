//! `rate`, `increase`, `delta`: differences over a window, extrapolated to its edges.

use super::extended;
use crate::StepColumn;
use crate::eval::{Cx, Result};
use crate::window::{Scratch, Window, Windows};

pub(crate) fn rate(w: &Windows, scratch: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    change(w, scratch, column, cx, (true, true))
}

pub(crate) fn increase(w: &Windows, scratch: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    change(w, scratch, column, cx, (true, false))
}

pub(crate) fn delta(w: &Windows, scratch: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    change(w, scratch, column, cx, (false, false))
}

pub(crate) fn irate(w: &Windows, _: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    w.slide(column, cx, |w| instant(w, true))
}

pub(crate) fn idelta(w: &Windows, _: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    w.slide(column, cx, |w| instant(w, false))
}

fn change(
    windows: &Windows,
    scratch: &mut Scratch,
    column: &mut StepColumn,
    cx: &mut Cx,
    (is_counter, per_second): (bool, bool),
) -> Result<()> {
    if windows.anchored || windows.smoothed {
        let smoothed = windows.smoothed;
        return windows
            .slide(column, cx, |w| extended::rate(w, w.start_ms, w.end_ms, smoothed, is_counter, per_second));
    }
    let falls = &mut scratch.counts;
    falls.clear();
    if is_counter {
        self::falls(&windows.samples.column.values, falls);
    }
    let mut from = 0;
    if windows.grid.steps() < BLOCK_MIN {
        let per = divisor(per_second, windows.range_ms);
        return windows.slide(column, cx, |w| {
            let inside = falls_inside(falls, w, &mut from);
            Some(Edges::of(w, inside)?.extrapolated(is_counter, true, per))
        });
    }
    let mut block = Block::new(is_counter, per_second, windows.range_ms);
    windows.windows(cx, |w| {
        let inside = falls_inside(falls, w, &mut from);
        block.push(w, inside, column);
    })?;
    block.flush(column);
    Ok(())
}

/// Indices `i` where `values[i] < values[i - 1]`: a counter fell.
fn falls(values: &[f64], out: &mut Vec<u32>) {
    out.clear();
    // A loop without an exit takes several values at a time, and most counters never fall.
    let pairs = values.iter().zip(values.get(1..).unwrap_or_default());
    if !pairs.fold(false, |any, (before, v)| any | (v < before)) {
        return;
    }
    for (i, pair) in values.windows(2).enumerate() {
        if pair[1] < pair[0] {
            out.push(i as u32 + 1);
        }
    }
}

/// The part of `falls` strictly inside a window: both samples of the fall are in it. `from` moves along with the window.
#[inline(always)]
fn falls_inside<'a>(falls: &'a [u32], window: &Window<'_>, from: &mut usize) -> &'a [u32] {
    if *from > 0 && falls.get(*from - 1).is_some_and(|f| *f as usize > window.low) {
        *from = 0;
    }
    while *from < falls.len() && falls[*from] as usize <= window.low {
        *from += 1;
    }
    let mut to = *from;
    while to < falls.len() && (falls[to] as usize) < window.high {
        to += 1;
    }
    &falls[*from..to]
}

/// What the extrapolated difference of a window is made of.
#[derive(Clone, Copy)]
struct Edges {
    /// From the window's begin to its first sample, ms.
    to_start_ms: f64,
    /// From its last sample to its end, ms.
    to_end_ms: f64,
    /// From its first sample to its last, ms.
    sampled_ms: f64,
    /// Distances between samples.
    spaces: f64,
    first: f64,
    difference: f64,
}

impl Edges {
    /// `None` for fewer than two samples. `falls` is empty for gauges.
    #[inline(always)]
    fn of(window: &Window<'_>, falls: &[u32]) -> Option<Self> {
        let (times, values) = (window.times(), window.values());
        let last = times.len().checked_sub(1).filter(|n| *n > 0)?;
        let mut difference = values[last] - values[0];
        for fall in falls {
            difference += window.all_values[*fall as usize - 1];
        }
        Some(Self {
            to_start_ms: (times[0] - window.start_ms) as f64,
            to_end_ms: (window.end_ms - times[last]) as f64,
            sampled_ms: (times[last] - times[0]) as f64,
            // Of 32 bits, which the processor converts at once.
            spaces: f64::from(last as u32),
            first: values[0],
            difference,
        })
    }

    /// The difference over the whole window, divided by `per`. Without branches, so that several windows can be computed
    /// at a time. A counter was never negative: it is not extrapolated past its zero, which may be `near`.
    #[inline(always)]
    fn extrapolated(self, is_counter: bool, near: bool, per: f64) -> f64 {
        let Self { first, difference, .. } = self;
        let (to_start, to_end) = (self.to_start_ms / 1000.0, self.to_end_ms / 1000.0);
        let sampled = self.sampled_ms / 1000.0;
        let spacing = sampled / self.spaces;
        // Within 10 % of the usual spacing the series is taken to reach the edge; otherwise half a spacing further.
        let threshold = spacing * 1.1;
        let to_start = if to_start >= threshold { spacing / 2.0 } else { to_start };
        let to_end = if to_end >= threshold { spacing / 2.0 } else { to_end };
        let to_start = if near {
            let to_zero = sampled * (first / difference);
            let limited = is_counter & (difference > 0.0) & (first >= 0.0) & (to_zero < to_start);
            if limited { to_zero } else { to_start }
        } else {
            to_start
        };
        let whole = (sampled + to_start + to_end) / sampled;
        let factor = if sampled != 0.0 { whole } else { 1.0 };
        difference * (factor / per)
    }
}

/// What an increase is divided by: the range in seconds, or 1.
fn divisor(per_second: bool, range_ms: i64) -> f64 {
    if per_second { range_ms as f64 / 1000.0 } else { 1.0 }
}

/// The extrapolated difference of one window.
pub(crate) fn extrapolated(window: &Window<'_>, is_counter: bool, per_second: bool) -> Option<f64> {
    let per = divisor(per_second, window.end_ms - window.start_ms);
    Some(Edges::of(window, &[])?.extrapolated(is_counter, true, per))
}

/// Windows of a block.
const WINDOWS: usize = 64;
/// Fewer windows are computed one by one: a block of them costs as much as a full one.
const BLOCK_MIN: usize = 8;

/// Windows whose extrapolated differences are computed together, in columns: each has seven divisions, and several
/// windows take part in one instruction.
struct Block {
    is_counter: bool,
    per: f64,
    len: usize,
    steps: [usize; WINDOWS],
    to_start_ms: [f64; WINDOWS],
    to_end_ms: [f64; WINDOWS],
    sampled_ms: [f64; WINDOWS],
    spaces: [f64; WINDOWS],
    first: [f64; WINDOWS],
    difference: [f64; WINDOWS],
}

impl Block {
    fn new(is_counter: bool, per_second: bool, range_ms: i64) -> Self {
        let none = [0.0; WINDOWS];
        Self {
            is_counter,
            per: divisor(per_second, range_ms),
            len: 0,
            steps: [0; WINDOWS],
            to_start_ms: none,
            to_end_ms: none,
            sampled_ms: none,
            spaces: none,
            first: none,
            difference: none,
        }
    }

    /// Takes a window. Fewer than two samples have no difference. `falls` is empty for gauges.
    #[inline(always)]
    fn push(&mut self, window: &Window<'_>, falls: &[u32], column: &mut StepColumn) {
        let Some(edges) = Edges::of(window, falls) else { return };
        let at = self.len;
        self.steps[at] = window.step;
        self.to_start_ms[at] = edges.to_start_ms;
        self.to_end_ms[at] = edges.to_end_ms;
        self.sampled_ms[at] = edges.sampled_ms;
        self.spaces[at] = edges.spaces;
        self.first[at] = edges.first;
        self.difference[at] = edges.difference;
        self.len += 1;
        if self.len == WINDOWS {
            self.flush(column);
        }
    }

    /// Sets the steps of the windows taken since the last flush.
    fn flush(&mut self, column: &mut StepColumn) {
        // Where a counter had twice its rise before, its zero is farther than a series is continued: 1.1 spacings.
        let pairs = self.first.iter().zip(&self.difference).take(self.len);
        let near = pairs.fold(false, |near, (first, rise)| near | (*first < 2.0 * rise));
        match self.is_counter && near {
            true => self.extrapolate::<true>(),
            false => self.extrapolate::<false>(),
        }
        let (mut word, mut bits) = (0, 0);
        for (step, value) in self.steps.iter().zip(&self.difference).take(self.len) {
            column.values[*step] = *value;
            if step >> 6 != word {
                column.present[word] |= std::mem::take(&mut bits);
                word = step >> 6;
            }
            bits |= 1 << (step & 63);
        }
        if bits != 0 {
            column.present[word] |= bits;
        }
        self.len = 0;
    }

    /// Makes of each difference the one over the whole window.
    #[inline(always)]
    fn extrapolate<const NEAR: bool>(&mut self) {
        // The unused end of the block is computed, too: a loop of fixed length has no odd rest.
        for at in 0..WINDOWS {
            let edges = Edges {
                to_start_ms: self.to_start_ms[at],
                to_end_ms: self.to_end_ms[at],
                sampled_ms: self.sampled_ms[at],
                spaces: self.spaces[at],
                first: self.first[at],
                difference: self.difference[at],
            };
            self.difference[at] = edges.extrapolated(self.is_counter, NEAR, self.per);
        }
    }
}

/// `irate` (per second, resets counted) and `idelta`: the last two samples.
#[inline]
pub(crate) fn instant(window: &Window<'_>, is_rate: bool) -> Option<f64> {
    let (times, values) = (window.times(), window.values());
    let n = times.len();
    if n < 2 {
        return None;
    }
    let (before, now) = (values[n - 2], values[n - 1]);
    let elapsed = times[n - 1] - times[n - 2];
    if elapsed == 0 {
        return None;
    }
    let mut result = if is_rate && now < before { now } else { now - before };
    if is_rate {
        result /= elapsed as f64 / 1000.0;
    }
    Some(result)
}
