//! CRC32C (Castagnoli), which every part of a block and every record of a log has.
//!
//! The processor's instruction takes eight bytes a cycle but gives its answer after three: three parts of the bytes are
//! taken at a time and put together by a multiplication without carries. Chunks and series entries are too short for the
//! wide blocks that libraries do this with. See Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32
//! Instruction" (Intel, 2011). Elsewhere it is the library's.

/// The checksum of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The checksum of some bytes followed by `bytes`, where `crc` is that of the bytes before.
#[inline]
#[allow(unsafe_code, reason = "the function needs instructions that are asked for first")]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("sse4.2") && std::is_x86_feature_detected!("pclmulqdq") {
        // SAFETY: the processor has what the function is made for.
        return unsafe { lanes::append(crc, bytes) };
    }
    ::crc32c::crc32c_append(crc, bytes)
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use std::arch::x86_64::{_mm_clmulepi64_si128, _mm_crc32_u64, _mm_cvtsi64_si128, _mm_cvtsi128_si64};

    /// Words of eight bytes in a lane at most; more bytes are taken in several rounds.
    const WORDS_MAX: usize = 128;
    /// Fewer bytes are taken in one lane.
    const BYTES_MIN: usize = 96;
    const POLYNOMIAL: u32 = 0x82f6_3b78;

    /// By words: `x^(64 * words - 33)` modulo the polynomial, bits reversed. Multiplied by it, a checksum is what it
    /// would be with so many words of zeros behind it, but for the last 64 bits, which the instruction does.
    const BEHIND: [u32; 2 * WORDS_MAX + 1] = {
        let mut powers = [0; 2 * WORDS_MAX + 1];
        // x^31
        let mut power = 1;
        let mut words = 1;
        while words < powers.len() {
            powers[words] = power;
            let mut bit = 0;
            while bit < 64 {
                power = if power & 1 == 1 { power >> 1 ^ POLYNOMIAL } else { power >> 1 };
                bit += 1;
            }
            words += 1;
        }
        powers
    };

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn move_by(crc: u64, words: usize) -> u64 {
        let power = _mm_cvtsi64_si128(i64::from(BEHIND[words]));
        _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(crc as i64), power)) as u64
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
        let (mut crc, mut left) = (u64::from(!crc), bytes);
        while left.len() >= BYTES_MIN {
            let words = (left.len() / 24).min(WORDS_MAX);
            let (first, rest) = left.split_at(8 * words);
            let (second, rest) = rest.split_at(8 * words);
            let (third, rest) = rest.split_at(8 * words);
            let (mut b, mut c) = (0, 0);
            let (first, second, third) =
                (first.as_chunks::<8>().0, second.as_chunks::<8>().0, third.as_chunks::<8>().0);
            let (second, third) = (&second[..first.len()], &third[..first.len()]);
            for at in 0..first.len() {
                crc = _mm_crc32_u64(crc, u64::from_le_bytes(first[at]));
                b = _mm_crc32_u64(b, u64::from_le_bytes(second[at]));
                c = _mm_crc32_u64(c, u64::from_le_bytes(third[at]));
            }
            crc = _mm_crc32_u64(0, move_by(crc, 2 * words) ^ move_by(b, words)) ^ c;
            left = rest;
        }
        let (words, rest) = left.as_chunks::<8>();
        for word in words {
            crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let bits = 8 * rest.len();
            let tail = match bytes.last_chunk::<8>() {
                Some(last) => u64::from_le_bytes(*last) >> (64 - bits),
                None => rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte)),
            };
            // As one word that begins with zeros: they change nothing.
            crc = crc >> bits ^ _mm_crc32_u64(0, (crc ^ tail) << (64 - bits));
        }
        !(crc as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known() {
        // RFC 3720, B.4
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(&(0..32).rev().collect::<Vec<u8>>()), 0x113f_db5c);
        assert_eq!(crc32c(b""), 0);
    }

    /// Of every length up to several rounds, at every alignment, whatever comes before.
    #[test]
    fn as_the_library_has_it() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
        for len in 0..7_000 {
            let part = &bytes[len % 8..len % 8 + len];
            let before = (len as u32).wrapping_mul(2_246_822_519);
            assert_eq!(crc32c_append(before, part), ::crc32c::crc32c_append(before, part), "{len} bytes");
        }
    }
}
