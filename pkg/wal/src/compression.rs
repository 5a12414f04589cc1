//! Compression of whole records.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy's block format: Prometheus' default.
    #[default]
    Snappy,
    /// Zstandard: smaller, and slower to write.
    Zstd,
}

/// The largest record, not compressed, that is written or read: 512 MiB.
pub const RECORD_BYTES_MAX: usize = 512 << 20;

/// More than the most that snappy makes of one byte: a copy of 64 bytes takes three.
const SNAPPY_GROWTH_MAX: usize = 24;
/// What zstd gets at first for each byte of its input, and at least.
const ZSTD_GROWTH: usize = 32;
const ZSTD_BYTES_MIN: usize = 4 << 10;
/// In zstd's error when the output does not fit.
const TOO_SMALL: &str = "too small";

/// Compresses records; keeps its memory.
pub(crate) struct Packer {
    snappy: Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self { snappy: Encoder::new(), zstd: None, packed: Vec::new() }
    }

    /// What is to be written for `record`, and how it is compressed: not at all where that would save nothing.
    pub(crate) fn pack<'p>(&'p mut self, compression: Compression, record: &'p [u8]) -> (Compression, &'p [u8]) {
        let len = match compression {
            Compression::None => None,
            Compression::Snappy => self.snappy(record),
            Compression::Zstd => self.zstd(record),
        };
        match len.filter(|len| *len < record.len()) {
            Some(len) => (compression, &self.packed[..len]),
            None => (Compression::None, record),
        }
    }

    fn snappy(&mut self, record: &[u8]) -> Option<usize> {
        self.make_room(max_compress_len(record.len()));
        self.snappy.compress(record, &mut self.packed).ok()
    }

    fn zstd(&mut self, record: &[u8]) -> Option<usize> {
        self.make_room(record.len());
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            empty => empty.insert(zstd::bulk::Compressor::new(1).ok()?),
        };
        // It fails where the result does not fit, which is then not smaller.
        compressor.compress_to_buffer(record, &mut self.packed[..]).ok()
    }

    fn make_room(&mut self, bytes: usize) {
        if self.packed.len() < bytes {
            self.packed.resize(bytes, 0);
        }
    }
}

/// Decompresses records; keeps its memory.
pub struct Unpacker {
    snappy: Decoder,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    plain: Vec<u8>,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { snappy: Decoder::new(), zstd: None, plain: Vec::new() }
    }
}

impl Unpacker {
    /// The record that `bytes` are.
    ///
    /// # Errors
    /// What is wrong, if it is no compressed record or one of more than [`RECORD_BYTES_MAX`].
    pub fn unpack<'p>(&'p mut self, compression: Compression, bytes: &'p [u8]) -> Result<&'p [u8], String> {
        let len = match compression {
            Compression::None => return Ok(bytes),
            Compression::Snappy => self.snappy(bytes)?,
            Compression::Zstd => self.zstd(bytes)?,
        };
        Ok(&self.plain[..len])
    }

    /// The first byte of the record that `bytes` are, which says what it holds, where that shows without unpacking: for
    /// those who look for records of one kind.
    pub fn first_byte(compression: Compression, bytes: &[u8]) -> Option<u8> {
        match compression {
            Compression::None => bytes.first().copied(),
            // The length, then what is to be done: the first thing is always a literal.
            Compression::Snappy => {
                let tag = bytes.iter().position(|byte| *byte < 0x80)? + 1;
                let longer = match bytes.get(tag)? >> 2 {
                    short @ 60..=63 => usize::from(short) - 59,
                    _ => 0,
                };
                bytes.get(tag + 1 + longer).copied().filter(|_| bytes[tag] & 3 == 0)
            }
            Compression::Zstd => None,
        }
    }

    fn snappy(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let len = decompress_len(bytes).map_err(|e| format!("snappy: {e}"))?;
        if len > RECORD_BYTES_MAX || len / SNAPPY_GROWTH_MAX > bytes.len() {
            return Err(format!("snappy: {} bytes would make {len}", bytes.len()));
        }
        if self.plain.len() < len {
            self.plain.resize(len, 0);
        }
        self.snappy.decompress(bytes, &mut self.plain).map_err(|e| format!("snappy: {e}"))
    }

    fn zstd(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let decompressor = match &mut self.zstd {
            Some(decompressor) => decompressor,
            empty => empty.insert(zstd::bulk::Decompressor::new().map_err(|e| format!("zstd: {e}"))?),
        };
        let declared = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
        let most = declared.map_or(RECORD_BYTES_MAX, |d| d.min(RECORD_BYTES_MAX as u64) as usize);
        let mut room = (bytes.len() * ZSTD_GROWTH).max(ZSTD_BYTES_MIN).min(most);
        // What a frame says of its size is not trusted with memory: room grows as the output does.
        loop {
            if self.plain.len() < room {
                self.plain.resize(room, 0);
            }
            match decompressor.decompress_to_buffer(bytes, &mut self.plain[..]) {
                Ok(len) if len <= RECORD_BYTES_MAX => return Ok(len),
                Ok(len) => return Err(format!("zstd: a record of {len} bytes")),
                Err(e) if room < most && e.to_string().contains(TOO_SMALL) => room = (room * 4).min(most),
                Err(e) => return Err(format!("zstd: {e}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_can_be_unpacked() {
        let records = [vec![], vec![1], vec![0; 5_000_000], (0..=255).collect(), b"abcdefgh".repeat(1000)];
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::default());
        for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
            for record in &records {
                let (as_packed, packed) = packer.pack(compression, record);
                assert!(packed.len() <= record.len());
                assert_eq!(unpacker.unpack(as_packed, packed).unwrap(), record);
                let first = Unpacker::first_byte(as_packed, packed);
                assert!(first == record.first().copied() || as_packed == Compression::Zstd, "{first:?}");
            }
        }
    }

    #[test]
    fn wrong_sizes_take_no_memory() {
        let mut unpacker = Unpacker::default();
        // 500 MB are declared.
        assert!(unpacker.unpack(Compression::Snappy, &[0x80, 0xca, 0xb5, 0xee, 0x01, 0]).is_err());
        let mut frame = zstd::bulk::compress(&vec![0; 400 << 20], 1).unwrap();
        frame.truncate(frame.len() / 2);
        assert!(unpacker.unpack(Compression::Zstd, &frame[..100]).is_err());
        assert!(unpacker.unpack(Compression::Zstd, b"no frame").is_err());
    }
}
