//! The body of an answer, as its head says where it ends.

use httparse::Status;
use tokio::io::AsyncRead;

use super::head::Framing;
use super::wire::Wire;
use super::{GetError, cut_off, failed};

/// What the line of a chunk's length, or the lines behind the last chunk, may hold.
const LINES_BYTES_MAX: usize = 16 << 10;
/// What is made room for at least, and the least of a chunk that is not read ahead.
const READ_BYTES: usize = 16 << 10;

/// What is read ahead of short chunks.
const AHEAD_BYTES: usize = 32 << 10;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// So many bytes, then the end.
    Bytes(u64),
    /// The line with a chunk's length.
    ChunkLength,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of a chunk's last line.
    ChunkEnd,
    /// Lines behind the last chunk, of which so many bytes came.
    Trailer(usize),
    /// Bytes, until the connection ends.
    UntilClose,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Body(Next);

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(0) => Next::Nothing,
            Framing::Length(bytes) => Next::Bytes(bytes),
            Framing::Chunked => Next::ChunkLength,
            Framing::UntilClose => Next::UntilClose,
        })
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0 == Next::Nothing
    }

    /// Appends what comes next: how many bytes, 0 at the end.
    pub(super) async fn read<S: AsyncRead + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        out: &mut Vec<u8>,
    ) -> Result<usize, GetError> {
        let mut bytes = 0;
        loop {
            while self.step(wire, out, &mut bytes)? {}
            let most = match self.0 {
                Next::Nothing => return Ok(bytes),
                _ if bytes > 0 => return Ok(bytes),
                Next::Bytes(left) => Some(left),
                Next::Chunk(left) if left >= READ_BYTES as u64 => Some(left),
                Next::UntilClose => Some(u64::MAX),
                Next::Chunk(_) | Next::ChunkLength | Next::ChunkEnd | Next::Trailer(_) => None,
            };
            let came = match most {
                Some(most) => {
                    let most = usize::try_from(most).unwrap_or(usize::MAX);
                    if out.capacity() - out.len() < most.min(READ_BYTES) {
                        out.reserve(most.min(READ_BYTES.max(out.len())));
                    }
                    let came = wire.read_past(out, most).await.map_err(|e| failed("read", &e))?;
                    self.pass(came as u64);
                    bytes += came;
                    came
                }
                None => wire.fill(AHEAD_BYTES).await.map_err(|e| failed("read", &e))?,
            };
            if came == 0 {
                if self.0 != Next::UntilClose {
                    return Err(cut_off());
                }
                self.0 = Next::Nothing;
            }
        }
    }

    /// Takes what was read ahead; false if more must be read.
    fn step<S>(&mut self, wire: &mut Wire<S>, out: &mut Vec<u8>, bytes: &mut usize) -> Result<bool, GetError> {
        let unread = wire.unread();
        if unread.is_empty() {
            return Ok(false);
        }
        let taken = match self.0 {
            Next::Nothing => return Ok(false),
            Next::Bytes(left) | Next::Chunk(left) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(unread.len());
                out.extend_from_slice(&unread[..here]);
                self.pass(here as u64);
                *bytes += here;
                here
            }
            Next::UntilClose => {
                out.extend_from_slice(unread);
                *bytes += unread.len();
                unread.len()
            }
            Next::ChunkLength => match httparse::parse_chunk_size(unread) {
                Ok(Status::Complete((line, length))) => {
                    self.0 = if length == 0 { Next::Trailer(0) } else { Next::Chunk(length) };
                    line
                }
                Ok(Status::Partial) if unread.len() <= LINES_BYTES_MAX => return Ok(false),
                _ => return Err(GetError("malformed chunked encoding".to_owned())),
            },
            Next::ChunkEnd => match unread {
                [b'\r', b'\n', ..] => {
                    self.0 = Next::ChunkLength;
                    2
                }
                [b'\r'] => return Ok(false),
                _ => return Err(GetError("malformed chunked encoding".to_owned())),
            },
            Next::Trailer(before) => {
                let line = unread.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
                if before + line.unwrap_or(unread.len()) > LINES_BYTES_MAX {
                    return Err(GetError("trailer header exceeds its limit".to_owned()));
                }
                let Some(line) = line else { return Ok(false) };
                let is_empty = matches!(&unread[..line], b"\n" | b"\r\n");
                self.0 = if is_empty { Next::Nothing } else { Next::Trailer(before + line) };
                line
            }
        };
        wire.take(taken);
        Ok(true)
    }

    /// So many bytes were taken.
    fn pass(&mut self, bytes: u64) {
        self.0 = match self.0 {
            Next::Bytes(left) if left <= bytes => Next::Nothing,
            Next::Bytes(left) => Next::Bytes(left - bytes),
            Next::Chunk(left) if left <= bytes => Next::ChunkEnd,
            Next::Chunk(left) => Next::Chunk(left - bytes),
            other => other,
        };
    }
}
