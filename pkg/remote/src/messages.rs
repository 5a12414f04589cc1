//! Messages of remote read: the request, and series of a streamed answer.

use bytes::Bytes;
use chunkenc::Encoding;
use labels::{Labels, MatchType, Matcher};
use prost::Message;
use proto::prometheus as wire;
use storage::{Chunk, Error, Result, Select};

use crate::plan::Plan;
use crate::samples::labels_of;

/// The body of a request for what `plan` asks of Prometheus, as it is sent.
pub(crate) fn read_request(want: &Select, plan: &Plan) -> Result<Vec<u8>> {
    let message = wire::ReadRequest {
        queries: vec![wire::Query {
            start_timestamp_ms: plan.range.min,
            end_timestamp_ms: plan.range.max,
            matchers: plan.for_read().iter().map(matcher_to_wire).collect(),
            hints: Some(wire::ReadHints {
                step_ms: want.step_ms,
                func: want.function.as_deref().unwrap_or("").to_owned(),
                start_ms: plan.range.min,
                end_ms: plan.range.max,
                ..Default::default()
            }),
        }],
        accepted_response_types: vec![
            wire::read_request::ResponseType::StreamedXorChunks as i32,
            wire::read_request::ResponseType::Samples as i32,
        ],
    };
    snap::raw::Encoder::new()
        .compress_vec(&message.encode_to_vec())
        .map_err(|e| Error::other(format!("read request: {e}")))
}

fn matcher_to_wire(m: &Matcher) -> wire::LabelMatcher {
    use wire::label_matcher::Type;
    let kind = match m.kind() {
        MatchType::Equal => Type::Eq,
        MatchType::NotEqual => Type::Neq,
        MatchType::Regex => Type::Re,
        MatchType::NotRegex => Type::Nre,
    };
    wire::LabelMatcher { r#type: kind as i32, name: m.name().to_owned(), value: m.value().to_owned() }
}

/// Labels as sent, and chunks.
pub(crate) fn series_from_wire(series: wire::ChunkedSeries) -> Result<(Labels, Vec<Chunk>)> {
    let sent = labels_of(&series.labels)?;
    let chunks = series.chunks.into_iter().map(chunk_from_wire).collect::<Result<Vec<_>>>();
    match chunks {
        Ok(chunks) => Ok((sent, chunks)),
        Err(e) => Err(e.within(&sent)),
    }
}

/// The numbers of encodings are those of blocks.
fn chunk_from_wire(c: wire::Chunk) -> Result<Chunk> {
    let encoding = u8::try_from(c.r#type).ok().and_then(Encoding::from_byte).filter(|e| *e != Encoding::Aggregates);
    match encoding {
        // Shared with the frame it came in, which goes with the last of its chunks.
        Some(encoding) => Ok(Chunk::raw(c.min_time_ms, c.max_time_ms, encoding, Bytes::clone(&c.data))),
        None => Err(Error::Corrupt(format!("chunk encoding {} is unknown", c.r#type))),
    }
}
