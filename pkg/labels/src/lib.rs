//! Label sets and label matchers: the vocabulary that every other crate speaks.
//!
//! [`Labels`] is an immutable, sorted set of (name, value) pairs in one reference-counted allocation; a clone costs an
//! atomic increment, equality and hashing are over plain bytes. [`Matcher`] is one `name op "value"` condition.
//!
//! This crate knows nothing of time, samples, files or networks.

mod builder;
mod encoded;
mod hash;
mod matcher;
mod quote;
mod set;
mod sorted;

pub use builder::Builder;
pub use hash::{LabelHasher, hash_pairs};
pub use matcher::{MatchType, Matcher, MatcherError};
pub use quote::{quote, quote_char};
pub use set::{Iter, IterBytes, Labels, LabelsError};
pub use sorted::SortedBuilder;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The upper bound of a classic histogram's bucket.
pub const BUCKET_LABEL: &str = "le";
/// The quantile of a summary's series.
pub const QUANTILE_LABEL: &str = "quantile";

/// True for names that the classic (pre UTF-8) rules allow: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    matches!(bytes.next(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'))
        && bytes.all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// True for metric names that the classic rules allow: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    matches!(bytes.next(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':'))
        && bytes.all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b':'))
}
