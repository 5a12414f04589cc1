//! What travels with every request: who asks, how long it may take, how much memory it may hold, whether it still
//! matters.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::{Budget, Error, HintSink, Result};

/// The context of one request. Cheap to clone; clones share the cancellation and the budget.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Cancelled when the asker goes away. Streams stop by being dropped; CPU work checks this between batches.
    pub cancel: CancellationToken,
    /// After this the answer is of no use.
    pub deadline: Option<Instant>,
    /// Bytes this request may hold.
    pub budget: Arc<Budget>,
    /// The tenant, `""` without tenancy; gRPC metadata `thanos-tenant`.
    pub tenant: Arc<str>,
    /// Where a source leaves hints, if the asker wants them.
    pub hints: Option<Arc<HintSink>>,
}

impl Ctx {
    /// Without deadline, limits or tenant; for tests and background work.
    pub fn background() -> Self {
        Self {
            cancel: CancellationToken::new(),
            deadline: None,
            budget: Budget::unlimited(),
            tenant: "".into(),
            hints: None,
        }
    }

    /// Whether somebody still waits for the answer.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::Timeout`].
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::Timeout("query timed out".to_owned()));
        }
        Ok(())
    }
}
