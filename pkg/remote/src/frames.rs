//! Frames of a streamed remote read: `uvarint size | CRC32-Castagnoli, big endian | message`.

use bytes::{Buf, Bytes, BytesMut};
use storage::{Error, Result};

/// A size takes at most so many bytes.
const SIZE_BYTES_MAX: usize = 10;

/// Takes bytes as they come from the network and gives whole, checked messages. Holds one frame at most, and what came
/// with it.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    frame_bytes_max: usize,
    offset: u64,
}

impl FrameDecoder {
    /// A decoder that refuses messages above `frame_bytes_max`.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), frame_bytes_max, offset: 0 }
    }

    /// Adds the next bytes of the answer, wherever they were cut.
    pub fn push(&mut self, part: &[u8]) {
        self.buffer.extend_from_slice(part);
    }

    /// Bytes that have come and belong to no complete frame yet.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// True between two frames, where an answer may end.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`Error::Limit`] for a frame too large, [`Error::Corrupt`] when the checksum differs, [`Error::Unavailable`] when
    /// the server broke off with a text.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>> {
        let Some((size, size_len)) = self.size()? else { return Ok(None) };
        let max = self.frame_bytes_max;
        let size = match usize::try_from(size) {
            Ok(size) if size <= max => size,
            _ => {
                let text = format!("frame at offset {} has {size} bytes, over the limit of {max}", self.offset);
                return Err(self.said().unwrap_or(Error::Limit(text)));
            }
        };
        let head = size_len + 4;
        if self.buffer.len() < head + size {
            return Ok(None);
        }
        let want = (&self.buffer[size_len..]).get_u32();
        if crc32c::crc32c(&self.buffer[head..head + size]) != want {
            let text = format!("frame at offset {}: checksum differs", self.offset);
            return Err(self.said().unwrap_or(Error::Corrupt(text)));
        }
        self.buffer.advance(head);
        self.offset += (head + size) as u64;
        Ok(Some(self.buffer.split_to(size).freeze()))
    }

    /// To be called at the end of the stream.
    ///
    /// # Errors
    /// As [`Self::next_frame`], and when the stream ends inside a frame.
    pub fn finish(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let text = format!("stream ends {} bytes into the frame at offset {}", self.buffer.len(), self.offset);
        Err(self.said().unwrap_or(Error::Unavailable(text)))
    }

    fn size(&self) -> Result<Option<(u64, usize)>> {
        let mut size = 0u64;
        for (at, byte) in self.buffer.iter().take(SIZE_BYTES_MAX).enumerate() {
            size |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(Some((size, at + 1)));
            }
        }
        match self.buffer.len() >= SIZE_BYTES_MAX {
            true => Err(Error::Corrupt(format!("frame at offset {}: its size makes no sense", self.offset))),
            false => Ok(None),
        }
    }

    /// Prometheus has no other way to report an error once frames have gone out than to write its text after them.
    fn said(&self) -> Option<Error> {
        let text = std::str::from_utf8(&self.buffer).ok()?;
        let plain = text.len() >= 4 && text.chars().all(|c| !c.is_control() || c.is_whitespace());
        plain.then(|| Error::Unavailable(format!("broken off: {}", promclient::excerpt(text.as_bytes()))))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut size = message.len();
        while size >= 0x80 {
            out.push(size as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
        out.extend(crc32c::crc32c(message).to_be_bytes());
        out.extend(message);
        out
    }

    #[test]
    fn in_parts_of_every_size() {
        let messages: [&[u8]; 3] = [b"", &[7; 300], b"abc"];
        let bytes: Vec<u8> = messages.iter().flat_map(|m| frame(m)).collect();
        for part in 1..bytes.len() {
            let mut decoder = FrameDecoder::new(300);
            let mut got = Vec::new();
            for piece in bytes.chunks(part) {
                decoder.push(piece);
                while let Some(message) = decoder.next_frame().unwrap() {
                    got.push(message);
                }
            }
            decoder.finish().unwrap();
            assert_eq!(got, messages, "parts of {part}");
        }
    }

    #[test]
    fn damage() {
        let good = frame(&[0xF0; 50]);
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        let cases: [(&[u8], &str); 5] = [
            (&flipped, "frame at offset 0: checksum differs"),
            (&frame(&[0xF0; 51]), "has 51 bytes, over the limit of 50"),
            (&[0xff; 10], "its size makes no sense"),
            (&good[..30], "stream ends 30 bytes into the frame at offset 0"),
            (b"query timed out\n", "broken off: query timed out"),
        ];
        for (bytes, want) in cases {
            let mut decoder = FrameDecoder::new(50);
            decoder.push(bytes);
            let result = decoder.next_frame().and_then(|_| decoder.finish());
            let error = result.unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
