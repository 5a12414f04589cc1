//! Chunk segments as they pass by: every record's length and checksum, whatever pieces the bytes come in.

use block::chunk_reader::SEGMENT_HEADER_LEN;

/// Checks a segment that is fed to it piece by piece. Holds a few bytes.
#[derive(Debug)]
pub(super) struct SegmentCheck {
    file: String,
    at: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Header(Vec<u8>),
    Length {
        start: u64,
        value: u64,
        shift: u32,
    },
    Body {
        start: u64,
        left: u64,
        crc: u32,
    },
    /// Reading the checksum, which should be `crc`.
    Checksum {
        start: u64,
        crc: u32,
        stored: u32,
        bytes: u32,
    },
}

impl SegmentCheck {
    /// A check; `file` is named in errors.
    pub(super) fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), at: 0, state: State::Header(Vec::new()) }
    }

    /// Checks the next bytes.
    ///
    /// # Errors
    /// [`block::Error`] with the record's offset.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), block::Error> {
        while !bytes.is_empty() {
            let taken = self.step(bytes)?;
            self.at += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Takes some of `bytes`, at least one.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, block::Error> {
        let after = |n: usize| self.at + n as u64;
        let (taken, next) = match &mut self.state {
            State::Header(head) => {
                let taken = bytes.len().min(SEGMENT_HEADER_LEN - head.len());
                head.extend_from_slice(&bytes[..taken]);
                if head.len() < SEGMENT_HEADER_LEN {
                    return Ok(taken);
                }
                block::chunk_reader::check_segment_header(&self.file, head)?;
                (taken, State::Length { start: after(taken), value: 0, shift: 0 })
            }
            State::Length { start, value, shift } => {
                let (start, byte) = (*start, bytes[0]);
                if *shift > 28 {
                    return Err(block::Error::corrupt(&*self.file, start, "chunk's length is beyond 32 bits"));
                }
                *value |= u64::from(byte & 0x7f) << *shift;
                *shift += 7;
                if byte >= 0x80 {
                    return Ok(1);
                }
                (1, State::Body { start, left: *value + 1, crc: 0 })
            }
            State::Body { start, left, crc } => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *crc = encoding::crc32c_append(*crc, &bytes[..taken]);
                *left -= taken as u64;
                if *left > 0 {
                    return Ok(taken);
                }
                (taken, State::Checksum { start: *start, crc: *crc, stored: 0, bytes: 0 })
            }
            State::Checksum { start, crc, stored, bytes: seen } => {
                *stored = *stored << 8 | u32::from(bytes[0]);
                *seen += 1;
                if *seen < 4 {
                    return Ok(1);
                }
                if crc != stored {
                    let what = format!("chunk: checksum is {crc:08x}, stored is {stored:08x}");
                    return Err(block::Error::corrupt(&*self.file, *start, what));
                }
                (1, State::Length { start: after(1), value: 0, shift: 0 })
            }
        };
        self.state = next;
        Ok(taken)
    }

    /// Checks that the segment ends where a record does.
    ///
    /// # Errors
    /// [`block::Error`] with the offset of what is cut.
    pub(super) fn finish(self) -> Result<(), block::Error> {
        match self.state {
            State::Length { shift: 0, .. } => Ok(()),
            State::Header(_) => Err(block::Error::corrupt(self.file, 0, "segment without a header")),
            State::Length { start, .. } | State::Body { start, .. } | State::Checksum { start, .. } => {
                let what = format!("chunk is cut: the segment ends at {}", self.at);
                Err(block::Error::corrupt(self.file, start, what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Vec<u8> {
        let mut out = vec![0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0];
        for data in [&b"abc"[..], &[7; 300], b""] {
            let mut len = data.len();
            while len >= 0x80 {
                out.push(len as u8 | 0x80);
                len >>= 7;
            }
            out.push(len as u8);
            let start = out.len();
            out.push(1);
            out.extend_from_slice(data);
            let crc = encoding::crc32c(&out[start..]);
            out.extend_from_slice(&crc.to_be_bytes());
        }
        out
    }

    fn check(bytes: &[u8], piece: usize) -> Result<(), String> {
        let mut check = SegmentCheck::new("chunks/000001");
        bytes.chunks(piece).try_for_each(|p| check.feed(p)).and_then(|()| check.finish()).map_err(|e| e.to_string())
    }

    #[test]
    fn whole_segments_pass_in_any_pieces() {
        let bytes = segment();
        for piece in [1, 2, 3, 7, 8, 9, 100, bytes.len()] {
            assert_eq!(check(&bytes, piece), Ok(()), "pieces of {piece}");
        }
    }

    #[test]
    fn damage_is_told() {
        let bytes = segment();
        // the ends of the header and of each record
        let ends = [8, 17, 17 + 2 + 301 + 4, bytes.len()];
        for len in 0..bytes.len() {
            assert_eq!(check(&bytes[..len], 13).is_ok(), ends.contains(&len), "cut to {len}");
        }
        for at in (0..8 * bytes.len()).filter(|bit| !(40..64).contains(bit)) {
            let mut bad = bytes.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(check(&bad, 50).is_err(), "bit {at}");
        }
        let mut bad = bytes;
        bad[12] ^= 1;
        assert_eq!(check(&bad, 5).unwrap_err().split(": checksum").next().unwrap(), "chunks/000001: offset 8: chunk");
    }
}
