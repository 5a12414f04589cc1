//! Making series findable.

use std::sync::atomic::Ordering;

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
        let mut adding = postings.adding();
        for one in series {
            let Some(mut series) = self.slab.find(*one) else { continue };
            if !series.indexed {
                series.indexed = true;
                adding.add(one.0 as u32, symbols.pair_ids(&series.labels));
                self.counts.unranked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn update_gauges(&self) {
        let (metrics, counts) = (&self.metrics, &self.counts);
        metrics.series.set(counts.series.load(Ordering::Relaxed) as f64);
        metrics.chunks.set(counts.chunks.load(Ordering::Relaxed) as f64);
        metrics.stale_series.set(counts.stale.load(Ordering::Relaxed) as f64);
        let (held, exemplars_max, of_series) = self.exemplars.read().counts();
        metrics.exemplars.set(held as f64);
        metrics.exemplars_max.set(exemplars_max as f64);
        metrics.exemplar_series.set(of_series as f64);
        let (min, max) = self.times.range();
        metrics.min_time_ms.set(min as f64);
        metrics.max_time_ms.set(max as f64);
        metrics.min_time_s.set((min / 1000) as f64);
        metrics.max_time_s.set((max / 1000) as f64);
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
