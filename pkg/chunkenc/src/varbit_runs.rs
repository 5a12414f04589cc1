//! Integers stored by the change of their change, many side by side: several short codes are read at a time.

use std::ops::Range;

use crate::bits::BitReader;

/// Bits that are looked up at a time.
const LOOKUP_BITS: u32 = 13;
/// Codes that one lookup finds at most.
const CODES: usize = 8;
/// Changes that are gathered before they are added.
const BLOCK: usize = 128;
/// Looks into one word. Of one that was read ahead of the last look before, 57 − 13 bits are valid.
const LOOKS: usize = 3;
/// So many zero bits in a row are taken at one time.
const ZEROS: u32 = 24;
/// The most that are.
const ZEROS_MAX: usize = 57;

/// What the first bits hold: the codes that lie in them as a whole. In arrays of their own, so that what each next look
/// waits for is small.
struct Table {
    /// Where the last one ends, and six bits higher how many codes there are.
    sizes: [u16; 1 << LOOKUP_BITS],
    /// What they stand for; zeros behind the last one.
    changes: [[i16; CODES]; 1 << LOOKUP_BITS],
    /// Four bits for each of them: where it ends.
    ends: [u32; 1 << LOOKUP_BITS],
}

/// Codes of 1, 5, 9 and 13 bits.
static TABLE: Table = {
    let mut table =
        Table { sizes: [0; 1 << LOOKUP_BITS], changes: [[0; CODES]; 1 << LOOKUP_BITS], ends: [0; 1 << LOOKUP_BITS] };
    let mut bits = 0;
    while bits < 1 << LOOKUP_BITS {
        let (mut codes, mut end) = (0, 0);
        while codes < CODES {
            let Some((change, len)) = short_code((bits << end) as u32 & ((1 << LOOKUP_BITS) - 1)) else { break };
            if end + len > LOOKUP_BITS {
                break;
            }
            end += len;
            table.changes[bits][codes] = change;
            table.ends[bits] |= end << (4 * codes);
            codes += 1;
        }
        table.sizes[bits] = (codes << 6) as u16 | end as u16;
        bits += 1;
    }
    table
};

/// The change that the code at the top of [`LOOKUP_BITS`] bits stands for, and its bits.
const fn short_code(bits: u32) -> Option<(i16, u32)> {
    let (width, len) = match bits >> (LOOKUP_BITS - 4) {
        0..=7 => return Some((0, 1)),
        8..=11 => (3, 5),
        12 | 13 => (6, 9),
        14 => (9, 13),
        _ => return None,
    };
    let raw = (bits >> (LOOKUP_BITS - len)) as i32 & ((1 << width) - 1);
    Some(((if raw <= 1 << (width - 1) { raw } else { raw - (1 << width) }) as i16, len))
}

/// The largest change of a short code.
const SHORT_MAX: i64 = 256;
/// Up to here values and changes are taken into narrow integers.
const NARROW_MAX: i64 = 1 << 30;

/// Integers, and by how much each changed last.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    integers: Integers,
    changes: Box<Changes>,
}

/// Narrow ones as long as it is certain that they fit: twice as many are added at a time.
#[derive(Debug)]
enum Integers {
    Narrow {
        values: Vec<i32>,
        deltas: Vec<i32>,
        /// No value is larger, whichever sign it has.
        value_max: i64,
        /// No delta is.
        delta_max: i64,
    },
    Wide {
        values: Vec<i64>,
        deltas: Vec<i64>,
    },
}

impl Default for Integers {
    fn default() -> Self {
        Self::Narrow { values: Vec::new(), deltas: Vec::new(), value_max: 0, delta_max: 0 }
    }
}

/// The changes of a block of integers.
#[derive(Debug)]
struct Changes {
    /// Those of short codes; 0 in the place of others.
    short: [i16; BLOCK + CODES],
    /// The others, and which integer each belongs to.
    long: Vec<(usize, i64)>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { short: [0; BLOCK + CODES], long: Vec::new() }
    }
}

impl Runs {
    /// Makes it `count` integers, of which those that are new are 0.
    pub(crate) fn resize(&mut self, count: usize) {
        if self.integers.len() != count {
            self.integers.resize(count);
        }
    }

    /// Reads the integers themselves, a code for each.
    pub(crate) fn read(&mut self, bits: &mut BitReader<'_>) {
        (0..self.integers.len()).for_each(|at| self.integers.set(at, bits.varbit_int()));
    }

    /// Reads a code for each integer: by how much its change differs from the one before.
    pub(crate) fn advance(&mut self, bits: &mut BitReader<'_>) {
        let all = self.integers.len();
        for from in (0..all).step_by(BLOCK) {
            let count = (all - from).min(BLOCK);
            self.changes.gather(bits, count);
            self.integers.add(from, count, &self.changes);
        }
    }

    /// Appends, for each of the integers in `range`, the sum of those up to it; nothing where there are none yet.
    pub(crate) fn running_sums(&self, range: Range<usize>, out: &mut Vec<f64>) {
        match &self.integers {
            Integers::Narrow { values, .. } => {
                add_up(values.get(range).unwrap_or_default().iter().map(|v| i64::from(*v)), out);
            }
            Integers::Wide { values, .. } => add_up(values.get(range).unwrap_or_default().iter().copied(), out),
        }
    }
}

fn add_up(values: impl Iterator<Item = i64>, out: &mut Vec<f64>) {
    let mut total = 0i64;
    out.extend(values.map(|value| {
        total = total.wrapping_add(value);
        total as f64
    }));
}

impl Integers {
    fn len(&self) -> usize {
        match self {
            Self::Narrow { values, .. } => values.len(),
            Self::Wide { values, .. } => values.len(),
        }
    }

    fn resize(&mut self, count: usize) {
        match self {
            Self::Narrow { values, deltas, .. } => {
                values.resize(count, 0);
                deltas.resize(count, 0);
            }
            Self::Wide { values, deltas } => {
                values.resize(count, 0);
                deltas.resize(count, 0);
            }
        }
    }

    fn set(&mut self, at: usize, value: i64) {
        if !(-NARROW_MAX..=NARROW_MAX).contains(&value) {
            self.widen();
        }
        match self {
            Self::Narrow { values, value_max, .. } => {
                values[at] = value as i32;
                *value_max = (*value_max).max(value.abs());
            }
            Self::Wide { values, .. } => values[at] = value,
        }
    }

    fn add(&mut self, from: usize, count: usize, changes: &Changes) {
        if let Self::Narrow { value_max, delta_max, .. } = self {
            let change = changes.long.iter().fold(SHORT_MAX, |max, (_, change)| max.max(change.saturating_abs()));
            *delta_max = delta_max.saturating_add(change);
            *value_max = value_max.saturating_add(*delta_max);
            if *value_max > i64::from(i32::MAX) {
                self.widen();
            }
        }
        let all = from..from + count;
        match self {
            Self::Narrow { values, deltas, .. } => {
                let (values, deltas) = (&mut values[all.clone()], &mut deltas[all]);
                changes.long.iter().for_each(|(at, change)| deltas[*at] += *change as i32);
                for ((value, delta), change) in values.iter_mut().zip(deltas).zip(&changes.short) {
                    *delta += i32::from(*change);
                    *value += *delta;
                }
            }
            Self::Wide { values, deltas } => {
                let (values, deltas) = (&mut values[all.clone()], &mut deltas[all]);
                changes.long.iter().for_each(|(at, change)| deltas[*at] = deltas[*at].wrapping_add(*change));
                for ((value, delta), change) in values.iter_mut().zip(deltas).zip(&changes.short) {
                    *delta = delta.wrapping_add(i64::from(*change));
                    *value = value.wrapping_add(*delta);
                }
            }
        }
    }

    #[cold]
    fn widen(&mut self) {
        if let Self::Narrow { values, deltas, .. } = self {
            let wide = |all: &[i32]| all.iter().map(|v| i64::from(*v)).collect();
            *self = Self::Wide { values: wide(values), deltas: wide(deltas) };
        }
    }
}

impl Changes {
    /// Reads a change for each of `count` integers, at most [`BLOCK`].
    #[inline(always)]
    fn gather(&mut self, bits: &mut BitReader<'_>, count: usize) {
        // A reader of its own stays in registers.
        let mut own = *bits;
        let mut at = 0;
        self.long.clear();
        let mut word = own.peek();
        'words: while at < count {
            // Most histograms rest most of the time.
            if word >> (64 - ZEROS) == 0 {
                let zeros = own.peek().leading_zeros().min((count - at).min(ZEROS_MAX) as u32);
                self.short[at..at + zeros as usize].fill(0);
                at += zeros as usize;
                own.skip(zeros);
                word = own.peek();
                continue;
            }
            let mut ahead = word;
            for look in 0..LOOKS {
                let found = (word >> (64 - LOOKUP_BITS)) as usize;
                let size = TABLE.sizes[found];
                // Those behind the last code are overwritten.
                let Some(place) = self.short[at..].first_chunk_mut::<CODES>() else { break 'words };
                *place = TABLE.changes[found];
                let codes = usize::from(size >> 6);
                if at + codes >= count {
                    // What is behind the last one belongs to others.
                    own.skip(TABLE.ends[found] >> (4 * (count - at - 1)) & 0xf);
                    break 'words;
                }
                if codes == 0 {
                    self.long.push((at, own.varbit_int()));
                    at += 1;
                    word = own.peek();
                    continue 'words;
                }
                at += codes;
                if look + 1 == LOOKS {
                    // While the last look is still awaited.
                    ahead = own.peek();
                }
                word = word.wrapping_shl(u32::from(size));
                own.skip(u32::from(size & 0x3f));
                ahead = ahead.wrapping_shl(u32::from(size));
            }
            word = ahead;
        }
        *bits = own;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bits::BitWriter;

    /// Both ways over the same bits, as many samples as they hold.
    fn check(bytes: &[u8], count: usize, samples: usize) {
        let (mut fast, mut plain) = (BitReader::new(bytes), BitReader::new(bytes));
        let mut runs = Runs::default();
        runs.resize(count);
        runs.read(&mut fast);
        let mut values: Vec<i64> = (0..count).map(|_| plain.varbit_int()).collect();
        let mut deltas = vec![0i64; count];
        for sample in 0..samples {
            runs.advance(&mut fast);
            for (delta, value) in deltas.iter_mut().zip(&mut values) {
                *delta = delta.wrapping_add(plain.varbit_int());
                *value = value.wrapping_add(*delta);
            }
            let got = match &runs.integers {
                Integers::Narrow { values, .. } => values.iter().map(|v| i64::from(*v)).collect(),
                Integers::Wide { values, .. } => values.clone(),
            };
            assert_eq!(got, values, "{sample}");
            assert_eq!(fast.position(), plain.position());
        }
    }

    proptest! {
        #[test]
        fn codes_of_all_lengths(
            changes in proptest::collection::vec(prop_oneof![
                8 => Just(0i64),
                8 => -5i64..6,
                4 => -40i64..40,
                2 => -3000i64..3000,
                1 => -1_500_000_000i64..1_500_000_000,
            ], 0..600),
            huge in proptest::option::of((any::<proptest::sample::Index>(), any::<i64>())),
            samples in 1usize..5,
        ) {
            let mut changes = changes;
            if let Some((at, change)) = huge && !changes.is_empty() {
                let at = at.index(changes.len());
                changes[at] = change;
            }
            let mut writer = BitWriter::default();
            changes.iter().for_each(|change| writer.varbit_int(*change));
            check(&writer.to_vec(), changes.len() / (samples + 1), samples);
        }

        /// Codes that no writer makes, and an end before the last one.
        #[test]
        fn any_bits(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0usize..300, samples in 0usize..5) {
            check(&bytes, count, samples);
        }
    }

    #[test]
    fn values_that_outgrow_narrow_integers() {
        let mut writer = BitWriter::default();
        writer.varbit_int(1 << 30);
        writer.varbit_int(-(1 << 30));
        for change in [1 << 29, 1 - (1 << 29), 0, 0, 1, -1, -(1 << 30), 1 << 30] {
            writer.varbit_int(change);
        }
        check(&writer.to_vec(), 2, 4);
    }
}
