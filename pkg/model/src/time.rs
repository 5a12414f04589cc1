//! Points and ranges in time.

/// The earliest time of the HTTP API: what Prometheus calls MinTime, in ms.
pub const MIN_TIME_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// The latest time of the HTTP API, in ms.
pub const MAX_TIME_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;

/// A closed range of time, both ends inclusive, in ms; as chunks and StoreAPI requests have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First ms of the range, since the epoch.
    pub min: i64,
    /// Last ms of the range, since the epoch.
    pub max: i64,
}

impl TimeRange {
    /// Every time that can be told in ms.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let r = TimeRange::new(10, 20);
        assert!(r.overlaps(TimeRange::new(20, 30)) && !r.overlaps(TimeRange::new(21, 30)));
        assert!(r.contains(10) && r.contains(20) && !r.contains(21) && !r.is_empty());
    }
}
