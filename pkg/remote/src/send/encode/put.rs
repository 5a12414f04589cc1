//! Fields of protobuf messages, written one behind the other.

/// Appends a varint.
#[inline]
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a varint takes.
#[inline]
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A field of a varint; zero is left out, which says the same.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3);
        varint(out, value);
    }
}

/// A field of a number with a sign, folded so that small ones are short.
#[inline]
pub(super) fn zigzag_number(out: &mut Vec<u8>, field: u8, value: i64) {
    number(out, field, zigzag(value));
}

#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A field of a double; its bits are kept. Positive zero is left out.
#[inline]
pub(super) fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    if value.to_bits() != 0 {
        always_double(out, field, value);
    }
}

/// The same where even zero is written: for fields of which one is chosen.
#[inline]
pub(super) fn always_double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of bytes: a text or a message. Field numbers are below 32, all take at most two bytes.
#[inline]
pub(super) fn part(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    key(out, field);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The key of a field of bytes.
#[inline]
pub(super) fn key(out: &mut Vec<u8>, field: u8) {
    varint(out, u64::from(field) << 3 | 2);
}

/// A field of a varint whose number does not fit one byte.
#[inline]
pub(super) fn high_number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        varint(out, u64::from(field) << 3);
        varint(out, value);
    }
}

/// A message with two texts in fields 1 and 2: a label.
#[inline]
pub(super) fn label(out: &mut Vec<u8>, field: u8, name: &str, value: &str) {
    key(out, field);
    varint(out, label_len(name, value) as u64);
    part(out, 1, name.as_bytes());
    part(out, 2, value.as_bytes());
}

/// How many bytes the message of a label takes.
#[inline]
pub(super) fn label_len(name: &str, value: &str) -> usize {
    text_len(name) + text_len(value)
}

/// How many bytes a text takes in a field of a low number.
#[inline]
pub(super) fn text_len(text: &str) -> usize {
    1 + varint_len(text.len() as u64) + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_what_is_written() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), 1 << 62, u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
        assert_eq!((zigzag(0), zigzag(-1), zigzag(1), zigzag(i64::MIN)), (0, 1, 2, u64::MAX));
    }
}
