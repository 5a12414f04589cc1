//! Start timestamps inside XOR2 and the newer histogram chunks: one optional field after each sample.

use crate::bits::{BitReader, BitWriter};

/// From this sample on fields are written whatever comes, so that a later change still has its place.
const LAST_CHANGE: u8 = 127;

/// The header byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StartTimesHeader {
    /// Sample 0 has a field.
    first_known: bool,
    /// First sample after sample 0 with a field; 0 = none.
    change_on: u8,
}

impl StartTimesHeader {
    pub(crate) fn from_byte(byte: u8) -> Self {
        Self { first_known: byte & 0x80 != 0, change_on: byte & 0x7f }
    }

    pub(crate) fn to_byte(self) -> u8 {
        u8::from(self.first_known) << 7 | self.change_on
    }
}

/// Reads over, or writes, the fields of one chunk.
#[derive(Debug, Clone)]
pub(crate) struct StartTimes {
    header: StartTimesHeader,
    start: i64,
    distance: i64,
}

impl StartTimes {
    pub(crate) fn new(header: StartTimesHeader) -> Self {
        Self { header, start: 0, distance: 0 }
    }

    pub(crate) fn header(&self) -> StartTimesHeader {
        self.header
    }

    /// Passes over the field of `sample`; false when it is no varint.
    #[inline]
    pub(crate) fn skip_one(&mut self, bits: &mut BitReader<'_>, sample: usize) -> bool {
        if sample == 0 {
            return !self.header.first_known || bits.varint().is_some();
        }
        if self.header.change_on > 0 && sample >= usize::from(self.header.change_on) {
            bits.varbit_int();
        }
        true
    }

    /// Reads the field of `sample` at `time`, `before` being the time of the sample before; the start, 0 = unknown. `None`
    /// when it is no varint.
    pub(crate) fn read_one(&mut self, bits: &mut BitReader<'_>, sample: usize, before: i64, time: i64) -> Option<i64> {
        let change_on = usize::from(self.header.change_on);
        if sample == 0 {
            if self.header.first_known {
                self.start = time.wrapping_sub(bits.varint()?);
            }
        } else if change_on > 0 && sample >= change_on {
            let change = bits.varbit_int();
            self.distance = if sample == change_on { change } else { self.distance.wrapping_add(change) };
            self.start = before.wrapping_sub(self.distance);
        }
        Some(self.start)
    }

    /// Writes the field of `sample` at `time`, `before` being the time of the sample before.
    pub(crate) fn write_one(&mut self, bits: &mut BitWriter, sample: usize, before: i64, time: i64, start: i64) {
        let distance = before.wrapping_sub(start);
        if sample == 0 {
            if start != 0 {
                bits.varint(time.wrapping_sub(start));
                self.header.first_known = true;
            }
        } else if self.header.change_on > 0 {
            bits.varbit_int(distance.wrapping_sub(self.distance));
            self.distance = distance;
        } else if start != self.start || sample == usize::from(LAST_CHANGE) {
            self.header.change_on = sample.min(usize::from(LAST_CHANGE)) as u8;
            bits.varbit_int(distance);
            self.distance = distance;
        }
        self.start = start;
    }
}
