//! Series by name, for messages: caches know digests only.

use textparse::{Entry, Format, Parser, Series};

use crate::cache::Cache;

/// A series for a message.
fn shown(series: &Series<'_>) -> String {
    let labels: Vec<String> = series.labels().take(32).map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", series.name(), labels.join(","))
}

/// The series of a body that a digest is of, for a message.
pub(crate) fn series_of(body: &[u8], format: Format, options: textparse::Options, cache: &Cache, key: u128) -> String {
    let Ok(mut parser) = Parser::new(body, format, options) else { return String::new() };
    while let Ok(Some(entry)) = parser.next() {
        let series = match &entry {
            Entry::Sample(sample) => sample.series,
            Entry::Histogram(histogram) => histogram.series,
            _ => continue,
        };
        if cache.digest(series.key(), 0) == key {
            return shown(&series);
        }
    }
    "a series whose name depends on its type".to_owned()
}
