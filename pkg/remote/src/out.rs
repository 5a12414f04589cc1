//! Series on their way out, and the memory of those that wait.

use labels::Labels;
use storage::{AheadSender, Ctx, Reservation, Result, Series, SeriesEvent};

use crate::slots::Slots;

/// A batch is sent on once it has so many series or bytes.
pub(crate) const BATCH_SERIES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

pub(crate) struct Holding(Reservation);

impl Holding {
    pub fn new(ctx: &Ctx) -> Result<Self> {
        ctx.budget.reserve(0).map(Self)
    }

    pub fn set(&mut self, bytes: usize) -> Result<()> {
        let (now, bytes) = (self.0.bytes(), bytes as u64);
        match bytes > now {
            true => self.0.grow(bytes - now),
            false => {
                self.0.shrink(now - bytes);
                Ok(())
            }
        }
    }
}

pub(crate) struct Sink {
    pub queue: AheadSender,
    pub slots: Slots,
}

impl Sink {
    pub async fn send(&mut self, event: SeriesEvent) -> Result<()> {
        self.queue.send_unless(Ok(event), self.slots.wanted()).await
    }
}

/// Series on their way out, within the limit on their number.
pub(crate) struct Batch {
    pub series: Vec<Series>,
    left: usize,
    last: Option<Labels>,
}

impl Batch {
    pub fn new(limit: usize) -> Self {
        Self { series: Vec::new(), left: if limit == 0 { usize::MAX } else { limit }, last: None }
    }

    /// Sends what there is; true when the limit is reached.
    pub async fn flush(&mut self, out: &mut Sink) -> Result<bool> {
        let mut part = Vec::new();
        let mut bytes = 0;
        let mut full = false;
        for series in self.series.drain(..) {
            if self.last.as_ref() != Some(&series.labels) {
                if self.left == 0 {
                    full = true;
                    break;
                }
                self.left -= 1;
                self.last = Some(series.labels.clone());
            }
            bytes += series.size_bytes();
            part.push(series);
            if part.len() >= BATCH_SERIES || bytes >= BATCH_BYTES {
                out.send(SeriesEvent::Batch(std::mem::take(&mut part))).await?;
                bytes = 0;
            }
        }
        if !part.is_empty() {
            out.send(SeriesEvent::Batch(part)).await?;
        }
        Ok(full)
    }
}
