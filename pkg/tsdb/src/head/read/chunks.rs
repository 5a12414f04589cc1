//! What a reader gets of one series.

use chunkenc::TimedChunk;
use model::TimeRange;
use storage::{Chunk, EncodedChunk, Result};

use crate::head::encode::encode;
use crate::head::open::shorten;
use crate::head::seams::ChunkStore;
use crate::head::series::{Full, Mapped, Series};

/// A chunk, or where it is on disk.
#[derive(Debug)]
pub(crate) enum Piece {
    Ready(TimedChunk),
    Mapped {
        reference: u64,
        min_time: i64,
        max_time: i64,
        /// Only the first samples are seen.
        samples: Option<usize>,
    },
}

impl Piece {
    pub fn range(&self) -> TimeRange {
        match self {
            Self::Ready(chunk) => TimeRange::new(chunk.min_time, chunk.max_time),
            Self::Mapped { min_time, max_time, .. } => TimeRange::new(*min_time, *max_time),
        }
    }

    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Ready(chunk) => chunk.data.len(),
            // Of a full chunk, about.
            Self::Mapped { .. } => 256,
        }
    }

    /// The chunk, read from disk if need be.
    pub fn load(self, store: &dyn ChunkStore) -> Result<TimedChunk> {
        match self {
            Self::Ready(chunk) => Ok(chunk),
            Self::Mapped { reference, min_time, max_time, samples } => {
                let EncodedChunk { encoding, data } = store.read(reference)?;
                let Some(samples) = samples else { return Ok(TimedChunk { min_time, max_time, encoding, data }) };
                let mut data = data.to_vec();
                let max_time = shorten(encoding, &mut data, samples).map_err(corrupt)?;
                Ok(TimedChunk { min_time, max_time, encoding, data: data.into() })
            }
        }
    }
}

pub(crate) fn corrupt(e: chunkenc::Error) -> storage::Error {
    storage::Error::Corrupt(format!("chunk of the head: {e}"))
}

pub(crate) fn raw(chunk: TimedChunk) -> Chunk {
    Chunk::raw(chunk.min_time, chunk.max_time, chunk.encoding, chunk.data)
}

/// The chunks of a series in `range`, in order of their begin. The newest `unseen` samples in order are left out. With
/// `only_times` the chunks have no data.
pub(crate) fn pieces(series: &Series, range: TimeRange, mut unseen: usize, only_times: bool) -> Result<Vec<Piece>> {
    let mut found = Vec::new();
    let mut keep = |samples: usize| {
        let kept = samples.saturating_sub(unseen);
        unseen -= samples - kept;
        kept
    };
    let kept = keep(series.open.len());
    if kept > 0 && series.open.times().is_some_and(|(first, last)| range.overlaps(TimeRange::new(first, last))) {
        found.extend(series.open.chunk(kept).map_err(corrupt)?.map(Piece::Ready));
    }
    for full in series.full().iter().rev() {
        let kept = keep(usize::from(full.samples));
        if kept > 0 && range.overlaps(TimeRange::new(full.min_time, full.max_time)) {
            found.push(full_piece(full, kept)?);
        }
    }
    for mapped in series.mapped.iter().rev() {
        let kept = keep(usize::from(mapped.samples));
        if kept > 0 && range.overlaps(TimeRange::new(mapped.min_time, mapped.max_time())) {
            found.push(mapped_piece(mapped, kept));
        }
    }
    late(series, range, only_times, &mut found)?;
    found.retain(|piece| range.overlaps(piece.range()));
    found.sort_by_key(|piece| (piece.range().min, piece.range().max));
    Ok(found)
}

fn full_piece(full: &Full, kept: usize) -> Result<Piece> {
    let chunk = full.chunk();
    if kept == usize::from(full.samples) {
        return Ok(Piece::Ready(chunk));
    }
    let mut data = chunk.data.to_vec();
    let max_time = shorten(chunk.encoding, &mut data, kept).map_err(corrupt)?;
    Ok(Piece::Ready(TimedChunk { max_time, data: data.into(), ..chunk }))
}

fn mapped_piece(mapped: &Mapped, kept: usize) -> Piece {
    Piece::Mapped {
        reference: mapped.reference,
        min_time: mapped.min_time,
        max_time: mapped.max_time(),
        samples: (kept < usize::from(mapped.samples)).then_some(kept),
    }
}

fn late(series: &Series, range: TimeRange, only_times: bool, found: &mut Vec<Piece>) -> Result<()> {
    let Some(late) = series.out_of_order() else { return Ok(()) };
    for mapped in &late.mapped {
        let (reference, min_time, max_time) = (mapped.reference, mapped.min_time, mapped.max_time);
        found.push(Piece::Mapped { reference, min_time, max_time, samples: None });
    }
    found.extend(late.full.iter().map(|full| Piece::Ready(full.chunk())));
    let inside = late.rows.iter().any(|row| range.contains(row.time_ms));
    if inside {
        let rows = if only_times { &late.rows[..1] } else { &late.rows[..] };
        found.extend(encode(rows).map_err(corrupt)?.iter().map(|full| Piece::Ready(full.chunk())));
    }
    Ok(())
}
