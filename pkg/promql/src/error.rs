//! Why a query gave no answer, by what the HTTP API says of it.

/// A failed query. The texts are Prometheus'.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// The query does not parse (`bad_data`, HTTP 400).
    #[error("invalid parameter \"query\": {0}")]
    Parse(#[from] promql_syntax::ParseError),
    /// A parameter makes no sense (`bad_data`, HTTP 400).
    #[error("{0}")]
    Bad(String),
    /// The evaluation failed on the data or on arguments (`execution`, HTTP 422).
    #[error("{0}")]
    Execution(String),
    /// The time allowed is over (`timeout`, HTTP 503).
    #[error("query timed out in {0}")]
    Timeout(String),
    /// The asker went away (`canceled`, HTTP 499).
    #[error("query was canceled in {0}")]
    Canceled(String),
    /// A limit on samples, bytes or series was hit (`execution`, HTTP 422); the text has the figures.
    #[error("{0}")]
    Limit(String),
    /// The tenant has as many queries waiting as it may (`too_many_requests`, HTTP 429): it is to ask less often.
    #[error("{0}")]
    TooMany(String),
    /// The data could not be read (`internal`, HTTP 500).
    #[error("{0}")]
    Storage(storage::Error),
}

impl QueryError {
    /// The word the HTTP API puts in `errorType`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Parse(_) | Self::Bad(_) => "bad_data",
            Self::Execution(_) | Self::Limit(_) => "execution",
            Self::Timeout(_) => "timeout",
            Self::Canceled(_) => "canceled",
            Self::TooMany(_) => "too_many_requests",
            Self::Storage(_) => "internal",
        }
    }
}

impl From<storage::Error> for QueryError {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Cancelled => Self::Canceled("expression evaluation".to_owned()),
            storage::Error::Timeout(_) => Self::Timeout("expression evaluation".to_owned()),
            storage::Error::Limit(text) => Self::Limit(text),
            other => Self::Storage(other),
        }
    }
}
