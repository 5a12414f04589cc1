//! Label sets told by what differs from the set before. Neighbours in an answer share most of their labels, since it is
//! sorted: what they share is neither written nor read again, nor checked for UTF-8.
//!
//! A set: `uvarint count of labels`, then until there are so many: `uvarint n`, the next n labels are those of the set
//! before at the same places; then, unless that are all, one label: `uvarint name`, 0 where the name is that of the label
//! before at this place, else the length of the name and 1; `uvarint length of the value`; the name, the value.

use labels::{Labels, LabelsError, SortedBuilder};
use storage::{Error, Result};

use crate::series_encode::{put_varint, set_varint};

/// The header by which a client says that it reads such sets, and in which form.
pub(crate) const ACCEPTED: (&str, &str) = ("aion-label-deltas", "1");
/// In `SeriesResponse`: a batch of series whose labels are told so. Others skip the field.
pub(crate) const BATCH_FIELD: u64 = 1000;
/// No set has more labels.
const LABELS_MAX: usize = 1 << 16;

/// Writes sets, one after the other.
#[derive(Debug, Default)]
pub(crate) struct DeltaWriter {
    before: Labels,
}

impl DeltaWriter {
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, labels: &Labels) {
        let start = out.len();
        let mut count = 0;
        // Where their number is written, which is known behind them.
        out.push(0);
        let mut before = self.before.iter_bytes();
        let mut same = 0;
        for (name, value) in labels.iter_bytes() {
            count += 1;
            let old = before.next();
            if old == Some((name, value)) {
                same += 1;
                continue;
            }
            put_varint(out, same);
            same = 0;
            let is_same_name = old.is_some_and(|(old, _)| old == name);
            put_varint(out, if is_same_name { 0 } else { name.len() as u64 + 1 });
            put_varint(out, value.len() as u64);
            if !is_same_name {
                out.extend_from_slice(name);
            }
            out.extend_from_slice(value);
        }
        if same > 0 {
            put_varint(out, same);
        }
        set_varint(out, start, 1, count);
        self.before = labels.clone();
    }
}

/// Reads sets, one after the other.
#[derive(Debug, Default)]
pub(crate) struct DeltaReader {
    labels: SortedBuilder,
}

/// Reads within one set.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt(format!("labels of {} bytes: offset {}: {what}", self.bytes.len(), self.at))
    }

    #[inline]
    fn number(&mut self) -> Result<usize> {
        let mut value = 0u64;
        for (i, byte) in self.bytes[self.at..].iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.at += i + 1;
                return usize::try_from(value).map_err(|_| self.corrupt("number is too large"));
            }
        }
        Err(self.corrupt("number is cut or too long"))
    }

    fn text(&mut self, len: usize) -> Result<&'a str> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(self.corrupt("text is longer than the set")) };
        let text = std::str::from_utf8(&self.bytes[self.at..end]).map_err(|_| self.corrupt("text is not UTF-8"))?;
        self.at = end;
        Ok(text)
    }
}

impl DeltaReader {
    /// Reads the set in `bytes`, which is the next after the one that was read before.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is none.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Labels> {
        let labels = &mut self.labels;
        labels.clear();
        let mut cursor = Cursor { bytes, at: 0 };
        let count = cursor.number()?;
        // Each label takes a byte, or is of the set before.
        if count > LABELS_MAX.min(labels.places().saturating_add(bytes.len())) {
            return Err(cursor.corrupt("more labels than there can be"));
        }
        let ordered = |pushed: std::result::Result<(), LabelsError>| pushed.map_err(|e| Error::Corrupt(e.to_string()));
        let mut place = 0;
        while place < count {
            let same = cursor.number()?;
            place = match place.checked_add(same) {
                Some(next) if next <= count && (same == 0 || next <= labels.places()) => next,
                _ => return Err(cursor.corrupt("more labels of the set before than it has")),
            };
            ordered(labels.repeat(same))?;
            if place == count {
                break;
            }
            let (name_len, value_len) = (cursor.number()?, cursor.number()?);
            match name_len.checked_sub(1) {
                Some(len) => {
                    let (name, value) = (cursor.text(len)?, cursor.text(value_len)?);
                    ordered(labels.push(name, value))?;
                }
                None if place < labels.places() => ordered(labels.push_value(cursor.text(value_len)?))?,
                None => return Err(cursor.corrupt("a name of a label that the set before does not have")),
            }
            place += 1;
        }
        if cursor.at < bytes.len() {
            return Err(cursor.corrupt("bytes behind the last label"));
        }
        Ok(labels.finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(sets: &[Vec<u8>]) -> Result<Vec<Labels>> {
        let mut reader = DeltaReader::default();
        sets.iter().map(|set| reader.read(set)).collect()
    }

    fn write_all(sets: &[Labels]) -> Vec<Vec<u8>> {
        let mut writer = DeltaWriter::default();
        let write = |labels| {
            let mut out = Vec::new();
            writer.put(&mut out, labels);
            out
        };
        sets.iter().map(write).collect()
    }

    #[test]
    fn neighbours_cost_what_differs() {
        let set = |pod: &str| Labels::from_pairs([("__name__", "up"), ("cluster", "eu"), ("pod", pod), ("zone", "a")]);
        let sets = [set("pod-1"), set("pod-2"), set("pod-2"), Labels::empty(), set("pod-1")];
        let written = write_all(&sets);
        assert_eq!(written[1], b"\x04\x02\x00\x05pod-2\x01");
        assert_eq!((&written[2][..], &written[3][..]), (&b"\x04\x04"[..], &b"\x00"[..]));
        assert_eq!(read_all(&written).unwrap(), sets);
    }

    #[test]
    fn very_many_labels() {
        let set = |count| Labels::from_pairs((0..count).map(|i| (format!("l{i:04}"), format!("{i}"))));
        let sets = [127, 128, 300, 128, 20_000, 1].map(set);
        assert_eq!(read_all(&write_all(&sets)).unwrap(), sets);
    }

    #[test]
    fn nonsense_is_refused() {
        for set in [
            &b""[..],
            b"\x80",
            b"\x80\x80\x80\x80\x80\x01",
            b"\x01",
            b"\x01\x01",
            b"\x01\x00",
            // The name of a label before, of which there is none.
            b"\x01\x00\x00\x01a",
            b"\x01\x00\x02\x01a",
            b"\x01\x00\x02\x01\xffb",
            b"\x01\x00\x02\x01a\xff",
            b"\x01\x00\x02\x01abc",
            b"\xff\xff\x03\x00",
            // Twice the same name.
            b"\x02\x00\x02\x01a1\x00\x02\x01a1",
        ] {
            assert!(read_all(&[set.to_vec()]).is_err(), "{set:?}");
        }
        let one = b"\x01\x00\x02\x01a1".to_vec();
        assert!(read_all(&[one.clone(), b"\x02\x02".to_vec()]).is_err());
        assert_eq!(read_all(&[one, b"\x01\x01".to_vec()]).unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            sets in proptest::collection::vec(
                proptest::collection::btree_map("[a-c]{1,2}", "[x-zä]{1,2}", 0..6), 0..20),
        ) {
            let sets: Vec<Labels> = sets.into_iter().map(Labels::from_pairs).collect();
            prop_assert_eq!(read_all(&write_all(&sets)).unwrap(), sets);
        }

        #[test]
        fn any_bytes_are_read_or_refused(sets in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..30), 0..6)) {
            _ = read_all(&sets);
        }
    }
}
