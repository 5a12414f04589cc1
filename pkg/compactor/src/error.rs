//! Errors by what the caller may do.

/// Why work on the bucket ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Bucket(#[from] bucket::Error),
}

impl Error {
    /// Whether the bucket refuses the credentials: nothing will work until an operator acts.
    pub(crate) fn is_denied(&self) -> bool {
        let Self::Bucket(e) = self;
        matches!(e, bucket::Error::Bucket(e) if e.kind() == objstore::ErrorKind::Denied)
    }
}

impl From<objstore::Error> for Error {
    fn from(e: objstore::Error) -> Self {
        Self::Bucket(e.into())
    }
}
