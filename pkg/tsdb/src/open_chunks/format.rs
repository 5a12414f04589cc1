//! A file is a head and frames, each `be32 length | be32 crc | payload`. The first payload says where in the log it belongs; the
//! last one is a mark and the number of those between, inverted. These are chunks:
//! `be64 series | be64 place of the chunk before, on disk | be64 min | be64 max | encoding | uvarint length | data`. Where
//! the encoding is [`GROWING`], `be64 cut at | state` of an XOR chunk stand before the length. A series that has only chunks on disk
//! ends with [`NOTHING`].

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, XOR_STATE_BYTES, XorState};
use encoding::{Corrupt, Cursor, put_uvarint};
use wal::Position;

pub(super) const MAGIC: [u8; 8] = *b"aionoc\0\x01";
/// No chunk begins so: series have no such numbers.
const END: [u8; 8] = *b"\xffthe end";
/// Length and checksum of a frame.
pub(super) const FRAME_HEAD_BYTES: usize = 8;
/// Chunks of a frame; the last of them may reach beyond.
pub(super) const FRAME_BYTES: usize = 256 << 10;
/// A frame is not longer.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;
/// In place of an encoding.
const GROWING: u8 = 0xff;
/// The same, where nothing follows.
const NOTHING: u8 = 0xfe;

/// A chunk that was in no file.
#[derive(Debug)]
pub struct SavedChunk<'a> {
    /// The number of the series in the log.
    pub number: u64,
    /// Where its last chunk on disk is; 0 without one.
    pub behind: u64,
    /// Time of its first sample, ms.
    pub min_time_ms: i64,
    /// Time of its last sample, ms.
    pub max_time_ms: i64,
    /// Its samples.
    pub data: SavedData<'a>,
}

/// The samples of a chunk.
#[derive(Debug)]
pub enum SavedData<'a> {
    /// An XOR chunk that grows.
    Growing {
        /// What is needed to go on, for [`XorState::restore`].
        state: &'a [u8; XOR_STATE_BYTES],
        /// As the encoding has it.
        data: &'a [u8],
        /// When it is full, ms.
        cut_at_ms: i64,
    },
    /// Any chunk.
    Chunk {
        /// How the samples are encoded.
        encoding: Encoding,
        /// As the encoding has it.
        data: &'a [u8],
    },
    /// All are in chunks on disk; times are those of the last one.
    Nothing,
}

impl SavedChunk<'_> {
    /// As a chunk of any kind, if there is one.
    pub fn chunk(&self) -> Option<TimedChunk> {
        let (encoding, data) = match self.data {
            SavedData::Growing { data, .. } => (Encoding::Xor, data),
            SavedData::Chunk { encoding, data } => (encoding, data),
            SavedData::Nothing => return None,
        };
        let (min_time, max_time) = (self.min_time_ms, self.max_time_ms);
        Some(TimedChunk { min_time, max_time, encoding, data: Bytes::copy_from_slice(data) })
    }
}

/// What stands at the end behind so many frames of chunks: no run of equal bytes.
pub(super) fn end(frames: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&END);
    out[8..].copy_from_slice(&(!frames).to_be_bytes());
    out
}

/// Where in the log the chunks belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) position: Position,
    pub(super) checksum: u32,
    pub(super) next_number: u64,
}

impl Begin {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.position.segment.to_be_bytes());
        out.extend_from_slice(&self.position.offset.to_be_bytes());
        out.extend_from_slice(&self.checksum.to_be_bytes());
        out.extend_from_slice(&self.next_number.to_be_bytes());
    }

    pub(super) fn read(payload: &[u8]) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new("begin", 0, payload);
        let position = Position { segment: cursor.be64()?, offset: cursor.be64()? };
        Ok(Self { position, checksum: cursor.be32()?, next_number: cursor.be64()? })
    }
}

pub(super) fn put_head(out: &mut Vec<u8>, (number, behind): (u64, u64), (min_ms, max_ms): (i64, i64)) {
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&behind.to_be_bytes());
    out.extend_from_slice(&min_ms.to_be_bytes());
    out.extend_from_slice(&max_ms.to_be_bytes());
}

pub(super) fn put_growing(out: &mut Vec<u8>, (state, buffer): (&XorState, &[u8]), cut_at_ms: i64) {
    out.push(GROWING);
    out.extend_from_slice(&cut_at_ms.to_be_bytes());
    out.extend_from_slice(&state.save());
    put_uvarint(out, state.size_bytes() as u64);
    state.write_to(buffer, state.len(), out);
}

pub(super) fn put_nothing(out: &mut Vec<u8>) {
    out.push(NOTHING);
}

pub(super) fn put_data(out: &mut Vec<u8>, encoding: Encoding, data: &[u8]) {
    out.push(encoding as u8);
    put_uvarint(out, data.len() as u64);
    out.extend_from_slice(data);
}

pub(super) fn read_chunk<'a>(cursor: &mut Cursor<'a>) -> Result<SavedChunk<'a>, Corrupt> {
    let (number, behind) = (cursor.be64()?, cursor.be64()?);
    let (min_time_ms, max_time_ms) = (cursor.be64()? as i64, cursor.be64()? as i64);
    let at = *cursor;
    let data = match cursor.bytes(1)? {
        [GROWING] => {
            let cut_at_ms = cursor.be64()? as i64;
            let state = cursor.bytes(XOR_STATE_BYTES)?;
            let state = state.first_chunk().ok_or_else(|| at.corrupt("the state is cut short"))?;
            SavedData::Growing { state, data: cursor.string_bytes()?, cut_at_ms }
        }
        [NOTHING] => SavedData::Nothing,
        byte => {
            let encoding = byte.first().and_then(|byte| Encoding::from_byte(*byte));
            let encoding = encoding.filter(|encoding| *encoding != Encoding::Aggregates);
            let encoding = encoding.ok_or_else(|| at.corrupt(format!("encoding {byte:?} is not known")))?;
            SavedData::Chunk { encoding, data: cursor.string_bytes()? }
        }
    };
    Ok(SavedChunk { number, behind, min_time_ms, max_time_ms, data })
}
