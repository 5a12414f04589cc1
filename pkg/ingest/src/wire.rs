//! Fields of a protobuf message, read where they lie: no message is built. And a writer for small messages.
//!
//! Source of the format: <https://protobuf.dev/programming-guides/encoding/>.

/// Bytes that are no message of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset}: {what}")]
pub struct Malformed {
    /// Where in the message as it was before compression, bytes.
    pub offset: usize,
    /// What differs from the format.
    pub what: &'static str,
}

/// The value of a field, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes, little-endian.
    Fixed64(u64),
    /// A string, a message, or packed numbers.
    Bytes(Reader<'a>),
    /// Four bytes, little-endian.
    Fixed32(u32),
}

/// A position in a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reader<'a> {
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

    /// Whether everything is read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    /// An error at this place.
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
    ///
    /// # Errors
    /// Bytes that are no field.
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
    ///
    /// # Errors
    /// A length that reaches beyond the end.
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

    /// A number of variable length.
    ///
    /// # Errors
    /// One that is cut short or has more than 64 bits.
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

    /// Eight bytes.
    ///
    /// # Errors
    /// Fewer are left.
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
    /// The number of a field that must be one.
    ///
    /// # Errors
    /// Another wire type.
    #[inline]
    pub fn varint(self, at: &Reader<'_>) -> Result<u64> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(at.malformed("a field has not the type of a number")),
        }
    }

    /// The float of a field that must be one.
    ///
    /// # Errors
    /// Another wire type.
    #[inline]
    pub fn double(self, at: &Reader<'_>) -> Result<f64> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(at.malformed("a field has not the type of a float")),
        }
    }

    /// The bytes of a field that must have some.
    ///
    /// # Errors
    /// Another wire type.
    #[inline]
    pub fn part(self, at: &Reader<'_>) -> Result<Reader<'a>> {
        match self {
            Self::Bytes(part) => Ok(part),
            _ => Err(at.malformed("a field has not the type of a message or string")),
        }
    }

    /// Numbers, one or packed, each given to `push`.
    ///
    /// # Errors
    /// Another wire type, or a number that is cut short.
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

    /// The eight bytes of a field that must have as many.
    ///
    /// # Errors
    /// Another wire type.
    #[inline]
    pub fn fixed64(self, at: &Reader<'_>) -> Result<u64> {
        match self {
            Self::Fixed64(bits) => Ok(bits),
            _ => Err(at.malformed("a field has not the type of eight bytes")),
        }
    }

    /// Numbers of eight bytes, one or packed, each given to `push`.
    ///
    /// # Errors
    /// Another wire type, or a number that is cut short.
    pub fn fixed64s(self, at: &Reader<'_>, mut push: impl FnMut(u64)) -> Result<()> {
        match self {
            Self::Fixed64(bits) => push(bits),
            Self::Bytes(mut part) => {
                while !part.is_empty() {
                    push(part.fixed64()?);
                }
            }
            _ => return Err(at.malformed("a field has not the type of numbers of eight bytes")),
        }
        Ok(())
    }

    /// Floats, one or packed.
    ///
    /// # Errors
    /// Another wire type, or a float that is cut short.
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

/// Writes a message field by field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The message as far as it is written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field of variable length.
    pub fn varint(&mut self, field: u64, value: u64) -> &mut Self {
        self.raw_varint(field << 3);
        self.raw_varint(value);
        self
    }

    /// A field of eight bytes.
    pub fn fixed64(&mut self, field: u64, value: u64) -> &mut Self {
        self.raw_varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A float.
    pub fn double(&mut self, field: u64, value: f64) -> &mut Self {
        self.fixed64(field, value.to_bits())
    }

    /// A string or bytes.
    pub fn string(&mut self, field: u64, value: impl AsRef<[u8]>) -> &mut Self {
        self.raw_varint(field << 3 | 2);
        self.raw_varint(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    /// A message inside of this one, written by `write`.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn nested<E>(
        &mut self,
        field: u64,
        write: impl FnOnce(&mut Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.raw_varint(field << 3 | 2);
        let begin = self.0.len();
        write(self)?;
        let len = self.0.len() - begin;
        self.raw_varint(len as u64);
        let prefix = self.0.len() - begin - len;
        // The length comes first, and is known last.
        self.0[begin..].rotate_right(prefix);
        Ok(())
    }

    /// The same for what cannot fail.
    pub fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) -> &mut Self {
        let written = self.nested(field, |inner| {
            write(inner);
            Ok::<(), std::convert::Infallible>(())
        });
        match written {
            Ok(()) => self,
            Err(never) => match never {},
        }
    }
}

/// A signed number in zigzag form.
#[inline]
pub fn zigzag(value: u64) -> i64 {
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
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.varint(1, 300).fixed64(2, 7).double(3, 1.5).string(4, "a".repeat(200));
        writer.message(5, |inner| {
            inner.string(1, "b".repeat(300)).message(2, |_| {});
        });
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes, 0);
        assert_eq!(reader.field(), Ok(Some((1, Value::Varint(300)))));
        assert_eq!(reader.field(), Ok(Some((2, Value::Fixed64(7)))));
        assert_eq!(reader.field().unwrap().unwrap().1.double(&reader), Ok(1.5));
        assert_eq!(reader.field().unwrap().unwrap().1.part(&reader).unwrap().bytes(), [b'a'; 200]);
        let mut inner = reader.field().unwrap().unwrap().1.part(&reader).unwrap();
        assert_eq!(inner.field().unwrap().unwrap().1.part(&inner).unwrap().bytes(), [b'b'; 300]);
        assert!(inner.field().unwrap().unwrap().1.part(&inner).unwrap().is_empty());
        assert_eq!((inner.field(), reader.field()), (Ok(None), Ok(None)));
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
