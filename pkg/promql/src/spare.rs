//! Native histograms whose memory is used again.

use std::sync::Arc;

use histogram::FloatHistogram;

use crate::native::size_bytes;

/// The most that is kept, bytes.
const BYTES_MAX: usize = 4 << 20;

/// Histograms that nobody looks at any more.
#[derive(Debug, Default)]
pub(crate) struct SpareHistograms {
    list: Vec<Arc<FloatHistogram>>,
    bytes: usize,
}

impl SpareHistograms {
    /// A histogram that `fill` overwrites as a whole: what it is given is any other one.
    pub fn make(&mut self, fill: impl FnOnce(&mut FloatHistogram)) -> Arc<FloatHistogram> {
        if let Some(mut spare) = self.list.pop() {
            self.bytes -= size_bytes(&spare);
            if let Some(h) = Arc::get_mut(&mut spare) {
                fill(h);
                return spare;
            }
        }
        let mut h = FloatHistogram::default();
        fill(&mut h);
        Arc::new(h)
    }

    /// Takes a histogram back, unless somebody else has it too.
    pub fn give(&mut self, h: Arc<FloatHistogram>) {
        if Arc::strong_count(&h) > 1 {
            return;
        }
        let bytes = size_bytes(&h);
        if self.bytes + bytes <= BYTES_MAX {
            self.bytes += bytes;
            self.list.push(h);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(buckets: usize) -> FloatHistogram {
        FloatHistogram { positive_buckets: vec![1.0; buckets], ..FloatHistogram::default() }
    }

    #[test]
    fn memory_is_used_again_by_who_has_it_alone() {
        let mut spare = SpareHistograms::default();
        let (own, shared) = (Arc::new(of(9)), Arc::new(of(7)));
        let at = Arc::as_ptr(&own);
        spare.give(own);
        spare.give(shared.clone());
        let made = spare.make(|h| h.positive_buckets.clear());
        assert_eq!((Arc::as_ptr(&made), made.positive_buckets.capacity()), (at, 9));
        assert_eq!(spare.make(|h| h.count = 2.0).count, 2.0);
        assert_eq!(*shared, of(7));
        assert_eq!(spare.bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut spare = SpareHistograms::default();
        for _ in 0..100 {
            spare.give(Arc::new(of(16 << 10)));
        }
        assert!(spare.bytes <= BYTES_MAX && spare.list.len() > 10, "{} {}", spare.bytes, spare.list.len());
    }
}
