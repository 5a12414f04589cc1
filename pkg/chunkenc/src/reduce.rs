//! Schemas finer than 8, which only later writers use, brought down to 8.

use histogram::{FloatHistogram, Span};

/// The finest schema that readers of columns know.
const FINEST: i32 = 8;

/// The schema that readers of columns see.
pub(crate) fn known_schema(schema: i32) -> i32 {
    schema.min(FINEST)
}

/// Halves the resolution until the schema is at most 8. Custom buckets stay.
pub(crate) fn to_known_schema(histogram: &mut FloatHistogram) {
    if histogram.schema <= FINEST {
        return;
    }
    let halvings = (histogram.schema - FINEST) as u32;
    (histogram.positive_spans, histogram.positive_buckets) =
        merge(&histogram.positive_spans, &histogram.positive_buckets, halvings);
    (histogram.negative_spans, histogram.negative_buckets) =
        merge(&histogram.negative_spans, &histogram.negative_buckets, halvings);
    histogram.schema = FINEST;
}

fn merge(spans: &[Span], counts: &[f64], halvings: u32) -> (Vec<Span>, Vec<f64>) {
    let (mut out_spans, mut out): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut counts = counts.iter();
    let (mut index, mut next_out) = (0i64, 0i64);
    for span in spans {
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            // Bucket i of a schema lies in bucket ceil(i / 2) of the next coarser one.
            let target = ((index - 1) >> halvings) + 1;
            index += 1;
            match out.last_mut() {
                Some(last) if target == next_out - 1 => *last += count,
                _ => {
                    match out_spans.last_mut() {
                        Some(span) if target == next_out => span.length += 1,
                        _ => out_spans.push(Span { offset: (target - next_out) as i32, length: 1 }),
                    }
                    out.push(*count);
                    next_out = target + 1;
                }
            }
        }
    }
    (out_spans, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_join() {
        // Buckets -1, 0, 1, 2, 3, 8 of schema 9.
        let spans = [Span { offset: -1, length: 5 }, Span { offset: 4, length: 1 }];
        let (spans, counts) = merge(&spans, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 1);
        assert_eq!(spans, [Span { offset: 0, length: 3 }, Span { offset: 1, length: 1 }]);
        assert_eq!(counts, [3.0, 12.0, 16.0, 32.0]);
    }
}
