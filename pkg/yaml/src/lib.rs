//! YAML whose every part knows its line: configuration is read into a tree, and typed structs out of the tree.
//!
//! Reading follows Go's YAML reader, which Prometheus uses: a `null` leaves a key at its default, a string takes any scalar
//! as it is written (`0123` stays `0123`), booleans may be `yes` and `off`, keys may not come twice, and only the first
//! document counts.

mod compose;
mod decode;
mod error;
mod resolve;
mod tree;
mod values;

pub use compose::parse;
pub use error::Error;
pub use tree::{Key, Node, Value};
pub use values::{Bytes, DurationMs, SECRET, Secret, is_default, or_default, unless_empty};

/// Writes a value as YAML.
///
/// # Errors
/// When a part of it has no form in YAML, such as a map whose keys are lists.
pub fn print<T: serde::Serialize>(value: &T) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|e| e.to_string())
}
