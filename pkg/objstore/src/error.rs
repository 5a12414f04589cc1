//! Errors by what the caller may do about them.

use std::error::Error as StdError;
use std::fmt;

use object_store::client::HttpError;
use object_store::client::HttpErrorKind;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What [`Bucket`](crate::Bucket) functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// What to do about a failed operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such object. The store answered, so this is knowledge, not a failure.
    NotFound,
    /// A conditional create met an object.
    AlreadyExists,
    /// A condition on the object's version does not hold, or the range lies outside of it.
    Precondition,
    /// Credentials are missing, wrong or insufficient. Trying again does not help.
    Denied,
    /// The store asks for fewer requests; retries were used up.
    Throttled,
    /// The store cannot be reached or fails; retries were used up.
    Unavailable,
    /// No answer within the time allowed.
    Timeout,
    /// Fewer bytes came than were promised or asked for.
    ShortBody,
    /// A limit of this program refused the operation.
    Limit,
    /// The store does not know such requests.
    Unsupported,
    /// Anything else: local files, requests that the store takes for malformed.
    Other,
}

impl ErrorKind {
    /// Whether the same operation may succeed a while later.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable | Self::Timeout | Self::ShortBody)
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "exists already",
            Self::Precondition => "precondition failed",
            Self::Denied => "access denied: check the credentials and the bucket's policy",
            Self::Throttled => "throttled by the store",
            Self::Unavailable => "store unavailable",
            Self::Timeout => "timed out",
            Self::ShortBody => "incomplete body",
            Self::Limit => "limit exceeded",
            Self::Unsupported => "not supported by the store",
            Self::Other => "failed",
        }
    }
}

/// A failed operation on a bucket.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    bucket: String,
    path: String,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind`; `source` may be a message.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        bucket: &str,
        path: &str,
        source: impl Into<Option<Source>>,
    ) -> Self {
        Self { kind, operation, bucket: bucket.to_owned(), path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn from_store(operation: &'static str, bucket: &str, path: &str, source: object_store::Error) -> Self {
        Self::new(classify(&source), operation, bucket, path, Some(Source::from(source)))
    }

    /// What may be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The object or prefix, relative to the bucket's configured prefix.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the store knows no such object.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}: {}", self.operation, self.bucket, self.path, self.kind.text())?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

/// The kind of a store's error. Listings, exhausted retries and 416 come as `Generic` whatever their status was, and
/// the type that holds the status is private: its text is all there is to go by.
pub(crate) fn classify(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        E::Precondition { .. } | E::NotModified { .. } => ErrorKind::Precondition,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => ErrorKind::Denied,
        E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::Unsupported,
        E::Generic { .. } => classify_source(error),
        _ => ErrorKind::Other,
    }
}

fn classify_source(error: &object_store::Error) -> ErrorKind {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = next {
        if let Some(Injected(kind)) = cause.downcast_ref::<Injected>() {
            return *kind;
        }
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return match http.kind() {
                HttpErrorKind::Timeout => ErrorKind::Timeout,
                HttpErrorKind::Interrupted | HttpErrorKind::Decode => ErrorKind::ShortBody,
                _ => ErrorKind::Unavailable,
            };
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                std::io::ErrorKind::UnexpectedEof => ErrorKind::ShortBody,
                std::io::ErrorKind::TimedOut => ErrorKind::Timeout,
                _ => ErrorKind::Other,
            };
        }
        if let Some(kind) = status_in(&cause.to_string()).and_then(kind_of_status) {
            return kind;
        }
        next = cause.source();
    }
    ErrorKind::Other
}

/// The status in "Server returned non-2xx status code: 503 Service Unavailable: …".
fn status_in(text: &str) -> Option<u16> {
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

fn kind_of_status(status: u16) -> Option<ErrorKind> {
    Some(match status {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 | 412 | 416 => ErrorKind::Precondition,
        429 | 503 => ErrorKind::Throttled,
        501 => ErrorKind::Unsupported,
        500..=599 => ErrorKind::Unavailable,
        _ => return None,
    })
}

/// An error that a decorator makes up, with the kind it stands for.
#[derive(Debug)]
pub(crate) struct Injected(pub(crate) ErrorKind);

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "injected: {}", self.0.text())
    }
}

impl StdError for Injected {}

/// The store's own error for `kind`, as a decorator would return it.
pub(crate) fn store_error(kind: ErrorKind, path: &str) -> object_store::Error {
    use object_store::Error as E;
    let (path, source) = (path.to_owned(), Box::new(Injected(kind)));
    match kind {
        ErrorKind::NotFound => E::NotFound { path, source },
        ErrorKind::AlreadyExists => E::AlreadyExists { path, source },
        ErrorKind::Precondition => E::Precondition { path, source },
        ErrorKind::Denied => E::PermissionDenied { path, source },
        _ => E::Generic { store: "injected", source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let generic = |text: &str| object_store::Error::Generic { store: "S3", source: text.into() };
        for (text, kind) in [
            ("Server returned non-2xx status code: 403 Forbidden: x", ErrorKind::Denied),
            (
                "Error performing LIST - Server returned non-2xx status code: 503 Service Unavailable: ",
                ErrorKind::Throttled,
            ),
            ("Server returned non-2xx status code: 500 Internal Server Error: ", ErrorKind::Unavailable),
            ("Server returned non-2xx status code: 416 Range Not Satisfiable: ", ErrorKind::Precondition),
            ("something else", ErrorKind::Other),
        ] {
            assert_eq!(classify(&generic(text)), kind, "{text}");
        }
        for kind in [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Timeout, ErrorKind::ShortBody] {
            assert_eq!(classify(&store_error(kind, "p")), kind);
        }
    }
}
