//! Instant vectors: `[{"metric":{…},"value":[t,"v"]},…]`.

use promql::InstantSample;

use super::lists::List;
use super::points::{write_histogram_point, write_point};
use super::produce::Produce;
use super::text::write_labels;

/// Writes a vector sample by sample.
#[derive(Debug)]
pub struct VectorJson {
    time_ms: i64,
    samples: List<InstantSample>,
}

impl VectorJson {
    /// Ready to write `samples`, all of `time_ms`, in this order.
    pub fn new(time_ms: i64, samples: Vec<InstantSample>) -> Self {
        Self { time_ms, samples: List::new(samples) }
    }
}

impl Produce for VectorJson {
    fn produce(&mut self, out: &mut Vec<u8>, full: usize) -> bool {
        let time_ms = self.time_ms;
        self.samples.produce(out, full, |out, sample| {
            out.extend_from_slice(b"{\"metric\":");
            write_labels(out, &sample.labels);
            match &sample.histogram {
                None => {
                    out.extend_from_slice(b",\"value\":");
                    write_point(out, time_ms, sample.value);
                }
                Some(histogram) => {
                    out.extend_from_slice(b",\"histogram\":");
                    write_histogram_point(out, time_ms, histogram);
                }
            }
            out.push(b'}');
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use histogram::{FloatHistogram, Span};
    use labels::Labels;

    use super::*;
    use crate::json::whole;

    #[test]
    fn expected_text() {
        let histogram = FloatHistogram {
            count: 6.0,
            sum: 1.5,
            zero_count: 1.0,
            zero_threshold: 0.25,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![3.0, 0.0],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            negative_buckets: vec![2.0],
            ..FloatHistogram::default()
        };
        let samples = vec![
            InstantSample { labels: Labels::from_pairs([("a", "1")]), value: 1.5, histogram: None },
            InstantSample { labels: Labels::empty(), value: 0.0, histogram: Some(Arc::new(histogram)) },
        ];
        assert_eq!(
            whole(VectorJson::new(1500, samples), 10),
            concat!(
                r#"[{"metric":{"a":"1"},"value":[1.500,"1.5"]},"#,
                r#"{"metric":{},"histogram":[1.500,{"count":"6","sum":"1.5","buckets":"#,
                r#"[[1,"-2","-1","2"],[3,"-0.25","0.25","1"],[0,"0.5","1","3"]]}]}]"#
            )
        );
        assert_eq!(whole(VectorJson::new(0, vec![]), 10), "[]");
    }
}
