//! What a reader gets of one series.

use chunkenc::TimedChunk;
use model::TimeRange;
use storage::{Chunk, Result};

use crate::head::encode::{Encodings, encode};
use crate::head::open::shorten;
use crate::head::parts::{Full, Mapped};
use crate::head::piece::{Piece, corrupt};
use crate::head::series::Series;

pub(crate) fn raw(chunk: TimedChunk) -> Chunk {
    Chunk::raw(chunk.min_time, chunk.max_time, chunk.encoding, chunk.data)
}

/// The chunks of a series in `range`, in order of their begin. The newest `unseen` samples in order are left out. With
/// `only_times` the data of late ones is not complete.
pub(crate) fn pieces(series: &Series, range: TimeRange, unseen: usize, only_times: bool) -> Result<Vec<Piece>> {
    let mut found = in_order(series, range, unseen)?;
    if series.out_of_order().is_some() {
        late(series, range, only_times, &mut found)?;
        found.retain(|piece| range.overlaps(piece.range()));
        found.sort_by_key(|piece| (piece.range().min, piece.range().max));
    }
    Ok(found)
}

/// The chunk of a series of which nothing else is in `range`, and all samples are seen, as of most series most often.
pub(crate) fn only_chunk(series: &Series, range: TimeRange, unseen: usize) -> Result<Option<Chunk>> {
    let Some((first, last)) = series.open.times() else { return Ok(None) };
    if unseen > 0 || series.extra.is_some() || !range.overlaps(TimeRange::new(first, last)) {
        return Ok(None);
    }
    // Chunks on disk lie before: where that is enough, their list is not looked at, which is elsewhere in memory.
    let is_before = |mapped: &Mapped| mapped.max_time() < range.min;
    if range.min < first && !series.mapped.last().is_none_or(is_before) {
        return Ok(None);
    }
    Ok(series.open.chunk(usize::MAX).map_err(corrupt)?.map(raw))
}

/// The chunks in order alone.
pub(crate) fn in_order(series: &Series, range: TimeRange, mut unseen: usize) -> Result<Vec<Piece>> {
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
    if let Some(past) = series.past() {
        // It is older than what a commit can have written.
        found.extend(past.open.chunk(usize::MAX).map_err(corrupt)?.map(Piece::Ready));
        found.extend(past.full.iter().rev().map(|full| Piece::Ready(full.chunk())));
    }
    for mapped in series.mapped.iter().rev() {
        let kept = keep(usize::from(mapped.samples));
        if kept > 0 && range.overlaps(TimeRange::new(mapped.min_time, mapped.max_time())) {
            found.push(mapped_piece(mapped, kept));
        }
    }
    // What is not seen may have been all that is in the range.
    found.retain(|piece| range.overlaps(piece.range()));
    found.reverse();
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
    found.extend(late.pieces());
    let inside = late.rows.iter().any(|row| range.contains(row.time_ms));
    if inside {
        let rows = if only_times { &late.rows[..1] } else { &late.rows[..] };
        found
            .extend(encode(rows, Encodings::default()).map_err(corrupt)?.iter().map(|full| Piece::Ready(full.chunk())));
    }
    Ok(())
}
