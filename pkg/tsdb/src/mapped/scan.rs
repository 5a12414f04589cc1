//! Walks through the chunks of a file, and finds the next one behind bytes that are corrupt.

use super::format::{At, FILE_HEADER_BYTES, MappedChunk, parse};

/// Bytes that are no chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) offset: u64,
    /// Behind the last of them.
    pub(super) end: u64,
    pub(super) why: String,
}

pub(super) struct Scan<'a> {
    number: u32,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(number: u32, bytes: &'a [u8]) -> Self {
        Self { number, bytes, at: FILE_HEADER_BYTES }
    }

    /// Where the next chunk begins that holds together, at `from` or behind.
    fn search(&self, from: usize) -> usize {
        let is_chunk = |at: &usize| matches!(parse(self.number, self.bytes, *at), At::Chunk { .. });
        let mut at = from;
        while at < self.bytes.len() {
            // Long runs of zeros are common, where a file was made longer than was written.
            if self.bytes[at..].first_chunk::<4096>().is_some_and(|zeros| super::format::is_zero(zeros)) {
                at += 4096 - 64;
                continue;
            }
            if is_chunk(&at) {
                return at;
            }
            at += 1;
        }
        self.bytes.len()
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<MappedChunk, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        match parse(self.number, self.bytes, self.at) {
            At::Chunk { chunk, end, .. } => {
                self.at = end;
                Some(Ok(chunk))
            }
            At::End => {
                self.at = self.bytes.len();
                None
            }
            At::Corrupt { why, end } => {
                let offset = self.at;
                self.at = end.unwrap_or_else(|| self.search(offset + 1));
                Some(Err(Bad { offset: offset as u64, end: self.at as u64, why }))
            }
        }
    }
}
