//! Mutations of well-formed inputs, the same ones for the same seed.

/// Longest mutated input, in bytes.
const BYTES_MAX: usize = 16 << 10;

/// Values that are often one too many.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x0001_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x0001_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Makes inputs.
#[derive(Debug)]
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    /// Words of the seeds, if these are text.
    words: Vec<Vec<u8>>,
    random: u64,
}

impl Mutator {
    /// From these inputs; the same `seed` gives the same mutations.
    pub fn new(seeds: Vec<Vec<u8>>, seed: u64) -> Self {
        let mut words = Vec::new();
        for text in seeds.iter().filter_map(|s| std::str::from_utf8(s).ok()) {
            for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                words.push(word.as_bytes().to_vec());
                if word.len() > 1 {
                    words.push(word.as_bytes()[word.len() - 1..].to_vec());
                }
            }
        }
        words.sort();
        words.dedup();
        Self { seeds, words, random: seed ^ 0x9e37_79b9_7f4a_7c15 }
    }

    fn next(&mut self) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// 0 to `n`, exclusive; 0 for none.
    fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    /// One of the inputs, mutated.
    pub fn mutated(&mut self) -> Vec<u8> {
        if self.seeds.is_empty() {
            return Vec::new();
        }
        let seed = self.below(self.seeds.len());
        let mut data = self.seeds[seed].clone();
        for _ in 0..1 + self.below(4) {
            self.mutate(&mut data);
        }
        data.truncate(BYTES_MAX);
        data
    }

    fn mutate(&mut self, data: &mut Vec<u8>) {
        let at = self.below(data.len() + 1);
        let len = 1 + self.below(16);
        let end = (at + len).min(data.len());
        match self.below(if self.words.is_empty() { 10 } else { 13 }) {
            0 if at < data.len() => data[at] ^= 1 << self.below(8),
            1 if at < data.len() => data[at] = self.next() as u8,
            2 => data.truncate(at),
            3 => drop(data.drain(at..end)),
            4 => {
                let bytes: Vec<_> = (0..len).map(|_| self.next() as u8).collect();
                data.splice(at..at, bytes);
            }
            5 => {
                let part = data[at..end].to_vec();
                let to = self.below(data.len() + 1);
                data.splice(to..to, part);
            }
            6 => {
                // The head of one, the tail of another.
                let other = &self.seeds[(self.random >> 7) as usize % self.seeds.len()];
                let tail = other[at.min(other.len())..].to_vec();
                data.truncate(at);
                data.extend(tail);
            }
            7 => {
                let number = self.number(data.len());
                let bytes = number.to_be_bytes();
                let width = [1, 2, 4, 8][self.below(4)];
                overwrite(data, at, &bytes[8 - width..]);
            }
            8 => {
                let mut number = self.number(data.len());
                let mut bytes = Vec::new();
                while number >= 0x80 {
                    bytes.push(number as u8 | 0x80);
                    number >>= 7;
                }
                bytes.push(number as u8);
                // Instead of a number of one byte, or between.
                let end = if self.below(2) == 0 { (at + 1).min(data.len()) } else { at };
                data.splice(at..end, bytes);
            }
            9 => {
                // Once more the whole, as in a list.
                let part = data.clone();
                let times = 1 + self.below(3);
                for _ in 0..times {
                    if data.len() < BYTES_MAX {
                        data.splice(at..at, part.iter().copied());
                    }
                }
            }
            10..13 => {
                let word = self.below(self.words.len());
                let word = self.words[word].clone();
                let end = if self.below(2) == 0 { end } else { at };
                data.splice(at..end, word);
            }
            _ => {}
        }
    }

    fn number(&mut self, len: usize) -> u64 {
        match self.below(3) {
            0 => NUMBERS[self.below(NUMBERS.len())],
            1 => NUMBERS[self.below(NUMBERS.len())].wrapping_sub(self.next() % 4),
            _ => self.next() % (2 * len as u64 + 1),
        }
    }
}

fn overwrite(data: &mut [u8], at: usize, bytes: &[u8]) {
    for (slot, byte) in data.iter_mut().skip(at).zip(bytes) {
        *slot = *byte;
    }
}
