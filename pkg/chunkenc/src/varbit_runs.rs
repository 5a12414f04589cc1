//! Integers stored by the change of their change, many side by side: several short codes are read at a time.

use crate::bits::BitReader;

/// Bits that are looked up at a time.
const LOOKUP_BITS: u32 = 10;
/// Codes that one lookup finds at most.
const CODES: usize = 8;
/// Integers whose changes are gathered before they are added.
const BLOCK: usize = 128;

/// What the first bits hold: changes, how many of them, and the bits that their codes take.
struct Table {
    changes: [[i8; CODES]; 1 << LOOKUP_BITS],
    sizes: [(u8, u8); 1 << LOOKUP_BITS],
}

/// Codes of 1, 5 and 9 bits, as far as they lie in the bits looked up and are the shortest ones of their changes.
static TABLE: Table = {
    let mut table = Table { changes: [[0; CODES]; 1 << LOOKUP_BITS], sizes: [(0, 0); 1 << LOOKUP_BITS] };
    let mut bits = 0;
    while bits < 1 << LOOKUP_BITS {
        let (mut codes, mut used) = (0, 0);
        while codes < CODES {
            let Some((change, len)) = short_code(bits << used & ((1 << LOOKUP_BITS) - 1)) else { break };
            if used + len > LOOKUP_BITS {
                break;
            }
            table.changes[bits as usize][codes] = change;
            codes += 1;
            used += len;
        }
        table.sizes[bits as usize] = (codes as u8, used as u8);
        bits += 1;
    }
    table
};

/// The change that the code at the top of [`LOOKUP_BITS`] bits stands for, and its bits.
const fn short_code(bits: u32) -> Option<(i8, u32)> {
    let (width, len) = match bits >> (LOOKUP_BITS - 3) {
        0..=3 => return Some((0, 1)),
        4 | 5 => (3, 5),
        6 => (6, 9),
        _ => return None,
    };
    let raw = (bits >> (LOOKUP_BITS - len)) as i32 & ((1 << width) - 1);
    let change = (if raw <= 1 << (width - 1) { raw } else { raw - (1 << width) }) as i8;
    if code_bits(change) == len { Some((change, len)) } else { None }
}

/// The bits of the shortest code of a change between −31 and 32.
const fn code_bits(change: i8) -> u32 {
    match change {
        0 => 1,
        -3..=4 => 5,
        _ => 9,
    }
}

/// Reads a code for each integer: by how much its change differs from the one before. `deltas` are the changes, and as many
/// as there are `values`.
pub(crate) fn advance(bits: &mut BitReader<'_>, deltas: &mut [i64], values: &mut [i64]) {
    // A reader of its own stays in registers.
    let mut own = *bits;
    for (deltas, values) in deltas.chunks_mut(BLOCK).zip(values.chunks_mut(BLOCK)) {
        let mut changes = [0i8; BLOCK + CODES];
        gather(&mut own, deltas, &mut changes);
        for ((delta, value), change) in deltas.iter_mut().zip(values).zip(&changes) {
            *delta = delta.wrapping_add(i64::from(*change));
            *value = value.wrapping_add(*delta);
        }
    }
    *bits = own;
}

/// Reads a change for each of at most [`BLOCK`] deltas. Those of long codes are added at once, and 0 left in their place.
#[inline(always)]
fn gather(bits: &mut BitReader<'_>, deltas: &mut [i64], changes: &mut [i8; BLOCK + CODES]) {
    let (mut at, all) = (0, deltas.len());
    while at < all {
        let mut word = bits.peek();
        // At least 57 bits of a word are valid.
        for _ in 0..57 / LOOKUP_BITS {
            let found = (word >> (64 - LOOKUP_BITS)) as usize;
            let (codes, len) = TABLE.sizes[found];
            if codes == 0 {
                deltas[at] = deltas[at].wrapping_add(bits.varbit_int());
                changes[at] = 0;
                at += 1;
                break;
            }
            // Those behind the last code are overwritten.
            let Some(place) = changes[at..].first_chunk_mut::<CODES>() else { return };
            *place = TABLE.changes[found];
            if at + usize::from(codes) >= all {
                // What is behind the last one belongs to others.
                bits.skip(changes[at..all].iter().map(|change| code_bits(*change)).sum());
                return;
            }
            at += usize::from(codes);
            word <<= len;
            bits.skip(u32::from(len));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bits::BitWriter;

    /// Both ways over the same bits.
    fn check(bytes: &[u8], count: usize) {
        let (mut fast, mut plain) = (BitReader::new(bytes), BitReader::new(bytes));
        let start = |i: usize| (i as i64 * 7 - 3, i as i64);
        let (mut deltas, mut values): (Vec<i64>, Vec<i64>) = (0..count).map(start).unzip();
        advance(&mut fast, &mut deltas, &mut values);
        for i in 0..count {
            let (mut delta, mut value) = start(i);
            delta = delta.wrapping_add(plain.varbit_int());
            value = value.wrapping_add(delta);
            assert_eq!((deltas[i], values[i]), (delta, value), "{i}");
        }
        assert_eq!(fast.position(), plain.position());
    }

    proptest! {
        #[test]
        fn codes_of_all_lengths(
            changes in proptest::collection::vec(prop_oneof![
                4 => Just(0i64),
                4 => -5i64..6,
                2 => -40i64..40,
                1 => -3000i64..3000,
                1 => any::<i64>(),
            ], 0..300),
        ) {
            let mut writer = BitWriter::default();
            changes.iter().for_each(|change| writer.varbit_int(*change));
            check(&writer.to_vec(), changes.len());
        }

        /// Codes that no writer makes, and an end before the last one.
        #[test]
        fn any_bits(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0usize..300) {
            check(&bytes, count);
        }
    }
}
