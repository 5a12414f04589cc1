//! Samples: `[1435781430.781,"1.5"]`.

use std::ops::Range;

use histogram::FloatHistogram;
use promql::{Grid, StepColumn};

use super::float::{write_float, write_timestamp};
use super::histogram::write_histogram;

/// The times of a grid, each written once and copied for every series: `[1435781430.781,"`.
#[derive(Debug)]
pub(super) struct StepTimes {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl StepTimes {
    /// Of the first `steps` steps.
    pub(super) fn new(grid: Grid, steps: usize) -> Self {
        let mut text = Vec::with_capacity(steps * 20);
        let mut ends = Vec::with_capacity(steps + 1);
        ends.push(0);
        for i in 0..steps {
            text.push(b'[');
            write_timestamp(&mut text, grid.time(i));
            text.extend_from_slice(b",\"");
            ends.push(text.len() as u32);
        }
        Self { text, ends }
    }

    #[inline]
    fn get(&self, i: usize) -> &[u8] {
        &self.text[self.ends[i] as usize..self.ends[i + 1] as usize]
    }

    /// How many times are here.
    pub(super) fn len(&self) -> usize {
        self.ends.len() - 1
    }
}

/// Writes the floats of `column` in the bitmap `words`, each followed by a comma, until `out` is past `full`. Returns
/// the word to go on from.
pub(super) fn write_steps(
    out: &mut Vec<u8>,
    times: &StepTimes,
    column: &StepColumn,
    words: Range<usize>,
    full: usize,
) -> usize {
    let mut word = words.start;
    while word < words.end && out.len() < full {
        let mut rest = column.present[word];
        while rest != 0 {
            let i = word * 64 + rest.trailing_zeros() as usize;
            rest &= rest - 1;
            out.extend_from_slice(times.get(i));
            write_float(out, column.values[i]);
            out.extend_from_slice(b"\"],");
        }
        word += 1;
    }
    word
}

/// `[t,"v"]`.
#[inline]
pub(super) fn write_point(out: &mut Vec<u8>, t_ms: i64, value: f64) {
    out.push(b'[');
    write_timestamp(out, t_ms);
    out.extend_from_slice(b",\"");
    write_float(out, value);
    out.extend_from_slice(b"\"]");
}

/// `[t,{"count":"…","sum":"…","buckets":[…]}]`.
pub(super) fn write_histogram_point(out: &mut Vec<u8>, t_ms: i64, histogram: &FloatHistogram) {
    out.push(b'[');
    write_timestamp(out, t_ms);
    out.push(b',');
    write_histogram(out, histogram);
    out.push(b']');
}
