//! Work that blocks on the disk, away from the threads that answer requests.

use std::future::Future;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use storage::SeriesStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
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

/// Events that a reading thread is ahead of whoever takes them.
const AHEAD: usize = 2;

/// The stream that `open` makes, on a thread of its own: finding series and reading blocks would hold up the scrapes.
pub(crate) fn stream_aside(open: impl FnOnce() -> SeriesStream + Send + 'static) -> SeriesStream {
    let Ok(runtime) = Handle::try_current() else { return open() };
    let (give, take) = mpsc::channel(AHEAD);
    let driver = runtime.clone();
    let work = async move {
        let mut events = open();
        while let Some(event) = events.next().await {
            if give.send(event).await.is_err() {
                return;
            }
        }
    };
    let task = runtime.spawn_blocking(move || driver.block_on(work));
    stream::unfold((take, Some(task)), |(mut take, mut task)| async move {
        if let Some(event) = take.recv().await {
            return Some((event, (take, task)));
        }
        // The end is the end only if the thread came to it.
        match task.take()?.await {
            Ok(()) => None,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Some((Err(storage::Error::Cancelled), (take, None))),
        }
    })
    .boxed()
}

/// The same for a single answer.
pub(crate) fn answer_aside<T: Send + 'static>(
    ask: impl FnOnce() -> BoxFuture<'static, storage::Result<T>> + Send + 'static,
) -> BoxFuture<'static, storage::Result<T>> {
    let Ok(runtime) = Handle::try_current() else { return ask() };
    Box::pin(async move {
        let driver = runtime.clone();
        match runtime.spawn_blocking(move || driver.block_on(ask())).await {
            Ok(answer) => answer,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Err(storage::Error::Cancelled),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reading_holds_up_nobody_and_ends_with_its_reader() {
        // The reader blocks until another task of the only thread has run.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let events = stream_aside(move || {
            let event = move |n: u32| {
                wait.recv().unwrap();
                Ok(storage::SeriesEvent::Warning(n.to_string()))
            };
            stream::iter(0..3).map(event).boxed()
        });
        tokio::spawn(async move { (0..3).for_each(|_| go.send(()).unwrap()) });
        let all: Vec<_> = events.map(|event| matches!(event, Ok(storage::SeriesEvent::Warning(_)))).collect().await;
        assert_eq!(all, [true; 3]);
        let answer = answer_aside(|| Box::pin(async { Ok(7) })).await;
        assert_eq!(answer.unwrap(), 7);
        // One that nobody reads is given up.
        let (gone, told) = tokio::sync::oneshot::channel::<()>();
        let endless = stream_aside(move || {
            let held = gone;
            let event = move |_| {
                let _ = &held;
                Ok(storage::SeriesEvent::Warning(String::new()))
            };
            stream::repeat(()).map(event).boxed()
        });
        drop(endless);
        assert!(told.await.is_err(), "it was dropped");
    }

    #[tokio::test]
    #[should_panic(expected = "a bug in a reader")]
    async fn a_panic_is_no_end() {
        let event =
            |n: u32| if n < 2 { Ok(storage::SeriesEvent::Warning(String::new())) } else { panic!("a bug in a reader") };
        stream_aside(move || stream::iter(0..9).map(event).boxed()).collect::<Vec<_>>().await;
    }

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
