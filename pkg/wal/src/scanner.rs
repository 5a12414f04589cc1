//! Reads the records of one segment, and finds the next one behind bytes that are corrupt.

use std::io::{self, Read};
use std::ops::Range;

use crate::Compression;
use crate::compression::RECORD_BYTES_MAX;
use crate::page::{HEADER_BYTES, Header, PAGE_BYTES, Part};

/// Pages that are read at a time.
const BUFFER_BYTES: usize = 16 * PAGE_BYTES;

/// The segment ends within a record.
pub(crate) const CUT_SHORT: &str = "the record is cut short";

/// The data of a fragment that fills its page.
const FRAGMENT_BYTES_MAX: usize = PAGE_BYTES - HEADER_BYTES;

/// What comes next in a segment. Offsets are bytes from the segment's begin.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record as it is stored; [`Scanner::stored`] has its bytes.
    Record { offset: u64, compression: Compression },
    /// Bytes that cannot be read. `unknown` is set if a later version may have written them.
    Corrupt { offset: u64, why: String, unknown: bool },
}

/// A record that was found.
enum Stored {
    /// In the buffer.
    InPage(Range<usize>),
    /// In `record`.
    Joined,
}

/// A record of which the first fragments were read.
struct Begun {
    offset: u64,
    compression: Compression,
}

/// A fragment that is whole, or what is there instead.
enum Piece {
    Fragment {
        offset: u64,
        part: Part,
        compression: Compression,
        data: Range<usize>,
    },
    /// Zeros up to the end of the page; `whole` if a fragment could have stood there.
    Padding {
        offset: u64,
        whole: bool,
    },
    Bad {
        offset: u64,
        why: String,
        unknown: bool,
    },
}

/// The records of one segment, in order.
pub(crate) struct Scanner<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where the buffer begins in the segment; a multiple of the page size.
    buffer_offset: u64,
    /// Bytes of the buffer that are filled, and the next one to read.
    filled: usize,
    at: usize,
    /// The end of the segment is in the buffer.
    ended: bool,
    begun: Option<Begun>,
    record: Vec<u8>,
    stored: Stored,
    /// A corruption was told; fragments of records that began before are passed over.
    resync: bool,
    /// The fragment before failed its checksum: another one that fails means that its length was wrong too.
    doubtful: bool,
    /// A record that follows a corruption which had to be told first.
    next: Option<Found>,
    /// Where the last whole record ends.
    end: u64,
}

impl<R: Read> Scanner<R> {
    /// `source` begins at `offset` of the segment, which is a multiple of the page size.
    pub(crate) fn new(source: R, offset: u64) -> Self {
        Self::reusing(vec![0; BUFFER_BYTES], source, offset)
    }

    /// The same with the buffer of a scanner that is done.
    pub(crate) fn reusing(buffer: Vec<u8>, source: R, offset: u64) -> Self {
        Self {
            source,
            buffer,
            buffer_offset: offset,
            filled: 0,
            at: 0,
            ended: false,
            begun: None,
            record: Vec::new(),
            stored: Stored::InPage(0..0),
            resync: false,
            doubtful: false,
            next: None,
            end: offset,
        }
    }

    /// The buffer, for another scanner.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes of the record that was found last.
    pub(crate) fn stored(&self) -> &[u8] {
        match &self.stored {
            Stored::InPage(range) => self.buffer.get(range.clone()).unwrap_or_default(),
            Stored::Joined => &self.record,
        }
    }

    /// Where the last whole record ends, bytes from the segment's begin.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The next record or corruption; `None` at the end of the segment.
    ///
    /// # Errors
    /// The file cannot be read; what follows is lost then.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        if let Some(found) = self.next.take() {
            return Ok(Some(found));
        }
        loop {
            let Some(piece) = self.piece()? else {
                return Ok(self.begun.take().map(|begun| self.corrupt(begun.offset, CUT_SHORT, false)));
            };
            let found = match piece {
                Piece::Fragment { offset, part, compression, data } => self.fragment(offset, part, compression, data),
                Piece::Padding { offset, whole } => match self.begun.take_if(|_| whole) {
                    Some(begun) => {
                        self.record.clear();
                        Some(self.corrupt(begun.offset, format!("the record lacks its rest at offset {offset}"), false))
                    }
                    None => None,
                },
                Piece::Bad { offset, why, unknown } => self.bad(offset, why, unknown),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn corrupt(&mut self, offset: u64, why: impl Into<String>, unknown: bool) -> Found {
        self.resync = true;
        Found::Corrupt { offset, why: why.into(), unknown }
    }

    /// Bytes that are no fragment: told once until the next whole record.
    fn bad(&mut self, offset: u64, why: String, unknown: bool) -> Option<Found> {
        let offset = self.begun.take().map_or(offset, |begun| begun.offset);
        if self.resync {
            return None;
        }
        Some(self.corrupt(offset, why, unknown))
    }

    fn fragment(&mut self, offset: u64, part: Part, compression: Compression, data: Range<usize>) -> Option<Found> {
        match part {
            // The type is not covered by the checksum. A fragment that fills its page, where the rest of a record is due, is
            // that rest, however its type was changed.
            Part::Full | Part::First if self.begun.is_some() && data.len() == FRAGMENT_BYTES_MAX => {
                self.bad(offset, "the type of the fragment does not fit the one before".to_owned(), false)
            }
            Part::Full | Part::First => {
                let cut = self.begun.take().map(|begun| {
                    self.corrupt(begun.offset, format!("the record lacks its rest before offset {offset}"), false)
                });
                if part == Part::First {
                    self.begun = Some(Begun { offset, compression });
                    self.record.clear();
                    self.record.extend_from_slice(&self.buffer[data]);
                    return cut;
                }
                let found = self.found(offset, compression, Stored::InPage(data));
                match cut {
                    Some(cut) => {
                        self.next = Some(found);
                        Some(cut)
                    }
                    None => Some(found),
                }
            }
            Part::Middle | Part::Last => self.rest(offset, part, compression, data),
        }
    }

    /// A fragment of a record that began before.
    fn rest(&mut self, offset: u64, part: Part, compression: Compression, data: Range<usize>) -> Option<Found> {
        let Some(begun) = &self.begun else {
            return self.bad(offset, "the record lacks its begin".to_owned(), false);
        };
        if begun.compression != compression {
            return self.bad(offset, "the fragments of a record are compressed in different ways".to_owned(), false);
        }
        if self.record.len() + data.len() > RECORD_BYTES_MAX {
            return self.bad(offset, format!("a record of more than {RECORD_BYTES_MAX} bytes"), false);
        }
        self.record.extend_from_slice(&self.buffer[data]);
        if part == Part::Middle {
            return None;
        }
        let begun = self.begun.take()?;
        Some(self.found(begun.offset, begun.compression, Stored::Joined))
    }

    fn found(&mut self, offset: u64, compression: Compression, stored: Stored) -> Found {
        self.resync = false;
        self.stored = stored;
        self.end = self.buffer_offset + self.at as u64;
        Found::Record { offset, compression }
    }

    /// What comes next in the pages.
    fn piece(&mut self) -> io::Result<Option<Piece>> {
        if self.at == self.filled && !self.fill()? {
            return Ok(None);
        }
        let page_end = (self.at / PAGE_BYTES + 1) * PAGE_BYTES;
        let (at, offset) = (self.at, self.buffer_offset + self.at as u64);
        let left = &self.buffer[at..page_end.min(self.filled)];
        if left.first() == Some(&0) {
            let whole = left.len() >= HEADER_BYTES;
            let zeros = is_zero(left);
            self.skip_page(page_end);
            return Ok(Some(match zeros {
                true => Piece::Padding { offset, whole },
                false => self.bad_piece(offset, "the padding is not zero", false),
            }));
        }
        let Some(bytes) = left.first_chunk::<HEADER_BYTES>() else {
            let why = if self.filled < page_end { CUT_SHORT } else { "no fragment fits the page" };
            self.skip_page(page_end);
            return Ok(Some(self.bad_piece(offset, why, false)));
        };
        let header = Header::parse(bytes);
        let data = at + HEADER_BYTES..at + HEADER_BYTES + header.data_bytes;
        if data.end > page_end.min(self.filled) {
            let why = if data.end <= page_end { CUT_SHORT } else { "the fragment crosses its page" };
            self.skip_page(page_end);
            return Ok(Some(self.bad_piece(offset, why, false)));
        }
        let crc = encoding::crc32c(&self.buffer[data.clone()]);
        if crc == header.crc {
            self.doubtful = false;
            self.at = data.end;
            return Ok(Some(match header.kind {
                Some((part, compression)) => Piece::Fragment { offset, part, compression, data },
                None => self.bad_piece(offset, "the type or the flags of the fragment are not known", true),
            }));
        }
        // Where only its data changed, the next fragment of the page is whole.
        let again = std::mem::replace(&mut self.doubtful, data.end < page_end);
        if again {
            self.skip_page(page_end);
        } else {
            self.at = data.end;
        }
        let why = format!("checksum of {} bytes is {crc:08x}, stored is {:08x}", data.len(), header.crc);
        Ok(Some(Piece::Bad { offset, why, unknown: false }))
    }

    fn skip_page(&mut self, page_end: usize) {
        self.at = page_end.min(self.filled);
        self.doubtful = false;
    }

    fn bad_piece(&self, offset: u64, why: &str, unknown: bool) -> Piece {
        Piece::Bad { offset, why: why.to_owned(), unknown }
    }

    /// Reads the next pages; whether there are any.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer_offset += self.filled as u64;
        (self.at, self.filled) = (0, 0);
        while self.filled < self.buffer.len() {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => self.filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self.filled > 0)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, byte| all | byte) == 0
}
