//! `anchored` and `smoothed` windows of native histograms: histograms at the window's edges are taken from before it or
//! interpolated, nothing is extrapolated.

use std::sync::Arc;

use histogram::{FloatHistogram, Incompatible, ResetHint};

use crate::mixed::MixedWindow;
use crate::native::{compact, divide, multiply};
use crate::notes::{Note, Notes};

/// A histogram with its time.
type At<'a> = (i64, &'a FloatHistogram);

/// The histogram at `t` between two others. A counter that was reset between them rises from zero.
pub(crate) fn interpolate(
    (t1, h1): At<'_>,
    (t2, h2): At<'_>,
    t: i64,
    is_counter: bool,
    notes: &mut Notes,
) -> Result<FloatHistogram, Incompatible> {
    if t == t1 {
        return Ok(h1.clone());
    }
    let mut out = h2.clone();
    if t == t2 {
        return Ok(out);
    }
    let share = (t - t1) as f64 / (t2 - t1) as f64;
    if is_counter && h2.is_reset_since(h1) {
        multiply(&mut out, share);
        return Ok(out);
    }
    notes.add_if(out.sub(h1)?.bounds_reconciled, Note::ReconciledSubtraction);
    multiply(&mut out, share);
    notes.add_if(out.add(h1)?.bounds_reconciled, Note::ReconciledAddition);
    Ok(out)
}

/// `rate`, `increase` and `delta`; the window reaches beyond its bounds by the lookback.
pub(crate) fn rate(
    w: &MixedWindow<'_>,
    is_counter: bool,
    per_second: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let outcome = change(w, is_counter, notes);
    notes.add_if(outcome.is_err(), Note::MixedSchemas);
    let mut h = outcome.ok()??;
    if per_second {
        divide(&mut h, (w.end_ms() - w.start_ms()) as f64 / 1000.0);
    }
    h.reset_hint = ResetHint::Gauge;
    compact(&mut h);
    Some(h)
}

fn change(w: &MixedWindow<'_>, is_counter: bool, notes: &mut Notes) -> Result<Option<FloatHistogram>, Incompatible> {
    let (times, values) = (w.histograms.times, w.histograms.values);
    let (start, end, smoothed) = (w.start_ms(), w.end_ms(), w.smoothed);
    let Some(mut last) = times.len().checked_sub(1) else { return Ok(None) };
    let first = times[..last].partition_point(|t| *t <= start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < end);
    }
    if times[last] <= start || (smoothed && times[first] > end) {
        return Ok(None);
    }
    let seen = &values[first..=last];
    let alike = seen.iter().take_while(|h| h.has_custom_buckets() == seen[0].has_custom_buckets()).count();
    let gauge = seen[..alike].iter().any(|h| h.reset_hint == ResetHint::Gauge);
    notes.add_if(is_counter && gauge, Note::NotCounter);
    if alike < seen.len() {
        return Err(Incompatible);
    }
    let at = |i: usize| (times[i], &*values[i]);
    let left = if smoothed && times[first] < start && first + 1 < times.len() {
        interpolate(at(first), at(first + 1), start, is_counter, notes)?
    } else {
        (*values[first]).clone()
    };
    let right = if smoothed && last > 0 && times[last] > end {
        interpolate(at(last - 1), at(last), end, is_counter, notes)?
    } else {
        (*values[last]).clone()
    };
    let gauges = left.reset_hint == ResetHint::Gauge && right.reset_hint == ResetHint::Gauge;
    notes.add_if(!is_counter && !gauges, Note::NotGauge);
    let mut out = right.clone();
    notes.add_if(out.sub(&left)?.bounds_reconciled, Note::ReconciledSubtraction);
    if is_counter {
        let spans_reset = smoothed && times[first] < start && first < last && {
            values.get(first + 1).is_some_and(|next| next.is_reset_since(&values[first]))
        };
        // First added to one another: which zero bucket comes out depends on the order.
        let mut all_lost = lost_by_resets(values, (first, last), &left, &right, spans_reset).into_iter();
        if let Some(mut correction) = all_lost.next().cloned() {
            for lost in all_lost {
                notes.add_if(correction.add(lost)?.bounds_reconciled, Note::ReconciledAddition);
            }
            notes.add_if(out.add(&correction)?.bounds_reconciled, Note::ReconciledAddition);
        }
    }
    Ok(Some(out))
}

/// What a counter had reached before each reset between the two edges, of which the left one stands for sample `first`, the
/// right one for sample `last`. `spans_reset`: the left edge was interpolated across a reset, which is counted in it.
fn lost_by_resets<'a>(
    values: &'a [Arc<FloatHistogram>],
    (first, last): (usize, usize),
    left: &'a FloatHistogram,
    right: &FloatHistogram,
    spans_reset: bool,
) -> Vec<&'a FloatHistogram> {
    let mut lost = Vec::new();
    let (mut before, mut from) = (left, first + 1);
    if spans_reset {
        before = &values[first + 1];
        from += 1;
    }
    // Nothing lies between the edges: both belong to one stretch without a reset.
    if from > last {
        return lost;
    }
    for h in &values[from..last] {
        if h.is_reset_since(before) {
            lost.push(before);
        }
        before = h;
    }
    if right.is_reset_since(before) {
        lost.push(before);
    }
    lost
}
