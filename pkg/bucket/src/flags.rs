//! Flags by which every component that reads a bucket chooses blocks, and what they mean.

use std::path::PathBuf;

use flags::{Parsed, UsageError};
use model::TimeRange;
use relabel::Rule;

use crate::{FetchOptions, Listing};

/// `--selector.relabel-config`, or what its file holds; none = all blocks.
///
/// # Errors
/// The file cannot be read, or holds no rules.
pub fn selector(parsed: &Parsed) -> Result<Vec<Rule>, UsageError> {
    let Some(yaml) = parsed.content("selector.relabel-config")? else { return Ok(Vec::new()) };
    relabel::parse_rules(&yaml).map_err(|e| UsageError(format!("{}: {e}", parsed.origin("selector.relabel-config"))))
}

/// `--block-discovery-strategy` and `--block-meta-fetch-concurrency`; metas are kept in `cache_dir`.
///
/// # Errors
/// A strategy that does not exist.
pub fn fetch(parsed: &Parsed, cache_dir: Option<PathBuf>) -> Result<FetchOptions, UsageError> {
    // Thanos' default, `concurrent`, costs a request per block at each sync; it is followed only when it is asked for.
    let listing = match parsed.is_set("block-discovery-strategy") {
        true => parsed.text("block-discovery-strategy").parse().map_err(UsageError)?,
        false => Listing::Recursive,
    };
    let concurrency = parsed.count("block-meta-fetch-concurrency").max(1) as usize;
    Ok(FetchOptions { listing, concurrency, cache_dir, ..FetchOptions::default() })
}

/// `--min-time` and `--max-time`, which may be relative to now.
#[derive(Debug, Clone)]
pub struct TimeLimits {
    /// RFC 3339 or a duration.
    pub min: String,
    /// RFC 3339 or a duration.
    pub max: String,
}

impl TimeLimits {
    /// As the flags say.
    ///
    /// # Errors
    /// The first lies behind the second, so far as that does not change with time.
    pub fn new(parsed: &Parsed) -> Result<Self, UsageError> {
        let (min, max) = (parsed.text("min-time").to_owned(), parsed.text("max-time").to_owned());
        let times = Self { min, max };
        if times.at(0).is_empty() && !times.min.starts_with('-') && !times.max.starts_with('-') {
            let Self { min, max } = times;
            let text = format!("invalid argument: --min-time '{min}' can't be greater than --max-time '{max}'");
            return Err(UsageError(text));
        }
        Ok(times)
    }

    /// The limits at `now_ms`. A text that is neither sets no limit; flags are checked before.
    pub fn at(&self, now_ms: i64) -> TimeRange {
        let parse = |text: &str| flags::parse_time_or_duration(text, now_ms);
        TimeRange::new(parse(&self.min).unwrap_or(i64::MIN), parse(&self.max).unwrap_or(i64::MAX))
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { min: "0000-01-01T00:00:00Z".to_owned(), max: "9999-12-31T23:59:59Z".to_owned() }
    }
}
