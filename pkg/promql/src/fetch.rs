//! One select, read ahead by a task of the runtime so that waiting for remote data and evaluating overlap.

use std::collections::VecDeque;

use futures::StreamExt;
use storage::{Select, Series, SeriesEvent};
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::QueryError;
use crate::eval::{Cx, Result};

/// Batches read ahead per select.
const AHEAD: usize = 2;

/// The series of one select, in label order, each once.
pub(crate) struct Fetch {
    events: mpsc::Receiver<storage::Result<SeriesEvent>>,
    queue: VecDeque<Series>,
    done: bool,
}

impl Fetch {
    /// Starts reading.
    pub fn start(cx: &Cx, select: Select) -> Self {
        let (sender, events) = mpsc::channel(AHEAD);
        let mut stream = {
            // Sources may spawn while they open.
            let _runtime = cx.runtime.enter();
            cx.source.select(&cx.ctx, select)
        };
        let ctx = cx.ctx.clone();
        let read = async move {
            let deadline = ctx.deadline.map(tokio::time::Instant::from_std);
            let past_deadline = async move {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(past_deadline);
            loop {
                let event = tokio::select! {
                    event = stream.next() => event,
                    () = ctx.cancel.cancelled() => Some(Err(storage::Error::Cancelled)),
                    () = &mut past_deadline => Some(Err(storage::Error::Timeout("query timed out".to_owned()))),
                    () = sender.closed() => return,
                };
                let Some(event) = event else { return };
                let failed = event.is_err();
                if sender.send(event).await.is_err() || failed {
                    return;
                }
            }
        };
        cx.runtime.spawn(read.in_current_span());
        Self { events, queue: VecDeque::new(), done: false }
    }

    /// The next series.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<Series>> {
        self.fill(cx, 1)?;
        let Some(mut series) = self.queue.pop_front() else { return Ok(None) };
        loop {
            self.fill(cx, 1)?;
            match self.queue.front() {
                // A series with many chunks comes in several entries.
                Some(more) if more.labels == series.labels => {
                    if let Some(more) = self.queue.pop_front() {
                        series.chunks.extend(more.chunks);
                    }
                }
                _ => break,
            }
        }
        cx.stats.series += 1;
        Ok(Some(series))
    }

    fn fill(&mut self, cx: &mut Cx, want: usize) -> Result<()> {
        while self.queue.len() < want && !self.done {
            cx.check()?;
            match self.events.blocking_recv() {
                None => {
                    // The task ends early when the query is cancelled; do not take that for the end of the data.
                    cx.check()?;
                    self.done = true;
                }
                Some(Ok(SeriesEvent::Batch(batch))) => self.queue.extend(batch),
                Some(Ok(SeriesEvent::Warning(text))) => cx.notes.source_warning(text),
                Some(Err(e @ (storage::Error::Cancelled | storage::Error::Timeout(_) | storage::Error::Limit(_)))) => {
                    return Err(e.into());
                }
                Some(Err(e)) => return Err(QueryError::Storage(e.within("expanding series"))),
            }
        }
        Ok(())
    }
}
