//! The scaled difference of two histograms of one layout.

use chunkenc::EdgeNumbers;
use histogram::{FloatHistogram, ResetHint, Span};

use super::arithmetic::is_tight;

/// Makes `out`, which is any histogram, the gauge (`a` − `b`) × `factor`, in the memory that it has. Both have `layout`. With
/// `loose` it has all buckets of the layout, else it is compact.
pub(crate) fn scaled_difference(
    layout: &FloatHistogram,
    (a, b): (EdgeNumbers<'_>, EdgeNumbers<'_>),
    factor: f64,
    loose: bool,
    out: &mut FloatHistogram,
) {
    out.reset_hint = ResetHint::Gauge;
    out.schema = layout.schema;
    out.zero_threshold = layout.zero_threshold;
    out.zero_count = a.zero_count - b.zero_count;
    if !layout.has_custom_buckets() {
        out.zero_count *= factor;
    }
    out.count = (a.count - b.count) * factor;
    out.sum = (a.sum - b.sum) * factor;
    out.custom_values.clear();
    out.custom_values.extend_from_slice(&layout.custom_values);
    let side = if loose { loose_side } else { compact_side };
    side(&layout.positive_spans, (a.positive, b.positive), factor, &mut out.positive_spans, &mut out.positive_buckets);
    side(&layout.negative_spans, (a.negative, b.negative), factor, &mut out.negative_spans, &mut out.negative_buckets);
}

fn loose_side(spans: &[Span], (a, b): (&[f64], &[f64]), factor: f64, out_spans: &mut Vec<Span>, out: &mut Vec<f64>) {
    out_spans.clear();
    out.clear();
    // Without buckets there is nothing for the spans to cover.
    if !a.is_empty() {
        out_spans.extend_from_slice(spans);
        out.extend(a.iter().zip(b).map(|(x, y)| (x - y) * factor));
    }
}

fn compact_side(spans: &[Span], (a, b): (&[f64], &[f64]), factor: f64, out_spans: &mut Vec<Span>, out: &mut Vec<f64>) {
    out_spans.clear();
    out.clear();
    out.extend(a.iter().zip(b).map(|(x, y)| x - y));
    let any_empty = out.iter().fold(false, |any, v| any | (*v == 0.0));
    if !any_empty && is_tight(spans) {
        out_spans.extend_from_slice(spans);
        out.iter_mut().for_each(|v| *v *= factor);
        return;
    }
    let (mut next, mut next_out, mut from, mut to) = (0i32, 0i32, 0, 0);
    for span in spans {
        let mut index = next.wrapping_add(span.offset);
        next = index.wrapping_add(span.length as i32);
        let until = out.len().min(from + span.length as usize);
        while from < until {
            let begin = to;
            while from < until && out[from] != 0.0 {
                out[to] = out[from] * factor;
                (from, to) = (from + 1, to + 1);
            }
            let length = (to - begin) as u32;
            match out_spans.last_mut() {
                _ if length == 0 => {}
                Some(span) if index == next_out => span.length += length,
                _ => out_spans.push(Span { offset: index.wrapping_sub(next_out), length }),
            }
            index = index.wrapping_add(length as i32);
            if length > 0 {
                next_out = index;
            }
            while from < until && out[from] == 0.0 {
                from += 1;
                index = index.wrapping_add(1);
            }
        }
    }
    out.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{compact, multiply, subtract};

    fn histogram(spans: &[(i32, u32)], counts: &[f64], count: f64) -> FloatHistogram {
        let spans: Vec<Span> = spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect();
        FloatHistogram {
            count,
            sum: 1.5 * count,
            zero_count: count,
            positive_spans: spans.clone(),
            positive_buckets: counts.to_vec(),
            negative_spans: spans,
            negative_buckets: counts.iter().map(|c| c * 2.0).collect(),
            ..FloatHistogram::default()
        }
    }

    fn numbers(h: &FloatHistogram) -> EdgeNumbers<'_> {
        EdgeNumbers {
            count: h.count,
            sum: h.sum,
            zero_count: h.zero_count,
            positive: &h.positive_buckets,
            negative: &h.negative_buckets,
        }
    }

    #[test]
    fn differences_compact_and_loose() {
        let tight = [(-2, 2), (3, 3)];
        let split = [(-2, 2), (0, 0), (0, 1), (3, 2)];
        for (spans, now, before) in [
            (&tight[..], [4.0, 1.0, 2.0, 9.0, 7.0], [1.0, 0.5, 1.0, 3.0, 1.0]),
            (&tight, [4.0, 1.0, 2.0, 9.0, 7.0], [4.0, 0.5, 2.0, 3.0, 7.0]),
            (&split, [4.0, 1.0, 2.0, 9.0, 7.0], [1.0, 1.0, 1.0, 3.0, 1.0]),
            (&split, [4.0, 1.0, 2.0, 9.0, 7.0], [4.0, 1.0, 2.0, 9.0, 7.0]),
        ] {
            let (now, before) = (histogram(spans, &now, 23.0), histogram(spans, &before, 6.0));
            let mut want = subtract(&now, &before).unwrap().0;
            compact(&mut want);
            multiply(&mut want, 0.3);
            want.reset_hint = ResetHint::Gauge;
            for loose in [false, true] {
                let mut got = histogram(&tight, &[1.0; 5], 99.0);
                scaled_difference(&now, (numbers(&now), numbers(&before)), 0.3, loose, &mut got);
                if loose {
                    assert_eq!((got.positive_buckets.len(), got.negative_buckets.len()), (5, 5));
                    compact(&mut got);
                }
                assert_eq!(got, want, "{spans:?} {loose}");
            }
        }
    }
}
