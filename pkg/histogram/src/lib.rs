//! Native histograms: sparse exponential or custom buckets, with integer or float counts.
//!
//! Source: Prometheus' `model/histogram` and the native histogram specification.

mod arithmetic;
mod bounds;
mod buckets;
mod reset;
mod validate;

pub use arithmetic::{Combined, Incompatible};
pub use bounds::upper_bound;
pub use buckets::{collect, indexed};
pub use validate::{InvalidHistogram, SCHEMA_MAX, SCHEMA_MIN};

/// The schema of custom bucket bounds (NHCB).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// What is known of a counter reset between the sample before and this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// Not known: the two samples must be compared.
    #[default]
    Unknown,
    /// A reset lies between.
    Reset,
    /// No reset lies between.
    NotReset,
    /// The histogram is a gauge: its counts may fall without a reset.
    Gauge,
}

/// `length` used buckets after a gap of `offset` (for the first span: the index of its first bucket).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Gap to the previous span, or the start index.
    pub offset: i32,
    /// How many consecutive buckets follow the gap.
    pub length: u32,
}

/// A histogram with float counts, absolute in each bucket. Integer histograms are turned into this on read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatHistogram {
    /// Whether counts were reset since the sample before.
    pub reset_hint: ResetHint,
    /// −4 to 8: each doubling of values has 2^schema buckets. Or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Count in the zero bucket.
    pub zero_count: f64,
    /// How many observations there were, those in the zero bucket and NaN included.
    pub count: f64,
    /// Sum of all observations; the stale marker makes the whole sample stale.
    pub sum: f64,
    /// Which positive buckets are used.
    pub positive_spans: Vec<Span>,
    /// Absolute counts, one for each bucket that `positive_spans` cover.
    pub positive_buckets: Vec<f64>,
    /// Which negative buckets are used.
    pub negative_spans: Vec<Span>,
    /// Absolute counts, one for each bucket that `negative_spans` cover.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds with the custom schema, ascending, without +Inf.
    pub custom_values: Vec<f64>,
}

/// A histogram with integer counts; buckets are deltas to the bucket before, as on disk.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Whether counts were reset since the sample before.
    pub reset_hint: ResetHint,
    /// As in [`FloatHistogram`].
    pub schema: i32,
    /// As in [`FloatHistogram`].
    pub zero_threshold: f64,
    /// As in [`FloatHistogram`].
    pub zero_count: u64,
    /// As in [`FloatHistogram`].
    pub count: u64,
    /// As in [`FloatHistogram`].
    pub sum: f64,
    /// As in [`FloatHistogram`].
    pub positive_spans: Vec<Span>,
    /// Deltas; the first is absolute.
    pub positive_deltas: Vec<i64>,
    /// As in [`FloatHistogram`].
    pub negative_spans: Vec<Span>,
    /// Deltas; the first is absolute.
    pub negative_deltas: Vec<i64>,
    /// As in [`FloatHistogram`].
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// The same histogram with float counts.
    pub fn to_float(&self) -> FloatHistogram {
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            positive_buckets: running_sums(&self.positive_deltas),
            negative_spans: self.negative_spans.clone(),
            negative_buckets: running_sums(&self.negative_deltas),
            custom_values: self.custom_values.clone(),
        }
    }
}

fn running_sums(deltas: &[i64]) -> Vec<f64> {
    let mut sum = 0i64;
    deltas
        .iter()
        .map(|d| {
            sum = sum.wrapping_add(*d);
            sum as f64
        })
        .collect()
}
