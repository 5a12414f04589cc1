//! A segment from its first byte to its last, record by record, through a window of a few MiB.

use block::chunk_reader::{self, SEGMENT_HEADER_LEN};
use bytes::{Bytes, BytesMut};
use chunkenc::Encoding;
use objstore::Bucket;
use sha2::{Digest, Sha256};

use super::super::copy::hex;
use crate::Error;

const PIECE_BYTES: u64 = 8 << 20;
/// A longer record counts as corrupt: no writer makes one.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// One record, or what stands in its place.
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) chunk: Result<(Encoding, Bytes), block::Error>,
    /// Whether it is known where the next one begins.
    pub(super) next_is_known: bool,
}

pub(super) struct SegmentStream {
    bucket: Bucket,
    path: String,
    /// `chunks/000001`.
    pub(super) file: String,
    size: u64,
    /// Bytes that were fetched and not used.
    window: Bytes,
    /// Where the window begins, and the next record.
    at: u64,
    fetched: u64,
    hash: Sha256,
}

impl SegmentStream {
    /// Opens `file` of `size` bytes in the block's directory; checks the header.
    pub(super) async fn open(
        bucket: &Bucket,
        block: &str,
        file: &str,
        size: u64,
    ) -> Result<(Self, Option<block::Error>), Error> {
        let mut stream = Self {
            bucket: bucket.clone(),
            path: format!("{block}/{file}"),
            file: file.to_owned(),
            size,
            window: Bytes::new(),
            at: 0,
            fetched: 0,
            hash: Sha256::new(),
        };
        let head = stream.peek(SEGMENT_HEADER_LEN as u64).await?;
        let wrong = chunk_reader::check_segment_header(file, &head).err();
        stream.advance(head.len().min(SEGMENT_HEADER_LEN) as u64);
        Ok((stream, wrong))
    }

    /// Where the next record begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether all records were read.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.size
    }

    /// The next `len` bytes, fewer at the end.
    async fn peek(&mut self, len: u64) -> Result<Bytes, Error> {
        let want = len.min(self.size - self.at) as usize;
        while self.window.len() < want {
            let end = self.size.min(self.fetched + PIECE_BYTES);
            let piece = self.bucket.get_range(&self.path, self.fetched..end).await?;
            self.hash.update(&piece);
            self.fetched = end;
            if self.window.is_empty() {
                self.window = piece;
            } else {
                let mut joined = BytesMut::with_capacity(self.window.len() + piece.len());
                joined.extend_from_slice(&self.window);
                joined.extend_from_slice(&piece);
                self.window = joined.freeze();
            }
        }
        Ok(self.window.slice(..want))
    }

    fn advance(&mut self, len: u64) {
        let held = self.window.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        self.window = self.window.slice(held..);
        self.at += held as u64;
    }

    /// The next record; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Record>, Error> {
        if self.is_at_end() {
            return Ok(None);
        }
        let offset = self.at;
        let head = self.peek(10).await?;
        let corrupt = |what: String| Record {
            offset,
            chunk: Err(block::Error::corrupt(self.file.clone(), offset, what)),
            next_is_known: false,
        };
        let len = match chunk_reader::record_len(&head) {
            Some(len) if len <= RECORD_BYTES_MAX && len <= self.size - offset => len,
            Some(len) => return Ok(Some(corrupt(format!("chunk of {len} bytes, {} are left", self.size - offset)))),
            None => return Ok(Some(corrupt("chunk without a length".to_owned()))),
        };
        let bytes = self.peek(len).await?;
        let chunk = chunk_reader::parse(&self.file, offset, &bytes).map(|(encoding, data, _)| (encoding, data));
        self.advance(len);
        Ok(Some(Record { offset, chunk, next_is_known: true }))
    }

    /// Goes to `offset`, ahead.
    pub(super) async fn skip_to(&mut self, offset: u64) -> Result<(), Error> {
        while self.at < offset.min(self.size) {
            let left = offset.min(self.size) - self.at;
            let passed = self.peek(left.min(PIECE_BYTES)).await?.len() as u64;
            self.advance(passed);
        }
        Ok(())
    }

    /// SHA-256 of the whole segment.
    pub(super) async fn digest(mut self) -> Result<String, Error> {
        self.skip_to(self.size).await?;
        Ok(hex(&self.hash.finalize()))
    }
}

/// The record at `offset`, alone, for references that step backwards.
pub(super) async fn read_one(
    bucket: &Bucket,
    path: &str,
    file: &str,
    offset: u64,
    guess: u64,
) -> Result<Result<(Encoding, Bytes), block::Error>, Error> {
    let corrupt = |what: String| Ok(Err(block::Error::corrupt(file, offset, what)));
    let (mut bytes, size) = match bucket.get_range_clamped(path, offset..offset.saturating_add(guess.max(64))).await {
        Ok(read) => read,
        Err(e) if e.kind() == objstore::ErrorKind::Precondition => {
            return corrupt("the index points there, behind the segment's end".to_owned());
        }
        Err(e) => return Err(e.into()),
    };
    let len = match chunk_reader::record_len(&bytes) {
        Some(len) if len <= RECORD_BYTES_MAX && len <= size - offset => len,
        _ => return corrupt("no chunk begins there".to_owned()),
    };
    if (bytes.len() as u64) < len {
        bytes = bucket.get_range(path, offset..offset + len).await?;
    }
    Ok(chunk_reader::parse(file, offset, &bytes).map(|(encoding, data, _)| (encoding, data)))
}
