//! Values of flags as settings have them.

use std::time::Duration;

use flags::Parsed;

pub(super) fn duration(parsed: &Parsed, flag: &str) -> Duration {
    Duration::from_millis(parsed.duration_ms(flag).max(0) as u64)
}

pub(super) fn count(parsed: &Parsed, flag: &str) -> usize {
    usize::try_from(parsed.count(flag)).unwrap_or(usize::MAX)
}
