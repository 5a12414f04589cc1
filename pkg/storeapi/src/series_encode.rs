//! Series as SeriesResponse messages, written by hand: a label set goes from its own encoding straight into the message,
//! without a `String` for each name and value.

use prost::Message;
use storage::{Aggregate, Chunk, ChunkData, EncodedChunk, Series};

use crate::label_deltas::{BATCH_FIELD, DeltaWriter};

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

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field that is left out when it has the default value 0.
#[derive(Clone, Copy)]
struct Number(u64, u64);

impl Number {
    fn size(self) -> usize {
        if self.1 == 0 { 0 } else { varint_len(self.0 << 3 | VARINT) + varint_len(self.1) }
    }

    fn put(self, out: &mut Vec<u8>) {
        if self.1 != 0 {
            put_varint(out, self.0 << 3 | VARINT);
            put_varint(out, self.1);
        }
    }
}

fn bytes_size(field: u64, len: usize) -> usize {
    varint_len(field << 3 | BYTES) + varint_len(len as u64) + len
}

#[inline]
fn put_head(out: &mut Vec<u8>, field: u64, len: usize) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, len as u64);
}

/// Like [`Number`]: nothing at all when empty.
fn text_size(field: u64, text: &[u8]) -> usize {
    if text.is_empty() { 0 } else { bytes_size(field, text.len()) }
}

#[inline]
fn put_text(out: &mut Vec<u8>, field: u64, text: &[u8]) {
    if !text.is_empty() {
        put_head(out, field, text.len());
        out.extend_from_slice(text);
    }
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

fn put_chunk(out: &mut Vec<u8>, chunk: &Chunk) {
    let numbers = [Number(1, chunk.min_time as u64), Number(2, chunk.max_time as u64), Number(1000, chunk.replica)];
    let size = numbers.into_iter().map(Number::size).sum::<usize>()
        + parts(chunk).map(|(field, part)| bytes_size(field, encoded_size(part))).sum::<usize>();
    put_head(out, 2, size);
    let [min_time, max_time, replica] = numbers;
    min_time.put(out);
    max_time.put(out);
    for (field, part) in parts(chunk) {
        put_head(out, field, encoded_size(part));
        encoding(part).put(out);
        put_text(out, 2, &part.data);
    }
    replica.put(out);
}

fn put_series(out: &mut Vec<u8>, series: &Series) {
    for (name, value) in series.labels.iter_bytes() {
        put_head(out, 1, text_size(1, name) + text_size(2, value));
        put_text(out, 1, name);
        put_text(out, 2, value);
    }
    series.chunks.iter().for_each(|chunk| put_chunk(out, chunk));
}

/// Writes messages; its memory is used again from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// For peers that read labels so.
    deltas: Option<DeltaWriter>,
    labels: Vec<u8>,
    series: Vec<u8>,
    body: Vec<u8>,
    head: Vec<u8>,
}

impl Writer {
    /// With labels as the protocol has them, or told by what differs from those before.
    pub(crate) fn new(deltas: bool) -> Self {
        Self { deltas: deltas.then(DeltaWriter::default), ..Self::default() }
    }

    /// The message, in two parts.
    pub(crate) fn write(&mut self, message: &Outgoing) -> (&[u8], &[u8]) {
        let Self { deltas, labels, series: one, body, head } = self;
        head.clear();
        body.clear();
        match message {
            // A oneof is written even where it is empty.
            Outgoing::Warning(text) => {
                put_head(head, 2, text.len());
                body.extend_from_slice(text.as_bytes());
            }
            Outgoing::Hints(hints) => {
                body.extend(hints.encode_to_vec());
                put_head(head, 3, body.len());
            }
            Outgoing::Series { series, batch } => {
                if let Some(deltas) = deltas {
                    for series in series {
                        labels.clear();
                        deltas.put(labels, &series.labels);
                        one.clear();
                        put_head(one, 1, labels.len());
                        one.extend_from_slice(labels);
                        series.chunks.iter().for_each(|chunk| put_chunk(one, chunk));
                        put_head(body, 1, one.len());
                        body.extend_from_slice(one);
                    }
                    put_head(head, BATCH_FIELD, body.len());
                    return (head, body);
                }
                for series in series {
                    // Its length comes first, so it is written aside: copying it costs less than measuring it.
                    one.clear();
                    put_series(one, series);
                    put_head(body, 1, one.len());
                    body.extend_from_slice(one);
                }
                if *batch {
                    put_head(head, 4, body.len());
                }
            }
        }
        (head, body)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chunkenc::Encoding;
    use labels::Labels;
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
                    raw(1, 2, Encoding::FloatHistogram, b"one", 7),
                    raw(300, i64::MAX, Encoding::Histogram, b"two", u64::MAX),
                    raw(1 << 40, 1 << 41, Encoding::FloatHistogram, b"three", 1 << 50),
                ],
            ),
            series(&[("a", "2")], vec![Chunk::aggr(-5, 10, aggr)]),
        ]
    }

    fn write(message: &Outgoing) -> Bytes {
        let mut writer = Writer::default();
        let (head, body) = writer.write(message);
        [head, body].concat().into()
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

    /// Any number of messages after each other; whoever does not know the field finds nothing in them.
    #[test]
    fn labels_told_by_their_differences() {
        let (mut writer, mut reader) = (Writer::new(true), Reader::default());
        for batch in [true, false, true] {
            let message = Outgoing::Series { series: examples(), batch };
            let (head, body) = writer.write(&message);
            let bytes: Bytes = [head, body].concat().into();
            assert_eq!(reader.read(&bytes).unwrap(), Incoming::Series(examples()));
            assert_eq!(wire::SeriesResponse::decode(bytes).unwrap(), wire::SeriesResponse { result: None });
        }
        let warning = Outgoing::Warning("w".into());
        let (head, body) = writer.write(&warning);
        assert_eq!([head, body].concat(), write(&warning));
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
                    Outgoing::Hints(hints) => Incoming::Hints(hints.encode_to_vec().into()),
                }
            );
        }
    }
}
