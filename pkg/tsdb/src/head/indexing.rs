//! Making series findable.

use storage::append::{Refusal, Refused, SeriesRef};

use super::core::Core;

impl Core {
    /// Readers find these series from now on.
    pub fn add_to_index(&self, series: &[SeriesRef]) {
        if series.is_empty() {
            return;
        }
        let symbols = self.symbols.read();
        let mut postings = self.postings.write();
        for one in series {
            let Some(mut series) = self.slab.find(*one) else { continue };
            if !series.indexed {
                series.indexed = true;
                postings.add(one.0 as u32, symbols.pair_ids(&series.labels));
            }
        }
    }

    pub fn count_refused(&self, kind: &str, refused: &[Refused]) {
        for Refused { why, .. } in refused {
            let counter = match why {
                Refusal::OutOfOrder { .. } => &self.metrics.out_of_order,
                Refusal::OutOfBounds => &self.metrics.out_of_bound,
                Refusal::TooOld { .. } => &self.metrics.too_old,
                _ => continue,
            };
            counter.with(&[kind]).inc();
        }
    }
}
