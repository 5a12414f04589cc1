//! The records of a snapshot.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk};
use encoding::{Corrupt, Cursor, put_uvarint, put_varint};
use histogram::{FloatHistogram, Histogram};
use wal::record::{put_histogram, put_labels, read_histogram, read_labels};

pub(super) const SERIES: u8 = 1;
pub(super) const TOMBSTONES: u8 = 2;
pub(super) const EXEMPLARS: u8 = 3;
/// Of the tombstones in their record.
const TOMBSTONES_VERSION: u8 = 1;

/// Behind a chunk of floats lie its last four samples; only the last value of them means something.
const TAIL_SAMPLES: usize = 4;
const TAIL_BYTES: usize = TAIL_SAMPLES * 16;

/// The newest sample of an open chunk, as it is to be compared with the next one.
#[derive(Debug, Clone, PartialEq)]
pub enum LastSample {
    /// Of a chunk of floats.
    Float(f64),
    /// Of a chunk of histograms with integer counts.
    Histogram(Histogram),
    /// Of a chunk of histograms with float counts.
    FloatHistogram(FloatHistogram),
}

/// The chunk of a series that still grows.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenChunk {
    /// All its samples.
    pub chunk: TimedChunk,
    /// The last of them.
    pub last: LastSample,
}

/// What a snapshot holds of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesState<'a> {
    /// The reference in the log.
    pub series_ref: u64,
    /// The labels, in the order of the record.
    pub labels: &'a [(&'a str, &'a str)],
    /// `None` if all its samples are in other chunks.
    pub open: Option<OpenChunk>,
}

/// Appends the record of a series to `out`.
pub(super) fn put_series<'l>(
    out: &mut Vec<u8>,
    series_ref: u64,
    labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
    open: Option<&OpenChunk>,
) {
    out.push(SERIES);
    out.extend_from_slice(&series_ref.to_be_bytes());
    put_labels(out, labels);
    // It was the range of a chunk once.
    out.extend_from_slice(&[0; 8]);
    put_uvarint(out, u64::from(open.is_some()));
    let Some(OpenChunk { chunk, last }) = open else { return };
    out.extend_from_slice(&chunk.min_time.to_be_bytes());
    out.extend_from_slice(&chunk.max_time.to_be_bytes());
    out.push(chunk.encoding as u8);
    put_uvarint(out, chunk.data.len() as u64);
    out.extend_from_slice(&chunk.data);
    match last {
        LastSample::Float(value) => {
            out.extend_from_slice(&[0; TAIL_BYTES - 8]);
            out.extend_from_slice(&value.to_bits().to_be_bytes());
        }
        LastSample::Histogram(histogram) => put_histogram(out, histogram),
        LastSample::FloatHistogram(histogram) => put_histogram(out, histogram),
    }
}

/// Reads the record of a series behind its type; `pairs` is where its labels go.
pub(super) fn read_series<'a>(
    cursor: &mut Cursor<'a>,
    pairs: &mut Vec<(&'a str, &'a str)>,
) -> Result<(u64, Option<OpenChunk>), Corrupt> {
    let series_ref = cursor.be64()?;
    read_labels(cursor, pairs)?;
    cursor.be64()?;
    if cursor.uvarint()? == 0 {
        return Ok((series_ref, None));
    }
    let (min_time, max_time) = (cursor.be64()? as i64, cursor.be64()? as i64);
    let at = *cursor;
    let byte = cursor.bytes(1)?.first().copied().unwrap_or_default();
    let encoding = Encoding::from_byte(byte).filter(|e| *e != Encoding::Aggregates);
    let Some(encoding) = encoding else { return Err(at.corrupt(format!("encoding {byte} is not known"))) };
    let data = Bytes::copy_from_slice(cursor.string_bytes()?);
    let last = match encoding {
        Encoding::Histogram | Encoding::HistogramSt => LastSample::Histogram(last_histogram(cursor)?),
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => LastSample::FloatHistogram(last_histogram(cursor)?),
        Encoding::Xor | Encoding::Xor2 | Encoding::Aggregates => {
            cursor.bytes(TAIL_BYTES - 8)?;
            LastSample::Float(f64::from_bits(cursor.be64()?))
        }
    };
    if chunkenc::num_samples(encoding, &data).is_err() {
        return Err(at.corrupt("the chunk has no head"));
    }
    Ok((series_ref, Some(OpenChunk { chunk: TimedChunk { min_time, max_time, encoding, data }, last })))
}

fn last_histogram<H: wal::record::BucketHistogram>(cursor: &mut Cursor<'_>) -> Result<H, Corrupt> {
    let mut histogram = H::default();
    read_histogram(cursor, &mut histogram)??;
    Ok(histogram)
}

/// Appends the record of deleted intervals: series reference, first and last deleted ms of each.
pub(super) fn put_tombstones(out: &mut Vec<u8>, rows: impl IntoIterator<Item = (u64, i64, i64)>) {
    let mut body = vec![TOMBSTONES_VERSION];
    for (series_ref, min_ms, max_ms) in rows {
        put_uvarint(&mut body, series_ref);
        put_varint(&mut body, min_ms);
        put_varint(&mut body, max_ms);
    }
    out.push(TOMBSTONES);
    put_uvarint(out, body.len() as u64);
    out.extend_from_slice(&body);
}

/// Reads deleted intervals behind the record's type.
pub(super) fn read_tombstones(cursor: &mut Cursor<'_>) -> Result<Vec<(u64, i64, i64)>, Corrupt> {
    let bytes = cursor.string_bytes()?;
    let mut body = Cursor::new("record", 0, bytes);
    let version = body.bytes(1)?;
    if version != [TOMBSTONES_VERSION] {
        return Err(body.corrupt(format!("version {version:?} of tombstones is not known")));
    }
    let mut rows = Vec::new();
    while body.left() > 0 {
        rows.push((body.uvarint()?, body.varint()?, body.varint()?));
    }
    Ok(rows)
}
