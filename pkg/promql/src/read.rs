//! One select, read ahead by a task of the runtime so that waiting for remote data and evaluating overlap.

use std::collections::VecDeque;

use storage::{Ahead, Chunk, Select, Series, SeriesEvent};

use crate::QueryError;
use crate::eval::{Cx, Result};

/// The series of one select, in label order, each once.
pub(crate) struct Read {
    events: Ahead,
    queue: VecDeque<Series>,
    /// Counted for the series that was the largest so far.
    held_bytes: usize,
    done: bool,
}

impl Read {
    pub fn start(cx: &Cx, select: Select) -> Self {
        // Sources may spawn while they open.
        let _runtime = cx.runtime.enter();
        let events = storage::read_ahead(&cx.ctx, cx.source.select(&cx.ctx, select));
        Self { events, queue: VecDeque::new(), held_bytes: 0, done: false }
    }

    /// The next series; its chunks are complete, however many entries of the stream had parts of them.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<Series>> {
        self.fill(cx, 1)?;
        let Some(mut series) = self.queue.pop_front() else { return Ok(None) };
        let mut bytes = 0;
        loop {
            self.fill(cx, 1)?;
            match self.queue.front() {
                // A series with many chunks comes in several entries.
                Some(more) if more.labels == series.labels => {
                    if let Some(more) = self.queue.pop_front() {
                        bytes += more.chunks.iter().map(|c| c.size_bytes() + size_of::<Chunk>()).sum::<usize>();
                        self.count(bytes, cx)?;
                        series.chunks.extend(more.chunks);
                    }
                }
                _ => break,
            }
        }
        cx.stats.series += 1;
        cx.check_series()?;
        cx.work(series.chunks.len() + series.labels.size_bytes())?;
        Ok(Some(series))
    }

    /// Counts the chunks of a series that came in more than one entry; one entry is as small as a message.
    fn count(&mut self, bytes: usize, cx: &mut Cx) -> Result<()> {
        if bytes > self.held_bytes {
            cx.hold(0, bytes - self.held_bytes)?;
            self.held_bytes = bytes;
        }
        Ok(())
    }

    fn fill(&mut self, cx: &mut Cx, want: usize) -> Result<()> {
        while self.queue.len() < want && !self.done {
            cx.check()?;
            match self.events.blocking_next() {
                None => {
                    // The task ends early when the query is cancelled; do not take that for the end of the data.
                    cx.check()?;
                    self.done = true;
                }
                Some(Ok(SeriesEvent::Batch(batch))) => self.queue.extend(batch),
                Some(Ok(SeriesEvent::Warning(text))) => cx.annotations.source_warning(text),
                Some(Err(e @ (storage::Error::Cancelled | storage::Error::Timeout(_) | storage::Error::Limit(_)))) => {
                    return Err(e.into());
                }
                Some(Err(e)) => return Err(QueryError::Storage(e.within("expanding series"))),
            }
        }
        Ok(())
    }
}
