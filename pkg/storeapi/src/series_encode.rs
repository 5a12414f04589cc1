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
/// What a chunk takes beside its samples, about.
const CHUNK_BYTES: usize = 24;

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

/// Puts a number in the place of the `width` bytes at `at`; what lies behind them moves where it does not take so many.
#[inline]
pub(crate) fn set_varint(out: &mut Vec<u8>, at: usize, width: usize, mut value: u64) {
    let len = varint_len(value);
    if len != width {
        out.splice(at..at + width, std::iter::repeat_n(0, len));
    }
    for byte in &mut out[at..at + len] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[at + len - 1] &= 0x7f;
}

/// A field of bytes that `write` appends. Their number stands before them; where it is about as long as that of `guess`,
/// nothing is moved for it.
#[inline]
fn put_nested(out: &mut Vec<u8>, field: u64, guess: usize, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, field << 3 | BYTES);
    let (at, width) = (out.len(), varint_len(guess as u64));
    out.resize(at + width, 0);
    write(out);
    let len = out.len() - at - width;
    set_varint(out, at, width, len as u64);
}

/// About the bytes of a series in a message.
fn guess(series: &Series) -> usize {
    series.labels.size_bytes() + series.chunks.iter().map(|chunk| chunk.size_bytes() + CHUNK_BYTES).sum::<usize>()
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

pub(crate) fn bytes_size(field: u64, len: usize) -> usize {
    varint_len(field << 3 | BYTES) + varint_len(len as u64) + len
}

#[inline]
pub(crate) fn put_head(out: &mut Vec<u8>, field: u64, len: usize) {
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
        let Self { deltas, body, head } = self;
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
                for series in series {
                    put_nested(body, 1, guess(series), |body| match deltas {
                        None => put_series(body, series),
                        Some(deltas) => {
                            put_nested(body, 1, 0, |body| deltas.put(body, &series.labels));
                            series.chunks.iter().for_each(|chunk| put_chunk(body, chunk));
                        }
                    });
                }
                if deltas.is_some() {
                    put_head(head, BATCH_FIELD, body.len());
                    return (head, body);
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

    /// Lengths stand before what they are of, and are known behind it: around each at which they grow.
    #[test]
    fn series_of_any_length() {
        let sizes = (0..40).chain(60..160).chain((14..18).flat_map(|kib| (kib << 10) - 60..(kib << 10) + 60));
        for size in sizes {
            let data = Bytes::from(vec![7; size]);
            let chunk = |at| Chunk::raw(at, at + 1, Encoding::FloatHistogram, data.clone());
            let chunks = vec![chunk(1), chunk(3)];
            let one = series(&[("a", &"v".repeat(size / 2)), ("b", "")], chunks);
            let message = wire::SeriesResponse { result: Some(Frame::Series(generated(&one))) };
            let outgoing = Outgoing::Series { series: vec![one.clone()], batch: false };
            assert_eq!(write(&outgoing), message.encode_to_vec(), "{size}");
            let mut writer = Writer::new(true);
            let (head, body) = writer.write(&outgoing);
            let bytes: Bytes = [head, body].concat().into();
            assert_eq!(Reader::default().read(&bytes).unwrap(), Incoming::Series(vec![one]), "{size}");
        }
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
