//! Sets of symbol numbers, one bit each.

/// A set of numbers below a fixed bound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
    count: u32,
}

impl Bits {
    pub(crate) fn new(bound: u32) -> Self {
        Self { words: vec![0; (bound as usize).div_ceil(64)], count: 0 }
    }

    /// Adds a number below the bound; true when it was not there.
    #[inline]
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (&mut self.words[number as usize / 64], 1 << (number % 64));
        let new = *word & bit == 0;
        *word |= bit;
        self.count += u32::from(new);
        new
    }

    #[inline]
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(crate) fn union(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
        self.count = self.words.iter().map(|w| w.count_ones()).sum();
    }
}

/// How many members lie below a number, in constant time: the members' own numbers, without gaps.
#[derive(Debug)]
pub(crate) struct Rank {
    bits: Bits,
    /// Members before each word.
    before: Vec<u32>,
    all: bool,
}

impl Rank {
    /// `bound` is that of the set.
    pub(crate) fn new(bits: Bits, bound: u32) -> Self {
        let mut before = Vec::new();
        let all = bits.count == bound;
        if !all {
            let mut sum = 0;
            for word in &bits.words {
                before.push(sum);
                sum += word.count_ones();
            }
        }
        Self { bits, before, all }
    }

    /// Whether every number is a member, so that ranks are the numbers themselves.
    pub(crate) fn is_identity(&self) -> bool {
        self.all
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.all || self.bits.contains(number)
    }

    pub(crate) fn len(&self) -> u32 {
        self.bits.count
    }

    #[inline]
    pub(crate) fn of(&self, number: u32) -> u32 {
        if self.all {
            return number;
        }
        let at = number as usize / 64;
        let below = self.bits.words[at] & ((1 << (number % 64)) - 1);
        self.before[at] + below.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let mut bits = Bits::new(200);
        let members = [0, 1, 63, 64, 130, 199];
        for m in members {
            assert!(bits.insert(m));
            assert!(!bits.insert(m));
        }
        let rank = Rank::new(bits.clone(), 200);
        assert_eq!(members.map(|m| rank.of(m)), [0, 1, 2, 3, 4, 5]);
        assert!(!rank.is_identity() && !rank.contains(2) && rank.contains(199));
        let mut other = Bits::new(200);
        (0..200).for_each(|n| _ = other.insert(n));
        bits.union(&other);
        assert!(Rank::new(bits, 200).is_identity());
    }
}
