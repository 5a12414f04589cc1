//! Reading numbers and texts from a slice, with errors that say where.

use crate::{Error, Result};

/// A position in a part of a file. `base` is where the part begins in the file, for error texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) file: &'a str,
    pub(crate) base: u64,
    pub(crate) data: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(file: &'a str, base: u64, data: &'a [u8]) -> Self {
        Self { file, base, data, at: 0 }
    }

    pub(crate) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(self.file, self.base + self.at as u64, what)
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.data.len() - self.at
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        if len > self.left() {
            return Err(self.damaged(format!("{len} bytes wanted, {} left", self.left())));
        }
        let part = &self.data[self.at..self.at + len];
        self.at += len;
        Ok(part)
    }

    #[inline]
    pub(crate) fn be32(&mut self) -> Result<u32> {
        let b = self.bytes(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub(crate) fn be64(&mut self) -> Result<u64> {
        Ok(u64::from(self.be32()?) << 32 | u64::from(self.be32()?))
    }

    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (i, byte) in self.data[self.at..].iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.damaged("number cut short or beyond 64 bits"))
    }

    #[inline]
    pub(crate) fn uvarint32(&mut self) -> Result<u32> {
        let at = *self;
        u32::try_from(self.uvarint()?).map_err(|_| at.damaged("number beyond 32 bits"))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i64> {
        self.uvarint().map(|z| (z >> 1) as i64 ^ -((z & 1) as i64))
    }

    #[inline]
    pub(crate) fn text_bytes(&mut self) -> Result<&'a [u8]> {
        let at = *self;
        let len = self.uvarint()?;
        match usize::try_from(len) {
            Ok(len) if len <= self.left() => self.bytes(len),
            _ => Err(at.damaged(format!("text of {len} bytes, {} left", self.left()))),
        }
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let at = *self;
        std::str::from_utf8(self.text_bytes()?).map_err(|_| at.damaged("text is not UTF-8"))
    }
}

/// Checks `body` against the CRC32C stored behind it; `offset` is where `body` begins in the file.
pub(crate) fn check_crc(file: &str, offset: u64, what: &str, body: &[u8], stored: u32) -> Result<()> {
    let computed = crc32c::crc32c(body);
    if computed == stored {
        return Ok(());
    }
    Err(Error::damaged(
        file,
        offset,
        format!("{what}: checksum of {} bytes is {computed:08x}, stored is {stored:08x}", body.len()),
    ))
}

/// A section `be32 len | body | be32 crc` at the start of `data`, which begins at `offset` of the file. Returns the
/// body, checked.
pub(crate) fn section<'a>(file: &str, offset: u64, what: &str, data: &'a [u8]) -> Result<&'a [u8]> {
    let mut cursor = Cursor::new(file, offset, data);
    let short = |e: Error| match e {
        Error::Damaged { file, offset, what: why } => Error::damaged(file, offset, format!("{what}: {why}")),
        other => other,
    };
    let len = cursor.be32().map_err(short)? as usize;
    cursor.bytes(len).map_err(short)?;
    let stored = cursor.be32().map_err(short)?;
    let body = &data[4..4 + len];
    check_crc(file, offset + 4, what, body, stored)?;
    Ok(body)
}

/// Appends a `uvarint`.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zigzag `varint`.
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends a length and the text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
