//! Puts the checksums of corrupt files right, so that the parser behind them sees what is corrupt. What makes no sense is
//! left as it is.

use block::toc::TOC_LEN;

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four) as usize)
}

fn uvarint(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.get(at..)?.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Some((usize::try_from(value).ok()?, at + i + 1));
        }
    }
    None
}

/// Writes the CRC of `from..to` behind it; gives the place after the CRC.
fn put_crc(bytes: &mut [u8], from: usize, to: usize) -> Option<usize> {
    let crc = crc32c::crc32c(bytes.get(from..to)?);
    bytes.get_mut(to..to.checked_add(4)?)?.copy_from_slice(&crc.to_be_bytes());
    Some(to + 4)
}

/// `be32 len | body | crc` at `at`; gives its end.
pub(crate) fn section(bytes: &mut [u8], at: usize) -> Option<usize> {
    let len = be32(bytes, at)?;
    put_crc(bytes, at + 4, (at + 4).checked_add(len)?)
}

/// The same with a length that fits the bytes there are.
pub(crate) fn whole_section(bytes: &mut [u8]) -> Option<usize> {
    let len = bytes.len().checked_sub(8)?;
    bytes[..4].copy_from_slice(&(len as u32).to_be_bytes());
    section(bytes, 0)
}

/// `uvarint len | body | crc` at `at`; gives its end. `more` counts bytes of the body that the length does not.
pub(crate) fn record(bytes: &mut [u8], at: usize, more: usize) -> Option<usize> {
    let (len, start) = uvarint(bytes, at)?;
    put_crc(bytes, start, start.checked_add(len)?.checked_add(more)?)
}

/// Records one after the other up to `end`, each at a multiple of `align`.
pub(crate) fn records(bytes: &mut [u8], mut at: usize, end: usize, align: usize, more: usize) {
    while at < end {
        match record(bytes, at, more) {
            Some(next) => at = next.next_multiple_of(align),
            None => break,
        }
    }
}

/// The last 52 bytes as a table of contents; gives its six offsets.
pub(crate) fn toc(bytes: &mut [u8]) -> Option<[usize; 6]> {
    let at = bytes.len().checked_sub(TOC_LEN)?;
    put_crc(bytes, at, at + 48)?;
    let mut offsets = [0; 6];
    for (i, offset) in offsets.iter_mut().enumerate() {
        *offset =
            usize::try_from((be32(bytes, at + 8 * i)? as u64) << 32 | be32(bytes, at + 8 * i + 4)? as u64).ok()?;
    }
    Some(offsets)
}

/// An index.
pub(crate) fn index(bytes: &mut [u8]) {
    let Some([symbols, series, _, _, postings, table]) = toc(bytes) else { return };
    section(bytes, symbols);
    section(bytes, table);
    let align = if bytes.get(4) == Some(&1) { 1 } else { 16 };
    let size = bytes.len();
    if let Some(start) = series.checked_next_multiple_of(align) {
        records(bytes, start, postings.min(size), align, 0);
    }
    let mut at = postings;
    while at < table.min(size) {
        match section(bytes, at) {
            Some(next) => at = next.next_multiple_of(4),
            None => break,
        }
    }
}

/// An index-header: the index's table of contents lies 20 bytes before the end.
pub(crate) fn index_header(bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(20) else { return };
    put_crc(bytes, footer, footer + 16);
    toc(&mut bytes[..footer]);
    for at in [footer, footer + 8] {
        if let Some(at) = be32(bytes, at + 4) {
            section(bytes, at);
        }
    }
}

/// Frames of remote read: `uvarint len | crc | message`.
pub(crate) fn frames(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some((len, start)) = uvarint(bytes, at) {
        let Some(end) = start.checked_add(4).and_then(|s| s.checked_add(len)).filter(|end| *end <= bytes.len()) else {
            return;
        };
        let crc = crc32c::crc32c(&bytes[start + 4..end]);
        bytes[start..start + 4].copy_from_slice(&crc.to_be_bytes());
        at = end;
    }
}

/// Tombstones: the CRC of all but the first five and the last four bytes.
pub(crate) fn tombstones(bytes: &mut [u8]) {
    if let Some(end) = bytes.len().checked_sub(4) {
        put_crc(bytes, 5, end);
    }
}
