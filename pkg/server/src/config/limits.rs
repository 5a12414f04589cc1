//! What the process and its head may hold.

use assembly::Error;
use flags::Parsed;
use storage::append::LabelLimits;

use super::values::count;
use crate::memory::Share;

/// What the process and its head may hold; 0 = no limit.
#[derive(Debug, Clone)]
pub struct Limits {
    pub memory_bytes: u64,
    pub series: usize,
    pub series_per_metric: usize,
    pub series_per_job: usize,
    pub labels: LabelLimits,
    /// All queries together.
    pub query_bytes_total: u64,
}

pub(super) fn limits(parsed: &Parsed, available_bytes: u64) -> Result<Limits, Error> {
    let share = |flag: &str| Share::parse(parsed.text(flag)).map_err(|e| Error::flag(flag, e));
    let memory_bytes = share("limits.memory")?.of(available_bytes);
    let whole = if memory_bytes == 0 { available_bytes } else { memory_bytes };
    let bytes = |flag: &str| usize::try_from(parsed.size_bytes(flag)).unwrap_or(usize::MAX);
    Ok(Limits {
        memory_bytes,
        series: count(parsed, "limits.series"),
        series_per_metric: count(parsed, "limits.series-per-metric"),
        series_per_job: count(parsed, "limits.series-per-job"),
        labels: LabelLimits {
            labels_max: count(parsed, "limits.labels"),
            name_bytes_max: bytes("limits.label-name-bytes"),
            value_bytes_max: bytes("limits.label-value-bytes"),
        },
        query_bytes_total: share("query.max-bytes-total")?.of(whole),
    })
}
