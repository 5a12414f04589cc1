//! Which samples are taken. The rules and their order are Prometheus'.

use storage::append::Refusal;

use super::bounds::Bounds;
use super::parts::Value;
use super::series::Series;

/// A sample that is to be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub time_ms: i64,
    /// 0 = unknown.
    pub start_ms: i64,
    pub value: &'a Value,
}

/// What becomes of a sample that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is newer than all of its series.
    InOrder,
    /// It is older, and inside the window for late samples.
    Late,
    /// It is there already, as it is.
    Same,
}

/// What is known of the samples before.
#[derive(Debug)]
pub(crate) struct Before<'a> {
    /// Time and value of the newest sample that the same transaction took for the series.
    pub newest: Option<(i64, &'a Value)>,
    /// The newest time of all that the transaction took; `i64::MIN` while that is nothing.
    pub taken_newest_ms: i64,
}

/// `there` finds a sample that the same transaction took earlier.
pub(crate) fn judge<'v>(
    bounds: &Bounds,
    series: &Series,
    before: &Before<'_>,
    sample: Judged<'_>,
    there: impl FnOnce() -> Option<&'v Value>,
) -> Result<Verdict, Refusal> {
    let Judged { time_ms, start_ms, value } = sample;
    if bounds.window_ms == 0 && time_ms < bounds.floor_ms {
        return Err(Refusal::OutOfBounds);
    }
    if start_ms != 0 && start_ms >= time_ms {
        return Err(Refusal::StartAfterSample);
    }
    let taken_ms = before.newest.map_or(i64::MIN, |(time, _)| time);
    let newest_ms = series.last_time.max(taken_ms);
    if newest_ms == i64::MIN && value.is_stale() && !series.has_samples() {
        return Err(Refusal::NothingToMark);
    }
    if time_ms > newest_ms && time_ms >= bounds.floor_ms {
        return Ok(Verdict::InOrder);
    }
    let same = |other: &Value| if other.is_same(value) { Ok(Verdict::Same) } else { Err(Refusal::Duplicate) };
    if let Some((time, taken)) = before.newest
        && time == time_ms
    {
        return same(taken);
    }
    if time_ms == series.last_time
        && let Some(last) = series.last_value()
    {
        return same(&last);
    }
    if let Some(other) = there() {
        return same(other);
    }
    if let Some(other) = series.find(time_ms) {
        return if equal_decoded(&other, value) { Ok(Verdict::Same) } else { Err(Refusal::Duplicate) };
    }
    if bounds.window_ms == 0 {
        return Err(Refusal::OutOfOrder { newest_ms });
    }
    let oldest_ms = bounds.oldest_ms(before.taken_newest_ms);
    if time_ms >= oldest_ms { Ok(Verdict::Late) } else { Err(Refusal::TooOld { oldest_ms }) }
}

/// Chunks give integer histograms back with float counts.
fn equal_decoded(decoded: &Value, value: &Value) -> bool {
    use storage::append::HistogramValue::{Float, Int};
    match (decoded, value) {
        (Value::Histogram(Float(_)), Value::Histogram(Int(h))) => {
            decoded.is_same(&Value::Histogram(Float(h.to_float().into())))
        }
        _ => decoded.is_same(value),
    }
}
