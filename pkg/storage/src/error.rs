//! Errors by what the caller may do about them.

use std::sync::Arc;

/// Why a source did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request makes no sense (HTTP 400, gRPC InvalidArgument): mend it.
    #[error("{0}")]
    Invalid(String),
    /// A limit was hit (HTTP 422, gRPC ResourceExhausted): narrow the query or raise the flag named in the message.
    #[error("{0}")]
    Limit(String),
    /// The source cannot be reached or failed for now (gRPC Unavailable): try again.
    #[error("{0}")]
    Unavailable(String),
    /// Stored bytes are corrupt (gRPC DataLoss); the message names block, file and offset.
    #[error("{0}")]
    Corrupt(String),
    /// The caller went away, so nobody waits for the answer.
    #[error("query cancelled")]
    Cancelled,
    /// The time allowed is over; names the flag or parameter.
    #[error("{0}")]
    Timeout(String),
    /// Not implemented by this source (gRPC Unimplemented).
    #[error("{0}")]
    Unsupported(String),
    /// An error of no other kind (HTTP 500, gRPC Unknown).
    #[error("{context}")]
    Other {
        /// What was being done, and the cause.
        context: String,
        /// The cause, kept for logs.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// An [`Error::Other`] without a source.
    pub fn other(context: impl Into<String>) -> Self {
        Self::Other { context: context.into(), source: None }
    }

    /// The same kind of error with `prefix: ` before its message, to say where it happened.
    #[must_use]
    pub fn within(self, prefix: impl std::fmt::Display) -> Self {
        match self {
            Self::Invalid(t) => Self::Invalid(format!("{prefix}: {t}")),
            Self::Limit(t) => Self::Limit(format!("{prefix}: {t}")),
            Self::Unavailable(t) => Self::Unavailable(format!("{prefix}: {t}")),
            Self::Corrupt(t) => Self::Corrupt(format!("{prefix}: {t}")),
            Self::Timeout(t) => Self::Timeout(format!("{prefix}: {t}")),
            Self::Unsupported(t) => Self::Unsupported(format!("{prefix}: {t}")),
            Self::Cancelled => Self::Cancelled,
            Self::Other { context, source } => Self::Other { context: format!("{prefix}: {context}"), source },
        }
    }
}
