//! `aion tools tsdb`: data directories looked at, and blocks made of other data.

pub(super) mod analyze;
pub(super) mod backfill;
mod blocks;
pub(super) mod dump;
pub(super) mod list;
pub(super) mod openmetrics;
mod progress;
mod samples;
mod spread;

use std::path::Path;

use flags::Parsed;
use service::tool::Deps;
use tsdb::db::ReadOnly;

use crate::Error;

/// The data directory where none is given.
const DATA_DIR: &str = "data/";

/// The data directory that the first argument names.
fn open(parsed: &Parsed, with_log: bool, deps: &Deps<'_>) -> Result<ReadOnly, Error> {
    let dir = Path::new(parsed.args().first().map_or(DATA_DIR, String::as_str));
    if !dir.is_dir() {
        return Err(Error::Failed(format!("{} is no directory", dir.display())));
    }
    let opened = ReadOnly::open(dir, with_log, deps.clock.clone(), &deps.metrics);
    let opened = opened.map_err(|e| Error::Failed(e.to_string()))?;
    for warning in opened.unreadable() {
        tracing::error!(warning, "a block cannot be read");
    }
    Ok(opened)
}

/// A time in ms, which may be negative.
fn ms(parsed: &Parsed, flag: &str) -> Result<i64, Error> {
    let text = parsed.text(flag);
    text.parse().map_err(|_| Error::Usage(format!("--{flag}: {text:?} is no timestamp in ms")))
}

/// Matchers of `{…}` or of a metric's name.
fn matchers(text: &str) -> Result<Vec<labels::Matcher>, Error> {
    promql_syntax::parse_series_matchers(text).map_err(|e| Error::Usage(format!("--match: {text:?}: {e}")))
}
