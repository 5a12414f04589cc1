//! Samples of several chunks in one ascending column.

use chunkenc::{Column, Encoding, decode_floats};
use model::STALE_NAN_BITS;

/// What was left out of a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Stale markers.
    pub(crate) stale: u64,
    /// Samples that are not later than the one before.
    pub(crate) out_of_order: u64,
}

/// Appends a float chunk; stale markers and what does not ascend are left out.
pub(crate) fn append_floats(
    encoding: Encoding,
    data: &[u8],
    column: &mut Column,
    left_out: &mut LeftOut,
) -> Result<(), chunkenc::Error> {
    let from = column.len();
    decode_floats(encoding, data, column)?;
    let times = &column.times[from.saturating_sub(1)..];
    // All of them are looked at, without a branch for each: nearly always nothing is found.
    let strays = times.iter().zip(times.get(1..).unwrap_or(&[])).fold(false, |any, (a, b)| any | (a >= b));
    let stale = column.values[from..].iter().fold(false, |any, v| any | (v.to_bits() == STALE_NAN_BITS));
    if !strays && !stale {
        return Ok(());
    }
    let mut kept = from;
    for i in from..column.len() {
        let (time, value) = (column.times[i], column.values[i]);
        if value.to_bits() == STALE_NAN_BITS {
            left_out.stale += 1;
        } else if kept > 0 && time <= column.times[kept - 1] {
            left_out.out_of_order += 1;
        } else {
            (column.times[kept], column.values[kept]) = (time, value);
            kept += 1;
        }
    }
    column.times.truncate(kept);
    column.values.truncate(kept);
    Ok(())
}
