//! Histograms with explicit bounds: whether they hold together, and as native ones with custom buckets.

use histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint};

use crate::exponential::{Sparse, sparse};
use crate::names::Kind;
use crate::point::Point;

impl Point<'_> {
    /// Whether the parts of a data point fit together.
    pub fn check(&self, kind: Kind) -> Result<(), String> {
        if kind != Kind::Histogram {
            return Ok(());
        }
        if !self.counts.is_empty() && self.counts.len() != self.bounds.len() + 1 {
            let (counts, bounds) = (self.counts.len(), self.bounds.len());
            return Err(format!(
                "invalid histogram: {counts} buckets and {bounds} bounds, there must be one bucket more than bounds"
            ));
        }
        match self.bounds.windows(2).all(|w| w[0] < w[1]) && !self.bounds.iter().any(|bound| bound.is_nan()) {
            true => Ok(()),
            false => Err("invalid histogram: its bounds do not ascend".to_owned()),
        }
    }

    /// The native histogram of explicit buckets. A gauge's counts may fall.
    pub fn custom_buckets(&self, is_gauge: bool) -> Result<Histogram, String> {
        if self.is_stale() {
            return Ok(stale());
        }
        let empty = self.counts.iter().take_while(|count| **count == 0).count();
        let Sparse { spans, deltas } = sparse(self.counts.get(empty..).unwrap_or_default(), empty as i64)?;
        let bounds = self.bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(&self.bounds);
        let histogram = Histogram {
            reset_hint: hint(is_gauge),
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: self.count,
            sum: self.sum.unwrap_or(0.0),
            positive_spans: spans,
            positive_deltas: deltas,
            custom_values: bounds.to_vec(),
            ..Histogram::default()
        };
        histogram.validate().map_err(|e| format!("invalid histogram: {e}"))?;
        Ok(histogram)
    }
}

/// The end of a series of histograms.
pub(crate) fn stale() -> Histogram {
    Histogram { sum: model::stale_nan(), ..Histogram::default() }
}

/// What is known of resets. Counters are compared sample by sample.
pub(crate) fn hint(is_gauge: bool) -> ResetHint {
    if is_gauge { ResetHint::Gauge } else { ResetHint::Unknown }
}
