//! From the merge's own threads to the bucket: waiting for an answer, or for the end.

use std::future::Future;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// The runtime that talks to the bucket, and the token that ends the job.
#[derive(Debug, Clone)]
pub(crate) struct Wait {
    pub(crate) runtime: Handle,
    pub(crate) cancel: CancellationToken,
}

impl Wait {
    /// Blocks this thread until `future` is done.
    ///
    /// # Errors
    /// Its own, or [`Error::Cancelled`].
    pub(crate) fn on<T, E: Into<Error>>(&self, future: impl Future<Output = std::result::Result<T, E>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(Error::Cancelled),
                outcome = future => outcome.map_err(Into::into),
            }
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
