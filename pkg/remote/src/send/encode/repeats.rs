//! Series of `prometheus.WriteRequest` as Snappy's elements: what a series has in common with the one before is a copy, and
//! so is a label that was there some time before. Such bytes are neither written out nor searched.

use std::ops::Range;

use super::block::{Block, COPY_MIN, common};
use super::put::{label, label_len, text_len, varint_len};
use crate::send::series::Known;

/// A name and a value, by the numbers of their texts.
type Pair = [u32; 2];

/// Labels whose places are remembered; a power of two.
const RECENT: usize = 512;
/// No text has this number.
const NO_PAIR: Pair = [u32::MAX; 2];
/// Where no more bytes of a value changed, they are put between copies of the label before.
const FEW_BYTES: usize = 2;

/// The series before, and labels before that.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// What its message begins with: a key and a length.
    head_at: usize,
    head: Head,
    labels_at: usize,
    labels: Vec<Pair>,
    /// Where each label begins behind `labels_at`, and where the last one ends.
    bounds: Vec<usize>,
    /// Its first sample.
    sample: Sample,
    /// The last one whose value is not left out.
    with_value: Sample,
    /// Labels and where they are in the text, by a hash.
    recent: Vec<(Pair, usize)>,
    /// Where each label ends that the series before does not have, and one written out.
    ends: Vec<usize>,
    written: Vec<u8>,
}

impl Repeats {
    /// Nothing was before; keeps the memory.
    pub fn clear(&mut self) {
        (self.head_at, self.labels_at) = (0, 0);
        self.head = Head::default();
        self.labels.clear();
        self.bounds.clear();
        self.bounds.push(0);
        (self.sample, self.with_value) = (Sample::default(), Sample::default());
        self.recent.clear();
        self.recent.resize(RECENT, (NO_PAIR, 0));
    }

    /// Appends a series with float samples: values and times.
    pub fn series(
        &mut self,
        block: &mut Block,
        known: &Known,
        labels: &[Pair],
        samples: impl Iterator<Item = (f64, i64)> + Clone,
    ) {
        let (gone, changed) = differing(&self.labels, labels);
        let changed = &labels[changed];
        self.ends.clear();
        let mut changed_len = 0;
        for [name, value] in changed {
            let len = label_len(known.symbols.text(*name), known.symbols.text(*value));
            changed_len += 1 + varint_len(len as u64) + len;
            self.ends.push(changed_len);
        }

        let (front_len, back_begin) = (self.bounds[gone.start], self.bounds[gone.end]);
        let back_len = self.bounds[self.labels.len()] - back_begin;
        let time_len = |time_ms: i64| if time_ms == 0 { 0 } else { varint_len(time_ms as u64) };
        let samples_len = samples.clone().map(|(value, time_ms)| sample_len(value.to_bits(), time_len(time_ms)));
        let samples_len: usize = samples_len.sum();
        let head = Head::new(1, front_len + changed_len + back_len + samples_len);

        let head_at = block.len();
        // What ends the head goes on with the first label.
        let (front, back) = common(self.head.bytes(), head.bytes());
        let back_at = self.head_at + self.head.len - back;
        block.patch((self.head_at, front), head.bytes(), (back_at, back), if front_len > 0 { 1 } else { COPY_MIN });
        let labels_at = block.len();
        block.copy(self.labels_at, front_len);
        self.replace(block, known, gone.clone(), changed);
        block.copy(self.labels_at + back_begin, back_len);
        (self.head_at, self.head, self.labels_at) = (head_at, head, labels_at);
        self.note(gone, changed, changed_len);
        self.samples(block, samples);
    }

    /// Appends labels in place of `gone` ones of the series before.
    #[inline]
    fn replace(&mut self, block: &mut Block, known: &Known, gone: Range<usize>, changed: &[Pair]) {
        let is_aligned = gone.len() == changed.len();
        for (n, pair) in changed.iter().enumerate() {
            let slot = &mut self.recent[slot(*pair)];
            let (recent, at) = ((slot.0 == *pair).then_some(slot.1), block.len());
            *slot = (*pair, at);
            let (name, now) = (known.symbols.text(pair[0]), known.symbols.text(pair[1]));
            let place = gone.start + n;
            if is_aligned && self.labels[place][0] == pair[0] {
                let before = known.symbols.text(self.labels[place][1]);
                let (front, back) = common(before.as_bytes(), now.as_bytes());
                if recent.is_none() || (before.len() == now.len() && now.len() - front - back <= FEW_BYTES) {
                    like_label(block, self.labels_at + self.bounds[place], name, (before, now), (front, back));
                    continue;
                }
            }
            match recent {
                Some(from) => {
                    let begin = if n == 0 { 0 } else { self.ends[n - 1] };
                    block.copy(from, self.ends[n] - begin);
                }
                None => {
                    self.written.clear();
                    label(&mut self.written, 1, name, now);
                    block.literal(&self.written);
                }
            }
        }
    }

    /// Notes what the labels are now.
    #[inline]
    fn note(&mut self, gone: Range<usize>, changed: &[Pair], changed_len: usize) {
        let (begin, end) = (self.bounds[gone.start], self.bounds[gone.end]);
        let moved = begin + changed_len;
        if moved != end {
            for bound in &mut self.bounds[gone.end + 1..] {
                *bound = *bound - end + moved;
            }
        }
        if gone.len() == changed.len() {
            for (n, pair) in changed.iter().enumerate() {
                self.bounds[gone.start + 1 + n] = begin + self.ends[n];
                self.labels[gone.start + n] = *pair;
            }
            return;
        }
        self.bounds.splice(gone.start + 1..gone.end + 1, self.ends.iter().map(|end| begin + end));
        self.labels.splice(gone, changed.iter().copied());
    }

    #[inline]
    fn samples(&mut self, block: &mut Block, samples: impl Iterator<Item = (f64, i64)>) {
        let mut before = self.sample;
        for (n, (value, time_ms)) in samples.enumerate() {
            let sample = Sample::new(block.len(), value, time_ms, &before);
            sample.put(block, &before, &self.with_value);
            before = sample;
            if sample.bits != 0 {
                self.with_value = sample;
            }
            if n == 0 {
                self.sample = sample;
            }
        }
    }
}

/// Which labels of two series differ: all but those in common at the front and at the back.
#[inline]
fn differing(old: &[Pair], new: &[Pair]) -> (Range<usize>, Range<usize>) {
    let most = old.len().min(new.len());
    let mut front = 0;
    while front < most && old[front] == new[front] {
        front += 1;
    }
    let (mut old_end, mut new_end) = (old.len(), new.len());
    while old_end > front && new_end > front && old[old_end - 1] == new[new_end - 1] {
        old_end -= 1;
        new_end -= 1;
    }
    (front..old_end, front..new_end)
}

/// Appends a label that has the name of one in the text, but another value, which begins and ends with so many bytes of the
/// one before.
#[inline]
fn like_label(block: &mut Block, from: usize, name: &str, (before, now): (&str, &str), (front, back): (usize, usize)) {
    let name_len = text_len(name);
    let mut value_at = from;
    if before.len() == now.len() {
        // All up to the value is the same.
        let len = label_len(name, now);
        value_at += 1 + varint_len(len as u64) + len - now.len();
        block.copy(from, value_at - from);
    } else {
        let (old, new) = (Head::new(1, label_len(name, before)), Head::new(1, label_len(name, now)));
        block.like(from, old.bytes(), new.bytes());
        value_at += old.len;
        block.copy(value_at, name_len);
        value_at += name_len;
        let (old, new) = (Head::new(2, before.len()), Head::new(2, now.len()));
        block.like(value_at, old.bytes(), new.bytes());
        value_at += old.len;
    }
    block.patch((value_at, front), now.as_bytes(), (value_at + before.len() - back, back), COPY_MIN);
}

#[inline]
fn slot([name, value]: Pair) -> usize {
    let hash = name.wrapping_mul(0x9e37_79b1) ^ value.wrapping_mul(0x85eb_ca6b);
    hash as usize >> (u32::BITS - RECENT.trailing_zeros())
}

/// What begins a text or a message in one: a key, and a length.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Head {
    const BYTES_MAX: usize = 1 + 10;

    #[inline]
    fn new(field: u8, len: usize) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[0] = field << 3 | 2;
        let len = put_varint(&mut bytes, 1, len as u64);
        Self { bytes, len }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Writes a varint at a place; where it ends.
#[inline]
fn put_varint(bytes: &mut [u8], mut at: usize, mut value: u64) -> usize {
    while value >= 0x80 {
        bytes[at] = value as u8 | 0x80;
        at += 1;
        value >>= 7;
    }
    bytes[at] = value as u8;
    at + 1
}

/// A float sample in the text.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    at: usize,
    bits: u64,
    time_ms: i64,
    /// The time as a varint, the first byte lowest, and how many bytes it takes: 0 where the time is left out.
    time: u128,
    time_len: usize,
    /// All of it; 0 = there is none.
    len: usize,
}

impl Sample {
    /// For all bytes, though a time is written as if it took sixteen.
    const ROOM: usize = 32;

    /// The time of `before` is likely to be the same.
    #[inline]
    fn new(at: usize, value: f64, time_ms: i64, before: &Self) -> Self {
        let bits = value.to_bits();
        let (time, time_len) = match time_ms {
            0 => (0, 0),
            _ if time_ms == before.time_ms => (before.time, before.time_len),
            _ => packed_varint(time_ms as u64),
        };
        Self { at, bits, time_ms, time, time_len, len: sample_len(bits, time_len) }
    }

    /// Writes all bytes: a key, the length of the rest, the value and the time with keys of theirs; what is zero is left out.
    #[inline]
    fn write(&self, bytes: &mut [u8; Self::ROOM]) {
        bytes[..2].copy_from_slice(&[2 << 3 | 2, self.len as u8 - 2]);
        let mut at = 2;
        if self.bits != 0 {
            bytes[at] = 1 << 3 | 1;
            bytes[at + 1..at + 9].copy_from_slice(&self.bits.to_le_bytes());
            at += 9;
        }
        if self.time_len > 0 {
            bytes[at] = 2 << 3;
            bytes[at + 1..at + 17].copy_from_slice(&self.time.to_le_bytes());
        }
    }

    /// Appends it: the times are mostly those of the sample before, and values begin with the same bytes.
    #[inline]
    fn put(&self, block: &mut Block, before: &Self, with_value: &Self) {
        let mut bytes = [0; Self::ROOM];
        self.write(&mut bytes);
        let new = &bytes[..self.len];
        // Of a double and a varint the last bytes are the high ones.
        let back = match (self.time_ms == before.time_ms, self.bits == 0 || before.bits == 0) {
            _ if before.len == 0 => 0,
            (true, true) => self.time_part(),
            (true, false) => self.time_part() + ((self.bits ^ before.bits).leading_zeros() / 8) as usize,
            (false, _) if self.time_len != before.time_len => 0,
            (false, _) => ((self.time ^ before.time).leading_zeros() / 8) as usize + self.time_len - 16,
        };
        // The length must be the same too.
        let model = if self.bits != 0 && before.len != self.len { with_value } else { before };
        let front = match model.len == self.len {
            true if self.bits == 0 && model.bits == 0 => 2,
            _ if self.bits == 0 || model.bits == 0 => 0,
            true => 3 + ((self.bits ^ model.bits).trailing_zeros() / 8) as usize,
            false => 0,
        };
        let front = front.min(self.len - back.min(self.len));
        let back = back.min(self.len - front);
        block.patch((model.at, front), new, (before.at + before.len - back, back), COPY_MIN);
    }

    fn time_part(&self) -> usize {
        if self.time_len == 0 { 0 } else { 1 + self.time_len }
    }
}

/// A varint in a word, its first byte lowest, and how many bytes it takes.
fn packed_varint(mut value: u64) -> (u128, usize) {
    let (mut word, mut len) = (0, 0);
    while value >= 0x80 {
        word |= u128::from(value as u8 | 0x80) << (8 * len);
        len += 1;
        value >>= 7;
    }
    (word | u128::from(value) << (8 * len), len + 1)
}

/// How many bytes a sample takes with a value of these bits, and a time of so many bytes.
#[inline]
fn sample_len(bits: u64, time_len: usize) -> usize {
    let value_part = if bits == 0 { 0 } else { 9 };
    let time_part = if time_len == 0 { 0 } else { 1 + time_len };
    2 + value_part + time_part
}
