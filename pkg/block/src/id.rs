//! The name of a block.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// A block's ULID: its directory's name, and the time it was made. Orders by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub Ulid);

impl Default for BlockId {
    /// All zeros, which names no block.
    fn default() -> Self {
        Self(Ulid::nil())
    }
}

/// A string that is no ULID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no block id (26 characters of upper-case Crockford base32)")]
pub struct BlockIdError(String);

impl BlockId {
    /// Parses the canonical spelling: 26 upper-case characters. Other spellings of the same number are refused, since
    /// the object or directory would not be found under the name printed.
    ///
    /// # Errors
    /// [`BlockIdError`].
    pub fn parse(text: &str) -> Result<Self, BlockIdError> {
        let bad = || BlockIdError(text.chars().take(40).collect());
        let id = Self(Ulid::from_string(text).map_err(|_| bad())?);
        if id.to_string() == text { Ok(id) } else { Err(bad()) }
    }

    /// An id made at `time_ms` (ms since the epoch, below 2^48) with 80 bits of `random`.
    pub fn new(time_ms: u64, random: u128) -> Self {
        Self(Ulid::from_parts(time_ms & ((1 << 48) - 1), random & ((1 << 80) - 1)))
    }

    /// When the block was made, ms since the epoch.
    pub fn time_ms(self) -> i64 {
        self.0.timestamp_ms() as i64
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Ulid::to_string(&self.0))
    }
}

impl FromStr for BlockId {
    type Err = BlockIdError;

    fn from_str(text: &str) -> Result<Self, BlockIdError> {
        Self::parse(text)
    }
}

impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_canonical_spelling_only() {
        let id = BlockId::parse("01M7XNEDBRHMVA77T71GPE1DE5").unwrap();
        assert_eq!(id.to_string(), "01M7XNEDBRHMVA77T71GPE1DE5");
        assert_eq!(BlockId::new(id.time_ms() as u64, id.0.random()), id);
        assert_eq!(BlockId::default().to_string(), "0".repeat(26));
        for text in ["", "01m7xnedbrhmva77t71gpe1de5", "01M7XNEDBRHMVA77T71GPE1DE", "8".repeat(26).as_str(), "wal", "é"]
        {
            assert!(BlockId::parse(text).is_err(), "{text}");
        }
    }
}
