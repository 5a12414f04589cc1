//! The protobuf wire format: fields of a message, one after the other.

use crate::error::ParseError;

type Result<T> = std::result::Result<T, ParseError>;

/// A field's value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    /// Four bytes; no field that is read has them.
    Fixed32,
    Message(Message<'a>),
}

/// Bytes of a message, and where they stand in the body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Message<'a> {
    pub(super) bytes: &'a [u8],
    /// Of the next byte.
    pub(super) offset: usize,
}

/// A field: its number and its value.
pub(super) type Field<'a> = (u64, Value<'a>);

impl<'a> Message<'a> {
    #[cold]
    pub(super) fn wrong(&self, what: impl Into<String>) -> ParseError {
        ParseError::at_byte(self.offset, what.into())
    }

    #[inline]
    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(len).ok().and_then(|len| self.bytes.split_at_checked(len));
        let Some((taken, rest)) = split else {
            return Err(self.wrong(format!("message is cut short: {len} bytes wanted, {} left", self.bytes.len())));
        };
        self.offset += taken.len();
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (i, byte) in self.bytes.iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.take(i as u64 + 1)?;
                return Ok(value);
            }
        }
        Err(self.wrong("a varint is cut short or longer than 64 bits"))
    }

    /// A message behind its length.
    #[inline]
    pub(super) fn delimited(&mut self) -> Result<Message<'a>> {
        let len = self.varint()?;
        let offset = self.offset;
        Ok(Message { bytes: self.take(len)?, offset })
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        Ok(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    /// The next field; `None` at the end.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<Field<'a>>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Message(self.delimited()?),
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            other => return Err(self.wrong(format!("wire type {other} is not known"))),
        };
        match key >> 3 {
            0 => Err(self.wrong("field number 0")),
            number => Ok(Some((number, value))),
        }
    }

    /// These bytes as a string.
    #[inline]
    pub(super) fn text(&self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes).map_err(|_| self.wrong("a string is not valid UTF-8"))
    }
}

/// A number in zigzag.
#[inline]
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
