//! Failed queries as gRPC statuses and back.

use promql::QueryError;
use storeapi::{error_from_status, status_from_error};
use tonic::{Code, Status};

pub(crate) fn to_status(error: QueryError) -> Status {
    match error {
        QueryError::Storage(e) => status_from_error(e),
        QueryError::Parse(_) | QueryError::Bad(_) => Status::invalid_argument(error.to_string()),
        QueryError::Limit(_) | QueryError::TooMany(_) => Status::resource_exhausted(error.to_string()),
        QueryError::Timeout(_) => Status::deadline_exceeded(error.to_string()),
        QueryError::Canceled(_) => Status::cancelled(error.to_string()),
        _ => Status::aborted(error.to_string()),
    }
}

/// The error that a status from `endpoint` stands for. What is wrong with the query is said in the peer's words alone; what is
/// wrong with the peer names it.
pub(crate) fn from_status(endpoint: &str, status: &Status) -> QueryError {
    let text = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument => QueryError::Bad(text),
        Code::ResourceExhausted => QueryError::Limit(text),
        Code::Aborted => QueryError::Execution(text),
        Code::DeadlineExceeded => QueryError::Timeout(format!("the evaluation by {endpoint}")),
        Code::Cancelled => QueryError::Canceled(format!("the evaluation by {endpoint}")),
        _ => QueryError::Storage(error_from_status(endpoint, status)),
    }
}
