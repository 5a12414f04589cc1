//! Exponential histograms as native ones. OpenTelemetry's bucket 0 begins at 1, Prometheus' ends there.

use histogram::{Histogram, SCHEMA_MAX, SCHEMA_MIN, Span};

use crate::histograms::{hint, stale};
use crate::point::{Buckets, Point};

/// Width of the zero bucket; that of Prometheus, which has no use for the one in the data point.
const ZERO_THRESHOLD: f64 = 1e-128;
/// As many empty buckets between two are written out; more make a new span.
const GAP_MAX: i64 = 2;

/// Buckets as native histograms have them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sparse {
    pub spans: Vec<Span>,
    pub deltas: Vec<i64>,
}

impl Point<'_> {
    /// The native histogram. A gauge's counts may fall.
    pub fn exponential(&self, is_gauge: bool) -> Result<Histogram, String> {
        if self.is_stale() {
            return Ok(stale());
        }
        if self.scale < SCHEMA_MIN {
            let scale = self.scale;
            return Err(format!(
                "cannot convert exponential to native histogram. Scale must be >= {SCHEMA_MIN}, was {scale}"
            ));
        }
        let coarser = (self.scale - SCHEMA_MAX).max(0) as u32;
        let side = |buckets: &Buckets| {
            let buckets = buckets.downscaled(coarser);
            sparse(&buckets.counts, i64::from(buckets.offset) + 1)
        };
        let (positive, negative) = (side(&self.positive)?, side(&self.negative)?);
        let histogram = Histogram {
            reset_hint: hint(is_gauge),
            schema: self.scale.min(SCHEMA_MAX),
            zero_threshold: ZERO_THRESHOLD,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum.unwrap_or(0.0),
            positive_spans: positive.spans,
            positive_deltas: positive.deltas,
            negative_spans: negative.spans,
            negative_deltas: negative.deltas,
            custom_values: Vec::new(),
        };
        histogram.validate().map_err(|e| format!("invalid histogram: {e}"))?;
        Ok(histogram)
    }
}

impl Buckets {
    /// Each 2^`by` neighbours as one.
    pub fn downscaled(&self, by: u32) -> Self {
        let by = by.min(31);
        if by == 0 || self.counts.is_empty() {
            return self.clone();
        }
        let offset = self.offset >> by;
        let mut counts: Vec<u64> = Vec::new();
        for (index, count) in (i64::from(self.offset)..).zip(&self.counts) {
            let at = ((index >> by) - i64::from(offset)) as usize;
            if counts.len() <= at {
                counts.resize(at + 1, 0);
            }
            counts[at] = counts[at].saturating_add(*count);
        }
        Self { offset, counts }
    }
}

/// Counts of buckets in a row, of which `first` is the index of the first, as spans and deltas.
pub(crate) fn sparse(counts: &[u64], first: i64) -> Result<Sparse, String> {
    let mut out = Sparse::default();
    let Some(last) = counts.len().checked_sub(1) else { return Ok(out) };
    let index =
        |at: i64| i32::try_from(at).map_err(|_| "invalid histogram: a bucket's index is out of range".to_owned());
    index(first + counts.len() as i64)?;
    out.spans.push(Span { offset: index(first)?, length: 0 });
    let (mut next, mut before) = (0, 0i64);
    for (at, count) in (0i64..).zip(counts) {
        // The last bucket is always there, empty or not.
        if *count == 0 && at != last as i64 {
            continue;
        }
        let gap = at - next;
        let empty = if gap > GAP_MAX {
            out.spans.push(Span { offset: index(gap)?, length: 0 });
            0
        } else {
            gap
        };
        let count =
            i64::try_from(*count).map_err(|_| "invalid histogram: a bucket's count is out of range".to_owned())?;
        for count in (0..empty).map(|_| 0).chain([count]) {
            out.deltas.push(count - before);
            before = count;
        }
        if let Some(span) = out.spans.last_mut() {
            span.length += empty as u32 + 1;
        }
        next = at + 1;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(counts: &[u64], offset: i32, down: u32) -> (Vec<(i32, u32)>, Vec<i64>) {
        let buckets = Buckets { offset, counts: counts.to_vec() }.downscaled(down);
        let Sparse { spans, deltas } = sparse(&buckets.counts, i64::from(buckets.offset) + 1).unwrap();
        (spans.iter().map(|s| (s.offset, s.length)).collect(), deltas)
    }

    #[test]
    fn layouts() {
        // Prometheus' vectors for scales 0 and finer.
        assert_eq!(layout(&[4, 3, 2, 1], 0, 0), (vec![(1, 4)], vec![4, -1, -1, -1]));
        assert_eq!(layout(&[4, 3, 2, 1], 0, 1), (vec![(1, 2)], vec![7, -4]));
        assert_eq!(layout(&[4, 3, 2, 1], 0, 2), (vec![(1, 1)], vec![10]));
        assert_eq!(layout(&[4, 3, 2, 1], 1, 1), (vec![(1, 3)], vec![4, 1, -4]));
        assert_eq!(layout(&[4, 3, 2, 1], 1, 2), (vec![(1, 2)], vec![9, -8]));
        assert_eq!(layout(&[4, 3, 2, 1], -2, 2), (vec![(0, 2)], vec![7, -4]));
        let mut sparse = vec![4];
        sparse.extend([0; 12]);
        sparse.extend([3, 2, 1]);
        assert_eq!(layout(&sparse, 0, 0), (vec![(1, 1), (12, 3)], vec![4, -1, -1, -1]));
        assert_eq!(layout(&[0, 0, 2, 0, 0, 1], 0, 0), (vec![(1, 6)], vec![0, 0, 2, -2, 0, 1]));
        assert_eq!(layout(&[1, 0, 0], 0, 0), (vec![(1, 3)], vec![1, -1, 0]));
        assert_eq!(layout(&[], 7, 3), (vec![], vec![]));
        // Halves of one coarse bucket behind empty ones stay one bucket.
        assert_eq!(layout(&[0, 0, 1, 1], 0, 1), (vec![(1, 2)], vec![0, 2]));
    }

    #[test]
    fn what_is_out_of_range() {
        assert!(sparse(&[1], i64::from(i32::MAX) + 1).unwrap_err().contains("index"));
        assert!(sparse(&[u64::MAX], 0).unwrap_err().contains("count"));
        let far = Buckets { offset: i32::MIN, counts: vec![1, 2] };
        assert_eq!(far.downscaled(40), Buckets { offset: -1, counts: vec![3] });
    }
}
