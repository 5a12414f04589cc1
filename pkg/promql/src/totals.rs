//! Running totals of a counter whose samples come from several lanes, each with a base of its own.

use crate::overlay::{Lane, Row};

/// Makes the values of `rows`, taken from several lanes in order of time, one running total. Where the rows go over from
/// one lane to another, the rise in between is what the lanes know of it together, so no increase is counted twice, none
/// is lost, and a change of lanes is no reset. `blended`: the raw lane's values may lie a little above the scraped ones.
pub(crate) fn join(rows: &mut [Row], lanes: &[Lane], blended: bool) {
    let Some(mut before) = rows.first().copied() else { return };
    // What lies between the lane's totals and ours; exactly 0 as long as there is one lane.
    let mut shift = 0.0;
    for row in rows.iter_mut().skip(1) {
        let own = *row;
        if own.lane != before.lane {
            shift += before.value - own.value + rise(&before, &own, lanes, blended);
        }
        row.value += shift;
        before = own;
    }
}

/// How much the counter rose between two rows of different lanes.
fn rise(from: &Row, to: &Row, lanes: &[Lane], blended: bool) -> f64 {
    // Both values as scraped: as between any two samples.
    if !from.truth.is_nan() && !to.truth.is_nan() {
        if to.truth >= from.truth {
            return to.truth - from.truth;
        }
        // Who restarts begins near zero; who is put together from replicas is off by little.
        let near = blended && to.truth > from.truth / 2.0;
        return if near { 0.0 } else { to.truth };
    }
    let (old, new) = (&lanes[from.lane].rows[..], &lanes[to.lane].rows[..]);
    // The new lane saw the time of `from` or one before: its rise since then, less what was counted already.
    if let Some(start) = last_until(new, from.time) {
        let counted = from.value - last_until(old, start.time).or(old.first()).map_or(from.value, |r| r.value);
        return (to.value - start.value - counted).max(0.0);
    }
    // The old lane goes on to the time of `to` or one after: its rise until then, less what is yet to be counted.
    if let Some(end) = old.get(old.partition_point(|r| r.time < to.time)) {
        let to_come = last_until(new, end.time).map_or(0.0, |r| r.value - to.value);
        return (end.value - from.value - to_come).max(0.0);
    }
    0.0
}

fn last_until(rows: &[Row], time: i64) -> Option<&Row> {
    rows[..rows.partition_point(|r| r.time <= time)].last()
}
