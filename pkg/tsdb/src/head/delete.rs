//! Deleting samples of the head.

use std::sync::Arc;

use labels::Matcher;
use model::TimeRange;
use storage::append::SeriesRef;
use storage::{Error, Result};
use wal::record::encode_tombstones;

use super::core::Core;
use super::seams::LogBatch;
use super::series::Series;
use super::slab::reference;
use super::tombstones;

impl Core {
    /// Deletes the samples of a range that there are now; of how many series. Late ones that come for a deleted time are
    /// taken and not shown, as in Prometheus.
    pub async fn delete(self: Arc<Self>, range: TimeRange, matchers: Vec<Matcher>) -> Result<usize> {
        let slots = self.matching(&matchers, &|| Ok(()))?.to_vec();
        let mut found: Vec<(SeriesRef, u64, (i64, i64))> = Vec::new();
        for slot in slots {
            let Some(series) = self.slab.lock(slot) else { continue };
            let Some((first, last)) = series.times() else { continue };
            // Samples to come are not meant.
            let (min, max) = (range.min.max(first), range.max.min(last));
            if min <= max {
                found.push((reference(slot, series.generation), series.reference, (min, max)));
            }
        }
        if found.is_empty() {
            return Ok(0);
        }
        let mut log = LogBatch::default();
        log.wal.push(|out| encode_tombstones(out, found.iter().map(|(_, number, (min, max))| (*number, *min, *max))));
        let logged = self.journal.log(log).await;
        logged.map_err(|e| Error::Unavailable(format!("write-ahead log: {}", e.message)))?;
        let mut deleted = 0;
        for (series, _, interval) in found {
            if let Some(mut series) = self.slab.find(series) {
                tombstones::add(&mut series.extra().tombstones, interval);
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

impl Series {
    /// First and last time of all samples.
    pub fn times(&self) -> Option<(i64, i64)> {
        let mapped = self.mapped.iter().map(|chunk| (chunk.min_time, chunk.max_time()));
        let full = self.full().iter().map(|chunk| (chunk.min_time, chunk.max_time));
        let late = self.out_of_order().and_then(|late| late.times());
        let all = mapped.chain(full).chain(self.open.times()).chain(late);
        let all = all.chain(self.past().and_then(|past| past.times()));
        all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}
