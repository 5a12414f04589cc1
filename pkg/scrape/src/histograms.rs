//! Native histograms within limits: they lose resolution before a scrape fails.

use std::sync::Arc;

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, SCHEMA_MAX, SCHEMA_MIN};
use model::stale_nan;
use storage::append::HistogramValue;
use textparse::NativeHistogram;

/// Limits on native histograms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HistogramLimits {
    /// Buckets of a histogram; 0 = no limit.
    pub(crate) buckets_max: u64,
    /// The finest schema.
    pub(crate) schema_max: i32,
}

/// A histogram with too many buckets in the coarsest schema, or with custom ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooManyBuckets(pub(crate) usize);

impl HistogramLimits {
    pub(crate) fn new(buckets_max: u64, min_bucket_factor: f64) -> Self {
        Self { buckets_max, schema_max: schema_of(min_bucket_factor) }
    }

    /// The histogram within the limits.
    pub(crate) fn apply(self, value: &NativeHistogram) -> Result<HistogramValue, TooManyBuckets> {
        Ok(match value {
            NativeHistogram::Int(h) => {
                let mut h = h.clone();
                let buckets = |h: &Histogram| h.positive_deltas.len() + h.negative_deltas.len();
                self.reduce(&mut h, |h| (h.schema, buckets(h)), Histogram::reduce_to)?;
                HistogramValue::Int(h)
            }
            NativeHistogram::Float(h) => {
                let mut h = h.clone();
                let shape = |h: &FloatHistogram| (h.schema, h.positive_buckets.len() + h.negative_buckets.len());
                self.reduce(&mut h, shape, FloatHistogram::reduce_to)?;
                HistogramValue::Float(h)
            }
        })
    }

    fn reduce<H: Clone>(
        self,
        h: &mut Arc<H>,
        shape: impl Fn(&H) -> (i32, usize),
        reduce_to: impl Fn(&mut H, i32),
    ) -> Result<(), TooManyBuckets> {
        let (schema, _) = shape(h);
        if schema != CUSTOM_BUCKETS_SCHEMA && schema > self.schema_max {
            reduce_to(Arc::make_mut(h), self.schema_max);
        }
        loop {
            let (schema, buckets) = shape(h);
            if self.buckets_max == 0 || buckets as u64 <= self.buckets_max {
                return Ok(());
            }
            if schema <= SCHEMA_MIN {
                return Err(TooManyBuckets(buckets));
            }
            reduce_to(Arc::make_mut(h), schema - 1);
        }
    }
}

/// The finest schema whose buckets grow by at least `factor`; without a factor the finest there is.
fn schema_of(factor: f64) -> i32 {
    if factor <= 1.0 {
        return SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    (schema as i32).clamp(SCHEMA_MIN, SCHEMA_MAX)
}

/// A histogram without observations that `value` can follow.
pub(crate) fn zero(value: &HistogramValue) -> HistogramValue {
    match value {
        HistogramValue::Int(h) => HistogramValue::Int(Arc::new(Histogram {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            custom_values: h.custom_values.clone(),
            ..Histogram::default()
        })),
        HistogramValue::Float(h) => HistogramValue::Float(Arc::new(FloatHistogram {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            custom_values: h.custom_values.clone(),
            ..FloatHistogram::default()
        })),
    }
}

/// The marker that ends a series of histograms.
pub(crate) fn stale_histogram() -> HistogramValue {
    HistogramValue::Int(Arc::new(Histogram { sum: stale_nan(), ..Histogram::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use histogram::Span;

    #[test]
    fn factors() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (1.002, 8),
            (1.005, 7),
            (1.09, 3),
            (1.1, 2),
            (1.4, 1),
            (1.5, 0),
            (2.0, 0),
            (4.0, -1),
            (256.0, -3),
            (65536.0, -4),
            (1e10, -4),
        ] {
            assert_eq!(schema_of(factor), schema, "{factor}");
        }
    }

    fn histogram(schema: i32, buckets: u32) -> NativeHistogram {
        NativeHistogram::Int(Arc::new(Histogram {
            schema,
            count: u64::from(buckets),
            positive_spans: vec![Span { offset: 1, length: buckets }],
            positive_deltas: (0..buckets).map(|i| i64::from(i == 0)).collect(),
            ..Histogram::default()
        }))
    }

    #[test]
    fn resolution_goes_first() {
        let limits = HistogramLimits::new(4, 0.0);
        let HistogramValue::Int(h) = limits.apply(&histogram(3, 16)).unwrap() else { panic!("integers") };
        assert_eq!((h.schema, h.positive_deltas.len(), h.count), (1, 4, 16));
        // Where no resolution is left the scrape fails.
        let custom = NativeHistogram::Int(Arc::new(Histogram {
            custom_values: vec![1.0; 9],
            ..match histogram(CUSTOM_BUCKETS_SCHEMA, 10) {
                NativeHistogram::Int(h) => (*h).clone(),
                NativeHistogram::Float(_) => unreachable!(),
            }
        }));
        assert_eq!(limits.apply(&custom), Err(TooManyBuckets(10)));
        assert!(HistogramLimits::new(10, 0.0).apply(&custom).is_ok());
        // The smallest factor, and schemas that are finer than any that is stored.
        let coarse = HistogramLimits::new(0, 1.9);
        let HistogramValue::Int(h) = coarse.apply(&histogram(3, 16)).unwrap() else { panic!("integers") };
        assert_eq!((h.schema, h.positive_deltas.len()), (0, 2));
        let HistogramValue::Int(h) = HistogramLimits::new(0, 0.0).apply(&histogram(10, 16)).unwrap() else { panic!() };
        assert_eq!((h.schema, h.positive_deltas.len()), (8, 4));
    }
}
