//! Archives of a few files.
//!
//! Source of the format: `ustar` of POSIX.1-1988, <https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html>.

use std::io::{Result, Write};

const BLOCK_BYTES: usize = 512;

/// Appends a file of at most 8 GiB with a short name, of the time `time_s`, seconds since the epoch.
///
/// # Errors
/// From `out`.
pub(crate) fn append(out: &mut impl Write, name: &str, body: &[u8], time_s: u64) -> Result<()> {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &name[..name.len().min(99)]);
    put(100, "0000666\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", body.len()));
    put(136, &format!("{time_s:011o}\0"));
    // The sum counts itself as blanks.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&header)?;
    out.write_all(body)?;
    out.write_all(&[0; BLOCK_BYTES][..body.len().next_multiple_of(BLOCK_BYTES) - body.len()])
}

/// Ends the archive.
///
/// # Errors
/// From `out`.
pub(crate) fn end(out: &mut impl Write) -> Result<()> {
    out.write_all(&[0; 2 * BLOCK_BYTES])
}
