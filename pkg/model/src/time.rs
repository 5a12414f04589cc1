//! Points and ranges in time.

/// The earliest time of the HTTP API: what Prometheus calls MinTime, in ms.
pub const MIN_TIME_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// The latest time of the HTTP API, in ms.
pub const MAX_TIME_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;

/// A closed range of time, both ends inclusive, in ms; as chunks and StoreAPI requests have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First ms inside.
    pub min: i64,
    /// Last ms inside.
    pub max: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { min: i64::MIN, max: i64::MAX };

    /// A range from `min` to `max`, both inside.
    pub fn new(min: i64, max: i64) -> Self {
        Self { min, max }
    }

    /// Whether the two share a ms.
    pub fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }

    /// Whether `t` lies inside.
    pub fn contains(self, t: i64) -> bool {
        self.min <= t && t <= self.max
    }

    /// True when no ms lies inside.
    pub fn is_empty(self) -> bool {
        self.min > self.max
    }
}

/// `2026-11-21T01:15:20.123Z` for a time in ms; out of the calendar's range, the bare number.
pub fn format_rfc3339_ms(t_ms: i64) -> String {
    let days = t_ms.div_euclid(86_400_000);
    let in_day = t_ms.rem_euclid(86_400_000);
    // Civil from days (Howard Hinnant's algorithm), proleptic Gregorian.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return t_ms.to_string();
    }
    let (h, m, s, ms) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
    if ms != 0 {
        out.push_str(format!(".{ms:03}").trim_end_matches('0'));
    }
    out.push('Z');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339() {
        assert_eq!(format_rfc3339_ms(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339_ms(1_795_223_720_120), "2026-11-21T01:15:20.12Z");
        assert_eq!(format_rfc3339_ms(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(format_rfc3339_ms(951_782_400_000), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn ranges() {
        let r = TimeRange::new(10, 20);
        assert!(r.overlaps(TimeRange::new(20, 30)) && !r.overlaps(TimeRange::new(21, 30)));
        assert!(r.contains(10) && r.contains(20) && !r.contains(21) && !r.is_empty());
    }
}
