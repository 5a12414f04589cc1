//! One chunk of a file: `be64 series | be64 min | be64 max | encoding | uvarint length | data | be32 crc`, the checksum over
//! all before it.

use std::ops::Range;

use chunkenc::{Encoding, TimedChunk, num_samples};
use encoding::{Cursor, crc32c, put_uvarint};

/// The begin of a file.
pub(super) const MAGIC: u32 = 0x0130_bc91;
const VERSION: u8 = 1;
/// Magic, version and padding.
pub(super) const FILE_HEADER_BYTES: usize = 8;
/// In the byte of the encoding: the samples came out of order.
const OUT_OF_ORDER: u8 = 0x80;
/// Series, times, encoding.
const CHUNK_HEADER_BYTES: usize = 25;
/// A chunk spans less than this, else its header is no header.
const SPAN_MS_MAX: i64 = 366 * 24 * 3_600_000;

/// A chunk in a file, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedChunk {
    /// The reference of the series in the write-ahead log.
    pub series_ref: u64,
    /// Where the chunk is: the file's number in the upper 32 bits, the offset in the lower.
    pub reference: u64,
    /// Time of the first sample, ms.
    pub min_time: i64,
    /// Time of the last sample, ms.
    pub max_time: i64,
    /// How many samples.
    pub samples: u16,
    /// How they are encoded.
    pub encoding: Encoding,
    /// The samples came late, and may overlap those of other chunks.
    pub out_of_order: bool,
}

/// What lies at an offset of a file.
pub(super) enum At {
    Chunk {
        chunk: MappedChunk,
        data: Range<usize>,
        end: usize,
    },
    /// Nothing but zeros is left: room that was made and not used.
    End,
    /// No chunk. Where one of an encoding that is not known ends, the next may begin.
    Corrupt {
        why: String,
        end: Option<usize>,
    },
}

pub(super) fn file_header() -> [u8; FILE_HEADER_BYTES] {
    let [a, b, c, d] = MAGIC.to_be_bytes();
    [a, b, c, d, VERSION, 0, 0, 0]
}

/// What is wrong with the begin of a file.
pub(super) fn check_file_header(bytes: &[u8]) -> Option<String> {
    match bytes.first_chunk::<FILE_HEADER_BYTES>() {
        None => Some(format!("{} bytes are no file of chunks", bytes.len())),
        Some([a, b, c, d, version, ..]) => {
            let magic = u32::from_be_bytes([*a, *b, *c, *d]);
            if magic != MAGIC {
                return Some(format!("magic is {magic:08x}, a file of chunks begins with {MAGIC:08x}"));
            }
            (*version != VERSION).then(|| format!("version {version} is not known"))
        }
    }
}

/// Appends a chunk to `out`.
pub(super) fn put_chunk(out: &mut Vec<u8>, series_ref: u64, chunk: &TimedChunk, out_of_order: bool) {
    let begin = out.len();
    out.extend_from_slice(&series_ref.to_be_bytes());
    out.extend_from_slice(&chunk.min_time.to_be_bytes());
    out.extend_from_slice(&chunk.max_time.to_be_bytes());
    out.push(chunk.encoding as u8 | if out_of_order { OUT_OF_ORDER } else { 0 });
    put_uvarint(out, chunk.data.len() as u64);
    out.extend_from_slice(&chunk.data);
    let crc = crc32c(&out[begin..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// What lies at `offset` of file `number`.
pub(super) fn parse(number: u32, bytes: &[u8], offset: usize) -> At {
    let left = bytes.get(offset..).unwrap_or_default();
    if left.first_chunk::<CHUNK_HEADER_BYTES>().is_none_or(|h| *h == [0; CHUNK_HEADER_BYTES]) && is_zero(left) {
        return At::End;
    }
    parse_chunk(number, left, offset).unwrap_or_else(|e| At::Corrupt { why: e.what, end: None })
}

fn parse_chunk(number: u32, left: &[u8], offset: usize) -> Result<At, encoding::Corrupt> {
    let mut cursor = Cursor::new("", 0, left);
    let series_ref = cursor.be64()?;
    let (min_time, max_time) = (cursor.be64()? as i64, cursor.be64()? as i64);
    let encoding = cursor.bytes(1)?.first().copied().unwrap_or_default();
    // Comparisons that cost little come first: a search for the next chunk tries each byte.
    if !max_time.checked_sub(min_time).is_some_and(|span| (0..SPAN_MS_MAX).contains(&span)) {
        return Err(cursor.corrupt(format!("a chunk from {min_time} to {max_time}")));
    }
    let length = cursor.uvarint()?;
    let length = usize::try_from(length).ok().filter(|len| *len < cursor.left().saturating_sub(3));
    let Some(length) = length else {
        return Err(cursor.corrupt(format!("the chunk does not fit the {} bytes left", cursor.left())));
    };
    let data = offset + cursor.at()..offset + cursor.at() + length;
    let chunk_data = cursor.bytes(length)?;
    let body = left.get(..cursor.at()).unwrap_or_default();
    let (stored, computed) = (cursor.be32()?, crc32c(body));
    if stored != computed {
        return Err(cursor.corrupt(format!(
            "chunk of series {series_ref}: checksum of {} bytes is {computed:08x}, stored is {stored:08x}",
            body.len()
        )));
    }
    let end = offset + cursor.at();
    let known = Encoding::from_byte(encoding & !OUT_OF_ORDER).filter(|e| *e != Encoding::Aggregates);
    let Some(samples) = known.and_then(|e| num_samples(e, chunk_data).ok()) else {
        let why = format!("chunk of series {series_ref}: encoding {encoding} is not known");
        return Ok(At::Corrupt { why, end: Some(end) });
    };
    let chunk = MappedChunk {
        series_ref,
        reference: u64::from(number) << 32 | offset as u64,
        min_time,
        max_time,
        samples: u16::try_from(samples).unwrap_or(u16::MAX),
        encoding: known.unwrap_or(Encoding::Xor),
        out_of_order: encoding & OUT_OF_ORDER != 0,
    };
    Ok(At::Chunk { chunk, data, end })
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}
