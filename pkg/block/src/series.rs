//! Series entries: `uvarint len | body | be32 crc`.

use encoding::{Cursor, Varints, check_crc, put_uvarint};
use labels::Labels;

use crate::{Error, Result, Symbols};

/// One chunk of a series, as the index tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of the first sample, ms.
    pub min_time: i64,
    /// Time of the last sample, ms.
    pub max_time: i64,
    /// Segment (0-based) in the high, byte offset in the low 32 bits.
    pub reference: u64,
}

impl ChunkMeta {
    /// 0-based number of the segment file.
    pub fn segment(self) -> u32 {
        (self.reference >> 32) as u32
    }

    /// Byte offset inside the segment file.
    pub fn offset(self) -> u32 {
        self.reference as u32
    }
}

/// A series of the index: labels and where its chunks are.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesEntry {
    /// Labels of the series.
    pub labels: Labels,
    /// Where its chunks are, ascending by time.
    pub chunks: Vec<ChunkMeta>,
}

/// A series entry before its symbols are looked up. Reuse one for many entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawEntry {
    /// References of names and values.
    pub labels: Vec<(u32, u32)>,
    /// Where its chunks are, ascending by time.
    pub chunks: Vec<ChunkMeta>,
}

/// Where series `id` begins in an index of `version`.
pub fn entry_offset(version: u8, id: u32) -> u64 {
    if version == 1 { u64::from(id) } else { u64::from(id) * 16 }
}

/// Bytes of the whole entry at the start of `bytes`, so that a reader of ranges can see whether it has enough. `None`
/// when not even the length can be read.
pub fn entry_len(bytes: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new("", 0, bytes);
    let len = cursor.uvarint().ok()?;
    len.checked_add(cursor.at() as u64 + 4)
}

/// Reads the entry at the start of `bytes`, which lie at `offset` of `file`, into `out`.
///
/// # Errors
/// [`Error::Corrupt`] when it is cut or its checksum differs.
pub fn parse_raw(file: &str, offset: u64, bytes: &[u8], out: &mut RawEntry) -> Result<()> {
    parse_parts(file, offset, bytes, &mut out.labels, &mut out.chunks)
}

/// As [`parse_raw`], into vectors of one's own.
///
/// # Errors
/// The same as those of [`parse_raw`].
pub fn parse_parts(
    file: &str,
    offset: u64,
    bytes: &[u8],
    labels: &mut Vec<(u32, u32)>,
    chunks: &mut Vec<ChunkMeta>,
) -> Result<()> {
    chunks.clear();
    let mut cursor = labels_of(file, offset, bytes, labels)?;
    chunks_of(&mut cursor, chunks)?;
    if cursor.left() > 0 {
        return Err(cursor.corrupt(format!("{} bytes left in a series entry", cursor.left())).into());
    }
    Ok(())
}

#[inline]
fn chunks_of(cursor: &mut Cursor<'_>, chunks: &mut Vec<ChunkMeta>) -> Result<()> {
    let (mut max_time, mut reference) = (0i64, 0u64);
    for i in 0..count(cursor, 3, "chunks")? {
        let min_time = if i == 0 { cursor.varint()? } else { max_time.wrapping_add(cursor.uvarint()? as i64) };
        max_time = min_time.wrapping_add(cursor.uvarint()? as i64);
        reference = if i == 0 { cursor.uvarint()? } else { reference.wrapping_add(cursor.varint()? as u64) };
        chunks.push(ChunkMeta { min_time, max_time, reference });
    }
    Ok(())
}

/// The chunks that the entry at the start of `bytes` tells of, into `out`; none where it is cut or does not parse. Checks no
/// checksum: for planning what to read.
pub fn peek_chunks(bytes: &[u8], out: &mut Vec<ChunkMeta>) {
    out.clear();
    let mut cursor = Cursor::new("", 0, bytes);
    let mut read = || -> Result<()> {
        let body = cursor.string_bytes()?;
        let mut cursor = Cursor::new("", 0, body);
        for _ in 0..count(&mut cursor, 2, "labels")? {
            cursor.uvarint32_pair()?;
        }
        chunks_of(&mut cursor, out)
    };
    if read().is_err() {
        out.clear();
    }
}

/// As [`parse_raw`], but reads only the labels, into `labels`; the checksum is that of the whole entry.
///
/// # Errors
/// [`Error::Corrupt`] when it is cut or its checksum differs.
pub fn parse_labels(file: &str, offset: u64, bytes: &[u8], labels: &mut Vec<(u32, u32)>) -> Result<()> {
    labels_of(file, offset, bytes, labels).map(|_| ())
}

/// Checks the entry and reads its labels; the cursor stands at the count of chunks then.
#[inline]
fn labels_of<'a>(file: &'a str, offset: u64, bytes: &'a [u8], labels: &mut Vec<(u32, u32)>) -> Result<Cursor<'a>> {
    labels.clear();
    let mut cursor = Cursor::new(file, offset, bytes);
    let body = cursor.string_bytes()?;
    let stored = cursor.be32()?;
    let base = offset + (cursor.at() - 4 - body.len()) as u64;
    check_crc(file, base, "series entry", body, stored)?;
    let mut cursor = Cursor::new(file, base, body);
    let count = count(&mut cursor, 2, "labels")?;
    labels.resize(count, (0, 0));
    for label in labels {
        *label = cursor.uvarint32_pair()?;
    }
    Ok(cursor)
}

/// A count of things that take at least `size` bytes each.
#[inline]
fn count(cursor: &mut Cursor<'_>, size: usize, what: &str) -> Result<usize> {
    let at = *cursor;
    let count = cursor.uvarint()?;
    match usize::try_from(count) {
        Ok(n) if n <= cursor.left() / size => Ok(n),
        _ => Err(at.corrupt(format!("{count} {what} in {} bytes", cursor.left())).into()),
    }
}

/// Looks up the symbols of a raw entry.
///
/// # Errors
/// [`Error::Corrupt`] when a symbol does not exist or names do not ascend.
pub fn resolve(file: &str, offset: u64, raw: &RawEntry, symbols: &Symbols) -> Result<Labels> {
    let mut pairs = Vec::with_capacity(raw.labels.len());
    for (name, value) in &raw.labels {
        pairs.push((symbols.get(*name)?, symbols.get(*value)?));
    }
    Labels::from_sorted(pairs.iter().copied()).map_err(|e| Error::corrupt(file, offset, e.to_string()))
}

/// Reads the entry at the start of `bytes`, which lie at `offset` of `file`.
///
/// # Errors
/// As [`parse_raw`] and [`resolve`].
pub fn parse_entry(file: &str, offset: u64, bytes: &[u8], symbols: &Symbols) -> Result<SeriesEntry> {
    let mut raw = RawEntry::default();
    parse_raw(file, offset, bytes, &mut raw)?;
    Ok(SeriesEntry { labels: resolve(file, offset, &raw, symbols)?, chunks: raw.chunks })
}

/// Appends an entry's bytes to `out`; `body` is for reuse.
pub fn put_entry(out: &mut Vec<u8>, body: &mut Vec<u8>, raw: &RawEntry) {
    body.clear();
    let mut numbers = Varints::behind(body, 2 + 2 * raw.labels.len() + 3 * raw.chunks.len());
    numbers.put(raw.labels.len() as u64);
    for (name, value) in &raw.labels {
        numbers.put(u64::from(*name));
        numbers.put(u64::from(*value));
    }
    numbers.put(raw.chunks.len() as u64);
    let mut before: Option<&ChunkMeta> = None;
    for chunk in &raw.chunks {
        match before {
            None => numbers.put_signed(chunk.min_time),
            Some(b) => numbers.put(chunk.min_time.wrapping_sub(b.max_time) as u64),
        }
        numbers.put(chunk.max_time.wrapping_sub(chunk.min_time) as u64);
        match before {
            None => numbers.put(chunk.reference),
            Some(b) => numbers.put_signed(chunk.reference.wrapping_sub(b.reference) as i64),
        }
        before = Some(chunk);
    }
    numbers.end();
    put_uvarint(out, body.len() as u64);
    out.extend_from_slice(body);
    out.extend_from_slice(&encoding::crc32c(body).to_be_bytes());
}
