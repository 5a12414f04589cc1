//! Work that blocks on the disk, away from the threads that answer requests.

use std::future::Future;

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};

/// Runs `work` on a thread of its own. It gets a token that is cancelled when the future is dropped.
pub(crate) fn aside<T, F>(work: impl FnOnce(CancellationToken) -> F + Send + 'static) -> BoxFuture<'static, Result<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    Box::pin(async move {
        let cancel = CancellationToken::new();
        let _end = cancel.clone().drop_guard();
        let runtime = Handle::current();
        let task = tokio::task::spawn_blocking(move || runtime.block_on(work(cancel)));
        match task.await {
            Ok(outcome) => outcome,
            // A panic in it is passed on.
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Err(Error::Cancelled),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_future_cancels_the_work() {
        assert_eq!(aside(|_| async { Ok(7) }).await.unwrap(), 7);
        let (tell, told) = tokio::sync::oneshot::channel();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let work = aside(move |cancel| async move {
            begin.send(()).unwrap();
            cancel.cancelled().await;
            tell.send(()).unwrap();
            Ok(())
        });
        tokio::select! {
            _ = work => panic!("it waits for the end"),
            begun = begun => begun.unwrap(),
        }
        told.await.unwrap();
    }
}
