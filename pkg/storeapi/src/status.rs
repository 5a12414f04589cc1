//! Our errors as gRPC statuses and back.

use storage::Error;
use tonic::{Code, Status};

/// The status for an error; limit violations are ResourceExhausted, as all of the family expects.
pub fn status_from_error(error: Error) -> Status {
    let code = match &error {
        Error::Invalid(_) => Code::InvalidArgument,
        Error::Limit(_) => Code::ResourceExhausted,
        Error::Unavailable(_) => Code::Unavailable,
        Error::Corrupt(_) => Code::DataLoss,
        Error::Cancelled => Code::Cancelled,
        Error::Timeout(_) => Code::DeadlineExceeded,
        Error::Unsupported(_) => Code::Unimplemented,
        Error::Other { .. } => Code::Unknown,
    };
    Status::new(code, error.to_string())
}

/// The error for a status from `endpoint`.
pub fn error_from_status(endpoint: &str, status: &Status) -> Error {
    let text = format!("{endpoint}: {}", status.message());
    match status.code() {
        Code::InvalidArgument => Error::Invalid(text),
        Code::ResourceExhausted => Error::Limit(text),
        Code::Unavailable => Error::Unavailable(text),
        Code::DataLoss => Error::Corrupt(text),
        Code::DeadlineExceeded => Error::Timeout(text),
        Code::Unimplemented => {
            Error::Unsupported(format!("{endpoint}: does not serve this API ({})", status.message()))
        }
        code => Error::other(format!("{text} (gRPC {code:?})")),
    }
}
