//! Answers as chunks in frames.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use chunkenc::TimedChunk;
use labels::Labels;
use prost::Message;
use proto::prometheus as wire;
use storage::{Ctx, Result, Select, Series, SeriesSource};

use super::join::in_order;
use super::messages::labels;
use super::whole::WholeSeries;

/// What a chunk takes in a message beside its data, bytes, about.
const CHUNK_BYTES: usize = 24;

/// The frames of a series: one, or more where its chunks take more than `frame_bytes_max`. A frame may exceed that by a
/// chunk.
pub(super) fn frames(
    series: Series,
    query_index: i64,
    external: &Labels,
    frame_bytes_max: usize,
    out: &mut VecDeque<Bytes>,
) -> Result<()> {
    let labels = labels(&series.labels, external);
    let labels_bytes: usize = labels.iter().map(|l| l.name.len() + l.value.len() + 8).sum();
    let room = frame_bytes_max.saturating_sub(labels_bytes);
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    let mut close = |chunks: &mut Vec<wire::Chunk>| {
        if !chunks.is_empty() {
            let series = wire::ChunkedSeries { labels: labels.clone(), chunks: std::mem::take(chunks) };
            out.push_back(frame(&wire::ChunkedReadResponse { chunked_series: vec![series], query_index }));
        }
    };
    for chunk in in_order(series.chunks).map_err(|e| e.within(&series.labels))? {
        bytes += chunk.data.len() + CHUNK_BYTES;
        chunks.push(chunk_to_wire(chunk));
        if bytes >= room {
            close(&mut chunks);
            bytes = 0;
        }
    }
    close(&mut chunks);
    Ok(())
}

/// The numbers of encodings are those of blocks.
fn chunk_to_wire(chunk: TimedChunk) -> wire::Chunk {
    wire::Chunk {
        min_time_ms: chunk.min_time,
        max_time_ms: chunk.max_time,
        r#type: chunk.encoding as i32,
        data: chunk.data,
    }
}

/// `uvarint size | CRC32-Castagnoli, big endian | message`.
fn frame(message: &wire::ChunkedReadResponse) -> Bytes {
    let message = message.encode_to_vec();
    let mut out = Vec::with_capacity(message.len() + 14);
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
    out.into()
}

/// The frames of all queries, one query after the other.
pub(super) struct Frames {
    source: Arc<dyn SeriesSource>,
    ctx: Ctx,
    selects: VecDeque<Option<Select>>,
    /// The query that is read now.
    query: Option<WholeSeries>,
    query_index: i64,
    external: Labels,
    frame_bytes_max: usize,
    ready: VecDeque<Bytes>,
}

impl Frames {
    /// Of nothing yet; a query is begun when the one before it is at its end.
    pub fn new(
        source: Arc<dyn SeriesSource>,
        ctx: Ctx,
        selects: VecDeque<Option<Select>>,
        external: Labels,
        frame_bytes_max: usize,
    ) -> Self {
        let ready = VecDeque::new();
        Self { source, ctx, selects, query: None, query_index: -1, external, frame_bytes_max, ready }
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            let Some(query) = &mut self.query else {
                let Some(select) = self.selects.pop_front() else { return Ok(None) };
                self.query = select.map(|select| WholeSeries::new(self.source.select(&self.ctx, select)));
                self.query_index += 1;
                continue;
            };
            match query.next().await? {
                Some(series) => {
                    frames(series, self.query_index, &self.external, self.frame_bytes_max, &mut self.ready)?;
                }
                None => self.query = None,
            }
        }
    }
}
