//! What is not taken, and why.

use crate::Error;

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Which row of the batch, from 0.
    pub row: usize,
    /// Why it was not taken.
    pub why: Refusal,
}

/// Why a row was not taken. Texts of the cases that Prometheus has are worded as there, since clients look for them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No series has this reference (any more): resolve its labels again.
    #[error("unknown series reference")]
    UnknownSeries,
    /// Older than the newest sample of the series, and there is no out-of-order window.
    #[error("out of order sample")]
    OutOfOrder {
        /// The newest sample's time, ms.
        newest_ms: i64,
    },
    /// The series has a sample of this time with another value.
    #[error("duplicate sample for timestamp")]
    Duplicate,
    /// Older than the out-of-order window reaches.
    #[error("too old sample")]
    TooOld {
        /// The window's begin, ms.
        oldest_ms: i64,
    },
    /// Outside of the times that the store takes at all, such as those that are in blocks already.
    #[error("out of bounds")]
    OutOfBounds,
    /// The start timestamp is not before the sample's own.
    #[error("start timestamp is not before the sample")]
    StartAfterSample,
    /// A stale marker for a series without samples.
    #[error("stale marker for a series without samples")]
    NothingToMark,
    /// A histogram whose spans, buckets and counts do not fit together.
    #[error("invalid histogram: {0}")]
    InvalidHistogram(String),
    /// The labels of an exemplar together have more characters than allowed.
    #[error("label length exceeds maximum of {max} characters")]
    ExemplarTooLong {
        /// The limit that is exceeded.
        max: usize,
    },
    /// Older than the newest exemplar of the series.
    #[error("out of order exemplar")]
    ExemplarOutOfOrder,
    /// The store keeps no exemplars, or no more of them.
    #[error("exemplar storage is disabled or full")]
    NoRoomForExemplars,
}

/// Why a label set was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SeriesRefusal {
    /// No label with a value.
    #[error("empty label set")]
    Empty,
    /// The same label name comes twice.
    #[error("label name {0:?} is not unique: invalid sample")]
    DuplicateName(String),
    /// A label has a value and no name.
    #[error("empty label name")]
    EmptyName,
    /// The set has more labels than allowed.
    #[error("{labels} labels, over the limit of {max}")]
    TooManyLabels {
        /// How many labels the set has.
        labels: usize,
        /// The limit that is exceeded.
        max: usize,
    },
    /// A name or value is longer than allowed.
    #[error("label {name:?}: {what} of {bytes} bytes, over the limit of {max}")]
    TooLong {
        /// The label, cut at 64 characters.
        name: String,
        /// `name` or `value`.
        what: &'static str,
        /// Length of the name or value, bytes.
        bytes: usize,
        /// The limit that is exceeded.
        max: usize,
    },
    /// The store has as many series as it may.
    #[error("the store has {max} series, its limit")]
    TooManySeries {
        /// The limit that is exceeded.
        max: usize,
    },
    /// There are as many series of the set's metric or job as there may be.
    #[error("there are {max} series with {label}={value:?}, their limit")]
    TooManySeriesOf {
        /// `__name__` or `job`.
        label: &'static str,
        /// Its value, cut at 128 characters.
        value: String,
        /// The limit that is exceeded.
        max: usize,
    },
    /// No new series are taken for now, those that are there go on: the reason.
    #[error("no new series are taken: {0}")]
    NotNow(String),
}

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the appender's methods")]
pub enum Column {
    Floats,
    Histograms,
    Exemplars,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Committed {
    /// Samples that can be read now and could not before.
    pub samples: usize,
    /// Rows that were taken into the transaction and are not in the store, since another one came first. Rows are counted
    /// per kind over all batches of the transaction, refused ones included.
    pub refused: Vec<(Column, Refused)>,
}

/// What can be read after a commit failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// Nothing of the transaction, neither now nor after a restart: it may be repeated.
    Nothing,
    /// Perhaps a part, or all: repeating it meets duplicates.
    Unknown,
}

/// A commit that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct CommitError {
    /// The cause, as the layer below reports it.
    pub error: Error,
    /// What is left of the transaction.
    pub visible: Visible,
}
