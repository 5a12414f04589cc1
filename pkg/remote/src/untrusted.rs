//! The decoders of what a server sends, each as one call, for fuzzing. Not part of the interface.

use bytes::Bytes;
use prost::Message;
use proto::prometheus as wire;
use storage::{Result, Series};

use crate::frames::FrameDecoder;
use crate::messages::series_from_wire;

/// All series of a streamed answer that arrives in parts of `part` bytes.
///
/// # Errors
/// As remote read itself.
pub fn streamed(data: &[u8], part: usize, frame_bytes_max: usize) -> Result<Vec<Series>> {
    let mut decoder = FrameDecoder::new(frame_bytes_max);
    let mut all = Vec::new();
    for part in data.chunks(part.max(1)) {
        decoder.push(part);
        while let Some(frame) = decoder.next_frame()? {
            all.extend(message(frame)?);
        }
    }
    decoder.finish()?;
    Ok(all)
}

/// All series of one message of a streamed answer.
///
/// # Errors
/// As remote read itself.
pub fn message(frame: Bytes) -> Result<Vec<Series>> {
    let message = wire::ChunkedReadResponse::decode(frame).map_err(|e| storage::Error::Corrupt(e.to_string()))?;
    let series = message.chunked_series.into_iter();
    series.map(|s| series_from_wire(s).map(|(labels, chunks)| Series { labels, chunks })).collect()
}

/// All series of a sampled answer.
///
/// # Errors
/// As remote read itself.
pub fn sampled(body: &[u8], bytes_max: usize) -> Result<Vec<Series>> {
    let series = crate::samples::decode(body, bytes_max)?;
    Ok(series.into_iter().map(|(labels, chunks)| Series { labels, chunks }).collect())
}
