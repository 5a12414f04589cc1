//! How long an answer is waited for: until the request is cancelled or its deadline has passed. gRPC enforces a deadline
//! only up to the first message of a stream, and calls what came of it "cancelled".

use std::future::Future;
use std::pin::Pin;

use storage::{Ctx, Error, Result};
use tokio::time::Sleep;

/// Waits on behalf of one request.
#[derive(Debug)]
pub(crate) struct Patience {
    ctx: Ctx,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub fn new(ctx: &Ctx) -> Self {
        // made where it is first waited for: a timer needs a runtime
        Self { ctx: ctx.clone(), timer: None }
    }

    /// What `work` comes to.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::Timeout`] if it is given up; also where it failed and had been given up by then.
    pub async fn wait<T>(&mut self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
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
            outcome = work => outcome.map_err(|error| given_up(ctx, name).err().unwrap_or(error)),
            () = ctx.cancel.cancelled() => Err(Error::Cancelled),
            () = too_late => Err(late(name)),
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
