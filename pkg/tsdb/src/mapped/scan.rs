//! Walks through the chunks of a file, and finds the next one behind bytes that are corrupt.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::format::{At, FILE_HEADER_BYTES, MappedChunk, check_file_header, parse};

/// Bytes that are no chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) offset: u64,
    /// Behind the last of them.
    pub(super) end: u64,
    pub(super) why: String,
}

/// Bytes that are read at a time. Through a mapping all of a file would count as memory of this process.
const WINDOW_BYTES: usize = if cfg!(test) { 300 } else { 256 << 10 };

/// Shows the first chunks of a file of `len` bytes to `visit`. Where something else is, or a chunk longer than most, that is
/// told.
///
/// # Errors
/// The file cannot be read.
pub(super) fn walk(
    number: u32,
    (path, len): (&Path, u64),
    visit: &mut dyn FnMut(MappedChunk),
) -> io::Result<Option<usize>> {
    let (file, len) = (File::open(path)?, usize::try_from(len).unwrap_or(usize::MAX));
    let (mut window, mut begin) = (vec![0; WINDOW_BYTES], FILE_HEADER_BYTES);
    let mut head = [0; FILE_HEADER_BYTES];
    if len < head.len() || file.read_exact_at(&mut head, 0).is_err() || check_file_header(&head).is_some() {
        return Ok(Some(begin));
    }
    while begin < len {
        window.truncate(len - begin);
        file.read_exact_at(&mut window, begin as u64)?;
        let mut at = 0;
        while let At::Chunk { chunk, end, .. } = parse(number, &window, at) {
            visit(MappedChunk { reference: chunk.reference + begin as u64, ..chunk });
            at = end;
        }
        if at == 0 {
            return Ok(Some(begin));
        }
        begin += at;
    }
    Ok(None)
}

pub(super) struct Scan<'a> {
    number: u32,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// From a place on where a chunk may begin.
    pub(super) fn new(number: u32, bytes: &'a [u8], at: usize) -> Self {
        Self { number, bytes, at }
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
