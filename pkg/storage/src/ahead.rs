//! Reading ahead for a reader that stands still.
//!
//! Who opens several streams reads one of them first. What the others occupy meanwhile (a turn at a store, a remote read
//! of Prometheus, a place in a proxy) is wanted by others, and one of those may be the very stream that is read first.
//! So what nobody reads goes on into memory, within the request's budget, until the stream ends.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tracing::Instrument;

use crate::{Ctx, Error, Reservation, Result, SeriesEvent, SeriesStream};

/// Events held for a reader that keeps pace.
const DEPTH: usize = 2;
/// A reader that took nothing for this long stands still.
pub const STILL_AFTER: Duration = Duration::from_millis(50);

type Item = (Result<SeriesEvent>, Option<Reservation>);

#[derive(Debug, Default)]
struct Queue {
    sent: AtomicUsize,
    taken: AtomicUsize,
    took: Notify,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.sent.load(Ordering::Acquire).wrapping_sub(self.taken.load(Ordering::Acquire)) >= DEPTH
    }

    async fn has_room(&self) {
        while self.is_full() {
            self.took.notified().await;
        }
    }
}

/// A queue of events: a few for a reader that keeps pace, more for one that stands still, as far as the budget of `ctx`
/// has memory to spare.
pub fn ahead(ctx: &Ctx) -> (AheadSender, Ahead) {
    let (sender, items) = mpsc::unbounded_channel();
    let queue = Arc::new(Queue::default());
    let from = AheadSender { ctx: ctx.clone(), sender, queue: queue.clone(), still_at: None };
    (from, Ahead { items, queue })
}

/// Reads `stream` in a task of the current runtime, until it ends or fails, the request ends, or the reader is dropped.
pub fn read_ahead(ctx: &Ctx, stream: SeriesStream) -> Ahead {
    let (sender, reader) = ahead(ctx);
    tokio::spawn(sender.copy(stream).in_current_span());
    reader
}

/// The same for a stream whose polls block, on a thread of `runtime` for such work.
pub fn read_ahead_blocking(runtime: &Handle, ctx: &Ctx, stream: SeriesStream) -> Ahead {
    let (sender, reader) = ahead(ctx);
    let (driver, copy) = (runtime.clone(), sender.copy(stream).in_current_span());
    runtime.spawn_blocking(move || driver.block_on(copy));
    reader
}

/// The writer's end of [`ahead`].
#[derive(Debug)]
pub struct AheadSender {
    ctx: Ctx,
    sender: mpsc::UnboundedSender<Item>,
    queue: Arc<Queue>,
    /// What the reader had taken when it was found to stand still.
    still_at: Option<usize>,
}

impl AheadSender {
    /// Waits for the reader, or for memory if it stands still.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the reader is gone.
    pub async fn send(&mut self, event: Result<SeriesEvent>) -> Result<()> {
        self.send_unless(event, std::future::pending()).await
    }

    /// [`Self::send`], unless `refused` comes true while the reader stands still and there is no memory to spare.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the reader is gone, and what `refused` gives.
    pub async fn send_unless(
        &mut self,
        event: Result<SeriesEvent>,
        refused: impl Future<Output = Error>,
    ) -> Result<()> {
        let held = match self.room(&event).await {
            Room::Now(held) => held,
            Room::Later => tokio::select! {
                () = self.queue.has_room() => None,
                () = self.sender.closed() => None,
                error = refused => return Err(error),
            },
        };
        self.queue.sent.fetch_add(1, Ordering::AcqRel);
        self.sender.send((event, held)).map_err(|_| Error::Cancelled)
    }

    /// Sends the error that ends the stream, without waiting.
    pub fn fail(self, error: Error) {
        // Nobody is told when the reader is gone.
        let _ = self.sender.send((Err(error), None));
    }

    async fn room(&mut self, event: &Result<SeriesEvent>) -> Room {
        if !self.queue.is_full() {
            return Room::Now(None);
        }
        if self.still_at != Some(self.queue.taken.load(Ordering::Acquire)) {
            self.still_at = None;
            tokio::select! {
                () = self.queue.has_room() => return Room::Now(None),
                () = self.sender.closed() => return Room::Now(None),
                () = tokio::time::sleep(STILL_AFTER) => {}
            }
            self.still_at = Some(self.queue.taken.load(Ordering::Acquire));
        }
        match self.ctx.budget.reserve_spare(size_bytes(event)) {
            Some(held) => Room::Now(Some(held)),
            None => Room::Later,
        }
    }

    async fn copy(mut self, mut stream: SeriesStream) {
        let deadline = self.ctx.deadline;
        let past_deadline = async move {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let (cancel, sender) = (self.ctx.cancel.clone(), self.sender.clone());
        let copied = async {
            while let Some(event) = stream.next().await {
                let failed = event.is_err();
                if self.send(event).await.is_err() || failed {
                    return;
                }
            }
        };
        let end = tokio::select! {
            () = copied => return,
            () = cancel.cancelled() => Error::Cancelled,
            () = past_deadline => Error::Timeout("query timed out".to_owned()),
            () = sender.closed() => return,
        };
        self.fail(end);
    }
}

impl Drop for AheadSender {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The end of the series is no end that way.
            let _ = self.sender.send((Err(Error::other("reading series has crashed")), None));
        }
    }
}

enum Room {
    /// With the memory, if the reader stands still.
    Now(Option<Reservation>),
    Later,
}

/// The reader's end of [`ahead`].
#[derive(Debug)]
pub struct Ahead {
    items: mpsc::UnboundedReceiver<Item>,
    queue: Arc<Queue>,
}

impl Ahead {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<SeriesEvent>> {
        let item = self.items.recv().await;
        self.took(item)
    }

    /// [`Self::next`] for a thread that may block.
    pub fn blocking_next(&mut self) -> Option<Result<SeriesEvent>> {
        let item = self.items.blocking_recv();
        self.took(item)
    }

    /// The same series as a stream.
    pub fn into_stream(self) -> SeriesStream {
        futures::stream::unfold(self, |mut ahead| async move { Some((ahead.next().await?, ahead)) }).boxed()
    }

    fn took(&self, item: Option<Item>) -> Option<Result<SeriesEvent>> {
        let (event, _held) = item?;
        self.queue.taken.fetch_add(1, Ordering::AcqRel);
        self.queue.took.notify_one();
        Some(event)
    }
}

fn size_bytes(event: &Result<SeriesEvent>) -> u64 {
    match event {
        Ok(SeriesEvent::Batch(batch)) => batch.iter().map(|s| s.size_bytes() as u64).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use labels::Labels;

    use super::*;
    use crate::{Budget, Series};

    fn batch(i: usize) -> Result<SeriesEvent> {
        let labels = Labels::from_pairs([("i", format!("{i:04}"))]);
        Ok(SeriesEvent::Batch(vec![Series { labels, chunks: Vec::new() }]))
    }

    fn ctx(max_bytes: u64) -> Ctx {
        Ctx { budget: Budget::new("this request", "--none", max_bytes, None), ..Ctx::background() }
    }

    /// A stream of 1 000 batches, and how many were read of it.
    fn counted() -> (SeriesStream, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = read.clone();
        let stream = stream::iter((0..1000).map(batch)).inspect(move |_| {
            counter.fetch_add(1, Ordering::AcqRel);
        });
        (stream.boxed(), read)
    }

    async fn rest(mut ahead: Ahead) -> usize {
        let mut count = 0;
        while let Some(event) = ahead.next().await {
            assert_eq!(format!("{:?}", event.unwrap()), format!("{:?}", batch(count).unwrap()));
            count += 1;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_is_read_to_its_end() {
        let ctx = ctx(10 << 20);
        let (stream, read) = counted();
        let ahead = read_ahead(&ctx, stream);
        while read.load(Ordering::Acquire) < 1000 {
            tokio::time::sleep(STILL_AFTER).await;
        }
        assert!(ctx.budget.used_bytes() > 1000 * size_of::<Series>() as u64, "what is held counts");
        assert_eq!(rest(ahead).await, 1000);
        assert_eq!(ctx.budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_memory_to_spare_is_taken_and_all_arrives() {
        let ctx = ctx(100_000);
        let (stream, read) = counted();
        let ahead = read_ahead(&ctx, stream);
        tokio::time::sleep(STILL_AFTER * 100).await;
        let count = read.load(Ordering::Acquire);
        assert!((DEPTH + 50..1000).contains(&count), "{count}");
        assert!(ctx.budget.used_bytes() <= 25_000);
        assert_eq!(rest(ahead).await, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_keeps_pace_takes_no_memory() {
        let ctx = ctx(10 << 20);
        let (stream, _) = counted();
        assert_eq!(rest(read_ahead(&ctx, stream)).await, 1000);
        assert_eq!(ctx.budget.peak_bytes(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_blocks_is_read_ahead_and_a_crash_is_no_end() {
        let (stream, _) = counted();
        let blocking = stream.inspect(|_| std::thread::yield_now()).boxed();
        assert_eq!(rest(read_ahead_blocking(&Handle::current(), &ctx(10 << 20), blocking)).await, 1000);
        let crashing = || stream::iter(0..5).map(|i| if i < 3 { batch(i) } else { panic!("on purpose") }).boxed();
        let background = Ctx::background();
        for ahead in
            [read_ahead(&background, crashing()), read_ahead_blocking(&Handle::current(), &background, crashing())]
        {
            let events: Vec<_> = ahead.into_stream().collect().await;
            assert_eq!(events.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, true, false]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_memory_a_writer_may_be_refused() {
        let (mut sender, ahead) = ahead(&ctx(1));
        for i in 0..DEPTH {
            sender.send(batch(i)).await.unwrap();
        }
        let refused = std::future::ready(Error::Limit("no place".to_owned()));
        let error = sender.send_unless(batch(DEPTH), refused).await.unwrap_err();
        assert!(matches!(&error, Error::Limit(_)));
        sender.fail(error);
        let events: Vec<_> = ahead.into_stream().collect().await;
        assert_eq!(events.len(), DEPTH + 1);
        assert!(events[DEPTH].is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_request_and_of_its_reader_end_the_reading() {
        let background = ctx(0);
        let ctx = Ctx { deadline: Some((tokio::time::Instant::now() + STILL_AFTER).into_std()), ..background };
        let never = stream::pending().boxed();
        assert!(matches!(read_ahead(&ctx, never).next().await, Some(Err(Error::Timeout(_)))));
        let (mut sender, ahead) = self::ahead(&Ctx::background());
        drop(ahead);
        assert!(matches!(sender.send(batch(0)).await, Err(Error::Cancelled)));
    }
}
