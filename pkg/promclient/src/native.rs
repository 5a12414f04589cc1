//! Native histograms of the API's JSON, which names buckets by their bounds: `[boundaries, lower, upper, count]`.
//!
//! Format: <https://prometheus.io/docs/prometheus/latest/querying/api/#native-histograms>.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, SCHEMA_MAX, SCHEMA_MIN, Span, upper_bound};
use model::parse_go_float;
use serde::Deserialize;

/// More buckets are refused.
const BUCKETS_MAX: usize = 100_000;
/// Greater than the index of any bucket of any schema.
const INDEX_MAX: i32 = 1 << 20;

/// A native histogram as the API writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HistogramJson {
    count: String,
    sum: String,
    #[serde(default)]
    buckets: Vec<(u8, String, String, String)>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    lower: f64,
    upper: f64,
    count: f64,
}

/// Which bounds belong to their bucket.
const OPEN_LEFT: u8 = 0;
const OPEN_RIGHT: u8 = 1;
const CLOSED: u8 = 3;

impl HistogramJson {
    /// The histogram. Its schema is the one whose bounds the buckets have: all of them are those of one exponential schema,
    /// or they are custom bounds. Buckets without observations, which the API leaves out, have none in it.
    ///
    /// # Errors
    /// Text that is no number, bounds that fit no schema.
    pub fn histogram(&self) -> Result<FloatHistogram, String> {
        let number = |text: &str| parse_go_float(text).map_err(|_| format!("native histogram: {text:?} is no number"));
        if self.buckets.len() > BUCKETS_MAX {
            return Err(format!("native histogram: more than {BUCKETS_MAX} buckets"));
        }
        let mut out =
            FloatHistogram { count: number(&self.count)?, sum: number(&self.sum)?, ..FloatHistogram::default() };
        let (mut positive, mut negative, mut zero) = (Vec::new(), Vec::new(), None);
        for (bounds, lower, upper, count) in &self.buckets {
            let bucket = Bucket { lower: number(lower)?, upper: number(upper)?, count: number(count)? };
            // A zero bucket may have no width.
            if !(bucket.lower < bucket.upper || *bounds == CLOSED && bucket.lower == bucket.upper) {
                return Err(format!("native histogram: a bucket from {lower} to {upper}"));
            }
            match *bounds {
                OPEN_LEFT => positive.push(bucket),
                // Bounds as those of a positive bucket.
                OPEN_RIGHT => negative.push(Bucket { lower: -bucket.upper, upper: -bucket.lower, ..bucket }),
                CLOSED => zero = Some(bucket),
                other => return Err(format!("native histogram: boundaries {other} are not known")),
            }
        }
        if positive.is_empty() && negative.is_empty() {
            set_zero(&mut out, zero);
            return Ok(out);
        }
        let threshold = zero.as_ref().map_or(0.0, |zero| zero.upper.abs());
        // The finest one first: what the zero bucket covers of a bucket is not told, and is as little as it may be.
        match (SCHEMA_MIN..=SCHEMA_MAX).rev().find_map(|schema| {
            let of = |buckets| exponential(buckets, schema, threshold);
            Some((schema, of(&positive)?, of(&negative)?))
        }) {
            Some((schema, positive, negative)) => {
                out.schema = schema;
                (out.positive_spans, out.positive_buckets) = spans(positive);
                (out.negative_spans, out.negative_buckets) = spans(negative);
                set_zero(&mut out, zero);
            }
            // The first of custom buckets is closed.
            None if negative.is_empty() => custom(&mut out, zero.into_iter().chain(positive).collect())?,
            None => return Err("native histogram: its buckets are those of no schema".to_owned()),
        }
        Ok(out)
    }
}

fn set_zero(out: &mut FloatHistogram, zero: Option<Bucket>) {
    if let Some(zero) = zero {
        (out.zero_threshold, out.zero_count) = (zero.upper.abs(), zero.count);
    }
}

/// Index and count of each bucket, if all are buckets of `schema`. The zero bucket, up to `threshold`, may cover the lower end
/// of one.
fn exponential(buckets: &[Bucket], schema: i32, threshold: f64) -> Option<Vec<(i32, f64)>> {
    let index_of = |bucket: &Bucket| {
        let exponent = if bucket.upper.is_finite() { bucket.upper.log2() } else { 1024.0 };
        let near = (exponent * 2f64.powi(schema)).round();
        // No bound of any schema is further away; a bound of 0 is infinitely far.
        if near.is_nan() || near.abs() > f64::from(INDEX_MAX) {
            return None;
        }
        let near = near as i32;
        (near - 1..=near + 1).find(|index| {
            let lower = upper_bound(*index - 1, schema);
            let begins = lower == bucket.lower || lower < threshold && bucket.lower == threshold;
            upper_bound(*index, schema) == bucket.upper && begins
        })
    };
    let mut indexed = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        indexed.push((index_of(bucket)?, bucket.count));
    }
    indexed.sort_unstable_by_key(|(index, _)| *index);
    indexed.windows(2).all(|pair| pair[0].0 < pair[1].0).then_some(indexed)
}

/// Spans and counts of buckets in order.
fn spans(indexed: Vec<(i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (index, count) in indexed {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index.saturating_add(1);
        counts.push(count);
    }
    (spans, counts)
}

/// Buckets with bounds of their own. Where buckets are left out, one without observations takes their place.
fn custom(out: &mut FloatHistogram, mut buckets: Vec<Bucket>) -> Result<(), String> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    let mut bounds: Vec<f64> = buckets.iter().flat_map(|b| [b.lower, b.upper]).filter(|b| b.is_finite()).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    let mut indexed = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let index = bounds.partition_point(|bound| *bound < bucket.upper);
        let below = index.checked_sub(1).map(|at| bounds[at]);
        // The first bucket begins at −Inf, or is shown from 0 on.
        let again = indexed.last().is_some_and(|(last, _)| *last == index as i32);
        if again || below.is_some_and(|below| below != bucket.lower) {
            return Err("native histogram: its buckets overlap".to_owned());
        }
        indexed.push((index as i32, bucket.count));
    }
    out.schema = CUSTOM_BUCKETS_SCHEMA;
    out.custom_values = bounds;
    (out.positive_spans, out.positive_buckets) = spans(indexed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<FloatHistogram, String> {
        serde_json::from_str::<HistogramJson>(json).unwrap().histogram()
    }

    #[test]
    fn exponential_buckets() {
        let h = read(
            r#"{"count":"12","sum":"3.5","buckets":[[1,"-4","-2","1"],[3,"-0.001","0.001","2"],[0,"0.5","1","3"],
                [0,"1","2","4"],[0,"4","8","2"]]}"#,
        )
        .unwrap();
        assert_eq!((h.schema, h.count, h.sum, h.zero_threshold, h.zero_count), (0, 12.0, 3.5, 0.001, 2.0));
        assert_eq!(h.positive_spans, [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }]);
        assert_eq!(h.positive_buckets, [3.0, 4.0, 2.0]);
        assert_eq!((h.negative_spans, h.negative_buckets), (vec![Span { offset: 2, length: 1 }], vec![1.0]));
        // The bounds of any schema, as their shortest text.
        for schema in SCHEMA_MIN..=SCHEMA_MAX {
            let first = -3;
            let buckets: Vec<String> = (first..first + 6)
                .map(|i| format!(r#"[0,"{}","{}","1"]"#, upper_bound(i - 1, schema), upper_bound(i, schema)))
                .collect();
            let h = read(&format!(r#"{{"count":"6","sum":"1","buckets":[{}]}}"#, buckets.join(","))).unwrap();
            assert_eq!((h.schema, &h.positive_spans[..]), (schema, &[Span { offset: first, length: 6 }][..]));
        }
        let h = read(r#"{"count":"1","sum":"+Inf","buckets":[[0,"1.7976931348623157e+308","+Inf","1"]]}"#).unwrap();
        assert_eq!((h.custom_values.len(), h.positive_buckets), (0, vec![1.0]));
    }

    /// 0.9 and 1.1 are bounds of no bucket: the zero bucket reaches to there.
    #[test]
    fn buckets_that_the_zero_bucket_reaches_into() {
        let h = read(
            r#"{"count":"7","sum":"1","buckets":[[1,"-1","-0.9","1"],[3,"-0.9","0.9","2"],[0,"0.9","1","3"],
                [0,"1","2","1"]]}"#,
        )
        .unwrap();
        assert_eq!((h.schema, h.zero_threshold, h.zero_count), (0, 0.9, 2.0));
        assert_eq!((h.positive_spans, h.positive_buckets), (vec![Span { offset: 0, length: 2 }], vec![3.0, 1.0]));
        assert_eq!((h.negative_spans, h.negative_buckets), (vec![Span { offset: 0, length: 1 }], vec![1.0]));
        // Alone it may be of several schemas: of the finest that fits.
        let h = read(r#"{"count":"5","sum":"1","buckets":[[3,"-1.1","1.1","2"],[0,"1.1","2","3"]]}"#).unwrap();
        assert_eq!((h.schema, h.positive_buckets), (0, vec![3.0]));
    }

    #[test]
    fn custom_buckets() {
        let h = read(
            r#"{"count":"6","sum":"9","buckets":[[3,"-Inf","0.1","1"],[0,"0.25","0.7","2"],[0,"0.7","+Inf","3"]]}"#,
        )
        .unwrap();
        assert_eq!((h.schema, h.custom_values), (CUSTOM_BUCKETS_SCHEMA, vec![0.1, 0.25, 0.7]));
        assert_eq!(h.positive_spans, [Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }]);
        assert_eq!(h.positive_buckets, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for (json, text) in [
            (r#"{"count":"x","sum":"1"}"#, "\"x\" is no number"),
            (r#"{"count":"1","sum":"1","buckets":[[7,"1","2","1"]]}"#, "boundaries 7"),
            (r#"{"count":"1","sum":"1","buckets":[[0,"1","3","1"],[0,"2","4","1"]]}"#, "overlap"),
            (r#"{"count":"1","sum":"1","buckets":[[1,"-3","-1","1"]]}"#, "no schema"),
            (r#"{"count":"2","sum":"1","buckets":[[0,"1","2","1"],[0,"1","2","1"]]}"#, "overlap"),
            (r#"{"count":"2","sum":"1","buckets":[[0,"0.25","0","2"]]}"#, "from 0.25 to 0"),
        ] {
            assert!(read(json).unwrap_err().contains(text), "{json}");
        }
        assert_eq!(read(r#"{"count":"0","sum":"NaN"}"#).unwrap().count, 0.0);
    }
}
