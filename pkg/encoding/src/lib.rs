//! Numbers, strings and checksums as Prometheus' files have them: blocks, index-headers, write-ahead logs.
//!
//! Numbers are big-endian or varints (LEB128, seven bits a byte, the lowest first; signed ones in zigzag), strings are
//! preceded by their length as an unsigned varint, checksums are CRC32C. This crate does no I/O, and no byte makes it
//! panic. Formats: <https://github.com/prometheus/prometheus/tree/main/tsdb/docs/format>.

mod crc32c;
mod cursor;
mod varint;

pub use crc32c::{crc32c, crc32c_append};
pub use cursor::{Corrupt, Cursor, check_crc, section};
pub use varint::{Varints, put_string, put_uvarint, put_varint};
