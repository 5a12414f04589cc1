//! Snappy's block format, written by one who knows where bytes repeat: the work grows with the number of repeats, not with
//! their bytes.

/// The length of the text takes at most so many bytes.
const LENGTH_BYTES: usize = 5;
/// A literal of more has its length in bytes of its own.
const SHORT_LITERAL: usize = 60;
/// The most bytes of one copy.
const COPY_MAX: usize = 64;
/// A copy takes about three bytes: of fewer than this it saves nothing.
pub(super) const COPY_MIN: usize = 4;

/// Room that is made at a time, and what is left of it at least: more than an element and its literal take.
const ROOM: usize = 16 << 10;
const ROOM_MIN: usize = 2 * SHORT_LITERAL;

/// A text, compressed while it grows.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Elements behind room for the length, up to `end`; then room.
    out: Vec<u8>,
    end: usize,
    /// Bytes of the text.
    len: usize,
    /// Bytes of the literal at the end that can grow; 0 = none.
    literal: usize,
    /// A copy that is not written yet: how far back, and how many bytes; 0 = none.
    distance: usize,
    copied: usize,
}

impl Block {
    /// Begins a new text; keeps the memory.
    pub fn clear(&mut self) {
        self.end = LENGTH_BYTES;
        self.make_room(0);
        (self.len, self.literal, self.copied) = (0, 0, 0);
    }

    /// Bytes of the text so far.
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if self.out.len() < self.end + bytes + ROOM_MIN {
            self.out.resize(self.end + bytes + ROOM, 0);
        }
    }

    /// Appends bytes that are new.
    #[inline]
    pub fn literal(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.end_copy();
        self.len += bytes.len();
        self.make_room(bytes.len());
        let joined = self.literal + bytes.len();
        if self.literal > 0 && joined <= SHORT_LITERAL {
            self.out[self.end - self.literal - 1] = (joined as u8 - 1) << 2;
            self.literal = joined;
        } else if bytes.len() <= SHORT_LITERAL {
            self.out[self.end] = (bytes.len() as u8 - 1) << 2;
            self.end += 1;
            self.literal = bytes.len();
        } else {
            self.begin_long(bytes.len());
        }
        copy_short(&mut self.out[self.end..self.end + bytes.len()], bytes);
        self.end += bytes.len();
    }

    /// Writes the tag and the length of a literal that does not grow.
    fn begin_long(&mut self, bytes: usize) {
        let len = (bytes - 1) as u32;
        let len_bytes = (4 - len.leading_zeros() as usize / 8).max(1);
        self.out[self.end] = (SHORT_LITERAL + len_bytes - 1) as u8 * 4;
        self.out[self.end + 1..self.end + 5].copy_from_slice(&len.to_le_bytes());
        self.end += 1 + len_bytes;
        self.literal = 0;
    }

    /// Appends the `len` bytes of the text from `from` on once more.
    #[inline]
    pub fn copy(&mut self, from: usize, len: usize) {
        if len == 0 {
            return;
        }
        if !self.goes_on(from) {
            self.end_copy();
            self.distance = self.len - from;
        }
        self.copied += len;
        self.len += len;
    }

    /// Whether a copy from there goes on with the one before.
    #[inline]
    fn goes_on(&self, from: usize) -> bool {
        self.copied > 0 && self.distance == self.len - from
    }

    /// Appends `new`, which resembles the `old` bytes that the text has from `from` on.
    #[inline]
    pub fn like(&mut self, from: usize, old: &[u8], new: &[u8]) {
        let (front, back) = common(old, new);
        self.patch((from, front), new, (from + old.len() - back, back), COPY_MIN);
    }

    /// Appends `new`, which begins and ends as the text does in two places, each so many bytes; at the end at least
    /// `back_min`.
    #[inline]
    pub fn patch(
        &mut self,
        (front_at, mut front): (usize, usize),
        new: &[u8],
        (back_at, mut back): (usize, usize),
        back_min: usize,
    ) {
        if front >= COPY_MIN || self.goes_on(front_at) {
            self.copy(front_at, front);
        } else {
            front = 0;
        }
        if back < back_min {
            back = 0;
        }
        self.literal(&new[front..new.len() - back]);
        if back > 0 {
            self.copy(back_at, back);
        }
    }

    /// Appends a text of `len` bytes that is compressed already.
    pub fn append(&mut self, len: usize, block: &[u8]) {
        let preamble = block.iter().position(|byte| *byte < 0x80).map_or(block.len(), |last| last + 1);
        let elements = &block[preamble..];
        self.end_copy();
        self.make_room(elements.len());
        self.out[self.end..self.end + elements.len()].copy_from_slice(elements);
        self.end += elements.len();
        self.literal = 0;
        self.len += len;
    }

    #[inline]
    fn end_copy(&mut self) {
        if self.copied > 0 {
            self.write_copy();
        }
    }

    fn write_copy(&mut self) {
        let (mut left, distance) = (std::mem::take(&mut self.copied), self.distance);
        self.literal = 0;
        let [low, high, ..] = (distance as u32).to_le_bytes();
        while left > 0 {
            self.make_room(0);
            let len = left.min(COPY_MAX);
            left -= len;
            let tag = len as u8 - 1;
            let at = self.end;
            if distance >= 0x1_0000 {
                self.out[at] = tag << 2 | 3;
                self.out[at + 1..at + 5].copy_from_slice(&(distance as u32).to_le_bytes());
                self.end += 5;
            } else if distance < 0x800 && (4..=11).contains(&len) {
                self.out[at..at + 2].copy_from_slice(&[high << 5 | (tag - 3) << 2 | 1, low]);
                self.end += 2;
            } else {
                self.out[at..at + 4].copy_from_slice(&[tag << 2 | 2, low, high, 0]);
                self.end += 3;
            }
        }
    }

    /// The text as it is sent. One of 4 GiB cannot be: it is empty then.
    pub fn finish(&mut self) -> bytes::Bytes {
        self.end_copy();
        let Ok(len) = u32::try_from(self.len) else { return bytes::Bytes::new() };
        let mut preamble = Vec::with_capacity(LENGTH_BYTES);
        super::put::varint(&mut preamble, u64::from(len));
        let begin = LENGTH_BYTES - preamble.len();
        self.out[begin..LENGTH_BYTES].copy_from_slice(&preamble);
        bytes::Bytes::copy_from_slice(&self.out[begin..self.end])
    }
}

/// Copies a text to where there is as much room: few bytes in words, which cover each other.
#[inline]
fn copy_short(to: &mut [u8], from: &[u8]) {
    fn halves<const N: usize>(to: &mut [u8], from: &[u8]) {
        let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else { return };
        let begin = to.len() - N;
        to[..N].copy_from_slice(first);
        to[begin..].copy_from_slice(last);
    }
    match from.len() {
        0 => {}
        1 => to[0] = from[0],
        2..4 => halves::<2>(to, from),
        4..8 => halves::<4>(to, from),
        8..=16 => halves::<8>(to, from),
        17..=32 => halves::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// How many bytes two texts have in common at the front, and of the rest at the back.
#[inline]
pub(super) fn common(a: &[u8], b: &[u8]) -> (usize, usize) {
    const WORD: usize = size_of::<u64>();
    let most = a.len().min(b.len());
    let mut front = 0;
    while front < most {
        if let (Some(a), Some(b)) = (a[front..].first_chunk::<WORD>(), b[front..].first_chunk::<WORD>()) {
            let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
            if differing == 0 {
                front += WORD;
                continue;
            }
            front += differing.trailing_zeros() as usize / 8;
            break;
        }
        if a[front] != b[front] {
            break;
        }
        front += 1;
    }
    let (a, b, most) = (&a[front..], &b[front..], most - front);
    let mut back = 0;
    while back < most {
        let (a, b) = (&a[..a.len() - back], &b[..b.len() - back]);
        if let (Some(a), Some(b)) = (a.last_chunk::<WORD>(), b.last_chunk::<WORD>()) {
            let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
            if differing == 0 {
                back += WORD;
                continue;
            }
            back += differing.leading_zeros() as usize / 8;
            break;
        }
        if a[a.len() - 1] != b[b.len() - 1] {
            break;
        }
        back += 1;
    }
    (front, back)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is appended.
    #[derive(Debug, Clone)]
    enum Part {
        Literal(Vec<u8>),
        /// From where, by its share of what is there, and how many bytes.
        Copy(f64, usize),
        Like(f64, usize, Vec<u8>),
        Block(Vec<u8>),
    }

    fn part() -> impl Strategy<Value = Part> {
        let bytes = |most: usize| prop::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..most);
        prop_oneof![
            4 => bytes(80).prop_map(Part::Literal),
            1 => bytes(70_000).prop_map(Part::Literal),
            4 => (0.0..1.0, 0usize..300).prop_map(|(from, len)| Part::Copy(from, len)),
            2 => (0.0..1.0, 0usize..30, bytes(30)).prop_map(|(from, len, new)| Part::Like(from, len, new)),
            1 => bytes(300).prop_map(Part::Block),
        ]
    }

    proptest! {
        #[test]
        fn every_decoder_gets_the_text_back(parts in prop::collection::vec(part(), 0..30)) {
            let (mut block, mut text) = (Block::default(), Vec::new());
            block.clear();
            for part in parts {
                let place = |share: f64| (share * text.len() as f64) as usize;
                match part {
                    Part::Literal(bytes) => {
                        block.literal(&bytes);
                        text.extend(bytes);
                    }
                    Part::Copy(share, len) if !text.is_empty() => {
                        let from = place(share);
                        block.copy(from, len);
                        // It may reach into what it makes.
                        (from..from + len).for_each(|at| text.push(text[at]));
                    }
                    Part::Like(share, len, new) => {
                        let from = place(share);
                        let old = text[from..text.len().min(from + len)].to_vec();
                        block.like(from, &old, &new);
                        text.extend(new);
                    }
                    Part::Block(bytes) => {
                        block.append(bytes.len(), &snap::raw::Encoder::new().compress_vec(&bytes).unwrap());
                        text.extend(bytes);
                    }
                    Part::Copy(..) => {}
                }
                prop_assert_eq!(block.len(), text.len());
            }
            let packed = block.finish();
            prop_assert_eq!(snap::raw::Decoder::new().decompress_vec(&packed).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn common_bytes_are_those_of_a_look_at_each(
            a in prop::collection::vec(0u8..2, 0..40), b in prop::collection::vec(0u8..2, 0..40), same in any::<bool>(),
        ) {
            let b = if same { [&a[..], &b[..], &a[..]].concat() } else { b };
            let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            let rest = a.len().min(b.len()) - front;
            let back = a.iter().rev().zip(b.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(common(&a, &b), (front, back));
        }
    }

    #[test]
    fn what_goes_on_is_one_element() {
        let mut block = Block::default();
        block.clear();
        block.literal(b"abcd");
        block.literal(b"efgh");
        block.copy(0, 5);
        block.copy(5, 3);
        // The length, a literal of eight bytes, a copy of eight.
        assert_eq!(&block.finish()[..], b"\x10\x1cabcdefgh\x11\x08");
    }
}
