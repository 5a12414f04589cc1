//! Whether a histogram that came from outside holds together. Source: Prometheus' `Histogram.Validate` and
//! `FloatHistogram.Validate`; the texts say the same, since clients look for them.

use crate::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Span};

/// The finest exponential schema that is stored; finer ones are reduced to it.
pub const SCHEMA_MAX: i32 = 8;
/// The coarsest exponential schema that is stored.
pub const SCHEMA_MIN: i32 = -4;

/// Why a histogram does not hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHistogram(pub String);

impl std::fmt::Display for InvalidHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidHistogram {}

type Result<T> = std::result::Result<T, InvalidHistogram>;

const NEGATIVE_OFFSET: &str = "histogram has a span whose offset is negative";
const BUCKETS_MISMATCH: &str = "histogram spans specify different number of buckets than provided";
const NEGATIVE_BUCKET: &str = "histogram has a bucket whose observation count is negative";

/// Everything but the counts, which the two kinds have of different types.
struct Shape<'a> {
    schema: i32,
    zero_threshold: f64,
    zero_is_empty: bool,
    positive: (&'a [Span], usize),
    negative: (&'a [Span], usize),
    custom_values: &'a [f64],
}

impl Histogram {
    /// Holds schema, spans, bounds and counts against one another.
    ///
    /// # Errors
    /// [`InvalidHistogram`] with the first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.shape().check()?;
        let negative = sum_of_deltas(&self.negative_deltas).map_err(|e| within("negative side", e))?;
        let positive = sum_of_deltas(&self.positive_deltas).map_err(|e| within("positive side", e))?;
        let found = negative.wrapping_add(positive).wrapping_add(self.zero_count);
        let text = |why: &str| {
            let count = self.count;
            invalid(format!("{found} observations found in buckets, but the Count field is {count}: {why}"))
        };
        if self.sum.is_nan() {
            // NaN was observed, which is in no bucket.
            if found > self.count {
                return text(
                    "histogram's observation count should be at least the number of observations found in the buckets",
                );
            }
        } else if found != self.count {
            return text(
                "histogram's observation count should equal the number of observations found in the buckets (in absence \
                 of NaN)",
            );
        }
        Ok(())
    }

    fn shape(&self) -> Shape<'_> {
        Shape {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_is_empty: self.zero_count == 0,
            positive: (&self.positive_spans, self.positive_deltas.len()),
            negative: (&self.negative_spans, self.negative_deltas.len()),
            custom_values: &self.custom_values,
        }
    }
}

impl FloatHistogram {
    /// Holds schema, spans, bounds and counts against one another. Whether the buckets sum up to the count is not asked:
    /// floats need not.
    ///
    /// # Errors
    /// [`InvalidHistogram`] with the first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        let shape = Shape {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_is_empty: self.zero_count == 0.0,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
            custom_values: &self.custom_values,
        };
        shape.check()?;
        no_negative(&self.negative_buckets).map_err(|e| within("negative side", e))?;
        if self.zero_count < 0.0 {
            return invalid(format!("zero bucket has observation count of {}: {NEGATIVE_BUCKET}", self.zero_count));
        }
        if self.count < 0.0 {
            let text = "histogram's observation count is negative";
            return invalid(format!("observation count is {}: {text}", self.count));
        }
        no_negative(&self.positive_buckets).map_err(|e| within("positive side", e))
    }
}

impl Shape<'_> {
    fn check(&self) -> Result<()> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            return self.check_custom();
        }
        if !(SCHEMA_MIN..=SCHEMA_MAX).contains(&self.schema) {
            return invalid(format!(
                "histogram has an invalid schema, which must be between {SCHEMA_MIN} and {SCHEMA_MAX} for exponential \
                 buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema {}",
                self.schema
            ));
        }
        check_spans(self.positive, 1).map_err(|e| within("positive side", e))?;
        check_spans(self.negative, 1).map_err(|e| within("negative side", e))?;
        match self.custom_values.is_empty() {
            true => Ok(()),
            false => invalid("histogram with exponential schema must not have custom bounds"),
        }
    }

    fn check_custom(&self) -> Result<()> {
        check_bounds(self.custom_values).map_err(|e| within("custom buckets", e))?;
        let reach = check_spans(self.positive, 0).map_err(|e| within("custom buckets", e))?;
        let bounds = self.custom_values.len();
        if (bounds as u64 + 1) < reach {
            return invalid(format!(
                "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length of \
                 {reach}: histogram custom bounds are too few"
            ));
        }
        if !self.zero_is_empty {
            return invalid("custom buckets: must have zero count of 0");
        }
        if self.zero_threshold != 0.0 {
            return invalid("custom buckets: must have zero threshold of 0");
        }
        if !self.negative.0.is_empty() {
            return invalid("custom buckets: must not have negative spans");
        }
        if self.negative.1 > 0 {
            return invalid("custom buckets: must not have negative buckets");
        }
        Ok(())
    }
}

/// Spans against the number of buckets; from span `first` on no offset may be negative. Where the last one ends, counted
/// from index 0 when no offset is negative.
fn check_spans((spans, buckets): (&[Span], usize), first: usize) -> Result<u64> {
    let (mut covered, mut reach) = (0u64, 0u64);
    for (n, span) in spans.iter().enumerate() {
        if n >= first && span.offset < 0 {
            return invalid(format!("span number {} with offset {}: {NEGATIVE_OFFSET}", n + 1, span.offset));
        }
        covered = covered.saturating_add(u64::from(span.length));
        reach = reach.saturating_add(u64::from(span.length)).saturating_add(span.offset.max(0) as u64);
    }
    match covered == buckets as u64 {
        true => Ok(reach),
        false => invalid(format!("spans need {covered} buckets, have {buckets} buckets: {BUCKETS_MISMATCH}")),
    }
}

fn check_bounds(bounds: &[f64]) -> Result<()> {
    for (n, bound) in bounds.iter().enumerate() {
        if bound.is_nan() {
            return invalid("histogram custom bounds must not be NaN");
        }
        if let Some(before) = n.checked_sub(1).and_then(|n| bounds.get(n))
            && bound <= before
        {
            return invalid(format!(
                "previous bound is {before} and current is {bound}: histogram custom bounds must be in strictly \
                 increasing order"
            ));
        }
    }
    match bounds.last() {
        Some(last) if *last == f64::INFINITY => {
            invalid("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite")
        }
        _ => Ok(()),
    }
}

fn sum_of_deltas(deltas: &[i64]) -> Result<u64> {
    let (mut count, mut sum) = (0i64, 0u64);
    for (n, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return invalid(format!("bucket number {} has observation count of {count}: {NEGATIVE_BUCKET}", n + 1));
        }
        sum = sum.wrapping_add(count as u64);
    }
    Ok(sum)
}

fn no_negative(counts: &[f64]) -> Result<()> {
    match counts.iter().enumerate().find(|(_, count)| **count < 0.0) {
        Some((n, count)) => {
            invalid(format!("bucket number {} has observation count of {count}: {NEGATIVE_BUCKET}", n + 1))
        }
        None => Ok(()),
    }
}

fn invalid<T>(text: impl Into<String>) -> Result<T> {
    Err(InvalidHistogram(text.into()))
}

fn within(side: &str, error: InvalidHistogram) -> InvalidHistogram {
    InvalidHistogram(format!("{side}: {}", error.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    /// Buckets of 1, 3, 2 and a zero bucket of 4.
    fn good() -> Histogram {
        Histogram {
            schema: 1,
            zero_count: 4,
            count: 10,
            sum: 1.5,
            zero_threshold: 0.001,
            positive_spans: vec![span(-2, 2), span(3, 1)],
            positive_deltas: vec![1, 2, -1],
            ..Histogram::default()
        }
    }

    fn custom() -> Histogram {
        Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 2,
            positive_spans: vec![span(0, 1), span(1, 1)],
            positive_deltas: vec![1, 0],
            custom_values: vec![1.0, 2.0],
            ..Histogram::default()
        }
    }

    #[test]
    fn what_holds_together() {
        for h in [good(), custom(), Histogram { sum: f64::NAN, count: 11, ..good() }, Histogram::default()] {
            assert_eq!(h.validate(), Ok(()), "{h:?}");
            assert_eq!(h.to_float().validate(), Ok(()), "{h:?}");
        }
    }

    #[test]
    fn what_does_not() {
        let cases = [
            (Histogram { count: 9, ..good() }, "10 observations found in buckets, but the Count field is 9"),
            (Histogram { sum: f64::NAN, count: 9, ..good() }, "should be at least"),
            (Histogram { schema: 9, ..good() }, "got schema 9"),
            (Histogram { schema: -5, ..good() }, "got schema -5"),
            (Histogram { positive_spans: vec![span(0, 2)], ..good() }, "positive side: spans need 2 buckets, have 3"),
            (Histogram { negative_spans: vec![span(0, 1)], ..good() }, "negative side: spans need 1 buckets, have 0"),
            (
                Histogram { positive_spans: vec![span(0, 2), span(-1, 1)], ..good() },
                "span number 2 with offset -1: histogram has a span whose offset is negative",
            ),
            (Histogram { positive_deltas: vec![1, -2, 3], ..good() }, "bucket number 2 has observation count of -1"),
            (Histogram { custom_values: vec![1.0], ..good() }, "exponential schema must not have custom bounds"),
            (Histogram { custom_values: vec![1.0, 1.0], ..custom() }, "strictly increasing"),
            (Histogram { custom_values: vec![f64::NAN], ..custom() }, "must not be NaN"),
            (Histogram { custom_values: vec![1.0, f64::INFINITY], ..custom() }, "must be finite"),
            (Histogram { custom_values: vec![1.0], ..custom() }, "only 1 custom bounds"),
            (Histogram { positive_spans: vec![span(-1, 1), span(1, 1)], ..custom() }, "offset -1"),
            (Histogram { zero_count: 1, ..custom() }, "zero count of 0"),
            (Histogram { zero_threshold: 1.0, ..custom() }, "zero threshold of 0"),
            (Histogram { negative_spans: vec![span(0, 1)], ..custom() }, "negative spans"),
            (Histogram { negative_deltas: vec![1], ..custom() }, "negative buckets"),
        ];
        for (h, text) in cases {
            let error = h.validate().unwrap_err().to_string();
            assert!(error.contains(text), "{error} should say {text}");
        }
        let float = good().to_float();
        for (h, text) in [
            (FloatHistogram { count: -1.0, ..float.clone() }, "observation count is -1"),
            (FloatHistogram { zero_count: -1.0, ..float.clone() }, "zero bucket has observation count of -1"),
            (FloatHistogram { positive_buckets: vec![1.0, 2.0, -3.0], ..float }, "bucket number 3"),
        ] {
            let error = h.validate().unwrap_err().to_string();
            assert!(error.contains(text), "{error} should say {text}");
        }
    }
}
