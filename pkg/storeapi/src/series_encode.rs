//! Series as SeriesResponse messages, written by hand: a label set goes from its own encoding straight into the message,
//! without a `String` for each name and value.

use bytes::BufMut;
use labels::Labels;
use prost::Message;
use storage::{Aggregate, Chunk, ChunkData, EncodedChunk, Series};

/// One message of the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outgoing {
    /// Series whose chunks are all encoded as the protocol has it, see [`crate::convert::chunk_for_wire`].
    Series {
        series: Vec<Series>,
        /// As one batch, which the peer asked for. Otherwise `series` has one.
        batch: bool,
    },
    /// What is missing.
    Warning(String),
    /// What the answer cost, see [`crate::hints`].
    Hints(prost_types::Any),
}

/// Wire type 0.
const VARINT: u64 = 0;
/// Wire type 2.
const BYTES: u64 = 2;

fn varint_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// A field that is left out when it has the default value 0.
#[derive(Clone, Copy)]
struct Number(u64, u64);

impl Number {
    fn size(self) -> usize {
        if self.1 == 0 { 0 } else { varint_len(self.0 << 3 | VARINT) + varint_len(self.1) }
    }

    fn put(self, out: &mut impl BufMut) {
        if self.1 != 0 {
            put_varint(out, self.0 << 3 | VARINT);
            put_varint(out, self.1);
        }
    }
}

fn bytes_size(field: u64, len: usize) -> usize {
    varint_len(field << 3 | BYTES) + varint_len(len as u64) + len
}

fn put_head(out: &mut impl BufMut, field: u64, len: usize) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, len as u64);
}

/// Like [`Number`]: nothing at all when empty.
fn text_size(field: u64, text: &[u8]) -> usize {
    if text.is_empty() { 0 } else { bytes_size(field, text.len()) }
}

fn put_text(out: &mut impl BufMut, field: u64, text: &[u8]) {
    if !text.is_empty() {
        put_head(out, field, text.len());
        out.put_slice(text);
    }
}

fn label_size(name: &[u8], value: &[u8]) -> usize {
    text_size(1, name) + text_size(2, value)
}

fn labels_size(labels: &Labels) -> usize {
    labels.iter_bytes().map(|(name, value)| bytes_size(1, label_size(name, value))).sum()
}

fn encoding(chunk: &EncodedChunk) -> Number {
    // On this wire an encoding is the block's number less one.
    Number(1, (chunk.encoding as u64).saturating_sub(1))
}

fn encoded_size(chunk: &EncodedChunk) -> usize {
    encoding(chunk).size() + text_size(2, &chunk.data)
}

/// The parts of a chunk with their field numbers.
fn parts(chunk: &Chunk) -> impl Iterator<Item = (u64, &EncodedChunk)> {
    const FIELDS: [(Aggregate, u64); 5] =
        [(Aggregate::Count, 4), (Aggregate::Sum, 5), (Aggregate::Min, 6), (Aggregate::Max, 7), (Aggregate::Counter, 8)];
    let (raw, aggr) = match &chunk.data {
        ChunkData::Raw(raw) => (Some((3, raw)), None),
        ChunkData::Aggr(aggr) => (None, Some(aggr)),
        // `chunk_for_wire` has left none.
        ChunkData::Decoded(_) => (None, None),
    };
    let aggr =
        aggr.into_iter().flat_map(|a| FIELDS.into_iter().filter_map(|(which, field)| Some((field, a.get(which)?))));
    raw.into_iter().chain(aggr)
}

fn numbers(chunk: &Chunk) -> [Number; 3] {
    [Number(1, chunk.min_time as u64), Number(2, chunk.max_time as u64), Number(1000, chunk.replica)]
}

fn chunk_size(chunk: &Chunk) -> usize {
    numbers(chunk).into_iter().map(Number::size).sum::<usize>()
        + parts(chunk).map(|(field, part)| bytes_size(field, encoded_size(part))).sum::<usize>()
}

fn put_chunk(out: &mut impl BufMut, chunk: &Chunk) {
    let [min_time, max_time, replica] = numbers(chunk);
    min_time.put(out);
    max_time.put(out);
    for (field, part) in parts(chunk) {
        put_head(out, field, encoded_size(part));
        encoding(part).put(out);
        put_text(out, 2, &part.data);
    }
    replica.put(out);
}

fn series_size(series: &Series) -> usize {
    labels_size(&series.labels) + series.chunks.iter().map(|c| bytes_size(2, chunk_size(c))).sum::<usize>()
}

fn put_series(out: &mut impl BufMut, series: &Series) {
    for (name, value) in series.labels.iter_bytes() {
        put_head(out, 1, label_size(name, value));
        put_text(out, 1, name);
        put_text(out, 2, value);
    }
    for chunk in &series.chunks {
        put_head(out, 2, chunk_size(chunk));
        put_chunk(out, chunk);
    }
}

/// Writes messages; its memory is used again from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    sizes: Vec<usize>,
}

impl Writer {
    /// Calls `reserve` with the message's length, then writes it.
    pub(crate) fn write<B: BufMut>(&mut self, message: &Outgoing, out: &mut B, reserve: impl FnOnce(&mut B, usize)) {
        match message {
            Outgoing::Warning(text) => {
                reserve(out, bytes_size(2, text.len()));
                // A oneof is written even where it is empty.
                put_head(out, 2, text.len());
                out.put_slice(text.as_bytes());
            }
            Outgoing::Hints(hints) => {
                let bytes = hints.encode_to_vec();
                reserve(out, bytes_size(3, bytes.len()));
                put_head(out, 3, bytes.len());
                out.put_slice(&bytes);
            }
            Outgoing::Series { series, batch } => {
                self.sizes.clear();
                self.sizes.extend(series.iter().map(series_size));
                let all: usize = self.sizes.iter().map(|size| bytes_size(1, *size)).sum();
                if *batch {
                    reserve(out, bytes_size(4, all));
                    put_head(out, 4, all);
                } else {
                    reserve(out, all);
                }
                for (series, size) in series.iter().zip(&self.sizes) {
                    put_head(out, 1, *size);
                    put_series(out, series);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use chunkenc::Encoding;
    use proto::thanos as wire;
    use proto::thanos::series_response::Result as Frame;
    use storage::AggrChunk;

    use super::*;
    use crate::series_decode::{Incoming, Reader};

    fn series(labels: &[(&str, &str)], chunks: Vec<Chunk>) -> Series {
        Series { labels: Labels::from_pairs(labels.iter().copied()), chunks }
    }

    fn raw(min: i64, max: i64, encoding: Encoding, data: &'static [u8], replica: u64) -> Chunk {
        Chunk { replica, ..Chunk::raw(min, max, encoding, Bytes::from_static(data)) }
    }

    fn examples() -> Vec<Series> {
        let long = "x".repeat(300);
        let part = |data| Some(EncodedChunk { encoding: Encoding::Xor, data: Bytes::from_static(data) });
        let mut aggr = AggrChunk::default();
        (aggr.parts[0], aggr.parts[3], aggr.parts[4]) = (part(b"count"), part(b""), part(b"counter"));
        vec![
            series(&[], vec![]),
            series(&[("__name__", "up"), ("größe", "温度"), ("long", &long)], vec![]),
            series(
                &[("a", "1")],
                vec![
                    raw(0, 0, Encoding::Xor, b"", 0),
                    raw(1, 2, Encoding::Xor, b"one", 7),
                    raw(300, i64::MAX, Encoding::Histogram, b"two", u64::MAX),
                    raw(1 << 40, 1 << 41, Encoding::FloatHistogram, b"three", 1 << 50),
                ],
            ),
            series(&[("a", "2")], vec![Chunk::aggr(-5, 10, aggr)]),
        ]
    }

    fn write(message: &Outgoing) -> Bytes {
        let mut out = BytesMut::new();
        let mut told = 0;
        Writer::default().write(message, &mut out, |_, len| told = len);
        assert_eq!(told, out.len(), "length told before");
        out.freeze()
    }

    /// The generated message, as any other implementation reads it.
    fn generated(series: &Series) -> wire::Series {
        let part = |c: &EncodedChunk| wire::Chunk { r#type: c.encoding as i32 - 1, data: c.data.clone(), hash: 0 };
        let chunk = |c: &Chunk| {
            let mut out = wire::AggrChunk {
                min_time: c.min_time,
                max_time: c.max_time,
                replica: c.replica,
                ..Default::default()
            };
            match &c.data {
                ChunkData::Raw(raw) => out.raw = Some(part(raw)),
                ChunkData::Aggr(aggr) => {
                    [out.count, out.sum, out.min, out.max, out.counter] =
                        [0, 1, 2, 3, 4].map(|i| aggr.parts[i].as_ref().map(part));
                }
                ChunkData::Decoded(_) => unreachable!(),
            }
            out
        };
        let labels = crate::convert::labels_to_wire(&series.labels);
        wire::Series { labels, chunks: series.chunks.iter().map(chunk).collect() }
    }

    #[test]
    fn bytes_are_those_of_the_generated_messages() {
        let frame = |result| wire::SeriesResponse { result: Some(result) };
        let mut cases = vec![
            (Outgoing::Warning("öh".into()), frame(Frame::Warning("öh".into()))),
            (Outgoing::Warning(String::new()), frame(Frame::Warning(String::new()))),
        ];
        let any = prost_types::Any { type_url: "t".into(), value: vec![1, 2] };
        cases.push((Outgoing::Hints(any.clone()), frame(Frame::Hints(any))));
        for one in examples() {
            let message = frame(Frame::Series(generated(&one)));
            cases.push((Outgoing::Series { series: vec![one], batch: false }, message));
        }
        let batch = wire::SeriesBatch { series: examples().iter().map(generated).collect() };
        cases.push((Outgoing::Series { series: examples(), batch: true }, frame(Frame::Batch(batch))));
        for (ours, message) in cases {
            let bytes = write(&ours);
            assert_eq!(bytes, message.encode_to_vec(), "{ours:?}");
            let read = Reader::default().read(&bytes).unwrap();
            assert_eq!(
                read,
                match ours {
                    Outgoing::Series { series, .. } => Incoming::Series(series),
                    Outgoing::Warning(text) => Incoming::Warning(text),
                    Outgoing::Hints(_) => Incoming::Other,
                }
            );
        }
    }
}
