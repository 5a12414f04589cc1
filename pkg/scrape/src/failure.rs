//! Why a scrape failed, after its body had come.

use textparse::{ParseError, UnknownFormat};

use crate::series_labels::LabelError;

/// Nothing of a scrape that failed is stored, but that it failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Format(#[from] UnknownFormat),
    #[error("{0}")]
    Parse(#[from] ParseError),
    #[error("{0}")]
    Labels(#[from] LabelError),
    #[error("sample limit exceeded: {samples} samples after relabelling, sample_limit is {limit}")]
    Samples { samples: usize, limit: u64 },
    #[error(
        "histogram bucket limit exceeded: {series} has {buckets} buckets in the lowest resolution, \
         native_histogram_bucket_limit is {limit}"
    )]
    Buckets { series: String, buckets: usize, limit: u64 },
    #[error("{series}: {why}")]
    Refused { series: String, why: String },
    #[error("{0}")]
    Store(#[from] storage::Error),
}
