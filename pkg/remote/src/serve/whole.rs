//! Series with all of their chunks, out of a stream that may split them over entries.

use std::collections::VecDeque;

use futures::StreamExt;
use storage::{Error, Result, Series, SeriesEvent, SeriesStream};

/// One whole series after the other.
pub(super) struct WholeSeries {
    stream: SeriesStream,
    queue: VecDeque<Series>,
    /// The series that came last and may go on.
    open: Option<Series>,
    ended: bool,
}

impl WholeSeries {
    pub fn new(stream: SeriesStream) -> Self {
        Self { stream, queue: VecDeque::new(), open: None, ended: false }
    }

    /// The next series; `None` at the end.
    ///
    /// # Errors
    /// The stream's; and its warnings, which the reader could not be told of.
    pub async fn next(&mut self) -> Result<Option<Series>> {
        loop {
            while let Some(series) = self.queue.pop_front() {
                match &mut self.open {
                    Some(open) if open.labels == series.labels => open.chunks.extend(series.chunks),
                    open => {
                        if let Some(whole) = open.replace(series) {
                            return Ok(Some(whole));
                        }
                    }
                }
            }
            if self.ended {
                return Ok(self.open.take());
            }
            match self.stream.next().await {
                None => self.ended = true,
                Some(Ok(SeriesEvent::Batch(batch))) => self.queue.extend(batch),
                Some(Ok(SeriesEvent::Warning(text))) => return Err(Error::other(text)),
                Some(Err(e)) => return Err(e),
            }
        }
    }
}
