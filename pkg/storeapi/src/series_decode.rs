//! SeriesResponse messages read by hand: labels go straight into label sets, each text checked for UTF-8 once, and
//! chunks share the message's memory.

use std::ops::Range;

use bytes::Bytes;
use chunkenc::Encoding;
use labels::SortedBuilder;
use storage::{AggrChunk, Chunk, ChunkData, EncodedChunk, Error, Result, Series};
use xxhash_rust::xxh64::xxh64;

use crate::label_deltas::{BATCH_FIELD, DeltaReader};

/// One message of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// Of one series, or a batch.
    Series(Vec<Series>),
    /// What is missing.
    Warning(String),
    /// What the answer cost, a `google.protobuf.Any`.
    Hints(Bytes),
    /// What a later protocol may add.
    Other,
}

/// The value of a field.
pub(crate) enum Value {
    Number(u64),
    /// Where its bytes lie in the message.
    Bytes(Range<usize>),
    Other,
}

/// Reads the fields of a message within `message`, up to `end`.
pub(crate) struct Fields<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8], range: Range<usize>) -> Self {
        Self { message, at: range.start, end: range.end }
    }

    /// Where the next field begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt(format!("series message of {} bytes: offset {}: {what}", self.message.len(), self.at))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64> {
        match self.message[self.at..self.end].first() {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (i, byte) in self.message[self.at..self.end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.corrupt("number is cut or too long"))
    }

    /// The next field's number and value; `None` at the end.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value)>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).ok().filter(|len| *len <= self.end - self.at);
                let Some(len) = len else { return Err(self.corrupt("field is longer than its message")) };
                let start = self.at;
                self.at += len;
                Value::Bytes(start..self.at)
            }
            fixed @ (1 | 5) => {
                let len = if fixed == 1 { 8 } else { 4 };
                if self.end - self.at < len {
                    return Err(self.corrupt("field is cut"));
                }
                self.at += len;
                Value::Other
            }
            other => return Err(self.corrupt(&format!("wire type {other}"))),
        };
        Ok(Some((tag >> 3, value)))
    }
}

/// Reads messages; its memory is used again from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    labels: SortedBuilder,
    deltas: DeltaReader,
}

impl Reader {
    /// Reads one message.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(crate) fn read(&mut self, message: &Bytes) -> Result<Incoming> {
        let mut fields = Fields::new(message, 0..message.len());
        let mut found = Incoming::Other;
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(range)) => found = Incoming::Series(vec![self.series(message, range, false)?]),
                (2, Value::Bytes(range)) => found = Incoming::Warning(text(message, range)?.to_owned()),
                (3, Value::Bytes(range)) => found = Incoming::Hints(message.slice(range)),
                (number @ (4 | BATCH_FIELD), Value::Bytes(range)) => {
                    let mut batch = Vec::new();
                    let mut fields = Fields::new(message, range);
                    while let Some(field) = fields.next()? {
                        if let (1, Value::Bytes(range)) = field {
                            batch.push(self.series(message, range, number == BATCH_FIELD)?);
                        }
                    }
                    found = Incoming::Series(batch);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// One series, its labels as the protocol has them or as `deltas`.
    fn series(&mut self, message: &Bytes, range: Range<usize>, deltas: bool) -> Result<Series> {
        self.labels.clear();
        let mut told = None;
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut fields = Fields::new(message, range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(range)) if deltas => {
                    told = Some(self.deltas.read(&message[range])?);
                }
                (1, Value::Bytes(range)) => {
                    let (name, value) = label(message, range)?;
                    self.labels.push(name, value).map_err(|e| Error::Corrupt(e.to_string()))?;
                }
                (2, Value::Bytes(range)) => {
                    if chunks.is_empty() {
                        // Chunks of one series are about as long as each other.
                        let more = (fields.end - fields.at) / (range.len() + 2);
                        chunks.reserve_exact(1 + more.min(256));
                    }
                    match chunk(message, range) {
                        Ok(chunk) => chunks.push(chunk),
                        Err(e) => return Err(e.within(told.unwrap_or_else(|| self.labels.finish()))),
                    }
                }
                _ => {}
            }
        }
        // The protocol does not promise chunks in order of time.
        if !chunks.is_sorted_by_key(|c| c.min_time) {
            chunks.sort_by_key(|c| (c.min_time, c.max_time));
        }
        Ok(Series { labels: told.unwrap_or_else(|| self.labels.finish()), chunks })
    }
}

pub(crate) fn text(message: &[u8], range: Range<usize>) -> Result<&str> {
    let start = range.start;
    std::str::from_utf8(&message[range])
        .map_err(|_| Error::Corrupt(format!("series message: offset {start}: text is not UTF-8")))
}

/// A label as nearly all are: both texts, in this order, shorter than 128 bytes. All else about them is ASCII, so that one
/// check for UTF-8 does for both.
#[inline]
fn plain_label(label: &[u8]) -> Option<(&str, &str)> {
    let (name_len, value_len) = match label {
        [10, n, ..] if *n < 0x80 => (usize::from(*n), label.len().checked_sub(4 + usize::from(*n))?),
        _ => return None,
    };
    if label[2 + name_len] != 18 || usize::from(label[3 + name_len]) != value_len || value_len >= 0x80 {
        return None;
    }
    let text = std::str::from_utf8(label).ok()?;
    Some((text.get(2..2 + name_len)?, text.get(4 + name_len..)?))
}

fn label(message: &[u8], range: Range<usize>) -> Result<(&str, &str)> {
    if let Some(label) = plain_label(&message[range.clone()]) {
        return Ok(label);
    }
    let (mut name, mut value) = ("", "");
    let mut fields = Fields::new(message, range);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(range)) => name = text(message, range)?,
            (2, Value::Bytes(range)) => value = text(message, range)?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn chunk(message: &Bytes, range: Range<usize>) -> Result<Chunk> {
    let (mut min_time, mut max_time, mut replica) = (0, 0, 0);
    let mut raw = None;
    let mut aggr: Option<Box<AggrChunk>> = None;
    let mut fields = Fields::new(message, range);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Number(n)) => min_time = n as i64,
            (2, Value::Number(n)) => max_time = n as i64,
            (3, Value::Bytes(range)) => raw = Some(encoded(message, range)?),
            (number @ 4..=8, Value::Bytes(range)) => {
                // In the order of [`Aggregate`].
                aggr.get_or_insert_default().parts[number as usize - 4] = Some(encoded(message, range)?);
            }
            (1000, Value::Number(n)) => replica = n,
            _ => {}
        }
    }
    let within = |c: &EncodedChunk| first_time(c).is_none_or(|first| (min_time..=max_time).contains(&first));
    let data = match (raw, aggr) {
        (Some(raw), _) if !within(&raw) => {
            return Err(Error::Corrupt(format!("chunk {min_time}..{max_time} holds samples of other times")));
        }
        (Some(raw), _) => ChunkData::Raw(raw),
        (None, Some(aggr)) => ChunkData::Aggr(aggr),
        (None, None) => {
            let text = format!("chunk {min_time}..{max_time} holds neither samples nor aggregates");
            return Err(Error::Corrupt(text));
        }
    };
    Ok(Chunk { min_time, max_time, data, replica })
}

/// The time of the first sample, where that costs nothing to find: behind a count of two bytes, as a signed varint.
fn first_time(chunk: &EncodedChunk) -> Option<i64> {
    if chunk.encoding != Encoding::Xor {
        return None;
    }
    let mut value = 0u64;
    for (i, byte) in chunk.data.get(2..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// On this wire an encoding is the block's number less one; 3 to 5 are ours, among ourselves.
fn encoded(message: &Bytes, range: Range<usize>) -> Result<EncodedChunk> {
    let (mut kind, mut data, mut hash) = (0u64, Bytes::new(), 0);
    let mut fields = Fields::new(message, range);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Number(n)) => kind = n,
            (2, Value::Bytes(range)) => data = message.slice(range),
            (3, Value::Number(n)) => hash = n,
            _ => {}
        }
    }
    if hash != 0 && hash != xxh64(&data, 0) {
        return Err(Error::Corrupt(format!("chunk of {} bytes does not have the hash it came with", data.len())));
    }
    let byte = kind.checked_add(1).and_then(|n| u8::try_from(n).ok());
    match byte.and_then(Encoding::from_byte) {
        Some(encoding) if encoding != Encoding::Aggregates => Ok(EncodedChunk { encoding, data }),
        _ => Err(Error::Corrupt(format!("chunk encoding {} is unknown", kind as i32))),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::thanos as wire;
    use proto::thanos::series_response::Result as Frame;

    use super::*;

    fn read(message: &[u8]) -> Result<Incoming> {
        Reader::default().read(&Bytes::copy_from_slice(message))
    }

    fn message(series: wire::Series) -> Vec<u8> {
        wire::SeriesResponse { result: Some(Frame::Series(series)) }.encode_to_vec()
    }

    fn label(name: &str, value: &str) -> wire::Label {
        wire::Label { name: name.into(), value: value.into() }
    }

    fn chunk(min_time: i64, data: &'static [u8]) -> wire::AggrChunk {
        let raw = Some(wire::Chunk { r#type: 1, data: Bytes::from_static(data), hash: xxh64(data, 0) });
        wire::AggrChunk { min_time, max_time: min_time + 9, raw, ..Default::default() }
    }

    #[test]
    fn chunks_share_the_message_and_come_in_order() {
        let series =
            wire::Series { labels: vec![label("a", "1")], chunks: vec![chunk(20, b"late"), chunk(0, b"early")] };
        let message = Bytes::from(message(series));
        let Incoming::Series(series) = Reader::default().read(&message).unwrap() else { panic!("no series") };
        let data: Vec<_> = series[0]
            .chunks
            .iter()
            .map(|c| match &c.data {
                ChunkData::Raw(raw) => raw.data.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(data, [&b"early"[..], b"late"]);
        let inside = message.as_ptr_range();
        assert!(data.iter().all(|d| inside.contains(&d.as_ptr())));
    }

    #[test]
    fn labels_of_any_shape() {
        let long = "ü".repeat(64);
        for (name, value) in [("a", "1"), ("größe", "温度"), ("", "1"), ("a", ""), ("", ""), (&long, "x"), ("x", &long)]
        {
            let bytes = label(name, value).encode_to_vec();
            assert_eq!(super::label(&bytes, 0..bytes.len()).unwrap(), (name, value));
            for cut in 0..bytes.len() {
                _ = plain_label(&bytes[..cut]);
            }
        }
        // Value before name, and half a character at the end of the name.
        assert_eq!(super::label(&[18, 1, b'v', 10, 1, b'n'], 0..6).unwrap(), ("n", "v"));
        assert!(super::label(&[10, 1, 0xc3, 18, 1, 0xbc], 0..6).is_err());
    }

    #[test]
    fn what_is_not_known_is_skipped() {
        let mut bytes = message(wire::Series { labels: vec![label("a", "1")], chunks: vec![chunk(0, b"x")] });
        let plain = read(&bytes).unwrap();
        // Fields 20 (number), 21 (bytes), 22 (8 bytes), 23 (4 bytes).
        bytes.extend([160, 1, 5, 170, 1, 2, 9, 9, 177, 1, 1, 2, 3, 4, 5, 6, 7, 8, 189, 1, 1, 2, 3, 4]);
        assert_eq!(read(&bytes).unwrap(), plain);
        assert_eq!(read(&[]).unwrap(), Incoming::Other);
    }

    #[test]
    fn corrupt_frames_are_named() {
        let labels = |labels: &[(&str, &str)]| {
            message(wire::Series { labels: labels.iter().map(|(n, v)| label(n, v)).collect(), chunks: vec![] })
        };
        let mut kind = chunk(0, b"x");
        kind.raw.as_mut().unwrap().r#type = i32::MAX;
        let with = |chunk| message(wire::Series { labels: vec![label("a", "1")], chunks: vec![chunk] });
        for (bytes, want) in [
            (labels(&[("b", "1"), ("a", "1")]), "out of order"),
            (labels(&[("a", "1"), ("a", "2")]), "duplicate label name"),
            (
                with(wire::AggrChunk { min_time: 3, max_time: 4, ..Default::default() }),
                "{a=\"1\"}: chunk 3..4 holds neither",
            ),
            (with(kind), "encoding 2147483647 is unknown"),
            (vec![10, 3, 10, 9, 1], "longer than its message"),
            (vec![10, 5, 10, 3, 10, 1, 0xff], "not UTF-8"),
            (vec![18, 1, 0xff], "not UTF-8"),
            (vec![10], "number is cut"),
            (vec![8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "number is cut or too long"),
            (vec![11], "wire type 3"),
            (vec![9, 1, 2], "field is cut"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(want), "{want:?} not in {error:?}");
        }
    }

    /// What is changed on the way does not have the hash it was sent with; one without is taken as it is.
    #[test]
    fn hashes_are_checked() {
        let aggr = |hash| {
            let count = wire::Chunk { r#type: 0, data: Bytes::from_static(b"\0\0"), hash };
            wire::AggrChunk { count: Some(count), ..Default::default() }
        };
        let with = |chunk| message(wire::Series { labels: vec![label("a", "1")], chunks: vec![chunk] });
        for (message, good) in [
            (with(chunk(0, b"x")), true),
            (with(aggr(0)), true),
            (with(aggr(xxh64(b"\0\0", 0))), true),
            (with(aggr(1)), false),
        ] {
            let got = read(&message);
            assert_eq!(got.is_ok(), good, "{got:?}");
            let error = got.err().map(|e| e.to_string());
            assert!(error.is_none_or(|t| t.contains("does not have the hash it came with")));
        }
        // The known vector of the empty text.
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
    }

    #[test]
    fn samples_lie_where_the_chunk_says() {
        for first in [0, -1, 1, 1_700_000_000_123, i64::MIN / 4, i64::MAX / 4] {
            let data: Bytes = chunkenc::encode_xor([(first, 1.0), (first + 10, 2.0)]).unwrap().into();
            for (min_time, max_time, good) in [
                (first, first + 10, true),
                (first - 5, i64::MAX, true),
                (first + 1, first + 10, false),
                (first - 10, first - 1, false),
                (first + 10, first, false),
            ] {
                let raw = Some(wire::Chunk { r#type: 0, data: data.clone(), hash: 0 });
                let chunk = wire::AggrChunk { min_time, max_time, raw, ..Default::default() };
                let got = read(&message(wire::Series { labels: vec![label("a", "1")], chunks: vec![chunk] }));
                assert_eq!(got.is_ok(), good, "{first}: {min_time}..{max_time}: {got:?}");
            }
        }
    }

    /// Any cut and any flipped bit gives an error or another message, never a panic.
    #[test]
    fn damage_anywhere() {
        let aggr = wire::AggrChunk { raw: None, counter: chunk(0, b"c").raw, ..chunk(5, b"") };
        let series =
            wire::Series { labels: vec![label("a", "1"), label("b", "2")], chunks: vec![chunk(0, b"xyz"), aggr] };
        let batch = wire::SeriesBatch { series: vec![series.clone(), series] };
        let whole = wire::SeriesResponse { result: Some(Frame::Batch(batch)) }.encode_to_vec();
        for cut in 0..whole.len() {
            _ = read(&whole[..cut]);
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[cut] ^= 1 << bit;
                _ = read(&bytes);
            }
        }
    }
}
