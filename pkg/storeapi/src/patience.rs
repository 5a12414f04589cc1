//! How long an answer is waited for: until the request is cancelled or its deadline has passed. gRPC enforces a deadline
//! only up to the first message of a stream, and calls what came of it "cancelled".

use std::future::Future;
use std::pin::Pin;

use storage::{Ctx, Error, Result};
use tokio::time::Sleep;

/// Waits on behalf of one request.
#[derive(Debug)]
pub struct Patience {
    ctx: Ctx,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// For a request with this context.
    pub fn new(ctx: &Ctx) -> Self {
        // Made where it is first waited for: a timer needs a runtime
        Self { ctx: ctx.clone(), timer: None }
    }

    /// What `work` comes to.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::Timeout`] if the request has ended, also where `work` failed after that. The text
    /// names `name`, the endpoint.
    pub async fn wait<T, E: From<Error>>(
        &mut self,
        name: &str,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let Self { ctx, timer } = self;
        let timer = ctx.deadline.map(|at| timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into()))));
        let too_late = async {
            match timer {
                Some(timer) => timer.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = work => outcome.map_err(|error| given_up(ctx, name).err().map_or(error, E::from)),
            () = ctx.cancel.cancelled() => Err(Error::Cancelled.into()),
            () = too_late => Err(late(name).into()),
        }
    }
}

/// Whether the request has ended, as the error that says so.
fn given_up(ctx: &Ctx, name: &str) -> Result<()> {
    ctx.check().map_err(|e| match e {
        Error::Timeout(_) => late(name),
        other => other,
    })
}

fn late(name: &str) -> Error {
    Error::Timeout(format!("{name}: no answer before the query's deadline"))
}
