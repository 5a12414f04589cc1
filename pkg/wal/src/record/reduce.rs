//! Histograms with integer counts brought down to a coarser schema.

use histogram::{Histogram, Span};

/// Halves the resolution until the schema is `schema`. The histogram has a finer, exponential one.
pub(super) fn to_schema(histogram: &mut Histogram, schema: i32) {
    let halvings = (histogram.schema - schema).unsigned_abs().min(63);
    let merged = merge(&histogram.positive_spans, &histogram.positive_deltas, halvings);
    (histogram.positive_spans, histogram.positive_deltas) = merged;
    let merged = merge(&histogram.negative_spans, &histogram.negative_deltas, halvings);
    (histogram.negative_spans, histogram.negative_deltas) = merged;
    histogram.schema = schema;
}

fn merge(spans: &[Span], deltas: &[i64], halvings: u32) -> (Vec<Span>, Vec<i64>) {
    let (mut out_spans, mut counts): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut deltas, mut count) = (deltas.iter(), 0i64);
    let (mut index, mut next_out) = (0i64, 0i64);
    for span in spans {
        index += i64::from(span.offset);
        for delta in deltas.by_ref().take(span.length as usize) {
            count = count.wrapping_add(*delta);
            // Bucket i of a schema lies in bucket ceil(i / 2) of the next coarser one.
            let target = ((index - 1) >> halvings) + 1;
            index += 1;
            match counts.last_mut() {
                Some(last) if target == next_out - 1 => *last = last.wrapping_add(count),
                _ => {
                    match out_spans.last_mut() {
                        Some(span) if target == next_out => span.length += 1,
                        _ => out_spans.push(Span { offset: (target - next_out) as i32, length: 1 }),
                    }
                    counts.push(count);
                    next_out = target + 1;
                }
            }
        }
    }
    let mut before = 0i64;
    for count in &mut counts {
        (*count, before) = (count.wrapping_sub(before), *count);
    }
    (out_spans, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_float_histogram_is_reduced() {
        let fine = Histogram {
            schema: 11,
            positive_spans: vec![Span { offset: -9, length: 12 }, Span { offset: 40, length: 3 }],
            positive_deltas: vec![5, -3, 1, 1, 0, 2, -1, 4, 0, 0, -8, 2, 10, -3, 1],
            negative_spans: vec![Span { offset: 3, length: 2 }],
            negative_deltas: vec![1, 1],
            ..Histogram::default()
        };
        let mut coarse = fine.clone();
        to_schema(&mut coarse, 8);
        let mut expected = fine.to_float();
        expected.reduce_to(8);
        assert_eq!(coarse.to_float(), expected);
        assert_eq!(coarse.schema, 8);
    }
}
