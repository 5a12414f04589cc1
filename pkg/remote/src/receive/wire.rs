//! Fields of a protobuf message, read where they lie. Only what remote write needs: no message is built.

/// Bytes that are no message of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset}: {what}")]
pub(crate) struct Malformed {
    /// Where in the message as it was before compression, bytes.
    pub offset: usize,
    /// What differs from the format.
    pub what: &'static str,
}

/// The value of a field, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    /// A string, a message, or packed numbers.
    Bytes(Reader<'a>),
    Fixed32(u32),
}

/// A position in a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    /// Where `data` begins in the whole.
    base: usize,
}

type Result<T> = std::result::Result<T, Malformed>;

impl<'a> Reader<'a> {
    /// At the begin of `data`, which begins at `base` of the whole.
    #[inline]
    pub fn new(data: &'a [u8], base: usize) -> Self {
        Self { data, at: 0, base }
    }

    /// Where the next byte lies in the whole.
    #[inline]
    pub fn offset(&self) -> usize {
        self.base + self.at
    }

    /// Everything this reader was made of.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    #[cold]
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.offset(), what }
    }

    /// The byte that comes next, without taking it.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        if tag >> 3 == 0 {
            return Err(self.malformed("field number 0"));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Bytes(self.part()?),
            5 => {
                let bytes = self.take()?;
                Value::Fixed32(u32::from_le_bytes(bytes))
            }
            _ => return Err(self.malformed("unknown wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// A length and as many bytes.
    #[inline]
    pub fn part(&mut self) -> Result<Reader<'a>> {
        let len = self.varint()?;
        let begin = self.at;
        let end = usize::try_from(len).ok().and_then(|len| begin.checked_add(len));
        match end.and_then(|end| self.data.get(begin..end)) {
            Some(data) => {
                self.at = begin + data.len();
                Ok(Reader { data, at: 0, base: self.base + begin })
            }
            None => Err(self.malformed("a length reaches beyond the end")),
        }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        match self.data.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline]
    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (n, byte) in self.data.get(self.at..).unwrap_or_default().iter().take(10).enumerate() {
            if n == 9 && *byte > 1 {
                return Err(self.malformed("a number has more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * n);
            if *byte < 0x80 {
                self.at += n + 1;
                return Ok(value);
            }
        }
        Err(self.malformed("a number is cut short"))
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.data.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(self.malformed("a number is cut short")),
        }
    }
}

impl<'a> Value<'a> {
    #[inline]
    pub fn varint(self, at: &Reader<'_>) -> Result<u64> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(at.malformed("a field has not the type of a number")),
        }
    }

    #[inline]
    pub fn double(self, at: &Reader<'_>) -> Result<f64> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(at.malformed("a field has not the type of a float")),
        }
    }

    #[inline]
    pub fn part(self, at: &Reader<'_>) -> Result<Reader<'a>> {
        match self {
            Self::Bytes(part) => Ok(part),
            _ => Err(at.malformed("a field has not the type of a message or string")),
        }
    }

    /// Numbers, one or packed, each given to `push`.
    #[inline]
    pub fn varints(self, at: &Reader<'_>, mut push: impl FnMut(u64)) -> Result<()> {
        match self {
            Self::Varint(value) => push(value),
            Self::Bytes(mut part) => {
                while !part.is_empty() {
                    push(part.varint()?);
                }
            }
            _ => return Err(at.malformed("a field has not the type of numbers")),
        }
        Ok(())
    }

    /// Floats, one or packed.
    pub fn doubles(self, at: &Reader<'_>, out: &mut Vec<f64>) -> Result<()> {
        match self {
            Self::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Self::Bytes(mut part) => {
                out.reserve(part.bytes().len() / 8);
                while !part.is_empty() {
                    out.push(f64::from_bits(part.fixed64()?));
                }
            }
            _ => return Err(at.malformed("a field has not the type of floats")),
        }
        Ok(())
    }
}

/// A signed number in zigzag form.
#[inline]
pub(crate) fn zigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_wire_type() {
        let mut message = vec![0x08, 0x96, 0x01];
        message.extend([0x11, 1, 0, 0, 0, 0, 0, 0, 0]);
        message.extend([0x1a, 2, b'h', b'i']);
        message.extend([0x25, 7, 0, 0, 0]);
        let mut reader = Reader::new(&message, 100);
        assert_eq!(reader.field(), Ok(Some((1, Value::Varint(150)))));
        assert_eq!(reader.field(), Ok(Some((2, Value::Fixed64(1)))));
        let Some((3, Value::Bytes(part))) = reader.field().unwrap() else { panic!("no bytes") };
        assert_eq!((part.bytes(), part.offset()), (&b"hi"[..], 114));
        assert_eq!(reader.field(), Ok(Some((4, Value::Fixed32(7)))));
        assert_eq!(reader.field(), Ok(None));
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zigzag), [0, -1, 1, -2, i64::MIN]);
    }

    #[test]
    fn what_is_no_message() {
        for (bytes, what) in [
            (&[0x80][..], "cut short"),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "more than 64 bits"),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x01], "more than 64 bits"),
            (&[0x09, 1, 2, 3], "cut short"),
            (&[0x0a, 5, 1], "beyond the end"),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "beyond the end"),
            (&[0x0b], "wire type"),
            (&[0x00, 1], "field number 0"),
        ] {
            let error = Reader::new(bytes, 0).field().unwrap_err();
            assert!(error.what.contains(what), "{bytes:?}: {error}");
        }
    }
}
