//! Compressed bodies, inflated piece by piece into memory of bounded size.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder, Operation};

/// A hint of the body's size is believed up to here.
const HINT_MAX: usize = 64 << 20;
/// Windows of zstd up to 8 MiB are taken.
const WINDOW_LOG_MAX: u32 = 23;
const ZSTD_OUT_BYTES: usize = 64 << 10;

/// Why a body is not taken.
#[derive(Debug)]
pub(crate) enum InflateError {
    /// It is larger than allowed.
    TooLarge,
    Wrong(String),
}

type Result<T> = std::result::Result<T, InflateError>;

fn wrong(e: impl std::fmt::Display) -> InflateError {
    InflateError::Wrong(format!("the body cannot be decompressed: {e}"))
}

/// Bytes in memory, not more of them than allowed.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: u64,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() as u64 + bytes.len() as u64 > self.bytes_max {
            self.is_over = true;
            return Err(std::io::Error::other("over the limit"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A body on its way in.
pub(crate) enum Inflate {
    #[allow(private_interfaces, reason = "made and matched here alone")]
    Plain(Bounded),
    #[allow(private_interfaces, reason = "made and matched here alone")]
    Gzip(Box<MultiGzDecoder<Bounded>>),
    #[allow(private_interfaces, reason = "made and matched here alone")]
    Zstd(Box<Zstd>),
}

struct Zstd {
    decoder: Decoder<'static>,
    scratch: Vec<u8>,
    out: Bounded,
    /// The last frame is whole.
    is_complete: bool,
}

impl Inflate {
    /// For a body of this `Content-Encoding`, about `hint` bytes large.
    pub(crate) fn new(encoding: &str, bytes_max: u64, hint: usize) -> Result<Self> {
        let capacity = hint.min(usize::try_from(bytes_max).unwrap_or(usize::MAX)).min(HINT_MAX);
        let out = Bounded { bytes: Vec::with_capacity(capacity), bytes_max, is_over: false };
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain(out)),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(out)))),
            "zstd" => {
                let mut decoder = Decoder::new().map_err(wrong)?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(wrong)?;
                let scratch = vec![0; ZSTD_OUT_BYTES];
                Ok(Self::Zstd(Box::new(Zstd { decoder, scratch, out, is_complete: false })))
            }
            other => Err(InflateError::Wrong(format!("unsupported Content-Encoding {other:?}"))),
        }
    }

    fn out(&self) -> &Bounded {
        match self {
            Self::Plain(out) => out,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(zstd) => &zstd.out,
        }
    }

    /// Bytes that it holds.
    pub(crate) fn capacity(&self) -> u64 {
        self.out().bytes.capacity() as u64
    }

    /// Where the body stays, if it is not compressed: who reads to there writes an empty piece then.
    pub(crate) fn plain(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Plain(out) => Some(&mut out.bytes),
            Self::Gzip(_) | Self::Zstd(_) => None,
        }
    }

    /// Takes the next piece.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<()> {
        let written = match self {
            Self::Plain(out) => out.write_all(piece),
            Self::Gzip(decoder) => decoder.write_all(piece),
            Self::Zstd(zstd) => zstd.write(piece),
        };
        written.map_err(|e| self.error(&e))?;
        let out = self.out();
        if out.bytes.len() as u64 > out.bytes_max { Err(InflateError::TooLarge) } else { Ok(()) }
    }

    fn error(&self, e: &std::io::Error) -> InflateError {
        if self.out().is_over { InflateError::TooLarge } else { wrong(e) }
    }

    /// The whole body.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        let finished = match &mut self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zstd(zstd) if zstd.is_complete => Ok(()),
            Self::Zstd(_) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        };
        finished.map_err(|e| self.error(&e))?;
        match self {
            Self::Plain(out) => Ok(out.bytes),
            Self::Gzip(decoder) => decoder.finish().map(|out| out.bytes).map_err(wrong),
            Self::Zstd(zstd) => Ok(zstd.out.bytes),
        }
    }
}

impl Zstd {
    fn write(&mut self, mut piece: &[u8]) -> std::io::Result<()> {
        loop {
            let status = self.decoder.run_on_buffers(piece, &mut self.scratch)?;
            self.is_complete = status.remaining == 0;
            self.out.write_all(self.scratch.get(..status.bytes_written).unwrap_or_default())?;
            piece = piece.get(status.bytes_read..).unwrap_or_default();
            let has_more = status.bytes_written == self.scratch.len();
            if piece.is_empty() && !has_more {
                return Ok(());
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(encoding: &str, body: &[u8], piece: usize, bytes_max: u64) -> Result<Vec<u8>> {
        let mut inflate = Inflate::new(encoding, bytes_max, 100)?;
        for piece in body.chunks(piece) {
            inflate.write(piece)?;
        }
        inflate.finish()
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn whole_cut_short_and_too_large() {
        let plain: Vec<u8> = (0..200_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let bodies = [("", plain.clone()), ("gzip", gzip(&plain)), ("zstd", zstd::encode_all(&plain[..], 1).unwrap())];
        for (encoding, body) in bodies {
            for piece in [1000, 1 << 20] {
                assert_eq!(inflate(encoding, &body, piece, 1 << 20).unwrap(), plain, "{encoding}");
                let over = inflate(encoding, &body, piece, plain.len() as u64 - 1);
                assert!(matches!(over, Err(InflateError::TooLarge)), "{encoding}");
                if !encoding.is_empty() {
                    let cut = inflate(encoding, &body[..body.len() - 3], piece, 1 << 20);
                    assert!(matches!(cut, Err(InflateError::Wrong(_))), "{encoding}");
                    let broken = inflate(encoding, b"no archive", piece, 1 << 20);
                    assert!(matches!(broken, Err(InflateError::Wrong(_))), "{encoding}");
                }
            }
        }
        assert!(matches!(Inflate::new("br", 1, 1), Err(InflateError::Wrong(_))));
    }

    /// Members may follow each other, and nothing else may.
    #[test]
    fn gzip_members() {
        for piece in [1, 7, 1000] {
            let two = [gzip(b"a 1\n"), gzip(b""), gzip(b"b 2\n")].concat();
            assert_eq!(inflate("gzip", &two, piece, 100).unwrap(), b"a 1\nb 2\n");
            for wrong in [&two[..two.len() - 1], &[&two[..], b"garbage"].concat(), &[&two[..], &[0; 16]].concat(), b""]
            {
                assert!(matches!(inflate("gzip", wrong, piece, 100), Err(InflateError::Wrong(_))), "{wrong:?}");
            }
        }
    }

    /// What a bomb takes is bounded by the limit.
    #[test]
    fn bombs() {
        let bomb = gzip(&vec![0; 32 << 20]);
        assert!(bomb.len() < 1 << 20);
        let mut inflate = Inflate::new("gzip", 1 << 20, 0).unwrap();
        let result = bomb.chunks(1000).try_for_each(|piece| inflate.write(piece));
        assert!(matches!(result, Err(InflateError::TooLarge)));
        assert!(inflate.capacity() <= 2 << 20);
    }
}
