//! YAML with lines in its errors, and the values that need more than serde knows.

use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::error::ConfigError;

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    // A snippet in the error would show the secrets around it.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(model::first_document(text), options).map_err(|e| {
        let line = e.location().map_or(0, |at| at.line());
        ConfigError::Yaml { line, text: e.to_string() }
    })
}

/// A key that may be absent, with its line.
pub(super) type Key<T> = Option<Spanned<T>>;

/// The line of `key`, 0 if it is not there.
pub(super) fn line<T>(key: &Key<T>) -> u64 {
    key.as_ref().map_or(0, |k| k.referenced.line())
}

/// The value of `key`, or its type's default.
pub(super) fn value<T: Clone + Default>(key: &Key<T>) -> T {
    key.as_ref().map(|k| k.value.clone()).unwrap_or_default()
}

/// The value of `key` unless it is empty.
pub(super) fn text(key: &Key<String>) -> Option<String> {
    key.as_ref().map(|k| k.value.clone()).filter(|t| !t.is_empty())
}

/// A duration in Prometheus' or Go's spelling.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Span(pub(super) Duration);

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text).map(Self).ok_or_else(|| D::Error::custom(format!("not a valid duration: {text:?}")))
    }
}

fn duration(text: &str) -> Option<Duration> {
    if let Ok(ms) = model::parse_duration(text) {
        return Some(Duration::from_millis(u64::try_from(ms).ok()?));
    }
    // Go's: any order, fractions, and units below a millisecond
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, seconds) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += number * seconds;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(total).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [("1m30s", 90_000), ("2m", 120_000), ("1.5s", 1500), ("0", 0), ("1d", 86_400_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(duration("100us"), Some(Duration::from_micros(100)));
        for text in ["", "5", "-1s", "s", "1x", "1e400s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
