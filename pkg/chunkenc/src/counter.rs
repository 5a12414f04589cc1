//! Counter aggregates to one steadily rising column.

use crate::{Column, Encoding, Error, decode_floats};

/// Joins the counter parts of consecutive aggregate chunks to one reset-corrected column.
///
/// Each part begins with the true first raw sample, goes on with reset-corrected totals, and ends with a sample at the
/// last time again that carries the true last raw value. Across parts the totals go on: a value below the last true
/// one is a reset and counts whole. NaN and times that go back are left out.
#[derive(Debug, Clone, Default)]
pub struct CounterReader {
    last: Option<Last>,
    scratch: Column,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    time: i64,
    /// As stored, to tell resets.
    value: f64,
    /// The total that was put out last.
    total: f64,
}

impl CounterReader {
    /// A reader before the first part of a series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets what was read, keeps the memory.
    pub fn reset(&mut self) {
        self.last = None;
    }

    /// The true last raw sample of the parts so far: time in ms, value.
    pub fn last_true(&self) -> Option<(i64, f64)> {
        self.last.map(|last| (last.time, last.value))
    }

    /// Appends one part, the parts of a series in time order.
    ///
    /// # Errors
    /// When the bytes are no float chunk; `out` is as before.
    pub fn read(&mut self, encoding: Encoding, data: &[u8], out: &mut Column) -> Result<(), Error> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let result = decode_floats(encoding, data, &mut scratch);
        if result.is_ok() {
            for (time, value) in scratch.iter() {
                self.push(time, value, out);
            }
        }
        self.scratch = scratch;
        result
    }

    #[inline]
    fn push(&mut self, time: i64, value: f64, out: &mut Column) {
        if value.is_nan() {
            return;
        }
        let Some(last) = &mut self.last else {
            self.last = Some(Last { time, value, total: value });
            return out.push(time, value);
        };
        if time > last.time {
            last.total += if value < last.value { value } else { value - last.value };
            last.time = time;
            last.value = value;
            out.push(time, last.total);
        } else if time == last.time {
            last.value = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_go_on_over_resets_between_chunks() {
        let part = |samples: &[(i64, f64)]| crate::encode_xor(samples.iter().copied()).unwrap();
        let mut reader = CounterReader::new();
        let mut out = Column::new();
        // 10 … 30, a reset inside the window (total 35, true last value 5); then on from 5 to 8, and a reset to 2.
        for samples in [
            &[(10, 10.0), (20, 30.0), (30, 35.0), (30, 5.0)][..],
            &[(31, 5.0), (40, 8.0), (45, f64::NAN), (35, 7.0), (40, 8.0)],
            &[(50, 2.0), (50, 2.0)],
        ] {
            reader.read(Encoding::Xor, &part(samples), &mut out).unwrap();
        }
        let want = [(10, 10.0), (20, 30.0), (30, 35.0), (31, 35.0), (40, 38.0), (50, 40.0)];
        assert_eq!(out.iter().collect::<Vec<_>>(), want);
    }
}
