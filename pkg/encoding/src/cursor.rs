//! Reading numbers and strings from a slice, with errors that say where.

/// The bytes are not what was written. Fetch them again, or leave what they are part of out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: offset {offset}: {what}")]
pub struct Corrupt {
    /// The file's name or path.
    pub file: String,
    /// Where in the file, bytes.
    pub offset: u64,
    /// What differs from the format.
    pub what: String,
}

impl Corrupt {
    /// Bytes at `offset` of `file` that are not what was written.
    pub fn new(file: impl Into<String>, offset: u64, what: impl Into<String>) -> Self {
        Self { file: file.into(), offset, what: what.into() }
    }
}

type Result<T> = std::result::Result<T, Corrupt>;

/// A position in a part of a file, which every read moves on.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    /// For errors.
    file: &'a str,
    /// Where the part begins in the file, for errors.
    base: u64,
    data: &'a [u8],
    /// At most `data.len()`.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the begin of `data`, which begins at `base` of `file`.
    #[inline]
    pub fn new(file: &'a str, base: u64, data: &'a [u8]) -> Self {
        Self { file, base, data, at: 0 }
    }

    /// The same part, at byte `at` of it, or at its end if that comes first.
    #[inline]
    #[must_use]
    pub fn seek(self, at: usize) -> Self {
        Self { at: at.min(self.data.len()), ..self }
    }

    /// The next byte to read, counted from the begin of the part.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The error that something is wrong at this position.
    #[cold]
    pub fn corrupt(&self, what: impl Into<String>) -> Corrupt {
        Corrupt::new(self.file, self.base + self.at as u64, what)
    }

    /// Bytes not read yet.
    #[inline]
    pub fn left(&self) -> usize {
        self.data.len() - self.at
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Corrupt`] if fewer are left.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        if len > self.left() {
            return Err(self.corrupt(format!("{len} bytes wanted, {} left", self.left())));
        }
        let part = &self.data[self.at..self.at + len];
        self.at += len;
        Ok(part)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// [`Corrupt`] if fewer are left.
    #[inline]
    pub fn be32(&mut self) -> Result<u32> {
        let b = self.bytes(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// [`Corrupt`] if fewer are left.
    #[inline]
    pub fn be64(&mut self) -> Result<u64> {
        Ok(u64::from(self.be32()?) << 32 | u64::from(self.be32()?))
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// [`Corrupt`] if it is cut short or does not fit 64 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64> {
        // Eight bytes at once where there are so many, without a branch for each: their number is hard to foresee.
        if let Some(bytes) = self.data[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*bytes);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                // Everything up to the first byte without a top bit.
                let x = word & (ends ^ (ends - 1));
                let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
                let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
                let x = x & 0x0fff_ffff | (x & 0x0fff_ffff_0000_0000) >> 4;
                self.at += ends.trailing_zeros() as usize / 8 + 1;
                return Ok(x);
            }
        }
        self.uvarint_by_bytes()
    }

    #[inline(never)]
    fn uvarint_by_bytes(&mut self) -> Result<u64> {
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
        Err(self.corrupt("number cut short or beyond 64 bits"))
    }

    /// An unsigned varint of 32 bits.
    ///
    /// # Errors
    /// [`Corrupt`] if it is cut short or does not fit.
    #[inline]
    pub fn uvarint32(&mut self) -> Result<u32> {
        let at = *self;
        u32::try_from(self.uvarint()?).map_err(|_| at.corrupt("number beyond 32 bits"))
    }

    /// Two unsigned varints of 32 bits; fast where each takes at most four bytes.
    ///
    /// # Errors
    /// [`Corrupt`] if one is cut short or does not fit.
    #[inline]
    pub fn uvarint32_pair(&mut self) -> Result<(u32, u32)> {
        if let Some(bytes) = self.data[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*bytes);
            // Top bits that are not set end a number. Where the next pair begins follows from them alone, so that the
            // processor need not wait for the values.
            let ends = !word & 0x8080_8080_8080_8080;
            let second_ends = ends & ends.wrapping_sub(1);
            let (first_bits, bits) = (ends.trailing_zeros() + 1, second_ends.trailing_zeros() + 1);
            if second_ends != 0 && first_bits <= 32 && bits - first_bits <= 32 {
                self.at += bits as usize / 8;
                let first = short_uvarint(word as u32, first_bits);
                return Ok((first, short_uvarint((word >> first_bits) as u32, bits - first_bits)));
            }
        }
        Ok((self.uvarint32()?, self.uvarint32()?))
    }

    /// A signed varint in zigzag.
    ///
    /// # Errors
    /// [`Corrupt`] if it is cut short or does not fit 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i64> {
        self.uvarint().map(|z| (z >> 1) as i64 ^ -((z & 1) as i64))
    }

    /// A string's bytes, whatever they are.
    ///
    /// # Errors
    /// [`Corrupt`] if they are cut short.
    #[inline]
    pub fn string_bytes(&mut self) -> Result<&'a [u8]> {
        let at = *self;
        let len = self.uvarint()?;
        match usize::try_from(len) {
            Ok(len) if len <= self.left() => self.bytes(len),
            _ => Err(at.corrupt(format!("string of {len} bytes, {} left", self.left()))),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// [`Corrupt`] if it is cut short or not UTF-8.
    #[inline]
    pub fn string(&mut self) -> Result<&'a str> {
        let at = *self;
        std::str::from_utf8(self.string_bytes()?).map_err(|_| at.corrupt("string is not UTF-8"))
    }
}

/// The number in the low `bits` of `word`, 8 to 32 of them.
#[inline]
fn short_uvarint(word: u32, bits: u32) -> u32 {
    let x = word & u32::MAX >> (32 - bits);
    x & 0x7f | x >> 1 & 0x3f80 | x >> 2 & 0x1f_c000 | x >> 3 & 0xfe0_0000
}

/// Checks `body` against the CRC32C stored behind it; `offset` is where `body` begins in the file and `what` names it.
///
/// # Errors
/// [`Corrupt`] if they differ.
pub fn check_crc(file: &str, offset: u64, what: &str, body: &[u8], stored: u32) -> Result<()> {
    let computed = crate::crc32c(body);
    if computed == stored {
        return Ok(());
    }
    Err(Corrupt::new(
        file,
        offset,
        format!("{what}: checksum of {} bytes is {computed:08x}, stored is {stored:08x}", body.len()),
    ))
}

/// A section `be32 len | body | be32 crc` at the start of `data`, which begins at `offset` of the file. Returns the
/// body, checked.
///
/// # Errors
/// [`Corrupt`] if it is cut short or its checksum differs; `what` names the section in it.
pub fn section<'a>(file: &str, offset: u64, what: &str, data: &'a [u8]) -> Result<&'a [u8]> {
    let mut cursor = Cursor::new(file, offset, data);
    let short = |e: Corrupt| Corrupt { what: format!("{what}: {}", e.what), ..e };
    let len = cursor.be32().map_err(short)? as usize;
    cursor.bytes(len).map_err(short)?;
    let stored = cursor.be32().map_err(short)?;
    let body = &data[4..4 + len];
    check_crc(file, offset + 4, what, body, stored)?;
    Ok(body)
}
