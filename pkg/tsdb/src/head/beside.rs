//! What comes beside samples: exemplars and metadata.

use std::cmp::Ordering;

use model::Exemplar;
use storage::append::{Column, Committed, Refusal, Refused, SeriesRef};

use super::core::Core;
use super::rows::{ExemplarRow, MetadataRow};

/// OpenMetrics' limit on the labels of an exemplar, names and values together.
const CHARS_MAX: usize = 128;

/// Whether it is new; the same as the newest one is no error, one before the window of late samples is. Of one time there
/// may be several, for the buckets of a native histogram: those have to ascend, so that it is seen what is there already.
fn is_new(newest: Option<&Exemplar>, exemplar: &Exemplar, window_ms: i64) -> Result<bool, Refusal> {
    let Some(newest) = newest else { return Ok(true) };
    if newest == exemplar {
        return Ok(false);
    }
    let falls = exemplar.value < newest.value || exemplar.value == newest.value && exemplar.labels < newest.labels;
    let oldest_ms = newest.timestamp_ms.saturating_sub(window_ms);
    match exemplar.timestamp_ms.cmp(&newest.timestamp_ms) {
        Ordering::Less if exemplar.timestamp_ms <= oldest_ms => Err(Refusal::ExemplarOutOfOrder),
        Ordering::Equal if falls => Err(Refusal::ExemplarOutOfOrder),
        _ => Ok(true),
    }
}

impl Core {
    /// The number of the series in the log, if the exemplar is new. `before` is the newest one that the same transaction
    /// has of the series.
    pub fn judge_exemplar(
        &self,
        series: SeriesRef,
        exemplar: &Exemplar,
        before: Option<&Exemplar>,
    ) -> Result<Option<u64>, Refusal> {
        let Some(number) = self.slab.find(series).map(|series| series.reference) else {
            return Err(Refusal::UnknownSeries);
        };
        let chars = exemplar.labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum::<usize>();
        if chars > CHARS_MAX {
            return Err(Refusal::ExemplarTooLong { max: CHARS_MAX });
        }
        let ring = self.exemplars.read();
        if ring.is_disabled() {
            return Err(Refusal::NoRoomForExemplars);
        }
        let newest = ring.newest(series).into_iter().chain(before).max_by_key(|newest| newest.timestamp_ms);
        let new = is_new(newest, exemplar, self.times.window());
        if new == Err(Refusal::ExemplarOutOfOrder) {
            self.metrics.exemplars_out_of_order.inc();
        }
        Ok(new?.then_some(number))
    }

    pub fn apply_exemplars(&self, rows: &[ExemplarRow], committed: &mut Committed) {
        if rows.is_empty() {
            return;
        }
        let (mut ring, window_ms) = (self.exemplars.write(), self.times.window());
        for row in rows {
            if self.slab.find(row.series).is_none() {
                continue;
            }
            match is_new(ring.newest(row.series), &row.exemplar, window_ms) {
                Ok(true) => {
                    if ring.add(row.series, row.exemplar.clone()) {
                        self.metrics.exemplars_appended.inc();
                    }
                }
                Ok(false) => {}
                Err(why) => committed.refused.push((Column::Exemplars, Refused { row: row.row, why })),
            }
        }
    }
}

impl Core {
    /// Whether this is news of the series.
    pub fn is_new_metadata(&self, row: &MetadataRow) -> bool {
        let Some(number) = self.slab.find(row.series).map(|series| series.metadata) else { return false };
        let table = self.metadata.read();
        table.get(number).is_none_or(|(family, metadata)| *family != row.family || *metadata != row.metadata)
    }

    pub fn apply_metadata(&self, rows: &[MetadataRow]) {
        if rows.is_empty() {
            return;
        }
        let mut table = self.metadata.write();
        for row in rows {
            let Some(mut series) = self.slab.find(row.series) else { continue };
            let number = table.add(&row.family, &row.metadata);
            let old = std::mem::replace(&mut series.metadata, number);
            table.release(old);
        }
    }
}
