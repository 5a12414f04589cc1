//! Series as a stream of batches.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use labels::{Labels, SortedBuilder};
use storage::{Chunk, Ctx, Error, PartialResponse, Reservation, Result, Select, Series, SeriesEvent, SeriesStream};

use super::chunks::{only_chunk, pieces, raw};
use crate::head::core::Core;
use crate::head::isolation::Snapshot;
use crate::head::piece::Piece;
use crate::head::tombstones::cut_out;

/// Series per batch.
const BATCH: usize = 64;
/// Reserved at one time.
const LUMP_BYTES: usize = 64 << 10;

/// Where a stream stands.
struct Reading {
    core: Arc<Core>,
    ctx: Ctx,
    want: Select,
    snapshot: Snapshot,
    /// In label order.
    slots: Vec<u32>,
    next: usize,
    sent: usize,
    builder: SortedBuilder,
    /// The slots, and the batch that is out.
    held: Reservation,
    batch_bytes: u64,
    warnings: Vec<String>,
}

/// A series that is complete, or one with chunks that are still on disk or not all to be shown.
enum Found {
    Whole(Series),
    Parts { labels: Labels, pieces: Vec<Piece>, tombstones: Vec<(i64, i64)> },
}

pub(crate) fn select(core: Arc<Core>, ctx: &Ctx, want: Select) -> SeriesStream {
    match begin(core, ctx.clone(), want) {
        Ok(reading) => stream::unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.event() {
                Ok(Some(event)) => Some((Ok(event), Some(reading))),
                Ok(None) => None,
                Err(e) => Some((Err(e), None)),
            }
        })
        .boxed(),
        Err(e) => stream::once(std::future::ready(Err(e))).boxed(),
    }
}

fn begin(core: Arc<Core>, ctx: Ctx, want: Select) -> Result<Reading> {
    ctx.check()?;
    let snapshot = core.isolation.snapshot();
    let slots = core.matching(&want.matchers, &|| ctx.check())?.to_vec();
    let held = ctx.budget.reserve(slots.len() as u64 * 16)?;
    let slots = core.sort_by_labels(&slots);
    Ok(Reading {
        core,
        ctx,
        want,
        snapshot,
        slots,
        next: 0,
        sent: 0,
        builder: SortedBuilder::new(),
        held,
        batch_bytes: 0,
        warnings: Vec::new(),
    })
}

impl Reading {
    /// The next event; `None` at the end.
    fn event(&mut self) -> Result<Option<SeriesEvent>> {
        self.held.shrink(self.batch_bytes);
        self.batch_bytes = 0;
        loop {
            if let Some(warning) = self.warnings.pop() {
                return Ok(Some(SeriesEvent::Warning(warning)));
            }
            self.ctx.check()?;
            let left = if self.want.limit == 0 { BATCH } else { BATCH.min(self.want.limit - self.sent) };
            if self.next >= self.slots.len() || left == 0 {
                return Ok(None);
            }
            let found = self.find(left)?;
            let mut batch = Vec::with_capacity(found.len());
            for found in found {
                batch.extend(self.load(found)?);
            }
            if !batch.is_empty() {
                self.sent += batch.len();
                return Ok(Some(SeriesEvent::Batch(batch)));
            }
        }
    }

    /// Up to `max` series that have samples in the range. Slots are locked one after the other, and only to copy.
    fn find(&mut self, max: usize) -> Result<Vec<Found>> {
        let mut found = Vec::with_capacity(max.min(self.slots.len() - self.next));
        let core = self.core.clone();
        // Series lie far apart in memory. Looks at several wait for it together; a lock waits alone.
        let is_locked = |slot: &&u32| core.slab.get(**slot).is_some_and(parking_lot::Mutex::is_locked);
        std::hint::black_box(self.slots[self.next..].iter().take(max).filter(is_locked).count());
        let symbols = core.symbols.read();
        let (mut looked, mut bytes) = (0, 0);
        while found.len() < max && looked < 4 * BATCH {
            let Some(slot) = self.slots.get(self.next) else { break };
            self.next += 1;
            looked += 1;
            let Some(series) = core.slab.lock(*slot) else { continue };
            let unseen = series.unseen(|commit| self.snapshot.sees(commit));
            let whole = if self.want.skip_chunks { None } else { only_chunk(&series, self.want.range, unseen)? };
            let pieces = match whole {
                Some(_) => Vec::new(),
                None => pieces(&series, self.want.range, unseen, self.want.skip_chunks)?,
            };
            if whole.is_none() && pieces.is_empty() {
                continue;
            }
            // What this reader does not see yet is held back as what is deleted.
            let mut tombstones = series.tombstones().to_vec();
            tombstones.extend(series.unseen_late(|commit| self.snapshot.sees(commit)).map(|time| (time, time)));
            let labels = symbols.labels(&series.labels, &mut self.builder);
            drop(series);
            if self.want.shard.as_ref().is_some_and(|shard| !shard.matches(&labels)) {
                continue;
            }
            let chunk_bytes = whole.as_ref().map_or(0, Chunk::size_bytes);
            bytes += labels.size_bytes() + chunk_bytes + pieces.iter().map(Piece::size_bytes).sum::<usize>() + 256;
            if bytes > LUMP_BYTES {
                self.hold(std::mem::take(&mut bytes))?;
            }
            found.push(match whole {
                Some(chunk) => Found::Whole(Series { labels, chunks: vec![chunk] }),
                None => Found::Parts { labels, pieces, tombstones },
            });
        }
        drop(symbols);
        self.hold(bytes)?;
        Ok(found)
    }

    fn hold(&mut self, bytes: usize) -> Result<()> {
        self.held.grow(bytes as u64)?;
        self.batch_bytes += bytes as u64;
        Ok(())
    }

    fn load(&mut self, found: Found) -> Result<Option<Series>> {
        let (labels, pieces, tombstones) = match found {
            Found::Whole(series) => return Ok(Some(series)),
            Found::Parts { labels, pieces, tombstones } => (labels, pieces, tombstones),
        };
        let deleted = !tombstones.is_empty();
        if self.want.skip_chunks && !deleted {
            return Ok(Some(Series { labels, chunks: Vec::new() }));
        }
        let mut chunks = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let loaded = piece.load(&*self.core.store).and_then(|chunk| match deleted {
                true => cut_out(chunk, &tombstones),
                false => Ok(vec![chunk]),
            });
            match loaded {
                Ok(some) => chunks.extend(some),
                Err(e) => self.failed(&labels, e)?,
            }
        }
        chunks.retain(|chunk| chunk.min_time <= self.want.range.max && self.want.range.min <= chunk.max_time);
        if chunks.is_empty() {
            return Ok(None);
        }
        let chunks = if self.want.skip_chunks { Vec::new() } else { chunks.into_iter().map(raw).collect() };
        Ok(Some(Series { labels, chunks }))
    }

    /// A chunk that cannot be read is told, or ends the stream.
    fn failed(&mut self, labels: &Labels, e: Error) -> Result<()> {
        let e = e.within(format_args!("head, series {labels}"));
        match self.want.partial_response {
            PartialResponse::Warn => {
                self.warnings.push(e.to_string());
                Ok(())
            }
            PartialResponse::Abort => Err(e),
        }
    }
}
