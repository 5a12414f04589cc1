//! What queries calculate with native histograms, one histogram or two at a time. The data type, its sums and differences
//! are in the crate `histogram`; here is what only queries need.

mod arithmetic;
mod buckets;
mod quantile;
mod scaled;
mod stats;
mod sum;
mod text;
mod trim;

use histogram::FloatHistogram;

pub use arithmetic::{compact, difference, total};
pub(crate) use arithmetic::{divide, equal, is_clear_of_zero, multiply, subtract, with_hint};
pub(crate) use quantile::{Nans, fraction, quantile};
pub(crate) use scaled::scaled_difference;
pub(crate) use stats::variance;
pub(crate) use sum::{Mean, Sum};
pub use text::{text, whole_text};
pub(crate) use trim::{Kept, trim};

/// The memory that a histogram takes, bytes; what it could grow into counts.
pub(crate) fn size_bytes(h: &FloatHistogram) -> usize {
    let spans = h.positive_spans.capacity() + h.negative_spans.capacity();
    let floats = h.positive_buckets.capacity() + h.negative_buckets.capacity() + h.custom_values.capacity();
    size_of::<FloatHistogram>() + 8 * (spans + floats)
}

/// As how many samples a histogram with so many buckets counts: one for each 16 bytes of what it holds.
pub(crate) fn as_samples(h: &FloatHistogram, buckets: usize) -> usize {
    let spans = h.positive_spans.len() + h.negative_spans.len();
    (size_of::<FloatHistogram>() + 8 * (spans + buckets + h.custom_values.len())) / 16
}
