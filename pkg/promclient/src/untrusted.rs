//! The decoders of what a server sends, each as one call, for fuzzing. Not part of the interface.

use labels::Labels;

/// The external labels of a server's configuration.
///
/// # Errors
/// What is wrong with its YAML.
pub fn external_labels(yaml: &str) -> Result<Labels, String> {
    crate::status::external_labels(yaml)
}

/// A time from a page of metrics.
pub fn lowest_timestamp_ms(page: &[u8]) -> Option<i64> {
    crate::status::lowest_timestamp_ms(page)
}
