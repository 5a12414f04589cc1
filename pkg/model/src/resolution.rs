//! The three resolutions of blocks: raw samples, and windows of five minutes and of an hour.

use std::fmt;
use std::str::FromStr;

/// How far apart the samples of a block are. Thanos' downsampling knows these three; `meta.json` holds them in ms, and
/// may hold a number that a newer program wrote ([`Resolution::from_ms`] is `None` then).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// Samples as scraped; 0 ms.
    Raw,
    /// Windows of five minutes; 300 000 ms.
    FiveMinutes,
    /// Windows of one hour; 3 600 000 ms.
    OneHour,
}

impl Resolution {
    /// All of them, the finest first.
    pub const ALL: [Self; 3] = [Self::Raw, Self::FiveMinutes, Self::OneHour];
    /// Those of downsampled data, the finest first.
    pub const DOWNSAMPLED: [Self; 2] = [Self::FiveMinutes, Self::OneHour];
    /// The one with the longest windows.
    pub const COARSEST: Self = Self::OneHour;

    /// The length of a window in ms; 0 for raw samples.
    pub const fn ms(self) -> i64 {
        match self {
            Self::Raw => 0,
            Self::FiveMinutes => 300_000,
            Self::OneHour => 3_600_000,
        }
    }

    /// The resolution whose windows are `ms` long; `None` if there is none.
    pub fn from_ms(ms: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.ms() == ms)
    }

    /// The coarsest one with windows of at most `max_ms`; `None` below 0.
    pub fn coarsest_within(max_ms: i64) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|r| r.ms() <= max_ms)
    }

    /// The next coarser one, into which downsampling turns it.
    pub fn coarser(self) -> Option<Self> {
        match self {
            Self::Raw => Some(Self::FiveMinutes),
            Self::FiveMinutes => Some(Self::OneHour),
            Self::OneHour => None,
        }
    }

    /// The resolution with windows of `ms` for people: `raw`, `5m`, `1h`, or the bare duration if there is no such one.
    pub fn describe(ms: i64) -> String {
        Self::from_ms(ms).map_or_else(|| crate::format_duration(ms), |r| r.to_string())
    }

    /// Its place in [`Resolution::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// `raw`, `5m` or `1h`.
impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Raw => "raw",
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        })
    }
}

/// The string is none of `raw`, `5m`, `1h`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a resolution: raw, 5m or 1h is")]
pub struct ResolutionError(String);

impl FromStr for Resolution {
    type Err = ResolutionError;

    fn from_str(s: &str) -> Result<Self, ResolutionError> {
        Self::ALL.into_iter().find(|r| r.to_string() == s).ok_or_else(|| ResolutionError(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lengths_and_order() {
        for (resolution, ms, name) in [
            (Resolution::Raw, 0, "raw"),
            (Resolution::FiveMinutes, 300_000, "5m"),
            (Resolution::OneHour, 3_600_000, "1h"),
        ] {
            assert_eq!((resolution.ms(), resolution.to_string().as_str()), (ms, name));
            assert_eq!((Resolution::from_ms(ms), name.parse()), (Some(resolution), Ok(resolution)));
            assert_eq!(Resolution::ALL[resolution.index()], resolution);
        }
        assert!(Resolution::ALL.is_sorted() && Resolution::ALL.is_sorted_by_key(|r| r.ms()));
        assert_eq!(Resolution::from_ms(1), None);
        assert_eq!(
            "5m0s".parse::<Resolution>().unwrap_err().to_string(),
            "\"5m0s\" is not a resolution: raw, 5m or 1h is"
        );
    }

    #[test]
    fn steps() {
        assert_eq!(
            Resolution::ALL.map(Resolution::coarser),
            [Some(Resolution::FiveMinutes), Some(Resolution::OneHour), None]
        );
        for (max_ms, want) in [
            (-1, None),
            (0, Some(Resolution::Raw)),
            (299_999, Some(Resolution::Raw)),
            (300_000, Some(Resolution::FiveMinutes)),
            (i64::MAX, Some(Resolution::OneHour)),
        ] {
            assert_eq!(Resolution::coarsest_within(max_ms), want, "{max_ms}");
        }
    }
}
