//! Compressed bodies.

use std::io::{BufReader, Read};

use bytes::Bytes;
use storage::Reservation;

use crate::answer::Failure;

/// How a body is compressed (`Content-Encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Windows of zstd up to 8 MiB are taken.
const WINDOW_LOG_MAX: u32 = 23;
/// Read at a time.
const STEP_BYTES: usize = 256 << 10;

impl Encoding {
    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// The body as it was before it was compressed. Memory is reserved as it grows.
pub(crate) fn inflate(
    body: Bytes,
    encoding: Encoding,
    bytes_max: usize,
    held: &mut Reservation,
) -> Result<Bytes, Failure> {
    let wrong = |e: std::io::Error| Failure::Bad(format!("the body cannot be decompressed: {e}"));
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Gzip => read(flate2::read::MultiGzDecoder::new(&body[..]), bytes_max, held, wrong),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(BufReader::new(&body[..])).map_err(wrong)?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(wrong)?;
            read(decoder, bytes_max, held, wrong)
        }
    }
}

fn read(
    mut from: impl Read,
    bytes_max: usize,
    held: &mut Reservation,
    wrong: impl Fn(std::io::Error) -> Failure,
) -> Result<Bytes, Failure> {
    let mut out = Vec::new();
    loop {
        if out.capacity() - out.len() < STEP_BYTES {
            // Doubled: half of it may be the old place while it is copied.
            let more = out.capacity().max(STEP_BYTES);
            held.grow(more as u64)?;
            out.reserve_exact(more);
        }
        let room = (out.capacity() - out.len()).min(bytes_max + 1 - out.len());
        let read = (&mut from).take(room as u64).read_to_end(&mut out).map_err(&wrong)?;
        if out.len() > bytes_max {
            return Err(Failure::decoded_too_large(bytes_max));
        }
        if read < room {
            return Ok(out.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use storage::Budget;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(body: Vec<u8>, encoding: Encoding, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let mut held = Budget::unlimited().reserve(0).unwrap();
        inflate(body.into(), encoding, bytes_max, &mut held).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn bodies_come_back_within_the_limit() {
        let plain: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        for (encoding, packed) in
            [(Encoding::Gzip, gzip(&plain)), (Encoding::Zstd, zstd::encode_all(&plain[..], 1).unwrap())]
        {
            assert_eq!(inflated(packed.clone(), encoding, plain.len()), Ok(plain.clone()));
            assert!(matches!(inflated(packed.clone(), encoding, plain.len() - 1), Err(Failure::TooLarge(_))));
            assert!(matches!(inflated(packed[..packed.len() / 2].to_vec(), encoding, 1 << 30), Err(Failure::Bad(_))));
        }
        assert!(matches!(inflated(vec![1, 2, 3], Encoding::Gzip, 100), Err(Failure::Bad(_))));
        let two = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(inflated(two, Encoding::Gzip, 10), Ok(b"ab".to_vec()));
    }

    #[test]
    fn bombs_stop_at_the_budget() {
        let budget = Budget::new("all", "--x", 4 << 20, None);
        let mut held = budget.reserve(0).unwrap();
        let bomb = gzip(&vec![0; 16 << 20]);
        let stopped = inflate(bomb.into(), Encoding::Gzip, 1 << 30, &mut held);
        assert!(matches!(stopped, Err(Failure::Busy(_))), "{stopped:?}");
        assert!(budget.peak_bytes() <= 4 << 20);
    }
}
