//! What the head holds of the log and of files, asked series by series.

use super::Head;

impl Head {
    /// The numbers in the log of all series.
    pub fn numbers(&self) -> Vec<u64> {
        let slab = &self.core.slab;
        (0..slab.end()).filter_map(|slot| slab.lock(slot).map(|series| series.reference)).collect()
    }

    /// Time of the oldest sample that came late, ms. Asks every series.
    pub fn oldest_late(&self) -> Option<i64> {
        let slab = &self.core.slab;
        let of = |slot| slab.lock(slot)?.out_of_order()?.times().map(|(first, _)| first);
        (0..slab.end()).filter_map(of).min()
    }

    /// Time of the oldest sample that came in order, ms. Asks every series.
    pub fn oldest_in_order(&self) -> Option<i64> {
        let slab = &self.core.slab;
        let of = |slot| {
            let series = slab.lock(slot)?;
            let mapped = series.mapped.first().map(|chunk| chunk.min_time);
            let full = series.full().first().map(|chunk| chunk.min_time);
            let open = series.open.times().map(|(first, _)| first);
            mapped.into_iter().chain(full).chain(open).min()
        };
        (0..slab.end()).filter_map(of).min()
    }

    /// The first place of a chunk on disk that a series has, as [`super::ChunkSink::write`] told it; places ascend. `None`
    /// without any.
    pub fn oldest_mapped(&self) -> Option<u64> {
        let slab = &self.core.slab;
        let of = |slot| {
            let series = slab.lock(slot)?;
            let late =
                series.out_of_order().into_iter().flat_map(|late| late.mapped.iter().map(|chunk| chunk.reference));
            series.mapped.iter().map(|chunk| chunk.reference).chain(late).min()
        };
        (0..slab.end()).filter_map(of).min()
    }
}
