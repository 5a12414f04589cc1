//! One select. What comes from elsewhere is read ahead by a task of the runtime, so that waiting and evaluating overlap. What
//! is here is read by the evaluating thread itself, as long as it is little.

use std::collections::VecDeque;

use futures::StreamExt;
use storage::{Ahead, Chunk, Select, Series, SeriesEvent, SeriesStream};

use crate::QueryError;
use crate::eval::{Cx, Result};

/// The series of one select, in label order, each once.
pub(crate) struct Read {
    events: Events,
    queue: VecDeque<Series>,
    /// Counted for the series that was the largest so far.
    held_bytes: usize,
    done: bool,
}

/// Where the next event comes from.
enum Events {
    /// From the source itself, and how many more may.
    Here(SeriesStream, usize),
    Ahead(Ahead),
}

/// Events that the evaluating thread reads itself. With more of them another thread pays.
const HERE_MAX: usize = 16;

/// How many events of a select the evaluating thread reads. Where no more is looked at than one instant sees, decoding a series
/// takes about as long as handing it from thread to thread, so that another thread never pays.
fn here_max(select: &Select, cx: &Cx) -> usize {
    if select.range.max.saturating_sub(select.range.min) <= cx.lookback_ms { usize::MAX } else { HERE_MAX }
}

impl Events {
    fn next(&mut self, cx: &Cx) -> Option<storage::Result<SeriesEvent>> {
        if let Self::Here(stream, 0) = self {
            let rest = std::mem::replace(stream, futures::stream::empty().boxed());
            *self = Self::Ahead(storage::read_ahead_blocking(&cx.runtime, &cx.ctx, rest));
        }
        match self {
            Self::Here(stream, left) => {
                *left -= 1;
                cx.runtime.block_on(stream.next())
            }
            Self::Ahead(ahead) => ahead.blocking_next(),
        }
    }
}

impl Read {
    pub fn start(cx: &Cx, select: Select) -> Self {
        let events = match cx.source.select_here(&cx.ctx, &select) {
            Some(stream) => Events::Here(stream, here_max(&select, cx)),
            None => {
                // Sources may spawn while they open.
                let _runtime = cx.runtime.enter();
                Events::Ahead(storage::read_ahead(&cx.ctx, cx.source.select(&cx.ctx, select)))
            }
        };
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
            match self.events.next(cx) {
                None => {
                    // A task ends early when the query is cancelled; do not take that for the end of the data.
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
