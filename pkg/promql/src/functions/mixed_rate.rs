//! `rate`, `increase`, `delta`, `irate`, `idelta` of native histograms, and of floats with start timestamps.

use histogram::{FloatHistogram, ResetHint};

use super::{extended, extended_histograms};
use crate::edges::EdgeWindow;
use crate::mixed::{HistogramWindow, MixedWindow, PointValue, Sample, start_overlaps, start_resets};
use crate::native::{compact, divide, multiply, scaled_difference, subtract};
use crate::notes::{Note, Notes};

pub(crate) fn rate(w: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    change(w, notes, true, true)
}

pub(crate) fn increase(w: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    change(w, notes, true, false)
}

pub(crate) fn rate_of_edges(w: &EdgeWindow<'_>, out: &mut FloatHistogram) {
    change_of_edges(w, (w.end_ms - w.start_ms) as f64 / 1000.0, out);
}

pub(crate) fn increase_of_edges(w: &EdgeWindow<'_>, out: &mut FloatHistogram) {
    change_of_edges(w, 1.0, out);
}

fn change_of_edges(w: &EdgeWindow<'_>, per: f64, out: &mut FloatHistogram) {
    let increase = w.last.count - w.first.count;
    let to_zero = (increase > 0.0 && w.first.count >= 0.0).then(|| w.first.count / increase);
    let factor = extrapolation((w.start_ms, w.end_ms), w.times, None, to_zero) / per;
    scaled_difference(w.layout, (w.last, w.first), factor, w.loose, out);
}

pub(crate) fn delta(w: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    change(w, notes, false, false)
}

fn change(w: &MixedWindow<'_>, notes: &mut Notes, is_counter: bool, per_second: bool) -> Option<Sample> {
    if w.is_mixed(notes) {
        return None;
    }
    let (start_ms, end_ms) = (w.start_ms(), w.end_ms());
    if w.anchored || w.smoothed {
        if w.has_floats() {
            return extended::rate(&w.floats, start_ms, end_ms, w.smoothed, is_counter, per_second).map(Sample::Float);
        }
        return extended_histograms::rate(w, is_counter, per_second, notes).map(Sample::new);
    }
    let per = if per_second { (end_ms - start_ms) as f64 / 1000.0 } else { 1.0 };
    if w.has_floats() {
        return float_change(w, is_counter, notes).map(|v| Sample::Float(v.0 * (v.1 / per)));
    }
    let (mut h, factor) = histogram_change(w, is_counter, notes)?;
    multiply(&mut h, factor / per);
    Some(Sample::new(h))
}

/// The difference over the sampled part of a window, and by how much the window is longer.
fn float_change(w: &MixedWindow<'_>, is_counter: bool, notes: &mut Notes) -> Option<(f64, f64)> {
    let (times, values, starts) = (w.floats.times(), w.floats.values(), w.float_starts);
    let (first, last) = (*values.first()?, *values.last()?);
    let mut difference = last - first;
    let mut overlaps = false;
    for i in (1..values.len()).filter(|_| is_counter) {
        let by_start = i < starts.len() && {
            overlaps |= start_overlaps((starts[i - 1], times[i - 1]), starts[i]);
            start_resets((starts[i - 1], times[i - 1]), (starts[i], times[i]))
        };
        if values[i] < values[i - 1] || by_start {
            difference += values[i - 1];
        }
    }
    notes.overlaps += u64::from(overlaps);
    let begin = begin(w, times, starts, is_counter);
    if begin.is_some() {
        difference += first;
    } else if values.len() < 2 {
        return None;
    }
    let to_zero = (is_counter && difference > 0.0 && first >= 0.0).then(|| first / difference);
    Some((difference, extrapolation((w.start_ms(), w.end_ms()), times, begin, to_zero)))
}

/// The start time of the first sample where the counter began within the window.
fn begin(w: &MixedWindow<'_>, times: &[i64], starts: &[i64], is_counter: bool) -> Option<i64> {
    let (start, first) = (*starts.first()?, *times.first()?);
    (is_counter && start != 0 && start > w.start_ms() && start < first).then_some(start)
}

/// By how much the window is longer than what is sampled of it: to its edges where samples come near them, else half of the
/// usual distance, and not beyond a counter's zero, which lies `to_zero` sampled intervals before the first sample. A
/// counter that began at `begin` is known from there on.
fn extrapolation((start_ms, end_ms): (i64, i64), times: &[i64], begin: Option<i64>, to_zero: Option<f64>) -> f64 {
    let [first, .., last] = *times else {
        // A single sample is its own end: nothing is known of the distance to the next one.
        return 1.0;
    };
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let (mut to_start, mut to_end) = (seconds(first - start_ms), seconds(end_ms - last));
    let mut sampled = seconds(last - first);
    let spacing = sampled / (times.len() - 1) as f64;
    let threshold = spacing * 1.1;
    if let Some(begin) = begin {
        to_start = 0.0;
        sampled = seconds(last - begin);
    } else {
        if to_start >= threshold {
            to_start = spacing / 2.0;
        }
        if let Some(ratio) = to_zero
            && sampled * ratio < to_start
        {
            to_start = sampled * ratio;
        }
    }
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled }
}

fn histogram_change(w: &MixedWindow<'_>, is_counter: bool, notes: &mut Notes) -> Option<(FloatHistogram, f64)> {
    let HistogramWindow { times, values, starts, .. } = w.histograms;
    let begin = begin(w, times, starts, is_counter);
    let first = values.first()?;
    let mut h = match values.len() {
        1 if begin.is_none() => return None,
        1 => (**first).clone(),
        _ => {
            let mut h = difference(&w.histograms, is_counter, notes)?;
            if begin.is_some() {
                add(&mut h, first, notes)?;
            }
            h
        }
    };
    if values.len() > 1 {
        h.reset_hint = ResetHint::Gauge;
    }
    let to_zero = (is_counter && h.count > 0.0 && first.count >= 0.0).then(|| first.count / h.count);
    let factor = extrapolation((w.start_ms(), w.end_ms()), times, begin, to_zero);
    Some((h, factor))
}

/// What was observed between the first and the last of two histograms or more; `None` where they cannot be put together.
fn difference(window: &HistogramWindow<'_>, is_counter: bool, notes: &mut Notes) -> Option<FloatHistogram> {
    let HistogramWindow { times, values, starts, resets, .. } = *window;
    let [first, .., last] = values else { return None };
    let is_gauge = |h: &FloatHistogram| h.reset_hint == ResetHint::Gauge;
    let mut own = Notes::default();
    own.add_if(is_counter && (is_gauge(first) || is_gauge(last)), Note::NotCounter);
    // A first one that was reset right away does not matter, whatever its layout.
    let skips_first = is_counter && resets.get(1).copied().unwrap_or(false);
    let empty;
    let from: &FloatHistogram = if skips_first {
        let FloatHistogram { schema, ref custom_values, .. } = *values[1];
        empty = FloatHistogram { schema, custom_values: custom_values.clone(), ..FloatHistogram::default() };
        &empty
    } else {
        first
    };
    let custom = from.has_custom_buckets();
    let inner = if is_counter { &values[1..values.len() - 1] } else { &[] };
    if last.has_custom_buckets() != custom {
        own.add(Note::MixedSchemas);
        notes.merge(own);
        return None;
    }
    if inner.iter().any(|h| h.has_custom_buckets() != custom) {
        notes.add(Note::MixedSchemas);
        return None;
    }
    own.add_if(inner.iter().any(|h| is_gauge(h)), Note::NotCounter);
    let schema = inner.iter().map(|h| h.schema).fold(last.schema.min(from.schema), i32::min);
    let reduced;
    let until: &FloatHistogram = if schema == last.schema {
        last
    } else {
        let mut h = (**last).clone();
        h.reduce_to(schema);
        reduced = h;
        &reduced
    };
    let Ok((mut h, combined)) = subtract(until, from) else {
        notes.add(Note::MixedSchemas);
        return None;
    };
    own.add_if(combined.bounds_reconciled, Note::ReconciledSubtraction);
    if is_counter {
        let overlaps = |i: &usize| start_overlaps((starts[i - 1], times[i - 1]), starts[*i]);
        own.overlaps += u64::from((1..starts.len()).any(|i| overlaps(&i)));
        for i in (1 + usize::from(skips_first)..values.len()).filter(|i| resets[*i]) {
            add(&mut h, &values[i - 1], &mut own)?;
        }
    } else {
        own.add_if(!is_gauge(first) || !is_gauge(last), Note::NotGauge);
    }
    notes.merge(own);
    compact(&mut h);
    Some(h)
}

fn add(h: &mut FloatHistogram, more: &FloatHistogram, notes: &mut Notes) -> Option<()> {
    match h.add(more) {
        Ok(combined) => notes.add_if(combined.bounds_reconciled, Note::ReconciledAddition),
        Err(_) => {
            notes.add(Note::MixedSchemas);
            return None;
        }
    }
    Some(())
}

pub(crate) fn irate(w: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    last_two(w, notes, true)
}

pub(crate) fn idelta(w: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    last_two(w, notes, false)
}

fn last_two(w: &MixedWindow<'_>, notes: &mut Notes, is_rate: bool) -> Option<Sample> {
    let all = w.in_order();
    let [.., before, now] = &all[..] else { return None };
    let seconds = (now.time - before.time) as f64 / 1000.0;
    if seconds == 0.0 {
        return None;
    }
    match (before.value, now.value) {
        (PointValue::Float(a), PointValue::Float(b)) => {
            let reset = b < a || start_resets((before.start, before.time), (now.start, now.time));
            let change = if is_rate && reset { b } else { b - a };
            Some(Sample::Float(if is_rate { change / seconds } else { change }))
        }
        (PointValue::Histogram(a, _), PointValue::Histogram(b, reset)) => {
            let gauges = [a, b].map(|h| h.reset_hint == ResetHint::Gauge);
            notes.add_if(is_rate && gauges.contains(&true), Note::NotCounter);
            notes.add_if(!is_rate && gauges.contains(&false), Note::NotGauge);
            let mut h = if is_rate && reset {
                (**b).clone()
            } else {
                let Ok((h, combined)) = subtract(b, a) else {
                    notes.add(Note::MixedSchemas);
                    return None;
                };
                notes.add_if(combined.bounds_reconciled, Note::ReconciledSubtraction);
                h
            };
            h.reset_hint = ResetHint::Gauge;
            compact(&mut h);
            if is_rate {
                divide(&mut h, seconds);
            }
            Some(Sample::new(h))
        }
        _ => {
            notes.add(Note::MixedRange);
            None
        }
    }
}
